import { setTimeout as sleep } from 'node:timers/promises';
import { type Session, withRollback } from '../database/connection.ts';
import { borrowedKysely } from '../database/kysely.ts';
import { isLockConflict } from '../database/lock.ts';
import { connectionLost, interrupted } from '../database/refusals.ts';
import { isConnectionLost } from '../database/sql-errors.ts';
import { describeTarget } from '../database/target.ts';
import { markAs } from '../ledger/environment.ts';
import type { Environment } from '../ledger/ledger.ts';
import { ensureLedger, type Run } from '../ledger/run.ts';
import type { SeedEnvironment } from '../ledger/seed-runs.ts';
import { owe, recordRun, settle } from '../ledger/seed-runs.ts';
import { findLacking, pendingMigrations } from '../migrations/pending.ts';
import type { MigrationPair } from '../migrations/source.ts';
import { isError } from '../runtime/errors.ts';
import type { ProgressSeeder } from '../runtime/progress.ts';
import { describeSeedFailure, type SeedProgress } from './failure.ts';
import { guardEnvironment } from './guard.ts';
import type { SeedContext } from './seeder.ts';
import type { ContextOf, NamedSeeder } from './source.ts';

/** What is to be seeded, and what the database has to have for it. */
export interface SeedPlan<E extends SeedEnvironment> {
  readonly environment: E;
  readonly seeders: readonly NamedSeeder<ContextOf[E]>[];
  readonly pairs: readonly MigrationPair[];
  readonly isDryRun: boolean;
}

/** What the seeders of an environment are given besides what all are. */
export interface Settings<E extends SeedEnvironment> {
  readonly now: Date;
  /** null in production, where nothing is made up. */
  readonly seed: number | null;
  readonly scale: number | null;
  readonly contextOf: (given: Given) => ContextOf[E] | Promise<ContextOf[E]>;
}

export interface Given {
  readonly session: Session;
  /** The seeder's. */
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
  /** What the seeder had to say. */
  readonly notes: readonly string[];
  readonly durationMs: number;
}

export interface SeedResult {
  /** Where: `host:port/database` or `embedded:FOLDER`. */
  readonly target: string;
  readonly database: string;
  readonly environment: Environment;
  readonly now: Date;
  readonly isDryRun: boolean;
  /** In the order they ran. */
  readonly seeders: readonly SeederResult[];
}

