import { accountByEmail, portfoliosWithValues } from '../benchmark/service-queries.ts';
import { type Session, withRollback } from '../database/connection.ts';
import { borrowedKysely } from '../database/kysely.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { messageOf } from '../runtime/errors.ts';

/** Who logs in. Without a password, only the account is looked up. */
export interface Login {
  readonly email: string;
  readonly password?: string | undefined;
}

export interface SmokeResult {
  readonly name: 'login' | 'portfolio view' | 'predictions' | 'candles of today';
  /** `not run`: the backup lacks the table, or rows to try it with. */
  readonly outcome: 'passed' | 'failed' | 'not run';
  /** What was found, or why not. Without personal data. */
  readonly detail: string;
  readonly durationMs: number;
}

type Outcome = Omit<SmokeResult, 'name' | 'durationMs'>;

const passed = (detail: string): Outcome => ({ outcome: 'passed', detail });
const failed = (detail: string): Outcome => ({ outcome: 'failed', detail });
const notRun = (detail: string): Outcome => ({ outcome: 'not run', detail });

/** Does with a restored database what the services do first (specification, 10.3), and changes nothing. */
export async function smokeTest(
  session: Session,
  login: Login | undefined,
): Promise<readonly SmokeResult[]> {
  const tests: readonly (readonly [SmokeResult['name'], () => Promise<Outcome>])[] = [
    ['login', () => logIn(session, login)],
    ['portfolio view', () => viewPortfolio(session)],
    ['predictions', () => readPredictions(session)],
    ['candles of today', () => readCandles(session)],
  ];
  const results: SmokeResult[] = [];
  for (const [name, test] of tests) {
    session.throwIfInterrupted();
    const startedAt = performance.now();
    const outcome = await readOnly(session, test).catch((error: unknown) => {
      session.throwIfInterrupted();
      // The schema is not that of CryptoSense, so that the test says nothing about the backup. A login that was asked for
      // has to be found.
      const isAsked = name === 'login' && login !== undefined;
      const isOther = sqlState(error) === sqlErrorCodes.noSuchTable && !isAsked;
      return isOther ? notRun(messageOf(error)) : failed(messageOf(error));
    });
    results.push({ name, ...outcome, durationMs: Math.round(performance.now() - startedAt) });
  }
  return results;
}

async function readOnly<T>({ sql }: Session, work: () => Promise<T>): Promise<T> {
  return withRollback(sql, async () => {
    await sql.unsafe('begin read only; set local search_path = pg_catalog, public');
    const result = await work();
    await sql.unsafe('rollback');
    return result;
  });
}

/** As the API does: by the address in upper or lower case, then by the hash of the password (bcrypt). */
async function logIn(session: Session, login: Login | undefined): Promise<Outcome> {
  const { sql } = session;
  const email = login?.email ?? (await anyEmail({ sql }));
  if (email === undefined) return notRun('the table users has no account that is not deleted');
  const accounts = await accountByEmail(borrowedKysely(session), email).execute();
  const [account] = accounts;
  if (!account) return failed('no account has the address');
  if (accounts.length > 1) return failed(`${accounts.length} accounts have the address`);
  if (login?.password === undefined) return passed('an account was found by its address');
  // pgcrypto knows the older name of the same algorithm only.
  const hash = account.password_hash.replace(/^\$2[by]\$/, '$2a$');
  const [row] = await sql<{ isRight: boolean }[]>`
    select public.crypt(${login.password}, ${hash}) = ${hash} as "isRight"`;
  return row?.isRight
    ? passed('an account was found by its address, and the password fits')
    : failed('the password does not fit the account');
}

async function anyEmail({ sql }: Pick<Session, 'sql'>): Promise<string | undefined> {
  const [row] = await sql<{ email: string }[]>`
    select email from public.users where deleted_at is null order by id limit 1`;
  return row?.email;
}

/** The query of the specification, 6.3, for a user with a portfolio. */
async function viewPortfolio(session: Session): Promise<Outcome> {
  const { sql } = session;
  const [owner] = await sql<{ id: string }[]>`
    select user_id as id from public.portfolios where deleted_at is null order by id limit 1`;
  if (!owner) return notRun('the table portfolios has no portfolio that is not deleted');
  const portfolios = await portfoliosWithValues(borrowedKysely(session), owner.id).execute();
  const holdings = portfolios.reduce((sum, each) => sum + each.holdings_count, 0);
  return portfolios.length > 0
    ? passed(`${counted(portfolios.length, 'portfolio')} with ${counted(holdings, 'holding')}`)
    : failed('the owner of a portfolio has none');
}

async function readPredictions({ sql }: Session): Promise<Outcome> {
  const [row] = await sql<[{ rows: number; latest: number }]>`
    select count(*)::int as rows,
      (select count(*)::int from (
        select distinct on (asset_symbol) asset_symbol from public.predictions
        order by asset_symbol, created_at desc
      ) as latest) as latest
    from public.predictions`;
  return row.rows === 0
    ? notRun('the table predictions is empty')
    : passed(`${counted(row.rows, 'prediction')} of ${counted(row.latest, 'asset')}`);
}

/** The newest day with candles: a backup of last night has none of today. */
async function readCandles({ sql }: Session): Promise<Outcome> {
  const [newest] = await sql<[{ time: Date | null }]>`
    select max("time") as time from public.price_history`;
  if (newest.time === null) return notRun('the table price_history is empty');
  const rows = await sql<{ day: Date }[]>`
    select day from public.price_history_daily
    where day = date_trunc('day', ${newest.time}::timestamptz, 'UTC')`;
  const day = newest.time.toISOString().slice(0, 10);
  return rows.length > 0
    ? passed(`${counted(rows.length, 'candle')} on ${day}, the last day with prices`)
    : failed(`no asset has a candle on ${day}, the last day with prices`);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
