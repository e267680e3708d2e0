import { type Kysely, sql } from 'kysely';
import type { Session } from '../database/connection.ts';
import type { DB } from '../database/types.ts';
import type { Environment } from '../ledger/ledger.ts';
import type { SeedEnvironment } from '../ledger/seed-runs.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';

/**
 * Refuses development data for a production database, and production data for any other database. No
 * option overrides this. The rows of a database decide while it has no mark.
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
  const { data, find, unmarked, hint, isMeantFor } = rules[environment];
  if (mark !== undefined) {
    if (isMeantFor(mark)) return;
    throw refused(mark, {
      message: `"${database}" is marked as ${mark} and refuses ${data} data`,
      hint: 'name the right database',
    });
  }
  const evidence = await find(db);
  if (evidence.length === 0) return;
  throw refused(mark, {
    message: `"${database}" is not marked, and has rows that ${unmarked} production data`,
    evidence,
    hint,
  });
}

interface Rules {
  readonly data: string;
  readonly isMeantFor: (mark: Environment) => boolean;
  /** The rows of a database without a mark that speak against this data. */
  readonly find: (db: Kysely<DB>) => Promise<readonly string[]>;
  readonly unmarked: string;
  readonly hint: string;
}

const rules: Readonly<Record<SeedEnvironment, Rules>> = {
  dev: {
    data: 'development',
    // A test database takes the same data as a developer's database.
    isMeantFor: (mark) => mark !== 'production',
    find: findInhabitants,
    unmarked: 'may be',
    hint: 'mark a development database first: cryptosense-db migrate up --env dev',
  },
  production: {
    data: 'production',
    isMeantFor: (mark) => mark === 'production',
    find: findInventions,
    unmarked: 'cannot be',
    hint: 'name the right database, or remove the development data',
  },
};

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

/** Rows that a new database does not have. A schema other than the packaged one may lack these tables. */
async function findInhabitants(db: Kysely<DB>): Promise<readonly string[]> {
  const tables = await existing(db, ['users', 'assets', 'price_history']);
  const found = await Promise.all(
    tables.map((table) => db.selectFrom(table).select(sql`1`.as('one')).limit(1).execute()),
  );
  return tables
    .filter((_, index) => found[index]?.length === 1)
    .map((table) => `there are rows in ${table}`);
}

/** Rows that `seeds/story` makes and a production database never has. */
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