/** From here on the session looks into schema public. Throws `pending-migrations` and `environment-refused`. */
export async function requireFit<E extends SeedEnvironment>(
  { session, ledger }: Run,
  { environment, pairs }: SeedPlan<E>,
): Promise<void> {
  await lookIntoPublic(session);
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

/** Runs the seeders, each in a transaction of its own; of a dry run all in one that is rolled back. */
export async function runAll<E extends SeedEnvironment>(
  run: Run,
  plan: SeedPlan<E>,
  settings: Settings<E>,
): Promise<SeedResult> {
  const { session, ledger } = run;
  const { sql } = session;
  const { environment, isDryRun } = plan;
  await requireFit(run, plan);
  const done: SeederResult[] = [];
  const seed = () => runSeeders(run, plan, { ...settings, done });
  if (isDryRun) {
    await withRollback(sql, async () => {
      await begin(session);
      await seed();
      await sql.unsafe('rollback');
    });
  } else {
    await ensureLedger(run, 'seeds');
    await seed();
  }
  return {
    target: describeTarget(session.target),
    database: session.server.database,
    environment: ledger.environment ?? environment,
    now: settings.now,
    isDryRun,
    seeders: done,
  };
}

async function runSeeders<E extends SeedEnvironment>(
  run: Run,
  plan: SeedPlan<E>,
  settings: Settings<E> & { readonly done: SeederResult[] },
): Promise<void> {
  const { seeders } = plan;
  const { done } = settings;
  for (const [index, seeder] of seeders.entries()) {
    const { name, description } = seeder;
    const shown = { name, description, index: index + 1, total: seeders.length };
    let isWritten = false;
    const onWritten = () => {
      isWritten = true;
    };
    try {
      run.session.throwIfInterrupted();
      const result = await runSeeder(run, { seeder, shown, plan }, { ...settings, onWritten });
      done.push(result);
      const rows = result.tables.reduce((sum, table) => sum + table.rows, 0);
      const { durationMs } = result;
      run.onProgress?.({ kind: 'seeder-finished', seeder: shown, rows, durationMs });
    } catch (error) {
      const completed = done.map((before) => before.name);
      const pending = seeders.slice(index + 1).map((after) => after.name);
      throw explain(run.session, { seeder: name, error, isWritten }, { completed, pending });
    }
  }
}

interface Turn<E extends SeedEnvironment> {
  readonly seeder: NamedSeeder<ContextOf[E]>;
  readonly shown: ProgressSeeder;
  readonly plan: SeedPlan<E>;
}

/** The seeder's transaction, and what it does once that is committed. */
async function runSeeder<E extends SeedEnvironment>(
  { session, ledger, onProgress }: Run,
  { seeder, shown, plan: { environment, isDryRun } }: Turn<E>,
  { now, seed, scale, contextOf, onWritten }: Settings<E> & { readonly onWritten: () => void },
): Promise<SeederResult> {
  const { sql } = session;
  const { name, description, run, afterwards } = seeder;
  const startedAt = performance.now();
  const durationMs = () => Math.round(performance.now() - startedAt);
  const tables = new Map<string, number>();
  const notes: string[] = [];
  const wrote = (table: string, rows: number) => {
    tables.set(table, (tables.get(table) ?? 0) + rows);
  };
  onProgress?.({ kind: 'seeder-started', seeder: shown });
  const context = await contextOf({
    session,
    name,
    shared: {
      db: borrowedKysely(session),
      now,
      note: (line) => notes.push(line),
      wrote,
    },
    onRows: (table, rows, total, elapsedMs) =>
      onProgress?.({ kind: 'rows-loaded', seeder: shown, table, rows, total, elapsedMs }),
  });
  if (isDryRun) {
    await run(context);
  } else {
    const outcomes = await withRollback(sql, async () => {
      await begin(session);
      // With its first rows a database is of an environment, and not before.
      if (ledger.environment === undefined) await markAs(session, environment);
      const made = await run(context);
      const rows = Object.fromEntries(tables);
      await recordRun(sql, {
        environment,
        seeder: name,
        asOf: now,
        seed,
        scale,
        rows,
        durationMs: durationMs(),
        outcome: made,
      });
      const owed = afterwards ? await owe(sql, name, made) : [];
      await sql.unsafe('commit');
      return owed;
    });
    onWritten();
    if (afterwards) {
      await patiently(() => afterwards(context, outcomes));
      await settle(sql, name);
    }
  }
  const written = [...tables].map(([table, rows]) => ({ table, rows }));
  return { name, description, tables: written, notes, durationMs: durationMs() };
}

/**
 * Whatever the role or the database have set: seeders write `users`, and mean public's. TimescaleDB's
 * functions are where its extension was created.
 */
function lookIntoPublic({ sql }: Session): Promise<unknown> {
  return sql`
    select set_config('search_path', concat_ws(', ', 'public', (
      select quote_ident(nspname) from pg_extension join pg_namespace n on n.oid = extnamespace
      where extname = 'timescaledb' and nspname <> 'public'
    )), false)`;
}

/** A load may take longer than what a role's settings allow a statement. */
function begin({ sql }: Session): Promise<unknown> {
  return sql.unsafe(
    'begin; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0',
  );
}

const tries = 5;

/** A policy of TimescaleDB's may be at the same work. */
async function patiently(work: () => Promise<void>): Promise<void> {
  for (let left = tries - 1; ; left -= 1) {
    try {
      return await work();
    } catch (error) {
      if (left === 0 || !isLockConflict(error)) throw error;
      await sleep(500);
    }
  }
}

/** What stopped a seeder, as the error to throw. */
function explain(
  { target, signal }: Session,
  {
    seeder,
    error,
    isWritten,
  }: { readonly seeder: string; readonly error: unknown; readonly isWritten: boolean },
  { completed, pending }: SeedProgress,
): unknown {
  const progress = isWritten
    ? { completed: [...completed, seeder], pending }
    : { completed, pending: [seeder, ...pending] };
  if (signal?.aborted) return interrupted(progress);
  if (isConnectionLost(error)) return connectionLost(target, { cause: error, ...progress });
  if (isError(error)) return error;
  return describeSeedFailure({ seeder, cause: error, isWritten }, { completed, pending });
}
