import type { Sql } from 'postgres';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import * as seeding from '../../src/seeding/seed.ts';
import { type RunningCli, startCli } from '../support/cli.ts';
import { type Folders, folderFlags } from '../support/fixtures.ts';
import { closeGate, scratchDatabase, until, untilNobodyRuns } from '../support/recovery.ts';
import { coinsSchema, migratedDatabase, writeSeeders } from '../support/seeding.ts';
import { rounds } from '../support/soak.ts';

/** Deletes its rows and writes them again. Between the two halves it waits while the gate is closed. */
const story = `
  const id = (n) => '00000000-0000-4000-8000-' + String(n).padStart(12, '0');
  const rows = (from, to) => (function* () {
    for (let n = from; n < to; n += 1) yield { id: id(n), name: 'coin ' + n, amount: 1 + seed };
  })();
  await db.deleteFrom('coins').execute();
  await load('coins', { rows: rows(0, 500), total: 500 });
  await sql\`select pg_advisory_xact_lock_shared(77)\`.execute(db);
  await load('coins', { rows: rows(500, 1000), total: 500 });`;

interface Stage {
  readonly url: string;
  readonly sql: Sql;
  readonly folders: Folders;
  readonly start: (...args: readonly string[]) => RunningCli;
  readonly coins: () => Promise<unknown>;
}

async function stage(): Promise<Stage> {
  const { url, sql } = await scratchDatabase();
  const folders = coinsSchema();
  await migrate.up({ target: url, ...folders });
  const seeds = writeSeeders({ dev: { '01_coins': story } });
  return {
    url,
    sql,
    folders,
    start: (...args) => {
      const flags = [...folderFlags(folders), '--seeds', seeds, '--url', url];
      const run = startCli(['seed', '--env', 'dev', ...flags, ...args]);
      onTestFinished(() => void run.process.kill('SIGKILL'));
      return run;
    },
    coins: async () => {
      const [row] = await sql`select count(*)::int, min(amount)::int, max(amount)::int from coins`;
      return row;
    },
  };
}

const coinsOf = (seed: number) => ({ count: 1_000, min: 1 + seed, max: 1 + seed });

describe('several runs at once', () => {
  it('take turns, and leave the rows of the last run', async () => {
    const { start, coins, sql } = await stage();
    const runs = await Promise.all([1, 2, 3].map((seed) => start('--seed', String(seed)).finished));
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0]);
    const [last] =
      await sql`select seed::int from cryptosense_db.seed_runs order by id desc limit 1`;
    expect(await coins()).toEqual(coinsOf(last?.seed));
    expect(await sql`select from cryptosense_db.seed_runs`).toHaveLength(3);
  });

  it('make the second run name the holder of the lock and stop after its timeout', async () => {
    const { url, start, coins } = await stage();
    const gate = await closeGate({ url }, 77);
    const first = start();
    await gate.reached();
    const second = await start('--lock-timeout', '300ms').finished;
    expect(second.code).toBe(2);
    expect(second.stderr).toMatch(
      /another run holds the migration lock; this run waited .*pid \d+/s,
    );
    await gate.open();
    expect((await first.finished).code).toBe(0);
    expect(await coins()).toEqual(coinsOf(1));
  });

  it('make a migration wait for the end of the seeding', async () => {
    const { url, sql, start, folders } = await stage();
    const gate = await closeGate({ url }, 77);
    const seeded = start();
    await gate.reached();
    const up = startCli(['migrate', 'up', '--url', url, ...folderFlags(folders)]);
    await until('the migration asks who holds the lock', async () => {
      const asking = await sql`
        select from pg_stat_activity
        where datname = current_database() and application_name = 'cryptosense-db'
          and query like '%from pg_locks%'`;
      return asking.length > 0;
    });
    await gate.open();
    const [seedRun, upRun] = await Promise.all([seeded.finished, up.finished]);
    expect([seedRun.code, upRun.code]).toEqual([0, 0]);
    expect(upRun.stderr).toContain('waiting for another run');
  });
});

describe('a seeder that meets a deadlock', () => {
  it('runs again, with its own numbers and without the notes of the first attempt', async () => {
    const { url, sql } = await scratchDatabase();
    const folders = coinsSchema();
    await migrate.up({ target: url, ...folders });
    const seeds = writeSeeders({
      dev: {
        '01_coins': `
          note('attempt');
          await load('coins', { rows: [{ id: '00000000-0000-4000-8000-000000000001', name: 'coin', amount: 1 }], total: 1 });
          globalThis.attempts = (globalThis.attempts ?? 0) + 1;
          if (globalThis.attempts === 1) {
            await sql\`do $$ begin raise deadlock_detected; end $$\`.execute(db);
          }`,
      },
    });
    const result = await seeding.dev({ target: url, ...folders, seeds });
    expect(result.seeders).toMatchObject([
      { notes: ['attempt'], tables: [{ table: 'coins', rows: 1 }] },
    ]);
    expect(await sql`select count(*)::int as rows from coins`).toMatchObject([{ rows: 1 }]);
  });
});

