import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import { expect, inject, it, onTestFinished } from 'vitest';
import { withSession } from '../../src/database/connection.ts';
import { resolveTarget } from '../../src/database/target.ts';
import type { Price } from '../../src/market/prices.ts';
import { importPrices } from '../../src/prices/import.ts';
import { prepareForPrices } from '../../src/prices/session.ts';
import { type PriceSink, withPriceSink } from '../../src/prices/sink.ts';
import { status } from '../../src/prices/status.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import * as seeding from '../../src/seeding/seed.ts';
import { type RunningCli, startCli } from '../support/cli.ts';
import { connect } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { startCharts } from '../support/market-charts.ts';
import { until } from '../support/recovery.ts';
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

/** A price of SOL at the start of a day. */
const dayOf = (daysAgo: number): Price => ({
  symbol: 'SOL',
  time: today - daysAgo * dayMs,
  priceUsd: '5',
  marketCapUsd: null,
  volume24hUsd: null,
});

/** Databases of tests have no job that runs on its own. */
const enablePolicy = (sql: Sql) => sql`
  select alter_job(job_id, scheduled => true, next_start => now() + interval '1 day')
  from timescaledb_information.jobs where proc_name = 'policy_refresh_continuous_aggregate'`;

const isPolicyOn = async (sql: Sql) => {
  const [policy] = await sql`
    select scheduled from timescaledb_information.jobs
    where proc_name = 'policy_refresh_continuous_aggregate'`;
  return policy?.scheduled;
};

const shownDays = async (sql: Sql) =>
  (await sql`select from price_history_daily where asset_symbol = 'SOL'`).length;

/** Without those that are computed. */
const storedDays = async (sql: Sql) => {
  await sql`alter materialized view price_history_daily set (timescaledb.materialized_only = true)`;
  return shownDays(sql);
};

const server = inject('timescaleUrl');

it('the policy is off from the first price of an import until its candles are stored', async () => {
  const database = await migratedDatabase();
  await database.withSql(enablePolicy);
  await withSession(resolveTarget(database.url), {}, async (session) => {
    const { sql } = session;
    await prepareForPrices(session);
    await withPriceSink(session, { lockTimeoutMs: 1_000 }, async (sink) => {
      expect(await isPolicyOn(sql)).toBe(true);
      await sink.write([60, 59, 58].map(dayOf), { source: 'test' });
      expect(await isPolicyOn(sql)).toBe(false);
      expect(await shownDays(sql)).toBe(3);
      await sink.write([80, 57].map(dayOf), { source: 'test' });
      expect(await isPolicyOn(sql)).toBe(false);
      expect(await shownDays(sql)).toBe(5);
    });
  });
  expect(await database.withSql(isPolicyOn)).toBe(true);
  expect(await database.withSql(storedDays)).toBe(5);
});

it('candles that were computed before an import stay when it stores later days', async () => {
  const database = await migratedDatabase();
  await database.withSql(
    (sql) => sql`
      insert into price_history (time, asset_symbol, price_usd)
      values (${new Date(dayOf(70).time)}, 'SOL', 5)`,
  );
  await withSession(resolveTarget(database.url), {}, async (session) => {
    await prepareForPrices(session);
    await withPriceSink(session, { lockTimeoutMs: 1_000 }, (sink) =>
      sink.write([60].map(dayOf), { source: 'test' }),
    );
  });
  expect(await database.withSql(shownDays)).toBe(2);
});

it.skipIf(!server)(
  `an import that ends between a commit and its refresh leaves the policy off, and the next one resumes it${server ? '' : ' (skipped: no TimescaleDB server)'}`,
  async () => {
    const database = await migratedDatabase();
    await database.withSql(enablePolicy);
    const importDays = (days: readonly number[], record?: (pid: number) => Promise<void>) =>
      withSession(resolveTarget(database.url), {}, async (session) => {
        await prepareForPrices(session);
        await withPriceSink(session, { lockTimeoutMs: 1_000 }, async (sink) => {
          if (days.length === 0) return;
          const options = { source: 'test', record: async () => record?.(session.pid) };
          await sink.write(days.map(dayOf), options);
        });
      });
    const holder = connect(database.url, 1);
    onTestFinished(() => holder.end({ timeout: 1 }));
    const [store] = await holder<{ name: string }[]>`
      select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as name
      from timescaledb_information.continuous_aggregates`;
    let importer = 0;
    const ended = importDays([30, 29, 28], async (pid) => {
      importer = pid;
      // The refresh waits for this lock; reading does not.
      await holder.unsafe(`begin; lock table ${store?.name} in share mode`);
    }).catch((error: unknown) => error);
    await database.withSql(async (sql) => {
      await until('a refresh that waits', async () => {
        const [waiting] = await sql`
          select from pg_stat_activity where pid = ${importer} and wait_event_type = 'Lock'
            and query like '%refresh_continuous_aggregate%'`;
        return waiting !== undefined;
      });
      expect(await shownDays(sql)).toBe(3);
      expect(await isPolicyOn(sql)).toBe(false);
      await sql`select pg_terminate_backend(${importer})`;
    });
    expect(await ended).toBeInstanceOf(Error);
    await holder.unsafe('rollback');
    const left = await status({ target: database.url });
    expect(left).toMatchObject({ arePoliciesPaused: true, isComplete: false });
    await importDays([]);
    expect(await database.withSql(isPolicyOn)).toBe(true);
    await database.withSql(runPolicies);
    expect(await database.withSql(shownDays)).toBe(3);
  },
);

