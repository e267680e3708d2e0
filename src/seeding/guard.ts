import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Session } from '../database/connection.ts';
import type { DB } from '../database/types.ts';
import type { Environment } from '../ledger/marks.ts';
import { findRows } from '../ledger/rows.ts';
import type { SeedEnvironment } from '../ledger/seed-runs.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';

/**
 * Refuses development data for a production or staging database, and production data for any other database. No
 * option overrides this. The rows of a database decide while it has no mark. Call it before the session's search
 * path is changed. Throws `environment-refused`.
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
  const { data, isMeantFor, findSigns, proof, hint } = rules[environment];
  const details = { environment: mark };
  if (mark !== undefined) {
    if (isMeantFor(mark)) return;
    throw new CryptosenseDbError(
      'environment-refused',
      {
        message: `"${database}" is marked as ${mark} and refuses ${data} data`,
        hint: 'name the right database',
      },
      { details },
    );
  }
  const evidence = await findSigns(session, db);
  if (evidence.length === 0) return;
  throw new CryptosenseDbError(
    'environment-refused',
    {
      message: `"${database}" is not marked, and has rows that ${proof} production data`,
      evidence,
      hint,
    },
    { details },
  );
}

/** Rows that show what a database without a mark is. */
interface Sign {
  readonly table: 'users' | 'assets' | 'price_history';
  readonly fact: string;
  readonly where: RawBuilder<boolean>;
}

/** Rows that `seeds/story` makes and a production database never has. */
const inventedRows: readonly Sign[] = [
  {
    table: 'users',
    fact: 'users of the development data',
    where: sql`
      email in ('admin@cryptosense.dev', 'pro@cryptosense.dev', 'free@cryptosense.dev')
      or id between '5eed0100-0000-4000-8000-000000000000'
        and '5eed0100-0000-4000-8000-ffffffffffff'`,
  },
  {
    table: 'assets',
    fact: 'assets of the development data',
    where: sql`
      id between '5eed0700-0000-4000-8000-000000000000'
        and '5eed0700-0000-4000-8000-ffffffffffff'`,
  },
  {
    table: 'price_history',
    fact: 'synthetic prices',
    where: sql`data_source in ('synthetic', 'synthetic-history')`,
  },
];

const rules = {
  dev: {
    data: 'development',
    // A test database takes the same data as a developer's database.
    isMeantFor: (mark: Environment) => mark === 'dev' || mark === 'test',
    findSigns: (session: Session) => findRows(session, { count: 'tables in use', hasLedger: true }),
    proof: 'may be',
    hint: 'mark a development database first: cryptosense-db db mark dev',
  },
  production: {
    data: 'production',
    isMeantFor: (mark: Environment) => mark === 'production' || mark === 'staging',
    findSigns: (_: Session, db: Kysely<DB>) => findInvented(db),
    proof: 'cannot be',
    hint: 'name the right database, or remove the development data',
  },
};

/** A schema other than the packaged one may lack these tables. */
async function findInvented(db: Kysely<DB>): Promise<readonly string[]> {
  const facts: string[] = [];
  for (const { table, fact, where } of inventedRows) {
    const { rows: tables } = await sql`
      select where to_regclass(${`public.${table}`}) is not null`.execute(db);
    if (tables.length === 0) continue;
    const rows = db
      .withSchema('public')
      .selectFrom(table)
      .select(sql`1`.as('one'))
      .where(where)
      .limit(1);
    const found = await rows.execute();
    if (found.length > 0) facts.push(`there are ${fact}`);
  }
  return facts;
}
