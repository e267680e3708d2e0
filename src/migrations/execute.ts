import { connectionLost, interrupted } from '../database/refusals.ts';
import { isConnectionLost } from '../database/sql-errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Run } from '../ledger/run.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { runSteps, runStepsTogether } from './apply.ts';
import { describeFailure } from './failure.ts';
import type { RunControl } from './options.ts';
import { type CompletedStep, logFailure, StatementError, type Step } from './step.ts';

/** Runs the steps, and turns whatever ends them into an error that says how far they came. */
export async function execute(
  { session, ledger, writer, onProgress }: Run,
  steps: readonly Step[],
  {
    manner,
    tableLockTimeoutMs = 5_000,
    tableLockRetries = 5,
  }: RunControl & { readonly manner: 'one by one' | 'together' },
): Promise<readonly CompletedStep[]> {
  refuseUnjournalled(steps, ledger);
  const done: CompletedStep[] = [];
  const runOptions = {
    writer,
    tableLockTimeoutMs,
    tableLockRetries,
    onProgress,
    onCompleted: (step: CompletedStep) => done.push(step),
  };
  try {
    await (manner === 'together' ? runStepsTogether : runSteps)(session, steps, runOptions);
    return done;
  } catch (error) {
    const completed = done.map(({ version }) => version);
    const pending = steps.slice(done.length).map(({ version }) => version);
    if (session.signal?.aborted) throw interrupted({ completed, pending });
    const cause = error instanceof StatementError ? error.cause : error;
    if (isConnectionLost(cause)) {
      throw connectionLost(session.target, { cause, completed, pending });
    }
    if (!(error instanceof StatementError)) throw error;
    await logFailure(session, error, writer);
    const others = pending.filter((version) => version !== error.step.version);
    throw describeFailure(error, { completed, pending: others });
  }
}

/** A file that ran in part without a transaction would run its finished statements again in one. */
function refuseUnjournalled(steps: readonly Step[], { journal }: Ledger): void {
  const refused = steps.filter(
    ({ version, direction, script }) =>
      script.transaction === 'own' &&
      journal.some((entry) => entry.version === version && entry.direction === direction),
  );
  if (refused.length === 0) return;
  throw new CryptosenseDbError(
    'history-mismatch',
    refused.map(({ version, script }) => ({
      message: `${script.file.name} ran in part, and no longer says "-- Transaction: none"`,
      hint: `restore that line, or put the schema right by hand and drop the record with: cryptosense-db migrate repair --forget ${version}`,
    })),
    { details: { versions: refused.map(({ version }) => version) } },
  );
}
