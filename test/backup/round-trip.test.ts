import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
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
import { scratchDatabase } from '../support/recovery.ts';
import { coinsSchema, migratedDatabase } from '../support/seeding.ts';

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
  it('comes back with chunks, candles, policies and jobs, which run once it is activated', async () => {
    const database = await migratedDatabase({ environment: 'production' });
    await database.withSql(async (sql) => {
      await sql`
        insert into price_history (time, asset_symbol, price_usd, volume_24h_usd)
        select time, symbol, 5 + extract(hour from time), 1 from
          generate_series(now() - interval '90 days', now(), interval '1 hour') time,
          unnest(array['BTC', 'ETH']) symbol`;
      await sql.unsafe(
        `call refresh_continuous_aggregate('price_history_daily', null, date_trunc('day', now(), 'UTC'))`,
      );
      await sql`select compress_chunk(chunk) from show_chunks('price_history', older_than => interval '30 days') chunk`;
    });
    const store = storeFolder();
    const { manifest } = await create({ target: database.url, store });
    expect(
      manifest.hypertables.find(({ name }) => name === 'public.price_history')?.compressed,
    ).toBeGreaterThan(0);
    const [into, server] = await database.withSql(async (sql) => [restoredName(sql), sql] as const);
    const result = await restore({ target: database.url, store, id: 'latest', into });
    expect(result.rows).toBeGreaterThan(4_000);
    const restored = connect(databaseUrl(database.url, into));
    onTestFinished(() => restored.end({ timeout: 1 }));
    const ranJobs = () =>
      restored`select from timescaledb_information.job_stats where last_run_started_at is not null and job_id >= 1000`;
    expect(await ranJobs()).toHaveLength(0);
    expect(await activate({ target: databaseUrl(database.url, into) })).toMatchObject({
      jobs: expect.any(Number),
    });
    void server;
  });
});
