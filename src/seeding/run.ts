import { type Session, valueSettings, withRollback } from '../database/connection.ts';
import { borrowedKysely } from '../database/kysely.ts';
import { isLockConflict } from '../database/lock.ts';
import { describeTarget } from '../database/target.ts';
import { markAs } from '../ledger/environment.ts';
import type { Environment } from '../ledger/marks.ts';
import { ensureLedger, type Run } from '../ledger/run.ts';
import { requireSafePath, runSearchPath } from '../ledger/search-path.ts';
import { owe, recordRun, type SeedEnvironment, settle } from '../ledger/seed-runs.ts';
import { refuseElsewhere } from '../migrations/elsewhere.ts';
import { findLacking, pendingMigrations } from '../migrations/pending.ts';
import type { MigrationPair } from '../migrations/source.ts';
import type { Completion } from '../runtime/errors.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';
import { seederStopped } from './failure.ts';
import { guardEnvironment } from './guard.ts';
import type { SeedContext } from './seeder.ts';
import type { ContextOf, NamedSeeder } from './source.ts';
import { addObsolete, countObsolete, tidy } from './upkeep.ts';

/** What is to be seeded, and what the database must have for it. */
export interface SeedPlan<E extends SeedEnvironment> {
  readonly environment: E;
  readonly seeders: readonly NamedSeeder<ContextOf[E]>[];
  readonly pairs: readonly MigrationPair[];
  readonly isDryRun: boolean;
}

export interface Settings<E extends SeedEnvironment> {
  readonly now: Date;
  /** null in production, where no data is invented. */
  readonly seed: number | null;
  readonly scale: number | null;
  /** Adds what the seeders of this environment get to what all seeders get. */
  readonly contextOf: (given: Given) => ContextOf[E] | Promise<ContextOf[E]>;
}

export interface Given {
  readonly session: Session;
  /** The seeder's name. */
  readonly name: string;
  readonly shared: SeedContext;
  readonly onRows: (table: string, rows: number, total: number, elapsedMs: number) => void;
}

export interface TableRows {
  readonly table: string;
  readonly rows: number;
}

export interface SeederResult {
  readonly name: string;
  readonly description: string;
  /** In the order in which they were written. */
  readonly tables: readonly TableRows[];
  /** What the seeder reports about its outcome, one line each. */
  readonly notes: readonly string[];
  readonly durationMs: number;
}

export interface SeedResult {
  /** `host:port/database` or `embedded:FOLDER`. */
  readonly target: string;
  readonly database: string;
  readonly environment: Environment;
  readonly now: Date;
  readonly isDryRun: boolean;
  /** In the order in which they ran. */
  readonly seeders: readonly SeederResult[];
}

/**
 * Checks that the database has every migration and fits the environment, and sets the session's search path for
 * seeders and how values are written and read. Throws `pending-migrations`, `environment-refused`, `schema-elsewhere`
 * and `schema-untrusted`.
 */
export async function requireFit<E extends SeedEnvironment>(
  { session, ledger }: Run,
  { environment, pairs }: SeedPlan<E>,
): Promise<void> {
  await refuseElsewhere({ session, ledger }, pairs, {});
  const lacking = findLacking(pairs, ledger);
  if (lacking.length > 0) {
    throw pendingMigrations(session, lacking, {
      consequence: '',
      hint: 'cryptosense-db migrate up',
    });
  }
  const mark = ledger.environment;
  await guardEnvironment(session, borrowedKysely(session), { mark, environment });
  await requireSafePath(session);
  // Seeders write `users` and mean the table of schema public.
  await session.sql.unsafe(runSearchPath.join('; '));
  await session.sql.unsafe(valueSettings);
}

/** Runs each seeder in its own transaction. A dry run rolls back one transaction of all seeders. */
export async function runAll<E extends SeedEnvironment>(
  run: Run,
  plan: SeedPlan<E>,
  settings: Settings<E>,
): Promise<SeedResult> {
  const { session, ledger } = run;
  const { environment, isDryRun } = plan;
  await requireFit(run, plan);
  if (!isDryRun) await ensureLedger(run, 'seeds');
  const seed = () => runSeeders(run, plan, settings);
  return {
    target: describeTarget(session.target),
    database: session.server.database,
    environment: ledger.environment ?? environment,
    now: settings.now,
    isDryRun,
    seeders: isDryRun ? await rolledBack(session, seed) : await seed(),
  };
}

async function rolledBack<T>(session: Session, work: () => Promise<T>): Promise<T> {
  const { sql } = session;
  return withRollback(sql, async () => {
    await begin(session);
    const result = await work();
    await sql.unsafe('rollback');
    return result;
  });
}

