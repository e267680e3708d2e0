import { join } from 'node:path';
import type { Sql } from 'postgres';
import { describe, expect, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import {
  hasPgDump,
  hasTimescaleServer,
  pgDumpMissing,
  timescaleMissing,
} from '../support/backup.ts';
import { connect } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase, until } from '../support/recovery.ts';
import { migratedDatabase } from '../support/seeding.ts';

const storeFolder = () => join(temporaryFolder(), 'backups');

/** A session that locks a table against readers, until it is released or the test ends. */
async function lockTable(url: string, table: string) {
  const sql = connect(url, 1);
  const release = () => sql.end({ timeout: 1 });
  onTestFinished(release);
  await sql.unsafe(`begin; lock table ${table} in access exclusive mode`);
  const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
  return { pid, release };
}

async function dumpSessions(sql: Sql): Promise<readonly number[]> {
  const rows = await sql<{ pid: number }[]>`
    select pid from pg_stat_activity
    where application_name = 'cryptosense-db pg_dump' and datname = current_database()`;
  return rows.map(({ pid }) => pid);
}

describe.skipIf(!hasPgDump)(`a backup beside a table that is locked${pgDumpMissing}`, () => {
  it('tries again until the table is free', async () => {
    const { url, sql } = await scratchDatabase();
    await sql`create table coins as select 1 as id`;
    const { release } = await lockTable(url, 'coins');
    const creating = create({ target: url, store: storeFolder() });
    creating.catch(() => {});
    let first: number | undefined;
    await until('a second attempt', async () => {
      const [pid] = await dumpSessions(sql);
      first ??= pid;
      return pid !== undefined && pid !== first;
    });
    await release();
    expect((await creating).manifest.tables).toMatchObject([{ name: 'public.coins', rows: 1 }]);
  });

  it('names the table and the session once the time is up', async () => {
    const { url, sql } = await scratchDatabase();
    await sql.unsafe('create table coins as select 1; create table "Other" as select 1');
    const { pid } = await lockTable(url, '"Other"');
    await expect(
      create({ target: url, store: storeFolder(), lockTimeoutMs: 100 }),
    ).rejects.toMatchObject({
      code: 'lock-timeout',
      details: { holder: { pid } },
      problems: [
        {
          message: expect.stringMatching(/^another session keeps public\."Other" locked; /),
          hint: expect.stringContaining(`pg_terminate_backend(${pid})`),
        },
      ],
    });
  });
});

it.skipIf(!hasTimescaleServer)(
  `a backup names a hypertable that stays locked, and its session${timescaleMissing}`,
  async () => {
    const database = await migratedDatabase();
    const { pid } = await lockTable(database.url, 'price_history');
    await expect(
      create({ target: database.url, store: storeFolder(), lockTimeoutMs: 100 }),
    ).rejects.toMatchObject({
      code: 'lock-timeout',
      details: { holder: { pid } },
      message: expect.stringMatching(/^another session keeps public\.price_history locked; /),
    });
  },
);
