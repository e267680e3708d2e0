import { type Session, withRollback } from '../database/connection.ts';
import { borrowedKysely } from '../database/kysely.ts';
import { isLockConflict } from '../database/lock.ts';
import { describeTarget } from '../database/target.ts';
import { markAs } from '../ledger/environment.ts';
import type { Environment } from '../ledger/ledger.ts';
import { ensureLedger, type Run } from '../ledger/run.ts';
import { owe, recordRun, type SeedEnvironment, settle } from '../ledger/seed-runs.ts';
import { findLacking, pendingMigrations } from '../migrations/pending.ts';
import type { MigrationPair } from '../migrations/source.ts';
import type { ProgressSeeder } from '../runtime/progress.ts';
import { retry } from '../runtime/retry.ts';
import { seederStopped } from './failure.ts';
import { guardEnvironment } from './guard.ts';
import type { SeedContext } from './seeder.ts';
import type { ContextOf, NamedSeeder } from './source.ts';

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
 * Checks that the database has every migration and fits the environment. Sets the session's
 * search_path to schema public. Throws `pending-migrations` and `environment-refused`.
 */
export async function requireFit<E extends SeedEnvironment>(
  { session, ledger }: Run,
  { environment, pairs }: SeedPlan<E>,
): Promise<void> {
  await searchPublic(session);
  const lacking = findLacking(pairs, ledger);
  if (lacking.length > 0) {
    throw pendingMigrations(session, lacking, {
      consequence: '',
      hint: 'cryptosense-db migrate up',
    });
  }
  const mark = ledger.environment;
  await guardEnvironment(session, borrowedKysely(session), { mark, environment });
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
  const { seeders } = plan;
  const done: SeederResult[] = [];
  for (const [index, seeder] of seeders.entries()) {
    const { name, description } = seeder;
    const shown = { name, description, index: index + 1, total: seeders.length };
    const stopped = (isWritten: boolean) => (cause: unknown) => {
      const completed = done.map((before) => before.name);
      const pending = seeders.slice(index + 1).map((after) => after.name);
      throw seederStopped(run.session, {
        stop: { seeder: name, cause, isWritten },
        progress: { completed, pending },
      });
    };
    const startedAt = performance.now();
    const turn = { seeder, shown, plan, settings, startedAt };
    const written = await write(run, turn).catch(stopped(false));
    if (!plan.isDryRun) await finish(run, seeder, written).catch(stopped(true));
    const durationMs = elapsedMs(startedAt);
    const tables = [...written.tables].map(([table, rows]) => ({ table, rows }));
    done.push({ name, description, tables, notes: written.notes, durationMs });
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    run.onProgress?.({ kind: 'seeder-finished', seeder: shown, rows, durationMs });
  }
  return done;
}

interface Turn<E extends SeedEnvironment> {
  readonly seeder: NamedSeeder<ContextOf[E]>;
  readonly shown: ProgressSeeder;
  readonly plan: SeedPlan<E>;
  readonly settings: Settings<E>;
  readonly startedAt: number;
}

/** What a seeder has done. `tables` and `notes` grow while its `afterwards` runs. */
interface Written<Context> {
  readonly context: Context;
  /** What `run` returned, now and in earlier runs whose `afterwards` did not end. */
  readonly outcomes: readonly unknown[];
  readonly tables: ReadonlyMap<string, number>;
  readonly notes: readonly string[];
}

/** Runs a seeder and commits its rows with the record of the run; a dry run only runs it. */
async function write<E extends SeedEnvironment>(
  run: Run,
  turn: Turn<E>,
): Promise<Written<ContextOf[E]>> {
  const { session, onProgress } = run;
  const { seeder, shown, plan, settings } = turn;
  session.throwIfInterrupted();
  onProgress?.({ kind: 'seeder-started', seeder: shown });
  const tables = new Map<string, number>();
  const notes: string[] = [];
  const context = await settings.contextOf({
    session,
    name: seeder.name,
    shared: {
      db: borrowedKysely(session),
      now: settings.now,
      note: (line) => notes.push(line),
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
  if (plan.isDryRun) {
    await seeder.run(context);
    return { context, outcomes: [], tables, notes };
  }
  const outcomes = await commit(run, turn, async () => ({
    outcome: await seeder.run(context),
    rows: Object.fromEntries(tables),
  }));
  return { context, outcomes, tables, notes };
}

async function commit<E extends SeedEnvironment>(
  { session, ledger }: Run,
  { seeder, plan, settings, startedAt }: Turn<E>,
  work: () => Promise<{ readonly outcome: unknown; readonly rows: Record<string, number> }>,
): Promise<readonly unknown[]> {
  const { sql } = session;
  const { name, afterwards } = seeder;
  const { environment } = plan;
  const { now: asOf, seed, scale } = settings;
  return withRollback(sql, async () => {
    await begin(session);
    // The database gets its environment in the transaction that writes its first rows.
    if (ledger.environment === undefined) await markAs(session, environment);
    const { outcome, rows } = await work();
    const durationMs = elapsedMs(startedAt);
    await recordRun(sql, {
      environment,
      seeder: name,
      asOf,
      seed,
      scale,
      rows,
      durationMs,
      outcome,
    });
    const outcomes = afterwards ? await owe(sql, name, outcome) : [];
    await sql.unsafe('commit');
    return outcomes;
  });
}

const attempts = 5;

/** Runs `afterwards`. A policy of TimescaleDB may hold a lock on the same view or table for a moment. */
async function finish<Context>(
  { session }: Run,
  { name, afterwards }: NamedSeeder<Context>,
  { context, outcomes }: Written<Context>,
): Promise<void> {
  if (!afterwards) return;
  await retry(() => afterwards(context, outcomes), {
    waitMs: (failed) =>
      failed.attempts < attempts && isLockConflict(failed.error) ? 500 : undefined,
  });
  await settle(session.sql, name);
}

/**
 * Seeders write `users` and mean the table of schema public, under any settings of the role or the
 * database. TimescaleDB's functions are in the schema of its extension.
 */
function searchPublic({ sql }: Session): Promise<unknown> {
  return sql`
    select set_config('search_path', concat_ws(', ', 'public', (
      select quote_ident(nspname) from pg_extension join pg_namespace n on n.oid = extnamespace
      where extname = 'timescaledb' and nspname <> 'public'
    )), false)`;
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
