import { type Kysely, sql } from 'kysely';
import type { Session } from '../database/connection.ts';
import type { DB } from '../database/types.ts';
import { CryptosenseDbError } from '../errors.ts';
import type { Environment } from '../migrations/ledger.ts';
import type { SeedEnvironment } from './source.ts';

/**
 * Development data never goes into a production database, nor production data into any other: there
 * is no way round it. Where a database bears no mark yet, what is in it decides.
 * Throws `environment-refused`.
 */
export async function guardEnvironment(
  session: Session,
  db: Kysely<DB>,
  {
    mark,
    environment,
  }: { readonly mark: Environment | undefined; readonly environment: SeedEnvironment },
): Promise<void> {
  const { database } = session.server;
  if (mark === undefined) {
    const evidence = await (environment === 'dev' ? findInhabitants(db) : findInventions(db));
    if (evidence.length === 0) return;
    throw refused(mark, {
      message: `"${database}" bears no mark, and holds what ${environment === 'dev' ? 'may be' : 'cannot be'} production data`,
      evidence,
      hint:
        environment === 'dev'
          ? 'when it is a development database, say so first: cryptosense-db migrate up --env dev'
          : 'name the right database, or remove what is not production data',
    });
  }
  // A test's database takes what a developer's does.
  const isMeant = environment === 'dev' ? mark !== 'production' : mark === 'production';
  if (isMeant) return;
  throw refused(mark, {
    message: `"${database}" is marked as ${mark}, and takes no ${environment === 'dev' ? 'development' : 'production'} data`,
    hint: 'name the right database',
  });
}

function refused(
  mark: Environment | undefined,
  problem: {
    readonly message: string;
    readonly evidence?: readonly string[];
    readonly hint: string;
  },
) {
  return new CryptosenseDbError('environment-refused', problem, { details: { environment: mark } });
}

/** What a database that is nobody's yet would not hold. */
async function findInhabitants(db: Kysely<DB>): Promise<readonly string[]> {
  const { rows } = await sql<{ table: string }>`
    select 'users' as table where exists (select from public.users)
    union all select 'assets' where exists (select from public.assets)
    union all select 'price_history' where exists (select from public.price_history)
    order by 1`.execute(db);
  return rows.map(({ table }) => `there are rows in ${table}`);
}

/** What a production database never holds. */
async function findInventions(db: Kysely<DB>): Promise<readonly string[]> {
  const { rows } = await sql<{ fact: string }>`
    select 'users of the development data' as fact
    where exists (
      select from public.users
      where email ilike '%@cryptosense.dev' or id::text like '5eed%'
    )
    union all select 'synthetic prices'
    where exists (select from public.price_history where data_source = 'synthetic')`.execute(db);
  return rows.map(({ fact }) => `there are ${fact}`);
}
