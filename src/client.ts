/**
 * The typed client for services, without migrations, seeds and the embedded engine. A bundler takes it without
 * configuration.
 */

import type { Kysely } from 'kysely';
import { readTarget, surroundings } from './config.ts';
import { type DatabaseOptions, openServerDatabase } from './database/kysely.ts';
import { resolveTarget } from './database/target.ts';
import type { DB } from './database/types.ts';
import { CryptosenseDbError } from './runtime/errors.ts';

export type { DatabaseOptions } from './database/kysely.ts';
export { parseTarget, type Target } from './database/target.ts';
/** The tables and views of schema public, in the terms of Kysely; and the types of their columns. */
export type * from './database/types.ts';
export type { DB as Database } from './database/types.ts';
export {
  CryptosenseDbError,
  type ErrorCode,
  type ErrorDetails,
  isError,
  type Problem,
} from './runtime/errors.ts';

/**
 * As `createDatabase` of `cryptosense-db`, for a server only. Throws `bad-configuration` for the
 * embedded engine.
 *
 * @example
 * const db = createDatabase({ applicationName: 'portfolio-api' });
 * const users = await db.selectFrom('users').select('email').execute();
 * await db.destroy();
 */
export function createDatabase({ target, ...options }: DatabaseOptions = {}): Kysely<DB> {
  const found = target === undefined ? readTarget({}, surroundings()) : resolveTarget(target);
  if (found.kind === 'server') return openServerDatabase(found, options);
  throw new CryptosenseDbError('bad-configuration', {
    message: 'cryptosense-db/client has no embedded engine',
    hint: "import { createDatabase } from 'cryptosense-db'",
  });
}
