import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

const dayMs = 86_400_000;
const today = Math.floor(Date.now() / dayMs) * dayMs;
let database: TimescaleDatabase;

beforeAll(async () => {
  database = await createMigratedDatabase();
  await database.withSql(
    (sql) =>
      sql`insert into assets (coingecko_id, symbol, name) values ('ethereum', 'eth', 'Ethereum')`,
  );
});
afterAll(() => database?.drop());

/** Daily prices of thirty days until yesterday. */
function pricesFile(): string {
  const file = join(temporaryFolder(), 'eth.csv');
  const rows = Array.from(
    { length: 30 },
    (_, day) => `${today - (30 - day) * dayMs},ETH,${2_000 + 10 * (day % 7)}`,
  );
  writeFileSync(file, `time,asset_symbol,price_usd\n${rows.join('\n')}\n`);
  return file;
}

const call = (...args: readonly string[]) => callCli(['prices', ...args, '--url', database.url]);

describe('the commands of prices', () => {
  it('say what is imported, and what was imported before', async () => {
    const file = pricesFile();
    const flags = ['import', '--source', 'files', '--from', file];
    const { code, stdout, stderr } = await call(...flags);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^30 prices imported in .*\ncandles of \d{4}-\d\d-\d\d to .* refreshed\n$/,
    );
    expect(stderr).toBe(
      `to import 1 file\nimport eth.csv                         30 rows  1 of 1\n`,
    );
    const again = await call(...flags);
    expect(again.stdout).toContain('nothing to read: all files were imported before in ');
    expect(again.stdout).toContain(
      'note: 1 file imported before: eth.csv; --overwrite reads them again',
    );
    const { stdout: document } = await call(...flags, '--dry-run', '--json');
    expect(JSON.parse(document)).toMatchObject({
      isDryRun: true,
      files: { finished: ['eth.csv'] },
    });
  });

  it('take a pair and its dollar in any case, and refuse what is no pair', async () => {
    const flags = ['import', '--source', 'binance', '--coins', 'eth', '--dry-run', '--json'];
    const { code, stdout } = await call(...flags, '--quote', 'usdc', '--pair', 'eth=ethusdc');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ assets: [{ symbol: 'ETH' }] });
    const refused = async (...args: readonly string[]) => {
      const answer = await call(...flags, ...args);
      return [answer.code, JSON.parse(answer.stdout).error.message];
    };
    expect(await refused('--pair', 'ETH=ETHUSDT=FOO')).toEqual([
      2,
      '--pair ETH=ETHUSDT=FOO is not a pair',
    ]);
    expect(await refused('--pair', 'ETH=ETHUSDT', '--pair', 'eth=ETHUSDC')).toEqual([
      2,
      'two pairs are named for ETH',
    ]);
  });

  it('show months as a bar, and candles', async () => {
    const status = await call('status', '--check');
    expect(status).toMatchObject({ code: 0, stderr: '' });
    expect(status.stdout).toMatch(/ETH +daily +\S+ +\S+ +30 +0 +all +█+\n/);
    expect(status.stdout).toMatch(/1 asset, 30 prices in .*: complete\n$/);
    const shown = await call('show', 'eth', '--days', '40');
    expect(shown.stdout).toMatch(/^ETH in USD, \S+ to \S+: 2,0\d0\.00 \([+-]\d\.\d%\)\n/);
    expect(shown.stdout).toContain('█');
    for (const line of shown.stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('end with exit code 1 when a day is missing and --check asks', async () => {
    await database.withSql(
      (sql) => sql`delete from price_history where time = ${new Date(today - 5 * dayMs)}`,
    );
    const { code, stdout } = await call('status', '--check');
    expect(code).toBe(1);
    expect(stdout).toContain('incomplete');
  });

  it('refuse a database without the tables, with the command that makes them', async () => {
    const { url, sql } = await scratchDatabase();
    for (const command of [['import'], ['status'], ['show', 'BTC']]) {
      const { code, stdout } = await callCli(['prices', ...command, '--url', url, '--json']);
      expect(code).toBe(2);
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'no-price-tables' } });
    }
    expect(await sql`select from pg_namespace where nspname = 'cryptosense_db'`).toHaveLength(0);
  });
});
