import type { Kysely } from 'kysely';
import { readTarget, surroundings } from './config.ts';
import { openEmbeddedDatabase } from './database/embedded/kysely.ts';
import { type DatabaseOptions, openServerDatabase } from './database/kysely.ts';
import { resolveTarget } from './database/target.ts';
import type { DB } from './database/types.ts';

export type { DatabaseOptions } from './database/kysely.ts';

/**
 * A typed Kysely over postgres.js. Connects with the first query, to the database that `target`
 * names, else to the one that environment and `.env` name, by the rules of the command line; TLS by
 * `sslmode`. `destroy()` waits for the queries in flight and closes every connection.
 *
 * Throws `no-target`, `bad-configuration` at once. Queries reject with `server-unreachable`,
 * `login-refused`, `no-such-database`, `no-primary`, `pool-exhausted` or `pool-closed` when there is
 * no connection for them; with `unreadable-value` for a value that its type in JavaScript cannot hold, such as infinity
 * in a Date; with TypeError for a parameter that PostgreSQL has no form of; with the driver's own error, its `code` a
 * SQLSTATE, when the server refuses them or ends the connection; and with ECONNRESET or a code that begins with
 * CONNECTION_ when the connection is lost without a word of the server.
 *
 * @example
 * const db = createDatabase({ applicationName: 'portfolio-api' });
 * const users = await db.selectFrom('users').select('email').execute();
 * await db.destroy();
 */
export function createDatabase({ target, ...options }: DatabaseOptions = {}): Kysely<DB> {
  const found = target === undefined ? readTarget({}, surroundings()) : resolveTarget(target);
  return found.kind === 'embedded'
    ? openEmbeddedDatabase(found, options)
    : openServerDatabase(found, options);
}
