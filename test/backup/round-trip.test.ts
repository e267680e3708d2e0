import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from 'postgres';
import { describe, expect, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { activate, restore } from '../../src/backup/restore.ts';
import { verify } from '../../src/backup/verify.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import {
  ageKeys,
  dropRestored,
  hasPgDump,
  hasTimescaleServer,
  pgDumpMissing,
  timescaleMissing,
} from '../support/backup.ts';
import { connect, databaseUrl } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase, until } from '../support/recovery.ts';
import { coinsSchema, migratedDatabase } from '../support/seeding.ts';
import { rounds } from '../support/soak.ts';

/** A name for a restored database, which is dropped when the test ends. */
function restoredName(sql: Sql): string {
  const name = `cryptosense_scratch_${randomBytes(6).toString('hex')}`;
  onTestFinished(() => dropRestored(sql, name));
  return name;
}

const storeFolder = () => join(temporaryFolder(), 'backups');

describe.skipIf(!hasPgDump)(`a backup of a plain PostgreSQL${pgDumpMissing}`, () => {
  it.each([{ isEncrypted: false }, { isEncrypted: true }])(
    'comes back with every row, encrypted: $isEncrypted',
    async ({ isEncrypted }) => {
      const { url, sql, name } = await scratchDatabase();
      await migrate.up({ target: url, ...coinsSchema(), environment: 'production' });
      await sql`insert into coins select gen_random_uuid(), 'coin ' || n, n from generate_series(1, 1000) n`;
      await sql.unsafe(
        `comment on database "${name}" is 'It''s ours'; alter database "${name}" set work_mem = '5MB'`,
      );
      const { recipient, identityFile } = await ageKeys();
      const store = storeFolder();
      const recipients = isEncrypted ? [recipient] : [];
      const { manifest, id } = await create({ target: url, store, recipients });
      expect(manifest).toMatchObject({
        environment: 'production',
        database: name,
        migration: '20260101_000000',
      });
      const identity = isEncrypted ? { identityFile } : {};
      expect(await verify({ store, id, ...identity })).toMatchObject({ id, database: name });
      const into = restoredName(sql);
      const result = await restore({ target: url, store, id: 'latest', into, ...identity });
      expect(result).toMatchObject({ database: into, source: name, mark: 'test', isActive: false });
      const restored = connect(databaseUrl(url, into));
      onTestFinished(() => restored.end({ timeout: 1 }));
      expect(
        await restored`select count(*)::int as coins, sum(amount)::int as amount from coins`,
      ).toMatchObject([{ coins: 1_000, amount: 500_500 }]);
      expect(
        await restored`
        select name, (select detail from cryptosense_db.migration_log where event = 'mark' order by id desc limit 1) as detail,
          current_setting('work_mem') as memory,
          (select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()) as comment
        from cryptosense_db.environment`,
      ).toMatchObject([
        { name: 'test', memory: '5MB', comment: "It's ours", detail: expect.stringContaining(id) },
      ]);
    },
  );
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
    const restored = connect(databaseUrl(database.url, into));
    onTestFinished(() => restored.end({ timeout: 1 }));
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

  it('comes back with the rows of one moment while others write, compress and refresh', async () => {
    const database = await migratedDatabase();
    await database.withSql(fill);
    const store = storeFolder();
    let isWorking = true;
    let written = 0;
    const writers = [
      async (sql: Sql) => {
        while (isWorking) {
          await sql`
            insert into price_history (time, asset_symbol, price_usd)
            values (clock_timestamp(), 'SOL', 1), (now() - interval '40 days', 'X' || ${written % 50}, 1)
            on conflict do nothing`;
          written += 1;
        }
      },
      async (sql: Sql) => {
        while (isWorking) {
          // A job runs once an hour; here once a second.
          await sleep(1_000);
          await sql`
            select compress_chunk(chunk, if_not_compressed => true)
            from show_chunks('price_history', older_than => interval '10 days') chunk`.catch(
            () => {},
          );
          await sql`
            select decompress_chunk(chunk, if_compressed => true)
            from show_chunks('price_history', older_than => interval '20 days') chunk limit 3`.catch(
            () => {},
          );
        }
      },
    ].map((work) => {
      const sql = connect(database.url, 1);
      return work(sql).finally(() => sql.end({ timeout: 1 }));
    });
    try {
      for (let round = 0; round < rounds(2); round += 1) {
        const { id } = await create({ target: database.url, store });
        const into = await database.withSql(async (sql) => restoredName(sql));
        await restore({ target: database.url, store, id, into });
      }
    } finally {
      isWorking = false;
      await Promise.all(writers);
    }
    expect(written).toBeGreaterThan(10);
  }, 120_000);
});
