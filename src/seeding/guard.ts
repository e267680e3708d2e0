import { type Kysely, sql } from 'kysely';
import type { Session } from '../database/connection.ts';
import type { DB } from '../database/types.ts';
import type { Environment } from '../ledger/ledger.ts';
import type { SeedEnvironment } from '../ledger/seed-runs.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';

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

/** What a database that is nobody's yet would not hold. Other schemas may lack these tables. */
async function findInhabitants(db: Kysely<DB>): Promise<readonly string[]> {
  const tables = await existing(db, ['users', 'assets', 'price_history']);
  const found = await Promise.all(
    tables.map((table) => db.selectFrom(table).select(sql`1`.as('one')).limit(1).execute()),
  );
  return tables
    .filter((_, index) => found[index]?.length === 1)
    .map((table) => `there are rows in ${table}`);
}

/** As `seeds/story` makes them: what a production database never holds. */
const inventions = [
  {
    table: 'users',
    fact: 'users of the development data',
    found: sql<boolean>`
      email in ('admin@cryptosense.dev', 'pro@cryptosense.dev', 'free@cryptosense.dev')
      or id between '5eed0100-0000-4000-8000-000000000000'
        and '5eed0100-0000-4000-8000-ffffffffffff'`,
  },
  {
    table: 'assets',
    fact: 'assets of the development data',
    found: sql<boolean>`
      id between '5eed0700-0000-4000-8000-000000000000'
        and '5eed0700-0000-4000-8000-ffffffffffff'`,
  },
  {
    table: 'price_history',
    fact: 'synthetic prices',
    found: sql<boolean>`data_source = 'synthetic'`,
  },
] as const;

async function findInventions(db: Kysely<DB>): Promise<readonly string[]> {
  const tables = await existing(
    db,
    inventions.map(({ table }) => table),
  );
  const facts: string[] = [];
  for (const { table, fact, found } of inventions.filter((each) => tables.includes(each.table))) {
    const rows = await db
      .selectFrom(table)
      .select(sql`1`.as('one'))
      .where(found)
      .limit(1)
      .execute();
    if (rows.length > 0) facts.push(`there are ${fact}`);
  }
  return facts;
}

async function existing<T extends keyof DB & string>(
  db: Kysely<DB>,
  names: readonly T[],
): Promise<readonly T[]> {
  const { rows } = await sql<{ name: string }>`
    select name from (values ${sql.join(names.map((name) => sql`(${name}::text)`))}) as given (name)
    where to_regclass('public.' || name) is not null`.execute(db);
  return names.filter((name) => rows.some((row) => row.name === name));
}