describe('a run that ends early', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('rolls back its work after %s, and exits with %i', async (signal, code) => {
    const { url, start, coins, sql } = await stage();
    expect((await start('--seed', '7').finished).code).toBe(0);
    const gate = await closeGate({ url }, 77);
    const run = start('--seed', '8');
    await gate.reached();
    run.process.kill(signal);
    const { code: ended, stderr } = await run.finished;
    expect(ended).toBe(code);
    expect(stderr).toContain('interrupted');
    expect(await coins()).toEqual(coinsOf(7));
    expect(await sql`select from cryptosense_db.seed_runs`).toHaveLength(1);
  });

  it('leaves the earlier rows after kill -9, and the next run does all the work', async () => {
    const { url, start, coins, sql } = await stage();
    expect((await start('--seed', '7').finished).code).toBe(0);
    const gate = await closeGate({ url }, 77);
    const run = start('--seed', '8');
    await gate.reached();
    run.process.kill('SIGKILL');
    await run.finished;
    expect(await coins()).toEqual(coinsOf(7));
    await gate.open();
    await untilNobodyRuns(sql);
    expect((await start('--seed', '8').finished).code).toBe(0);
    expect(await coins()).toEqual(coinsOf(8));
  });

  it('reports the loss of its backend, and leaves the earlier rows', async () => {
    const { url, start, coins, sql } = await stage();
    expect((await start('--seed', '7').finished).code).toBe(0);
    const gate = await closeGate({ url }, 77);
    const run = start('--seed', '8');
    const pid = await gate.reached();
    await sql`select pg_terminate_backend(${pid})`;
    const { code, stderr } = await run.finished;
    expect(code).toBe(2);
    expect(stderr).toMatch(/the connection to .* was lost/);
    expect(await coins()).toEqual(coinsOf(7));
  });
});

const kills = rounds(2);

describe('the packaged seeds', () => {
  const now = new Date('2026-11-22T10:00:00Z');
  const print = (sql: Sql) =>
    sql`
      select
        (select md5(string_agg((to_jsonb(t) - 'updated_at')::text, '|' order by id)) from users t) as users,
        (select md5(string_agg(t::text, '|' order by id)) from holdings t) as holdings,
        (select md5(string_agg(t::text, '|' order by id)) from transactions t) as transactions,
        (select md5(string_agg(t::text, '|' order by time, asset_symbol)) from price_history t) as prices,
        (select count(*)::int from price_history where asset_symbol = 'BTC') as bitcoin,
        (select md5(string_agg(t::text, '|' order by day, asset_symbol)) from price_history_daily t) as days`;

  it('are complete after runs that were killed in different parts, and after two runs at once', {
    timeout: 120_000 + kills * 10_000,
  }, async () => {
    const database = await migratedDatabase({ embeddedAs: 'folder' });
    const { seeders } = await seeding.dev({ target: database.url, now });
    const whole = await database.withSql(async (sql) => [...(await print(sql))]);
    const flags = ['--url', database.url, '--now', now.toISOString()];
    const start = () => {
      const run = startCli(['seed', '--env', 'dev', ...flags]);
      onTestFinished(() => void run.process.kill('SIGKILL'));
      return run;
    };
    let killed = 0;
    for (let kill = 0; kill < kills; kill += 1) {
      const run = start();
      // The run reports each seeder that it has finished. It then works on the next one.
      const { name } = seeders[kill % (seeders.length - 1)] ?? {};
      await written(run, `seed ${name}`);
      run.process.kill('SIGKILL');
      const { code } = await run.finished;
      if (code === null) killed += 1;
    }
    expect(killed).toBeGreaterThanOrEqual(kills / 2);
    const both = await Promise.all([start().finished, start().finished]);
    expect(both.map(({ code, stderr }) => (code === 0 ? 0 : stderr))).toEqual([0, 0]);
    expect(await database.withSql(async (sql) => [...(await print(sql))])).toEqual(whole);
  });
});

/** Waits until the run has written the text to stderr, or has ended. */
async function written({ process, finished }: RunningCli, text: string): Promise<void> {
  let seen = '';
  const found = new Promise<void>((resolve) => {
    process.stderr.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve();
    });
  });
  await Promise.race([found, finished]);
}
