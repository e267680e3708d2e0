import type { Kysely } from 'kysely';
import { readTarget, surroundings } from './config.ts';
import { pooledKysely } from './database/kysely.ts';
import { resolveTarget, type Target } from './database/target.ts';
import type { DB } from './database/types.ts';
import { CryptosenseDbError } from './errors.ts';

export interface DatabaseOptions {
  /** A URL, or a target that was read before; else what environment and `.env` name. */
  readonly target?: Target | string | undefined;
  /** How the server lists these connections. Default: the target's, or `cryptosense-db`. */
  readonly applicationName?: string | undefined;
  /** At most so many connections at once. Default 20. */
  readonly maxConnections?: number | undefined;
  /** A connection that nobody used for so long is closed. Default 30,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** How long a query waits for a connection, a free or a new one. Default 2,000. */
  readonly connectTimeoutMs?: number | undefined;
}

/**
 * A typed Kysely over postgres.js. Connects with the first query, to the database that `target`
 * names, else to the one that environment and `.env` name, by the rules of the command line; TLS by
 * `sslmode`. `destroy()` waits for the queries in flight and closes every connection.
 *
 * Throws `no-target`, `bad-configuration` at once. Queries reject with `server-unreachable`,
 * `login-refused`, `no-such-database`, `no-primary`, `pool-exhausted` or `pool-closed` when there is
 * no connection for them; with the driver's own error, its `code` a SQLSTATE, when the server refuses
 * them; and with ECONNRESET or a code that begins with CONNECTION_ when the connection is lost.
 */
export function createDatabase({
  target,
  applicationName,
  // The pool of the specification (2.2).
  maxConnections = 20,
  idleTimeoutMs = 30_000,
  connectTimeoutMs = 2_000,
}: DatabaseOptions = {}): Kysely<DB> {
  const pool = { maxConnections, idleTimeoutMs, connectTimeoutMs };
  refuseUnusable(pool);
  const found = target === undefined ? readTarget({}, surroundings()) : resolveTarget(target);
  const named =
    found.kind === 'server' && applicationName !== undefined
      ? { ...found, applicationName }
      : found;
  return pooledKysely(named, pool);
}

/** Node's timers know no more. */
const mostMs = 2 ** 31 - 1;

function refuseUnusable(pool: Readonly<Record<string, unknown>>): void {
  const problems = Object.entries(pool).flatMap(([name, value]) => {
    const isUsable = Number.isInteger(value) && Number(value) >= 1 && Number(value) <= mostMs;
    const shown = typeof value === 'number' ? value : JSON.stringify(value);
    return isUsable
      ? []
      : [{ message: `${name} is ${shown}; it can be a whole number from 1 to ${mostMs}` }];
  });
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
}
