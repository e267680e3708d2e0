import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BenchmarkResult, benchmark } from '../../src/benchmark/benchmark.ts';
import { type QueryName, queryTargets } from '../../src/benchmark/targets.ts';
import { callCli, startCli } from '../support/cli.ts';
import { createScratchRole } from '../support/databases.ts';
import { errorOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase, until } from '../support/recovery.ts';
import { createFolderDatabase, type FolderDatabase } from '../support/schema-database.ts';

const names = Object.keys(queryTargets) as readonly QueryName[];
const queryOf = ({ queries }: BenchmarkResult, name: QueryName) =>
  queries.find((query) => query.name === name);

describe('on a database with the development data', () => {
  let database: FolderDatabase;
  beforeAll(async () => {
    database = await createFolderDatabase('migrated');
    const { code } = await callCli([
      'seed',
      '--env',
      'dev',
      '--scale',
      '20',
      '--url',
      database.url,
    ]);
    expect(code).toBe(0);
  });
  afterAll(() => database?.drop());

  it('measures every query of the specification, and writes plans, a page and JSON', async () => {
    const folder = temporaryFolder();
    const [plans, html] = [join(folder, 'new', 'plans'), join(folder, 'page.html')];
    const flags = ['--runs', '10', '--plans', plans, '--html', html, '--json'];
    const { code, stdout } = await callCli(['benchmark', ...flags, '--url', database.url]);
    expect(code).toBe(0);
    const result: BenchmarkResult = JSON.parse(stdout);
    expect(result).toMatchObject({
      format: 1,
      runs: 10,
      clients: [1],
      leftOutClients: [{ clients: 20, why: 'the embedded engine has one connection' }],
      comparison: null,
    });
    expect(result.queries.map(({ name }) => name)).toEqual(names);
    for (const query of result.queries) {
      expect(query).toMatchObject({ ...queryTargets[query.name], why: null });
      expect(query.rows).toBeGreaterThan(0);
      expect(query.plan?.rowsScanned).toBeGreaterThan(0);
      const [measurement] = query.measurements;
      expect(measurement?.roundsMs.map((round) => round.length)).toEqual([5, 5]);
      const { p50Ms = 0, p95Ms = 0 } = measurement?.warm ?? {};
      expect(p50Ms).toBeGreaterThan(0);
      expect(query.outcome).toBe(p95Ms <= query.targetMs ? 'met' : 'missed');
    }
    expect(queryOf(result, 'holdings')?.rows).toBe(20);
    expect(queryOf(result, 'latest-prices')?.rows).toBe(10);
    expect(queryOf(result, 'daily-closes')?.rows).toBe(10);

    expect(readdirSync(plans).sort()).toEqual([...names].sort().map((name) => `${name}.json`));
    for (const name of names) {
      const text = readFileSync(join(plans, `${name}.json`), 'utf8');
      const [plan, ...others] = JSON.parse(text);
      expect(others).toEqual([]);
      expect(plan.Plan['Node Type']).toEqual(expect.any(String));
      expect(plan['Execution Time']).toBeGreaterThan(0);
      expect(plan.Plan['Shared Hit Blocks']).toBeGreaterThanOrEqual(0);
      expect(text).not.toContain('@');
    }
    const page = readFileSync(html, 'utf8');
    expect(page.match(/<svg /g)).toHaveLength(names.length);
    expect(page).not.toMatch(/<script|https?:|src=|url\(/);
  });

  it('finds 720 prices in 30 days of an hourly history, and thirty candles for the risk score', async () => {
    await database.withSql(async (sql) => {
      await sql`
        insert into price_history (time, asset_symbol, price_usd)
        select now() - make_interval(hours => hour), 'XYZ', 100 + hour % 7
        from generate_series(0, 1000) as hour`;
      await sql`delete from price_history where asset_symbol <> 'XYZ'`;
    });
    const only = ['price-history', 'risk-score'] as const;
    const result = await benchmark({ target: database.url, runs: 2, clients: [1], only });
    expect(queryOf(result, 'price-history')).toMatchObject({
      rows: 720,
      plan: { rowsScanned: 720 },
    });
    expect(queryOf(result, 'risk-score')).toMatchObject({ rows: 1 });
  });

  it('says that there are no rows for a query, and runs the others', async () => {
    await database.withSql((sql) => sql`truncate predictions`);
    const only = ['prediction', 'user-by-email'] as const;
    const result = await benchmark({ target: database.url, runs: 2, clients: [1], only });
    expect(queryOf(result, 'prediction')).toMatchObject({
      outcome: 'not run',
      why: 'the table predictions is empty',
      measurements: [],
      plan: null,
    });
    const other = queryOf(result, 'user-by-email');
    expect(other).toMatchObject({ rows: 1 });
    expect(result.isMet).toBe(other?.outcome === 'met');
  });

  it('says of old prices why the queries of today do not run', async () => {
    await database.withSql(async (sql) => {
      await sql`truncate price_history`;
      await sql`
        insert into price_history (time, asset_symbol, price_usd)
        values (now() - interval '40 days', 'BTC', 1)`;
    });
    const only = ['latest-prices', 'daily-closes', 'price-history'] as const;
    const result = await benchmark({ target: database.url, runs: 2, clients: [1], only });
    expect(result.queries).toMatchObject([
      {
        name: 'latest-prices',
        why: expect.stringMatching(/^the newest price is of \d{4}-.*30 days$/),
      },
      {
        name: 'daily-closes',
        why: expect.stringMatching(/^the newest price is of .* today in UTC$/),
      },
      { name: 'price-history', rows: 1 },
    ]);
  });
});

/** Tables of which a query needs no more than this, on a server without TimescaleDB. */
async function createUsers(sql: Sql, count: number): Promise<void> {
  await sql`
    create table users (
      id uuid primary key default gen_random_uuid(), email text not null, password_hash text not null,
      deleted_at timestamptz
    )`;
  await sql`create unique index unique_user_email on users (lower(email)) where deleted_at is null`;
  await sql`
    insert into users (email, password_hash)
    select 'user' || n || '@example.com', 'x' from generate_series(1, ${count}::int) as n`;
  await sql`analyze users`;
}

/** A `latest_prices` that takes that long. */
async function createLatestPrices(sql: Sql, seconds: number): Promise<void> {
  await sql`create table price_history (time timestamptz, asset_symbol text)`;
  await sql`insert into price_history values (now(), 'BTC'), (now(), 'ETH')`;
  await sql.unsafe(`
    create function latest_prices(symbols text[]) returns table (asset_symbol text)
    language sql as $$ select symbol from unnest(symbols) as symbol, pg_sleep(${seconds}) $$`);
}

describe('a missed target', () => {
  it('names the index that was dropped', async () => {
    const { sql, url } = await scratchDatabase();
    await createUsers(sql, 200_000);
    const only = ['user-by-email'] as const;
    const before = await benchmark({ target: url, runs: 20, clients: [1], only });
    expect(queryOf(before, 'user-by-email')?.plan?.rowsScanned).toBe(1);
    await sql`drop index unique_user_email`;
    const after = await benchmark({ target: url, runs: 5, clients: [1], only });
    expect(after.isMet).toBe(false);
    const { outcome, reasons = [] } = queryOf(after, 'user-by-email') ?? {};
    expect(outcome).toBe('missed');
    expect(reasons[0]).toMatchObject({ kind: 'slowest-node', node: 'Seq Scan on users' });
    expect(reasons).toContainEqual({ kind: 'missing-index', table: 'users', columns: ['email'] });
    expect(reasons).toContainEqual(
      expect.objectContaining({ kind: 'sequential-scan', table: 'users', rows: 200_000 }),
    );
  });

  it('ends with exit code 1 under --check only, and prints why', async () => {
    const { sql, url } = await scratchDatabase();
    await createLatestPrices(sql, 0.06);
    const flags = [
      'benchmark',
      '--only',
      'latest-prices',
      '--runs',
      '2',
      '--clients',
      '1',
      '--url',
      url,
    ];
    const { code, stdout } = await callCli(flags);
    expect(code).toBe(0);
    expect(stdout).toMatch(/latest-prices +1 .* 50 ms {2}missed\n/);
    expect(stdout).toMatch(/ {2}slowest node: Function Scan on latest_prices, \S+ of \S+ ms\n/);
    expect(stdout).toContain('0 of 1 target met at p95 with 1 client\n');
    expect(await callCli([...flags, '--check'])).toMatchObject({ code: 1 });
    expect(await callCli([...flags, '--check', '--quiet'])).toEqual({
      code: 1,
      stdout: '',
      stderr: '',
    });
  });

  it('is an execution that the statement timeout ends, and its plan is estimated', async () => {
    const { sql, url } = await scratchDatabase();
    await createLatestPrices(sql, 30);
    const startedAt = performance.now();
    const result = await benchmark({
      ...{ target: url, runs: 20, clients: [1], only: ['latest-prices'] as const },
      statementTimeoutMs: 300,
    });
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(queryOf(result, 'latest-prices')).toMatchObject({
      outcome: 'missed',
      measurements: [],
      reasons: [{ kind: 'timed-out', afterMs: 300 }],
    });
  });
});

describe('on a server', () => {
  it('works with many clients at a time, in transactions that cannot write', async () => {
    const { sql, url } = await scratchDatabase();
    await createUsers(sql, 500);
    // Fails where a transaction can write, and counts the connections that are at work.
    await sql`create table at_work (pid int)`;
    await sql.unsafe(`
      create function latest_prices(symbols text[]) returns table (others bigint)
      language plpgsql as $$
      begin
        if current_setting('transaction_read_only') = 'off' then raise 'it can write'; end if;
        if current_setting('statement_timeout') <> '5s' then raise 'no timeout'; end if;
        perform pg_sleep(0.02);
        return query select count(*) from pg_stat_activity
          where application_name like 'cryptosense-db benchmark %' and datname = current_database();
      end $$`);
    await sql`create table price_history (time timestamptz, asset_symbol text)`;
    await sql`insert into price_history values (now(), 'BTC')`;
    const only = ['user-by-email', 'latest-prices'] as const;
    const result = await benchmark({ target: url, runs: 30, clients: [7], only });
    expect(result.clients).toEqual([1, 7]);
    for (const { measurements } of result.queries) {
      expect(measurements.map(({ clients }) => clients)).toEqual([1, 7]);
      for (const { roundsMs } of measurements) expect(roundsMs.flat()).toHaveLength(30);
    }
    const [one, seven] = queryOf(result, 'latest-prices')?.measurements ?? [];
    expect(one?.perSecond).toBeLessThanOrEqual(50);
    expect(seven?.perSecond).toBeGreaterThan(2 * (one?.perSecond ?? 0));
  });

  it('needs no right but that on the tables, and says how to get it', async () => {
    const { sql, url } = await scratchDatabase();
    await createUsers(sql, 10);
    await sql`create table holdings (portfolio_id int)`;
    await sql`create schema cryptosense_db`;
    const role = await createScratchRole(url);
    await sql.unsafe(`grant select on users to ${role.name}`);
    const only = ['user-by-email', 'holdings'] as const;
    const result = await benchmark({ target: role.urlOf(url), runs: 1, clients: [1], only });
    await sql.unsafe(`drop owned by ${role.name}`);
    await role.drop();
    expect(queryOf(result, 'user-by-email')).toMatchObject({ rows: 1 });
    expect(queryOf(result, 'holdings')?.why).toContain(
      `grant select on holdings to "${role.name}"`,
    );
  });

  it('goes on without a query whose parameters cannot be drawn in time', async () => {
    const { sql, url } = await scratchDatabase();
    await createUsers(sql, 10);
    await sql`create table holdings (portfolio_id int)`;
    const only = ['user-by-email', 'holdings'] as const;
    const result = await sql.begin(async (holder) => {
      await holder`lock table holdings`;
      return benchmark({ target: url, runs: 1, clients: [1], only, statementTimeoutMs: 300 });
    });
    expect(queryOf(result, 'user-by-email')).toMatchObject({ rows: 1 });
    expect(queryOf(result, 'holdings')).toMatchObject({
      outcome: 'not run',
      why: expect.stringContaining('could not be drawn within 300 ms'),
    });
  });

  it('leaves out numbers of clients that the server has no connections for', async () => {
    const { sql, url } = await scratchDatabase();
    await createUsers(sql, 10);
    const only = ['user-by-email'] as const;
    const result = await benchmark({ target: url, runs: 1, clients: [1_000], only });
    expect(result.clients).toEqual([1]);
    expect(result.leftOutClients).toMatchObject([{ clients: 1_000 }]);
  });

  it('says what is missing in a database without the schema, and nothing is met', async () => {
    const { url } = await scratchDatabase();
    const { code, stdout } = await callCli(['benchmark', '--check', '--runs', '1', '--url', url]);
    expect(code).toBe(1);
    expect(stdout).toContain('user-by-email did not run: there is no users in schema public');
    expect(stdout).toContain('no query could run\n');
  });

  it('tells what got slower since an earlier result', async () => {
    const { sql, url } = await scratchDatabase();
    await createLatestPrices(sql, 0);
    const file = join(temporaryFolder(), 'before.json');
    const flags = [
      'benchmark',
      '--only',
      'latest-prices',
      '--runs',
      '50',
      '--clients',
      '1',
      '--url',
      url,
    ];
    const before = await callCli([...flags, '--json']);
    writeFileSync(file, before.stdout);
    await sql.unsafe(`
      create or replace function latest_prices(symbols text[]) returns table (asset_symbol text)
      language sql as $$ select symbol from unnest(symbols) as symbol, pg_sleep(0.02) $$`);
    const { code, stdout } = await callCli([...flags, '--compare', file, '--check', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      comparison: {
        isSlower: true,
        queries: [{ name: 'latest-prices', p50: { verdict: 'slower' } }],
      },
    });
    expect(code).toBe(1);
  });

  it('refuses an earlier result that is none before it connects', async () => {
    const file = join(temporaryFolder(), 'before.json');
    writeFileSync(file, '{}');
    await errorOf('file-problem', () =>
      benchmark({ target: 'postgresql://nobody@127.0.0.1:1/none', compare: file }),
    );
  });

  it('refuses the name of a query that there is not', async () => {
    const args = [
      'benchmark',
      '--only',
      'holdings',
      '--only',
      'logins',
      '--url',
      'postgresql://h/d',
    ];
    const { code, stderr } = await callCli(args);
    expect(code).toBe(2);
    expect(stderr).toContain('Allowed choices are user-by-email, portfolio-list');
    await errorOf('bad-configuration', () =>
      benchmark({ target: 'postgresql://nobody@h/d', only: ['logins' as QueryName] }),
    );
  });

  it('ends soon on Ctrl-C, and no statement stays behind', async () => {
    const { sql, url } = await scratchDatabase();
    await createLatestPrices(sql, 600);
    const plans = join(temporaryFolder(), 'plans');
    const run = startCli([
      ...['benchmark', '--only', 'latest-prices', '--clients', '3', '--statement-timeout', '1h'],
      ...['--plans', plans, '--json', '--url', url],
    ]);
    const running = () => sql`
      select from pg_stat_activity
      where application_name like 'cryptosense-db benchmark %' and datname = current_database()
        and state = 'active'`;
    await until('an execution', async () => (await running()).length > 0);
    const interruptedAt = performance.now();
    run.process.kill('SIGINT');
    const { code, stdout } = await run.finished;
    expect(code).toBe(130);
    expect(performance.now() - interruptedAt).toBeLessThan(10_000);
    expect(JSON.parse(stdout)).toHaveProperty('error.code', 'interrupted');
    await until('no session', async () => {
      const sessions = await sql`
        select from pg_stat_activity
        where application_name like 'cryptosense-db%' and datname = current_database()`;
      return sessions.length === 0;
    });
    expect(existsSync(plans) && readdirSync(plans)).toEqual([]);
  });
});