it.skipIf(!server)(
  `an import waits for a running policy before it adds days, and writes nothing when the wait is over${server ? '' : ' (skipped: no TimescaleDB server)'}`,
  async () => {
    const database = await migratedDatabase();
    await database.withSql(enablePolicy);
    const [policy] = await database.withSql(
      (sql) => sql<{ name: string }[]>`
        select application_name as name from timescaledb_information.jobs
        where proc_name = 'policy_refresh_continuous_aggregate'`,
    );
    const name = policy?.name ?? '';
    // Known by its name, as the background worker that runs the policy is.
    const worker = connect(database.url, 1);
    onTestFinished(() => worker.end({ timeout: 1 }));
    await worker`select set_config('application_name', ${name}, false)`;
    const run = withSession(resolveTarget(database.url), {}, async (session) => {
      await prepareForPrices(session);
      await withPriceSink(session, { lockTimeoutMs: 200 }, async (sink) => {
        await sink.write([30].map(dayOf), { source: 'test' });
      });
    });
    await expect(run).rejects.toMatchObject({
      code: 'lock-timeout',
      message: expect.stringContaining(`the job "${name}" is running`),
    });
    expect(await database.withSql(shownDays)).toBe(0);
    expect(await database.withSql(isPolicyOn)).toBe(true);
  },
);

it('an import that fails stores the candles of what it has written, and lets the policy run again', async () => {
  const database = await migratedDatabase();
  await database.withSql(enablePolicy);
  const failure = new Error('a disk is full');
  const run = withSession(resolveTarget(database.url), {}, async (session) => {
    await prepareForPrices(session);
    await withPriceSink(session, { lockTimeoutMs: 1_000 }, async (sink) => {
      const record = async () => {
        expect(await isPolicyOn(session.sql)).toBe(false);
        throw failure;
      };
      await sink.write([31].map(dayOf), { source: 'test' });
      await sink.write([30, 29].map(dayOf), { source: 'test', record });
    });
  });
  await expect(run).rejects.toBe(failure);
  expect(await database.withSql(storedDays)).toBe(1);
  expect(await database.withSql(isPolicyOn)).toBe(true);
});

it('an import that is interrupted says that the policy stays off, and the next one resumes it', async () => {
  const database = await migratedDatabase();
  await database.withSql(enablePolicy);
  const stop = new AbortController();
  const events: string[] = [];
  const onProgress = ({ kind }: ProgressEvent) => void events.push(kind);
  const run = withSession(resolveTarget(database.url), { signal: stop.signal }, async (session) => {
    await prepareForPrices(session);
    await withPriceSink(session, { lockTimeoutMs: 1_000, onProgress }, async (sink) => {
      await sink.write([31].map(dayOf), { source: 'test' });
      stop.abort();
      await sink.write([30].map(dayOf), { source: 'test' });
    });
  });
  await expect(run).rejects.toMatchObject({ code: 'interrupted' });
  expect(events).toEqual(['policies-left-paused']);
  expect(await database.withSql(isPolicyOn)).toBe(false);
  await withSession(resolveTarget(database.url), {}, async (session) => {
    await prepareForPrices(session);
    await withPriceSink(session, {}, async () => {});
  });
  expect(await database.withSql(isPolicyOn)).toBe(true);
  expect(await database.withSql(storedDays)).toBe(1);
});

it('days that arrive while the policy is off are stored before it runs again', async () => {
  const database = await migratedDatabase();
  await database.withSql(enablePolicy);
  const stop = new AbortController();
  const use = (signal: AbortSignal | undefined, work: (sink: PriceSink) => Promise<void>) =>
    withSession(resolveTarget(database.url), { signal }, async (session) => {
      await prepareForPrices(session);
      await withPriceSink(session, {}, work);
    });
  const interrupted = use(stop.signal, async (sink) => {
    await sink.write([31].map(dayOf), { source: 'test' });
    stop.abort();
    await sink.write([30].map(dayOf), { source: 'test' });
  });
  await expect(interrupted).rejects.toMatchObject({ code: 'interrupted' });
  await database.withSql(async (sql) => {
    for (const daysAgo of [20, 10, 0]) {
      await sql`
        insert into price_history (time, asset_symbol, price_usd) values (${new Date(dayOf(daysAgo).time)}, 'SOL', 5)`;
    }
  });
  await use(undefined, async () => {});
  await database.withSql(runPolicies);
  expect(await database.withSql(shownDays)).toBe(4);
});

