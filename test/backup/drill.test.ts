import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { drill } from '../../src/backup/drill.ts';
import { type DrillResult, renderReport } from '../../src/backup/report.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import {
  hasPgDump,
  hasTimescaleServer,
  pgDumpMissing,
  timescaleMissing,
} from '../support/backup.ts';
import { callCli, startCli } from '../support/cli.ts';
import { connect, createScratchDatabase } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase, until } from '../support/recovery.ts';
import { createTimescaleDatabase } from '../support/schema-database.ts';

const email = 'Ada@Example.com';
const password = 'correct horse battery staple';

interface Source {
  readonly url: string;
  readonly drop: () => Promise<void>;
}

/** What the smoke tests read, without TimescaleDB. */
const plainSchema = `
  create extension pgcrypto;
  create table users (
    id uuid primary key default gen_random_uuid(), email text, password_hash text,
    two_factor_enabled boolean, deleted_at timestamptz
  );
  create table portfolios (
    id uuid primary key default gen_random_uuid(), user_id uuid references users, name text, deleted_at timestamptz
  );
  create table holdings (
    id uuid primary key default gen_random_uuid(), portfolio_id uuid references portfolios, current_value_usd numeric
  );
  create table predictions (asset_symbol text, created_at timestamptz);
  create table price_history (time timestamptz, asset_symbol text, price_usd numeric);
  create view price_history_daily as
    select date_trunc('day', time, 'UTC') as day, asset_symbol from price_history group by 1, 2;`;

async function plainDatabase(): Promise<Source> {
  const { url, sql, drop } = await createScratchDatabase(inject('postgresUrl'));
  await sql.unsafe(plainSchema);
  return { url, drop };
}

/** Not a clone: the names of clones are so long that those of copies are cut. */
async function migratedDatabase(): Promise<Source> {
  const database = await createTimescaleDatabase();
  await migrate.up({ target: database.url, environment: 'production' });
  return database;
}

const rows = `
  with account as (
    insert into users (email, password_hash)
    values ('${email}', crypt('${password}', gen_salt('bf', 4))) returning id
  )
  insert into portfolios (user_id, name) select id, name from account, unnest(array['mine', 'ours']) name;
  insert into price_history (time, asset_symbol, price_usd)
    select time, 'BTC', 1 from generate_series(now() - interval '3 days', now(), interval '1 hour') time;`;