async function runSeeders<E extends SeedEnvironment>(
  run: Run,
  plan: SeedPlan<E>,
  settings: Settings<E>,
): Promise<readonly SeederResult[]> {
  const results: SeederResult[] = [];
  const obsolete = new Map<string, number>();
  for (const [index, seeder] of plan.seeders.entries()) {
    const progress = {
      completed: results.map(({ name }) => name),
      pending: plan.seeders.slice(index + 1).map(({ name }) => name),
    };
    results.push(await runSeeder(run, { plan, settings, seeder, progress, obsolete }));
  }
  return results;
}

interface Turn<E extends SeedEnvironment> {
  readonly plan: SeedPlan<E>;
  readonly settings: Settings<E>;
  readonly seeder: NamedSeeder<ContextOf[E]>;
  /** Without this seeder. */
  readonly progress: Completion;
  /** What this seeder and those before it made obsolete, by table. A deleted user takes rows of other tables along. */
  readonly obsolete: Map<string, number>;
}

/**
 * Runs a seeder, commits its rows with the record of the run, runs its `afterwards`, and analyzes what it filled. A dry
 * run only runs the seeder.
 */
async function runSeeder<E extends SeedEnvironment>(
  run: Run,
  { plan, settings, seeder, progress, obsolete }: Turn<E>,
): Promise<SeederResult> {
  const { session, ledger, onProgress } = run;
  const { sql } = session;
  const { environment, isDryRun } = plan;
  const { now, seed, scale } = settings;
  const { name, description, afterwards } = seeder;
  const index = progress.completed.length + 1;
  const shown = { name, description, index, total: plan.seeders.length };
  const startedAt = performance.now();
  const tables = new Map<string, number>();
  const notes: string[] = [];
  const note = (line: string) => void notes.push(line);
  let isWritten = false;
  try {
    session.throwIfInterrupted();
    onProgress?.({ kind: 'seeder-started', seeder: shown });
    const createContext = () =>
      settings.contextOf({
        session,
        name,
        shared: {
          db: borrowedKysely(session),
          now,
          note,
          wrote: (table, rows) => tables.set(table, (tables.get(table) ?? 0) + rows),
        },
        onRows: (table, rows, total, elapsed) =>
          onProgress?.({
            kind: 'rows-loaded',
            seeder: shown,
            table,
            rows,
            total,
            elapsedMs: elapsed,
          }),
      });
    if (isDryRun) await seeder.run(await createContext());
    else {
      const write = async () => {
        // What an attempt before this one has counted and noted is rolled back.
        tables.clear();
        notes.splice(0);
        const context = await createContext();
        return withRollback(sql, async () => {
          await begin(session);
          // The database gets its environment in the transaction that writes its first rows.
          if (ledger.environment === undefined) await markAs(session, environment);
          const before = await countObsolete(sql);
          const outcome = await seeder.run(context);
          addObsolete(obsolete, { from: before, to: await countObsolete(sql) });
          const durationMs = elapsedMs(startedAt);
          const record = { environment, seeder: name, asOf: now, seed, scale, durationMs, outcome };
          await recordRun(sql, { ...record, rows: Object.fromEntries(tables) });
          const owed = afterwards ? await owe(sql, name, outcome) : [];
          await sql.unsafe('commit');
          return { context, outcomes: owed };
        });
      };
      const { context, outcomes } = await retry(write, {
        signal: session.signal,
        waitMs: waitForLock,
      });
      isWritten = true;
      if (afterwards) {
        await retry(() => afterwards(context, outcomes), { waitMs: waitForLock });
        await settle(sql, name);
      }
      for (const [table, rows] of tables) {
        if (rows === 0) continue;
        await tidy(session, { table, written: rows, obsolete: obsolete.get(table) ?? 0 }, { note });
      }
    }
  } catch (cause) {
    throw seederStopped(session, { seeder: name, cause, isWritten, ...progress });
  }
  const durationMs = elapsedMs(startedAt);
  const written = [...tables].map(([table, rows]) => ({ table, rows }));
  const rows = written.reduce((sum, table) => sum + table.rows, 0);
  onProgress?.({ kind: 'seeder-finished', seeder: shown, rows, durationMs });
  return { name, description, tables: written, notes, durationMs };
}

/** A policy of TimescaleDB may hold a lock on the same view or table for a moment, or meet the run in a deadlock. */
function waitForLock({ error, attempts }: FailedAttempt): number | undefined {
  return attempts < 5 && isLockConflict(error) ? backoffMs(attempts, { firstMs: 250 }) : undefined;
}

/** A load may take longer than a role's settings allow for a statement. */
function begin({ sql }: Session): Promise<unknown> {
  return sql.unsafe(
    'begin; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0',
  );
}

function elapsedMs(startedAt: number): number {
  return Math.round(performance.now() - startedAt);
}
