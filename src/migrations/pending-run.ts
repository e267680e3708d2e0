import { guardMark, markAs, requireMark } from '../ledger/environment.ts';
import { ensureLedger, type Run, withRun } from '../ledger/run.ts';
import { requireSafePath } from '../ledger/search-path.ts';
import { runSteps } from './apply.ts';
import { refuseElsewhere } from './elsewhere.ts';
import { extentOf } from './extent.ts';
import { refuseHandmade } from './handmade.ts';
import type { RunResult, UpOptions } from './options.ts';
import { planned, summarise } from './outcome.ts';
import { planUp } from './plan.ts';
import { prepareUp, refuseTogether } from './preparation.ts';
import { type MigrationPair, readMigrations, resolveFolders } from './source.ts';
import { compareWithLedger } from './status.ts';
import { type CompletedStep, needsOwnSession, type ObserveStep, type Step } from './step.ts';

/** What `up` does. `hooks` are of a caller that looks at the run. */
export async function applyPending(options: UpOptions, hooks: RunHooks = {}): Promise<RunResult> {
  const pairs = readMigrations(resolveFolders(options));
  let session: SessionKind = 'shared';
  let before: readonly CompletedStep[] = [];
  for (;;) {
    const part: Part = await upInSession(options, { pairs, session, before, hooks });
    if (part.next === undefined) return part.result;
    session = part.next;
    before = part.result.steps;
  }
}

export interface RunHooks {
  /** Refuses a database, before anything is planned or written. */
  readonly guard?: (run: Run) => void;
  readonly observe?: ObserveStep;
}

/** A file that updates TimescaleDB has a session of its own; the files before and after it share one. */
type SessionKind = 'shared' | 'own';

interface Part {
  readonly result: RunResult;
  /** The session of the steps that remain; undefined when none remains. */
  readonly next: SessionKind | undefined;
}

/** Applies what one session can apply. Plans again, since another run may have applied migrations in between. */
async function upInSession(
  options: UpOptions,
  {
    pairs,
    session: kind,
    before,
    hooks,
  }: {
    readonly hooks: RunHooks;
    readonly pairs: readonly MigrationPair[];
    readonly session: SessionKind;
    readonly before: readonly CompletedStep[];
  },
): Promise<Part> {
  const extent = extentOf(options) ?? { kind: 'all' };
  const access = options.dryRun ? 'read' : 'write';
  return withRun(options, { access, holdsTimescale: kind === 'own' }, async (run) => {
    const { session, ledger } = run;
    hooks.guard?.(run);
    requireMark(session, { mark: ledger.environment, environment: options.environment });
    if (options.environment) await guardMark(run, options.environment);
    await refuseElsewhere(run, pairs, options);
    const chosen = planUp(compareWithLedger(pairs, ledger), {
      extent: extent.kind === 'steps' ? { ...extent, count: extent.count - before.length } : extent,
      outOfOrder: options.allowOutOfOrder ? 'allow' : 'refuse',
    });
    const steps = await prepareUp(session, chosen, options);
    if (steps.length > 0) await requireSafePath(session);
    if (options.singleTransaction) refuseTogether(steps);
    await refuseHandmade(session, ledger, steps);
    const manner = options.singleTransaction ? 'together' : 'one by one';
    if (options.dryRun) {
      const result = await planned(run, { steps, pairs }, { ...options, manner });
      return { result, next: undefined };
    }
    if (steps.length > 0 || options.environment !== undefined) {
      await ensureLedger(run, 'migrations');
      announceUnmarked(run, options);
    }
    // Before the first step, so that a first deployment that fails halfway has marked its database.
    if (options.environment) await markAs(session, options.environment);
    const part = stepsOfSession(steps, kind);
    const done = await runSteps(run, part, { ...options, manner, before, observe: hooks.observe });
    const result = summarise(run, { steps: [...before, ...done], pairs, isDryRun: false }, options);
    const rest = steps[part.length];
    return { result, next: rest && sessionOf(rest) };
  });
}

function sessionOf({ script }: Step): SessionKind {
  return needsOwnSession(script) ? 'own' : 'shared';
}

/** The steps at the start that a session of that kind can run; none when it has to be the other kind. */
function stepsOfSession(steps: readonly Step[], kind: SessionKind): readonly Step[] {
  const end = steps.findIndex((step) => sessionOf(step) !== kind);
  const fit = end < 0 ? steps : steps.slice(0, end);
  return kind === 'own' ? fit.slice(0, 1) : fit;
}

/** Says of a new database on a server that it has no mark, in the run that creates its ledger and in no other. */
function announceUnmarked(
  { session: { target, server }, ledger, onProgress }: Run,
  { environment }: Pick<UpOptions, 'environment'>,
): void {
  if (ledger.format > 0 || environment !== undefined || target.kind === 'embedded') return;
  onProgress?.({ kind: 'unmarked', database: server.database });
}
