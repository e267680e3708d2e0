import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import { expect, inject, it, onTestFinished } from 'vitest';
import { withSession } from '../../src/database/connection.ts';
import { resolveTarget } from '../../src/database/target.ts';
import type { Price } from '../../src/market/prices.ts';
import { importPrices } from '../../src/prices/import.ts';
import { prepareForPrices } from '../../src/prices/session.ts';
import { withPriceSink } from '../../src/prices/sink.ts';
import * as seeding from '../../src/seeding/seed.ts';
import { type RunningCli, startCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { migratedDatabase } from '../support/seeding.ts';
import { rounds } from '../support/soak.ts';

const kills = rounds(1);
const dayMs = 86_400_000;
const today = Math.floor(Date.now() / dayMs) * dayMs;
const days = 20;

/** Hourly prices of twenty days, a file for each asset and ten days. */
function writeFiles(symbols: readonly string[] = ['BTC', 'ETH']): string {
  const folder = join(temporaryFolder(), 'prices');
  mkdirSync(folder);
  for (const symbol of symbols) {
    for (let part = 0; part < days; part += 10) {
      const lines = Array.from({ length: 10 * 24 }, (_, hour) => {
        const time = today - (days - part) * dayMs + hour * 3_600_000;
        return `${time},${symbol},${100 + ((hour * 7) % 50)}`;
      });
      const name = `${symbol}-${String(part).padStart(2, '0')}.csv`;
      writeFileSync(join(folder, name), `time,asset_symbol,price_usd\n${lines.join('\n')}\n`);
    }
  }
  return folder;
}

/** Rows, and days whose candle is missing or differs from the prices. */
const look = async (sql: Sql) => {
  const [state] = await sql`
    with plain as (
      select asset_symbol, date_trunc('day', time, 'UTC') as day, first(price_usd, time) as open,
        max(price_usd) as high, min(price_usd) as low, last(price_usd, time) as close
      from price_history group by 1, 2
    )
    select (select count(*)::int from price_history) as rows, count(*)::int as wrong
    from plain full join price_history_daily shown
      on shown.day = plain.day and shown.asset_symbol = plain.asset_symbol
    where (plain.open, plain.high, plain.low, plain.close)
      is distinct from (shown.open, shown.high, shown.low, shown.close)`;
  return state;
};

it('an import that is killed and started again ends with every price and every candle', {
  timeout: 60_000 + kills * 20_000,
}, async () => {
  const database = await migratedDatabase({ embeddedAs: 'folder' });
  await database.withSql(
    (sql) => sql`
      insert into assets (coingecko_id, symbol, name) values ('bitcoin', 'btc', 'Bitcoin'), ('ethereum', 'eth', 'Ethereum')`,
  );
  const flags = ['--source', 'files', '--from', writeFiles(), '--url', database.url];
  const start = () => {
    const run = startCli(['prices', 'import', ...flags]);
    onTestFinished(() => void run.process.kill('SIGKILL'));
    return run;
  };
  let killed = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    const run = start();
    await filesWritten(run, 1 + (kill % 2));
    run.process.kill('SIGKILL');
    if ((await run.finished).code === null) killed += 1;
  }
  expect(killed).toBeGreaterThanOrEqual(kills / 2);
  const { code, stderr } = await start().finished;
  expect(code === 0 ? 0 : stderr).toBe(0);
  expect(await database.withSql(look)).toEqual({ rows: 2 * days * 24, wrong: 0 });
});

/** Waits until the run has reported that number of files, or has ended. */
async function filesWritten({ process, finished }: RunningCli, files: number): Promise<void> {
  let seen = '';
  const found = new Promise<void>((resolve) => {
    process.stderr.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.split('import ').length > files) resolve();
    });
  });
  await Promise.race([found, finished]);
}

const server = inject('timescaleUrl');

it.skipIf(!server)(
  `candles of an import stay when a policy stores a later day meanwhile${server ? '' : ' (skipped: no TimescaleDB server)'}`,
  async () => {
    const database = await migratedDatabase();
    const dayOf = (day: number): Price => ({
      symbol: 'SOL',
      time: today - day * dayMs,
      priceUsd: '5',
      marketCapUsd: null,
      volume24hUsd: null,
    });
    const shown = async () => {
      const rows = await database.withSql(
        (sql) => sql`select from price_history_daily where asset_symbol = 'SOL'`,
      );
      return rows.length;
    };
    await withSession(resolveTarget(database.url), {}, async (session) => {
      await prepareForPrices(session);
      await withPriceSink(session, { lockTimeoutMs: 1_000 }, async (sink) => {
        await sink.write([60, 59, 58].map(dayOf), { source: 'test' });
        expect(await shown()).toBe(3);
        await database.withSql(async (sql) => {
          await sql`insert into price_history (time, asset_symbol, price_usd) values (now() - interval '1 day', 'ETH', 1)`;
          await runPolicies(sql);
        });
        expect(await shown()).toBe(3);
        await sink.write([57].map(dayOf), { source: 'test' });
        expect(await shown()).toBe(3);
      });
    });
    expect(await shown()).toBe(4);
  },
);

it.skipIf(!server)(
  `imports, seeders and policies at once end without a deadlock and lose no row${server ? '' : ' (skipped: no TimescaleDB server)'}`,
  { timeout: 300_000 },
  async () => {
    const database = await migratedDatabase();
    await seeding.dev({ target: database.url, only: ['assets'] });
    const folders = ['BTC', 'ETH', 'SOL', 'ADA', 'XRP'].map((symbol) => writeFiles([symbol]));
    const target = database.url;
    const lockTimeoutMs = 280_000;
    let areWorking = true;
    const policies = async () => {
      while (areWorking) await database.withSql(runPolicies);
    };
    const works = [
      ...Array.from({ length: 10 }, (_, index) =>
        importPrices({
          target,
          source: 'files',
          files: folders[index % folders.length],
          lockTimeoutMs,
        }),
      ),
      ...Array.from({ length: 10 }, () =>
        seeding.dev({ target, only: ['prices'], historyDays: 20, lockTimeoutMs }),
      ),
    ];
    const running = [policies(), policies()];
    const ended = await Promise.allSettled(works);
    areWorking = false;
    await Promise.all(running);
    expect(ended.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))).toEqual([]);
    // An hour that a seeder has written first keeps the seeder's price.
    const covered = await database.withSql(
      (sql) => sql`
        select count(*)::int as rows from price_history
        where asset_symbol in ('BTC', 'ETH', 'SOL', 'ADA', 'XRP') and time = date_trunc('hour', time)
          and time >= ${new Date(today - days * dayMs)} and time < ${new Date(today)}
          and data_source in ('file', 'synthetic-history')`,
    );
    expect(covered).toEqual([{ rows: 5 * days * 24 }]);
    expect(await database.withSql(look)).toMatchObject({ wrong: 0 });
  },
);

/** Runs the job of every policy. One that another session runs, or that meets a lock, is left to the next turn. */
async function runPolicies(sql: Sql): Promise<void> {
  const jobs = await sql<{ id: number }[]>`
    select job_id as id from timescaledb_information.jobs where hypertable_name is not null`;
  for (const { id } of jobs) await sql`call run_job(${id})`.catch(() => undefined);
}
