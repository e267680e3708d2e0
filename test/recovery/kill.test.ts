import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { connect, type ScratchDatabase } from '../support/databases.ts';
import { fixture } from '../support/fixtures.ts';
import {
  closeGate,
  expectAgreement,
  publicTables,
  recordedVersions,
  runMigrate,
  scratchDatabase,
  startMigrate,
  until,
  untilNobodyRuns,
} from '../support/recovery.ts';
import { rounds } from '../support/soak.ts';

const chain = fixture('recovery-chain');
const versions = ['20260101_000100', '20260101_000200', '20260101_000300', '20260101_000400'];
const tables = ['first_a', 'first_b', 'fourth_a', 'second_a', 'second_b', 'second_c', 'third_a'];
const up = ['up', '--table-lock-timeout', '600s'];
const down = ['down', '--all', '--table-lock-timeout', '600s'];
const kills = rounds(4);

/** The next run applies the rest, and the schema is complete. */
async function expectUp(database: ScratchDatabase): Promise<void> {
  const { sql, url } = database;
  await migrate.up({ target: url, ...chain, tableLockTimeoutMs: 600_000 });
  await expectAgreement(sql, chain);
  expect(await publicTables(sql)).toEqual(tables);
  expect(await sql`select id from second_a`).toHaveLength(1);
  expect(
    await sql`select indexrelid::regclass::text as name, indisvalid as "isValid" from pg_index
      where indrelid = 'second_a'::regclass`,
  ).toEqual([{ name: 'second_a_id', isValid: true }]);
  expect(await sql`select from cryptosense_db.migration_journal`).toHaveLength(0);
  expect(await migrate.status({ target: url, ...chain })).toMatchObject({ isCurrent: true });
}

describe('a run that is killed', () => {
  it.each([
    ['in the middle of a transaction', { key: 1, recorded: [0, 1] }],
    ['in a journalled statement', { key: 2, recorded: [1] }],
    ['in a DO block outside a transaction', { key: 3, recorded: [1] }],
    ['after an index was built concurrently', { key: 4, recorded: [1] }],
    ['in a COMMIT that may still succeed', { key: 5, recorded: [2, 3] }],
  ] as const)(
    'is finished by the next run when the kill comes %s',
    async (_where, { key, recorded }) => {
      const database = await scratchDatabase();
      const gate = await closeGate(database, key);
      const run = startMigrate(database, chain, up);
      await gate.reached();
      run.process.kill('SIGKILL');
      expect(await run.finished).toMatchObject({ code: null });
      await gate.open();
      await untilNobodyRuns(database.sql);

      await expectAgreement(database.sql, chain);
      const kept = await recordedVersions(database.sql);
      expect(kept).toEqual(versions.slice(0, kept.length));
      expect(recorded).toContain(kept.length);
      await expectUp(database);
    },
  );

  it('leaves no statement behind, because the server ends it', async () => {
    const database = await scratchDatabase();
    const gate = await closeGate(database, 1);
    const run = startMigrate(database, chain, up);
    await gate.reached();
    run.process.kill('SIGKILL');
    await untilNobodyRuns(database.sql);
    await expectAgreement(database.sql, chain);
    await gate.open();
    await expectUp(database);
  });

  it.each([
    ['in a journalled statement', 6],
    ['in the middle of a transaction', 7],
  ] as const)(
    'is finished by the next rollback when the kill comes %s of a rollback',
    async (_where, key) => {
      const database = await scratchDatabase();
      await expectUp(database);
      const gate = await closeGate(database, key);
      const run = startMigrate(database, chain, down);
      await gate.reached();
      run.process.kill('SIGKILL');
      await run.finished;
      await gate.open();
      await untilNobodyRuns(database.sql);

      await expectAgreement(database.sql, chain);
      expect(await runMigrate(database, chain, down)).toMatchObject({ code: 0 });
      expect(await publicTables(database.sql)).toEqual([]);
      expect(await recordedVersions(database.sql)).toEqual([]);
      await expectUp(database);
    },
  );

  it('leaves an invalid index of a concurrent build, which the next run drops and builds again', async () => {
    const database = await scratchDatabase();
    const gate = await closeGate(database, 3);
    const run = startMigrate(database, chain, up);
    await gate.reached();
    const writer = connect(database.url, 1);
    try {
      await writer.unsafe('begin; lock table second_a in row exclusive mode');
      await gate.open();
      await until('the build waits for the writer', async () => {
        const builds = await database.sql`
          select from pg_stat_activity
          where query ilike 'create index concurrently%' and wait_event_type = 'Lock'
            and datname = current_database()`;
        return builds.length > 0;
      });
      run.process.kill('SIGKILL');
      await untilNobodyRuns(database.sql);
    } finally {
      await writer.end({ timeout: 1 });
    }
    await expectAgreement(database.sql, chain);
    expect(await database.sql`select from pg_index where not indisvalid`).toHaveLength(1);
    await expectUp(database);
  });

  it('does not stop the run with the lock when it waits for the lock', async () => {
    const database = await scratchDatabase();
    const gate = await closeGate(database, 1);
    const holder = startMigrate(database, chain, up);
    await gate.reached();
    const waiting = startMigrate(database, chain, up);
    await until('the second run waits', async () => {
      const sessions = await database.sql`
        select from pg_stat_activity
        where application_name = 'cryptosense-db' and datname = current_database()`;
      return sessions.length === 2;
    });
    waiting.process.kill('SIGKILL');
    await waiting.finished;
    await gate.open();
    expect(await holder.finished).toMatchObject({ code: 0 });
    await expectUp(database);
  });

  it('leaves the history in agreement with the schema at any moment of a run up or down', {
    timeout: 120_000 + kills * 15_000,
  }, async () => {
    const database = await scratchDatabase();
    const work = startMigrate(database, chain, up);
    await untilItWorks(database);
    const startedAt = performance.now();
    await work.finished;
    const workMs = performance.now() - startedAt;
    let endedByKill = 0;
    // A run may end before its kill: then another one takes its place.
    for (let run = 0; endedByKill < kills && run < 4 * kills; run += 1) {
      const killed = startMigrate(database, chain, run % 2 === 0 ? down : up);
      const isAtWork = untilItWorks(database).then(() => delay((workMs * (run % kills)) / kills));
      await Promise.race([isAtWork, killed.finished]);
      killed.process.kill('SIGKILL');
      const { code } = await killed.finished;
      if (code === null) endedByKill += 1;
      await untilNobodyRuns(database.sql);
      await expectAgreement(database.sql, chain);
    }
    expect(endedByKill).toBe(kills);
    // The run up or the run down may be interrupted. Only the same command continues it.
    await runMigrate(database, chain, down);
    await expectUp(database);
  });
});

/** Waits until a run is connected. */
async function untilItWorks({ sql }: ScratchDatabase): Promise<void> {
  await until('a run is connected', async () => {
    const [session] = await sql`
      select from pg_stat_activity
      where application_name = 'cryptosense-db' and datname = current_database()`;
    return session;
  });
}
