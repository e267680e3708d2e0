import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { activate } from '../../src/backup/activate.ts';
import { type CreateResult, create } from '../../src/backup/create.ts';
import { restore } from '../../src/backup/restore.ts';
import { verify } from '../../src/backup/verify.ts';
import type { StoreOptions } from '../../src/backup/with-store.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import {
  ageKeys,
  connectTo,
  countRows,
  createReadings,
  hasPgDump,
  hasTimescaleServer,
  pgDumpMissing,
  restoredName,
  timescaleMissing,
} from '../support/backup.ts';
import { connect, databaseUrl } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase, until } from '../support/recovery.ts';
import { coinsSchema, migratedDatabase } from '../support/seeding.ts';
import { rounds } from '../support/soak.ts';
import {
  environmentOf,
  hasSwift,
  type Swift,
  startSwift,
  swiftNote,
  writer,
} from '../support/swift.ts';

const warnings = vi.spyOn(process, 'emitWarning');

let swift: Swift | undefined;
beforeAll(async () => {
  if (hasSwift && hasPgDump) swift = await startSwift();
});
afterAll(() => swift?.stop());

const storeFolder = () => join(temporaryFolder(), 'backups');

/** A bucket of the test's own, and the keys in the environment. */
async function bucket(): Promise<StoreOptions> {
  if (!swift) throw new Error('Swift does not run');
  for (const [name, value] of Object.entries(environmentOf(writer))) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  const name = `test-${randomBytes(6).toString('hex')}`;
  await swift.createBucket(name);
  return { store: `s3://${name}/backups`, endpoint: swift.endpoint, sse: 'none' };
}

const stores = [
  {
    place: 'a folder',
    isHere: true,
    open: async (): Promise<StoreOptions> => ({ store: storeFolder() }),
  },
  { place: `S3${swiftNote}`, isHere: hasSwift, open: bucket },
];
const ways = stores.flatMap((store) => [
  { ...store, how: 'plain', isEncrypted: false },
  { ...store, how: 'encrypted', isEncrypted: true },
]);

/** What names the recipients of a new backup, and the key that opens it. */
async function keysFor({ isEncrypted }: { readonly isEncrypted: boolean }) {
  if (!isEncrypted) return { recipients: [], identity: {} };
  const { recipient, identityFile } = await ageKeys();
  return { recipients: [recipient], identity: { identityFile } };
}

/** Repeats the work in a session of its own until `stop`, which throws what the work has thrown. */
function repeat(url: string, work: (sql: Sql) => Promise<unknown>): { stop: () => Promise<void> } {
  let isWorking = true;
  const sql = connect(url, 1);
  const ended = (async () => {
    while (isWorking) await work(sql);
  })().finally(() => sql.end({ timeout: 1 }));
  ended.catch(() => {});
  return {
    stop: async () => {
      isWorking = false;
      await ended;
    },
  };
}

describe.skipIf(!hasPgDump)(`a backup of a plain PostgreSQL${pgDumpMissing}`, () => {
  it('comes back with its comment and settings, and the mark of a test', async () => {
    const { url, sql, name } = await scratchDatabase();
    await migrate.up({ target: url, ...coinsSchema(), environment: 'production' });
    await sql.unsafe(
      `comment on database "${name}" is 'It''s ours'; alter database "${name}" set work_mem = '5MB'`,
    );
    const store = storeFolder();
    const { manifest, id } = await create({ target: url, store });
    expect(manifest).toMatchObject({
      environment: 'production',
      database: name,
      migration: '20260101_000000',
    });
    const into = restoredName(sql);
    const result = await restore({ target: url, store, id: 'latest', into });
    expect(result).toMatchObject({ database: into, source: name, mark: 'test', isActive: false });
    expect(
      await connectTo(url, into)`
        select name, (select detail from cryptosense_db.migration_log where event = 'mark' order by id desc limit 1) as detail,
          current_setting('work_mem') as memory,
          (select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()) as comment
        from cryptosense_db.environment`,
    ).toMatchObject([
      { name: 'test', memory: '5MB', comment: "It's ours", detail: expect.stringContaining(id) },
    ]);
  });

  for (const { place, how, isEncrypted, isHere, open } of ways) {
    it.skipIf(!isHere)(
      `comes back from ${place} as it was at one moment, while a session writes, ${how}`,
      async () => {
        const { url, sql } = await scratchDatabase();
        // More than one part of an upload.
        await createReadings(sql, 8_000);
        await sql.unsafe(`
          create table accounts as select n, 1000 as balance from generate_series(1, 10) n;
          create table transfers (id serial primary key, amount int not null)`);
        const transfers = async (from: Sql) =>
          (await from<[{ count: number }]>`select count(*)::int as count from transfers`)[0].count;
        const writing = repeat(url, async (session) => {
          await session.begin(async (transaction) => {
            await transaction`insert into transfers (amount) values (1)`;
            await transaction`update accounts set balance = balance - 1 where n = 1`;
            await transaction`update accounts set balance = balance + 1 where n = 2`;
          });
        });
        const { recipients, identity } = await keysFor({ isEncrypted });
        const store = await open();
        await until('a transfer', () => transfers(sql));
        const before = await transfers(sql);
        const { manifest, id } = await create({ target: url, ...store, recipients });
        const after = await transfers(sql);
        expect(await verify({ ...store, id, ...identity })).toMatchObject({ id });
        const into = restoredName(sql);
        await restore({ target: url, ...store, id, into, ...identity });
        await writing.stop();

        const restored = connectTo(url, into);
        expect(await countRows(restored, manifest.tables)).toEqual(manifest.tables);
        const count = await transfers(restored);
        expect(count).toBeGreaterThanOrEqual(before);
        expect(count).toBeLessThan(after);
        expect(
          await restored`select balance from accounts where n in (1, 2) order by n`,
        ).toMatchObject([{ balance: 1_000 - count }, { balance: 1_000 + count }]);
      },
    );
  }
});

