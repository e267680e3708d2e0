import { readReplicas } from '../database/replicas.ts';
import { describeTarget } from '../database/target.ts';
import type { Environment } from '../ledger/marks.ts';
import type { Run } from '../ledger/run.ts';
import type { MigrationName, RunResult } from './options.ts';
import { conflictsInPlan } from './replay-conflicts.ts';
import type { MigrationPair } from './source.ts';
import { type ScriptOptions, writeScript } from './sql-script.ts';
import type { CompletedStep, Step } from './step.ts';

/** The result of a dry run. */
export async function planned(
  run: Run,
  { steps, pairs }: { readonly steps: readonly Step[]; readonly pairs: readonly MigrationPair[] },
  options: ScriptOptions & { readonly script?: boolean | undefined },
): Promise<RunResult> {
  const conflicts = conflictsInPlan(steps.map(({ script }) => script));
  const plannedSteps = steps.map(
    ({ direction, version, description, irreversible }, index): CompletedStep => ({
      direction,
      version,
      description,
      durationMs: 0,
      ...(irreversible !== undefined && { irreversible }),
      replayConflicts: conflicts[index] ?? [],
    }),
  );
  const result = summarise(run, { steps: plannedSteps, pairs, isDryRun: true }, options);
  const hasScript = options.script && (steps.length > 0 || options.environment !== undefined);
  return {
    ...result,
    replicas: await readReplicas(run.session),
    ...(hasScript && { script: writeScript(run, steps, options) }),
  };
}

/** The result of a run that has ended. */
export function summarise(
  { session, ledger }: Run,
  outcome: {
    readonly steps: readonly CompletedStep[];
    readonly pairs: readonly MigrationPair[];
    readonly isDryRun: boolean;
  },
  { environment }: { readonly environment?: Environment | undefined },
): RunResult {
  const { steps, pairs, isDryRun } = outcome;
  const applied = new Set(ledger.entries.map(({ version }) => version));
  if (!isDryRun) {
    for (const { direction, version } of steps) {
      if (direction === 'up') applied.add(version);
      else applied.delete(version);
    }
  }
  return {
    target: describeTarget(session.target),
    database: session.server.database,
    environment: ledger.environment ?? (isDryRun ? undefined : environment),
    steps,
    isDryRun,
    applied: applied.size,
    pending: pairs.filter(({ version }) => !applied.has(version)).map(migrationName),
  };
}

export function migrationName({ version, description }: MigrationPair): MigrationName {
  return { version, description };
}
