import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import type { Session } from './connection.ts';

const oldestServer = 150_000;
const oldestTimescale = [2, 11] as const;

/** Throws `server-unsuitable` for a server older than PostgreSQL 15. */
export function requireServerVersion({ server: { version } }: Pick<Session, 'server'>): void {
  if (version >= oldestServer) return;
  throw new CryptosenseDbError('server-unsuitable', {
    message: `the server is PostgreSQL ${Math.floor(version / 10_000)}; 15 or later is needed`,
    hint: 'upgrade the server, or name another one',
  });
}

/** What the server reports about TimescaleDB. Null: it has no such fact. */
export interface TimescaleFacts {
  readonly installed: string | null;
  readonly available: string | null;
  readonly isPreloaded: boolean;
  readonly license: string | null;
}

export async function readTimescale({ sql }: Session): Promise<TimescaleFacts> {
  const [facts] = await sql<[TimescaleFacts]>`
    select
      (select extversion from pg_extension where extname = 'timescaledb') as installed,
      (select default_version from pg_available_extensions where name = 'timescaledb') as available,
      current_setting('timescaledb.disable_load', true) is not null as "isPreloaded",
      current_setting('timescaledb.license', true) as license`;
  return facts;
}

/**
 * Throws `server-unsuitable` when TimescaleDB is missing, too old, not preloaded, or runs under its
 * Apache licence, which has no continuous aggregates, compression or policies.
 */
export function requireTimescale(facts: TimescaleFacts): void {
  const problem = findTimescaleProblem(facts);
  if (problem) throw new CryptosenseDbError('server-unsuitable', problem);
}

/** Undefined when TimescaleDB is available and suitable. */
export function findTimescaleProblem(facts: TimescaleFacts): Problem | undefined {
  const version = facts.installed ?? facts.available;
  if (version === null) {
    return {
      message: 'the server does not have TimescaleDB, which these migrations need',
      hint: 'use a server with TimescaleDB, such as the image timescale/timescaledb:2.28.3-pg15, or install the extension',
    };
  }
  if (isOlder(version)) {
    return {
      message: `the server has TimescaleDB ${version}; ${oldestTimescale.join('.')} or later is needed`,
      hint: 'upgrade the extension on the server, then run: alter extension timescaledb update',
    };
  }
  if (!facts.installed && !facts.isPreloaded) {
    return {
      message: 'TimescaleDB is installed on the server but not loaded',
      hint: "set shared_preload_libraries = 'timescaledb' in postgresql.conf and restart the server",
    };
  }
  if (facts.license === 'apache') {
    return {
      message:
        'the server runs TimescaleDB under its Apache licence, which lacks features that these migrations use',
      evidence: ['continuous aggregates, compression and policies need the Timescale licence'],
      hint: "set timescaledb.license = 'timescale' in postgresql.conf, or use a server that allows it",
    };
  }
  return undefined;
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor, oldestMinor] = oldestTimescale;
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor);
}