describe.skipIf(!hasTimescaleServer)(`a backup of the whole schema${timescaleMissing}`, () => {
  /** Ninety days of hourly prices of two assets, with candles; older chunks are compressed. */
  const fill = async (sql: Sql) => {
    await sql`
      insert into price_history (time, asset_symbol, price_usd, volume_24h_usd)
      select time, symbol, 5 + extract(hour from time), 1
      from generate_series(now() - interval '90 days', now(), interval '1 hour') time,
        unnest(array['BTC', 'ETH']) symbol`;
    await sql.unsafe(
      `call refresh_continuous_aggregate('price_history_daily', null, date_trunc('day', now(), 'UTC'))`,
    );
    await sql`
      select compress_chunk(chunk) from show_chunks('price_history', older_than => interval '60 days') chunk`;
  };

  it('comes back with chunks, candles, policies and jobs, which run once it is activated', async () => {
    const database = await migratedDatabase({ environment: 'production' });
    await database.withSql(fill);
    const store = storeFolder();
    const { manifest } = await create({ target: database.url, store });
    const prices = manifest.hypertables.find(({ name }) => name === 'public.price_history');
    expect(prices?.compressed).toBeGreaterThan(0);
    const into = await database.withSql(async (sql) => restoredName(sql));
    const result = await restore({ target: database.url, store, id: 'latest', into });
    expect(result.rows).toBeGreaterThan(4_000);
    const restored = connectTo(database.url, into);
    // Every job is due in a restored database: with a scheduler they would have started at once.
    await restored`select alter_job(job_id, scheduled => true, next_start => now()) from timescaledb_information.jobs where job_id >= 1000`;
    const started = () => restored`
      select from timescaledb_information.job_stats where last_run_started_at > '-infinity' and job_id >= 1000`;
    const [{ schedulers }] = await restored<[{ schedulers: number }]>`
      select count(*)::int as schedulers from pg_stat_activity
      where datname = current_database() and backend_type like '%TimescaleDB%'`;
    expect({ schedulers, started: (await started()).length }).toEqual({
      schedulers: 0,
      started: 0,
    });
    await activate({ target: databaseUrl(database.url, into) });
    await until('a job that has started', async () => (await started()).length > 0);
  });

  for (const { place, how, isEncrypted, isHere, open } of ways) {
    it.skipIf(!isHere)(
      `comes back from ${place} as it was at one moment, while a session writes and a job compresses, ${how}`,
      { timeout: 600_000 },
      async () => {
        const database = await migratedDatabase();
        await database.withSql(fill);
        const [job] = await database.withSql(
          (sql) => sql<{ id: number }[]>`
            select job_id as id from timescaledb_information.jobs
            where proc_name in ('policy_compression', 'policy_columnstore') and hypertable_name = 'price_history'`,
        );
        let written = 0;
        const compressions = { begun: 0, done: 0 };
        const writing = repeat(database.url, async (sql) => {
          await sql`
            insert into price_history (time, asset_symbol, price_usd)
            values (clock_timestamp(), 'SOL', 1), (now() - interval '40 days', 'X' || ${written % 50}, 1)
            on conflict do nothing`;
          written += 1;
        });
        const compressing = repeat(database.url, async (sql) => {
          // A job runs once an hour; here every few seconds, with chunks to compress. Without a pause pg_dump would
          // always find one waiting before it.
          await sleep(2_000);
          await sql`
            select decompress_chunk(chunk, if_compressed => true)
            from show_chunks('price_history', older_than => interval '20 days') chunk limit 3`.catch(
            () => {},
          );
          compressions.begun += 1;
          await sql`call run_job(${job?.id ?? 0})`.then(
            () => {
              compressions.done += 1;
            },
            () => {},
          );
        });
        const { recipients, identity } = await keysFor({ isEncrypted });
        const store = await open();
        try {
          await until('a compression', async () => compressions.done > 0);
          for (let round = 0; round < rounds(1); round += 1) {
            let begun: number;
            let backup: CreateResult;
            do {
              begun = compressions.begun;
              backup = await create({ target: database.url, ...store, recipients });
            } while (compressions.begun === begun);
            const { manifest, id } = backup;
            const into = await database.withSql(async (sql) => restoredName(sql));
            await restore({ target: database.url, ...store, id, into, ...identity });
            const restored = connectTo(database.url, into);
            expect(await countRows(restored, manifest.tables)).toEqual(manifest.tables);
          }
        } finally {
          await Promise.all([writing.stop(), compressing.stop()]);
        }
        expect(written).toBeGreaterThan(10);
      },
    );
  }
});

it('none of this has made Node warn, as of listeners that pile up', () => {
  expect(warnings.mock.calls.map(([warning]) => String(warning))).toEqual([]);
});
