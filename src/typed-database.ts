import type { Kysely } from 'kysely';
import { readTarget, surroundings } from './config.ts';
import { openDatabase, type PoolOptions } from './database/kysely.ts';
import { resolveTarget, type Target } from './database/target.ts';
import type { DB } from './database/types.ts';

export interface DatabaseOptions extends PoolOptions {
  /** A URL, or a target that was read before. Default: the one that environment and `.env` name. */
  readonly target?: Target | string | undefined;
}

/**
 * A typed Kysely over postgres.js. Connects with the first query, to the database that `target`
 * names, else to the one that environment and `.env` name, by the rules of the command line; TLS by
 * `sslmode`. `destroy()` waits for the queries in flight and closes every connection.
 *
 * Throws `no-target`, `bad-configuration` at once. Queries reject with `server-unreachable`,
 * `login-refused`, `no-such-database`, `no-primary`, `pool-exhausted` or `pool-closed` when there is
 * no connection for them; with the driver's own error, its `code` a SQLSTATE, when the server refuses
 * them or ends the connection; and with ECONNRESET or a code that begins with CONNECTION_ when the connection is lost
 * without a word of the server.
 *
 * @example
 * const db = createDatabase({ applicationName: 'portfolio-api' });
 * const users = await db.selectFrom('users').select('email').execute();
 * await db.destroy();
 */
export function createDatabase({ target, ...options }: DatabaseOptions = {}): Kysely<DB> {
  const found = target === undefined ? readTarget({}, surroundings()) : resolveTarget(target);
  return openDatabase(found, options);
}
