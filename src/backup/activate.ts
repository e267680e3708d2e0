import { quoteIdentifier, type Session, withSession } from '../database/connection.ts';
import { describeTarget, resolveTarget, type Target } from '../database/target.ts';
import type { RunOptions } from '../ledger/run.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireServer } from './create.ts';

export interface ActivateOptions extends Pick<RunOptions, 'onProgress' | 'signal'> {
  /** A restored database. */
  readonly target: Target | string;
}

export interface ActivateResult {
  readonly target: string;
  /** Jobs that run from now on. */
  readonly jobs: number;
}

/**
 * Starts the jobs of a restored database, whose policies then compress, refresh and drop. When it fails, they stay off.
 * Throws `environment-refused` for any other database, and `not-permitted`.
 */
export async function activate(options: ActivateOptions): Promise<ActivateResult> {
  const named = requireServer(resolveTarget(options.target));
  // A copy of a database that is read-only by its settings is to be activated as well.
  const target = {
    ...named,
    settings: { ...named.settings, default_transaction_read_only: 'off' },
  };
  return withSession(target, { ...options, isCatalogOnly: true }, async (session) => {
    await requireOff(session);
    const { sql, server } = session;
    const database = quoteIdentifier(server.database);
    await sql.unsafe(`alter database ${database} is_template false`);
    try {
      return { target: describeTarget(named), jobs: await startJobs(session) };
    } catch (error) {
      await sql.unsafe(`alter database ${database} is_template true`).catch(() => {});
      throw error;
    }
  });
}

/** A restore leaves a template, which is not one of the server's own. */
async function requireOff({ sql, server: { database } }: Session): Promise<void> {
  const [{ isOff }] = await sql<[{ isOff: boolean }]>`
    select datistemplate and datname not in ('template0', 'template1') as "isOff"
    from pg_database where datname = current_database()`;
  if (isOff) return;
  throw new CryptosenseDbError(
    'environment-refused',
    {
      message: `"${database}" is not a database that a restore has left off`,
      hint: 'name the one that backup restore has made',
    },
    { details: { environment: undefined } },
  );
}

/** Returns how many run from now on. */
async function startJobs({ sql }: Session): Promise<number> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regproc('_timescaledb_functions.start_background_workers') is not null as "isThere"`;
  if (!isThere) return 0;
  await sql`select _timescaledb_functions.start_background_workers()`;
  const [{ jobs }] = await sql<[{ jobs: number }]>`
    select count(*)::int as jobs from timescaledb_information.jobs where scheduled and job_id >= 1000`;
  return jobs;
}