it('candles whose prices were dropped stay', async () => {
  const database = await migratedDatabase();
  await database.withSql(
    (sql) => sql`
      insert into assets (coingecko_id, symbol, name) values ('solana', 'sol', 'Solana')`,
  );
  const write = (days: readonly number[]) =>
    withSession(resolveTarget(database.url), {}, async (session) => {
      await prepareForPrices(session);
      await withPriceSink(session, {}, (sink) => sink.write(days.map(dayOf), { source: 'test' }));
    });
  await write([200, 150, 40, 30]);
  await database.withSql(
    (sql) => sql`select drop_chunks('price_history', older_than => interval '100 days')`,
  );
  expect(await database.withSql(shownDays)).toBe(4);
  const folder = temporaryFolder();
  const file = join(folder, 'old.csv');
  const [old, late] = [dayOf(120).time, dayOf(35).time];
  writeFileSync(file, `time,asset_symbol,price_usd\n${old},SOL,1\n${late},SOL,2\n`);
  const result = await importPrices({ target: database.url, source: 'files', files: file });
  expect(result).toMatchObject({ rows: 1, leftOutPrices: { tooOld: 1 } });
  expect(await database.withSql(shownDays)).toBe(5);
});

it('a role that owns neither the prices nor their candles is refused before it writes', async () => {
  const database = await migratedDatabase();
  const run = withSession(resolveTarget(database.url), {}, async (session) => {
    await prepareForPrices(session);
    await session.sql.unsafe(`
      create role "price writer"; grant all on price_history, price_history_daily to "price writer";
      set role "price writer"`);
    onTestFinished(() =>
      database.withSql(async (sql) => {
        await sql.unsafe('drop owned by "price writer"; drop role "price writer"');
      }),
    );
    await withPriceSink(session, {}, (sink) => sink.write([30].map(dayOf), { source: 'test' }));
  });
  await expect(run).rejects.toMatchObject({
    code: 'not-permitted',
    problems: [{ hint: expect.stringContaining('to "price writer"') }],
  });
  expect(await database.withSql(shownDays)).toBe(0);
});

it('a policy that a person has resumed does not count as paused', async () => {
  const database = await migratedDatabase();
  await database.withSql(enablePolicy);
  const stop = new AbortController();
  const run = withSession(resolveTarget(database.url), { signal: stop.signal }, async (session) => {
    await prepareForPrices(session);
    await withPriceSink(session, {}, async (sink) => {
      await sink.write([31].map(dayOf), { source: 'test' });
      stop.abort();
      session.throwIfInterrupted();
    });
  });
  await expect(run).rejects.toMatchObject({ code: 'interrupted' });
  expect(await status({ target: database.url })).toMatchObject({ arePoliciesPaused: true });
  await database.withSql(enablePolicy);
  expect(await status({ target: database.url })).toMatchObject({ arePoliciesPaused: false });
});

it.skipIf(!server)(
  `an import that has waited for another one requests nothing that it has written${server ? '' : ' (skipped: no TimescaleDB server)'}`,
  async () => {
    const database = await migratedDatabase();
    await database.withSql(
      (sql) => sql`
        insert into assets (coingecko_id, symbol, name) values ('solana', 'sol', 'Solana')`,
    );
    const charts = await startCharts();
    const options = {
      target: database.url,
      baseUrl: charts.baseUrl,
      coins: ['SOL'],
      from: new Date(dayOf(9).time),
      to: new Date(dayOf(1).time),
      plan: 'pro',
      apiKey: 'key',
    } as const;
    let second: Promise<unknown> = Promise.resolve();
    await withSession(resolveTarget(database.url), {}, async (session) => {
      await prepareForPrices(session);
      await withPriceSink(session, {}, async (sink) => {
        await new Promise<void>((resolve) => {
          const onProgress = ({ kind }: ProgressEvent) => {
            if (kind === 'waiting-for-lock') resolve();
          };
          second = importPrices({ ...options, onProgress });
        });
        await sink.write([9, 8, 7, 6, 5, 4, 3, 2].map(dayOf), { source: 'test' });
      });
    });
    expect(await second).toMatchObject({ rows: 0, requests: 0 });
    expect(charts.asked).toEqual([]);
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