describe.each([
  [`of a plain PostgreSQL${pgDumpMissing}`, hasPgDump, plainDatabase],
  [`of the whole schema${timescaleMissing}`, hasTimescaleServer, migratedDatabase],
] as const)('a drill %s', (_, canRun, open) => {
  let source: Source;
  let sql: Sql;
  let name: string;
  let id: string;
  let whole: string;

  beforeAll(async () => {
    if (!canRun) return;
    source = await open();
    sql = connect(source.url);
    await sql.unsafe(rows);
    whole = mkdtempSync(join(tmpdir(), 'backup-'));
    const { manifest } = await create({ target: source.url, store: whole });
    ({ id, database: name } = manifest);
  });
  afterAll(async () => {
    if (!canRun) return;
    await sql.end({ timeout: 1 });
    await source.drop();
    rmSync(whole, { recursive: true, force: true });
  });

  /** Copies of the database, and what a restore has begun. */
  const copies = () => sql`
    select datname from pg_database where datname like ${`${name}_drill_%`}`;

  /** Runs a drill on a store, with both reports. */
  async function run({ store = whole, flags = [] }: { store?: string; flags?: readonly string[] }) {
    const folder = temporaryFolder();
    const reports = ['drill.md', 'drill.json'].map((file) => join(folder, file));
    const { code, stdout } = await callCli([
      ...['backup', 'drill', '--json', '--url', source.url, '--store', store],
      ...reports.flatMap((file) => ['--report', file]),
      ...flags,
    ]);
    const result: DrillResult = JSON.parse(stdout);
    const [text = '', json = ''] = reports.map((file) => readFileSync(file, 'utf8'));
    expect(JSON.parse(json)).toEqual(result);
    expect(stdout + text).not.toContain(password);
    return { code, result, text };
  }

  function passwordFile(text: string): string {
    const file = join(temporaryFolder(), 'password');
    writeFileSync(file, `${text}\n`);
    return file;
  }

  it.runIf(canRun)(
    'passes when all is the same and every test passes, and drops the copy',
    async () => {
      const login = [
        '--login',
        email.toLowerCase(),
        '--login-password-file',
        passwordFile(password),
      ];
      const { code, result, text } = await run({ flags: login });
      expect(result).toMatchObject({ id, source: name, differences: [], hasPassed: true });
      expect(result.smokeTests).toMatchObject([
        { name: 'login', outcome: 'passed', detail: expect.stringContaining('password fits') },
        { name: 'portfolio view', outcome: 'passed', detail: '2 portfolios with 0 holdings' },
        { name: 'predictions', outcome: 'not run' },
        { name: 'candles of today', outcome: 'passed' },
      ]);
      expect(result.phases.map((phase) => phase.name)).toEqual([
        'prepare',
        'restore',
        'analyze',
        'compare',
        'finish',
      ]);
      expect(text).toContain('- users: 1 rows\n- portfolios: 2 rows');
      expect(text).toContain(': passed\n');
      expect(code).toBe(0);
      expect(await copies()).toEqual([]);
    },
  );

  it.runIf(canRun)('fails when a smoke test fails, names it, and drops the copy', async () => {
    const login = ['--login', email, '--login-password-file', passwordFile('wrong')];
    const { code, result, text } = await run({ flags: login });
    expect(result).toMatchObject({ hasPassed: false, differences: [] });
    expect(result.smokeTests[0]).toMatchObject({
      outcome: 'failed',
      detail: 'the password does not fit the account',
    });
    expect(text).toContain(': FAILED\n');
    expect(text).toContain('| login | failed | the password does not fit the account |');
    expect(code).toBe(1);
    expect(await copies()).toEqual([]);
  });

  it.runIf(canRun)('fails when a table differs, names it, and drops the copy', async () => {
    const store = join(temporaryFolder(), 'store');
    await cp(whole, store, { recursive: true });
    const file = join(store, name, id, 'manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8'));
    const users = manifest.tables.find((each: { name: string }) => each.name === 'public.users');
    const { hash } = users;
    Object.assign(users, { rows: 2, hash: '1' });
    writeFileSync(file, JSON.stringify(manifest));
    const { code, result, text } = await run({ store });
    const differences = [
      'table public.users: rows 2 in the backup, 1 restored',
      `table public.users: hash 1 in the backup, ${hash} restored`,
    ];
    expect(result).toMatchObject({ hasPassed: false, differences, smokeTests: [] });
    for (const line of differences) expect(text).toContain(`- ${line}\n`);
    expect(text).toContain('They were not run, because the data differs.');
    expect(text).toMatch(/^\| compare \| .+ \|$/m);
    expect(code).toBe(1);
    expect(await copies()).toEqual([]);
  });

  it.runIf(canRun)('fails when the time is over, says so, and drops the copy', async () => {
    const { code, result, text } = await run({ flags: ['--rto', '1ms'] });
    expect(result).toMatchObject({ hasPassed: false, rtoMs: 1, differences: [] });
    expect(result.restoreMs).toBeGreaterThan(1);
    expect(text).toMatch(/: FAILED\n.*1 ms allowed \(RTO\): too slow\n/s);
    expect(code).toBe(1);
    expect(await copies()).toEqual([]);
  });

  it.runIf(canRun)(
    'writes its report when it ends with an error, with the phases so far',
    async () => {
      const store = join(temporaryFolder(), 'store');
      await cp(whole, store, { recursive: true });
      const dump = join(store, name, id, 'dump');
      const bytes = readFileSync(dump);
      writeFileSync(
        dump,
        Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]),
      );
      const folder = temporaryFolder();
      const report = ['drill.md', 'drill.json'].map((file) => join(folder, file));
      const failing = drill({ target: source.url, store, report });
      await expect(failing).rejects.toMatchObject({ code: 'backup-damaged' });
      const [text = '', json = ''] = report.map((file) => readFileSync(file, 'utf8'));
      expect(JSON.parse(json)).toMatchObject({
        hasPassed: false,
        error: { code: 'backup-damaged' },
        phases: [{ name: 'prepare' }, { name: 'restore', durationMs: expect.any(Number) }],
      });
      expect(text).toMatch(/^# Drill, .*: FAILED\n/);
      expect(text).toContain('is not what its manifest says');
      expect(text).toMatch(/\| restore \| .*s \|/);
      expect(await copies()).toEqual([]);
    },
  );

  it.runIf(canRun)('drops the copy when it is interrupted', async () => {
    const words = ['backup', 'drill', '--url', source.url, '--store', whole];
    const drilling = startCli(words);
    onTestFinished(() => void drilling.process.kill('SIGKILL'));
    await until('a copy', async () => (await copies()).length > 0);
    drilling.process.kill('SIGINT');
    expect(await drilling.finished).toMatchObject({ code: 130, stdout: '' });
    expect(await copies()).toEqual([]);
  });
});

it.skipIf(!hasPgDump)(
  `does not run the tests of CryptoSense on another schema${pgDumpMissing}`,
  async () => {
    const { url, sql } = await scratchDatabase();
    await sql`create table orders as select 1 as id`;
    const store = join(temporaryFolder(), 'store');
    await create({ target: url, store });
    const { smokeTests, hasPassed } = await drill({ target: url, store });
    expect(smokeTests.map(({ outcome }) => outcome)).toEqual(Array(4).fill('not run'));
    expect(smokeTests[1]?.detail).toContain('portfolios');
    expect(hasPassed).toBe(true);
    const asked = await drill({ target: url, store, login: { email } });
    expect(asked.smokeTests[0]).toMatchObject({ name: 'login', outcome: 'failed' });
    // A table of that name with other columns is a schema that has changed.
    await sql`create table portfolios as select 1 as id`;
    await create({ target: url, store });
    const changed = await drill({ target: url, store });
    expect(changed.smokeTests[1]).toMatchObject({ name: 'portfolio view', outcome: 'failed' });
  },
);

it('writes times of hours as hours', () => {
  const hourMs = 3_600_000;
  const report = renderReport({
    store: '/b',
    id: 'id',
    source: 'shop',
    backedUpAt: new Date(0),
    startedAt: new Date(0),
    environment: null,
    newestMigration: null,
    copy: 'copy',
    moment: undefined,
    phases: [{ name: 'restore', durationMs: 1.5 * hourMs }],
    restoreMs: 1.5 * hourMs,
    rtoMs: 4 * hourMs,
    tables: [],
    differences: [],
    smokeTests: [],
    hasPassed: true,
  });
  expect(report).toContain('1 h 30 min of 4 h allowed (RTO)');
  expect(report).toContain('| restore | 1 h 30 min |');
});

it('refuses a report that cannot be written before it looks for a backup', async () => {
  const attempt = drill({
    target: 'postgresql://127.0.0.1:1/none',
    store: '/nowhere',
    report: ['/nowhere/drill.md'],
  });
  await expect(attempt).rejects.toMatchObject({
    code: 'file-problem',
    details: { path: '/nowhere/drill.md' },
  });
});
