import { describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import { connect, createScratchRole, type ScratchDatabase } from '../support/databases.ts';
import { fixture } from '../support/fixtures.ts';
import {
  closeGate,
  expectAgreement,
  loggedEvents,
  recordedVersions,
  runMigrate,
  scratchDatabase,
  startMigrate,
  until,
} from '../support/recovery.ts';
import { rounds } from '../support/soak.ts';

const chain = fixture('recovery-chain');
const concurrentIndex = fixture('recovery-concurrent-index');
const up = ['up', '--table-lock-timeout', '600s'];

/** A run that waits in its first migration, with the lock, until the gate is opened. */
async function startHolder(database: ScratchDatabase) {
  const gate = await closeGate(database, 1);
  const run = startMigrate(database, chain, up);
  const pid = await gate.reached();
  return { run, pid, gate };
}

describe('runs at the same time', () => {
  it('all succeed when they start together, and each migration runs once', async () => {
    const database = await scratchDatabase();
    const runs = Array.from({ length: rounds(4) }, () => runMigrate(database, chain, up));
    for (const { code, stderr } of await Promise.all(runs))
      expect({ code, stderr }).toMatchObject({ code: 0 });
    await expectAgreement(database.sql, chain);
    expect(await loggedEvents(database.sql)).toEqual(
      (await recordedVersions(database.sql)).map((version) => `apply ${version}`),
    );
    expect(await recordedVersions(database.sql)).toHaveLength(4);
  }, 180_000);

  it('the waiting run reports the holder of the lock, and starts when the holder ends', async () => {
    const database = await scratchDatabase();
    const { run, pid, gate } = await startHolder(database);
    const events: ProgressEvent[] = [];
    const waiting = migrate.up({
      target: database.url,
      ...chain,
      onProgress: (event) => events.push(event),
    });
    const announced = () => events.find(({ kind }) => kind === 'waiting-for-lock');
    await until('the second run waits', async () => announced());
    expect(announced()).toMatchObject({
      holder: { pid, applicationName: 'cryptosense-db', since: expect.any(Date) },
    });
    await gate.open();
    expect(await run.finished).toMatchObject({ code: 0 });
    expect(await waiting).toMatchObject({ steps: [], applied: 4 });
    expect(events.filter(({ kind }) => kind === 'waiting-for-lock')).toHaveLength(1);
  });

  it('stop waiting after the lock timeout, name the holder of the lock, and change nothing', async () => {
    const database = await scratchDatabase();
    const { run, pid, gate } = await startHolder(database);
    run.process.kill('SIGSTOP');
    const lines = [
      { args: ['--lock-timeout', '0'], waited: /this run waited 0\.\d s/ },
      { args: ['--lock-timeout', '300ms'], waited: /this run waited 0\.[3-9] s/ },
    ];
    for (const { args, waited } of lines) {
      const { code, stderr } = await runMigrate(database, chain, [...up, ...args]);
      expect(code).toBe(2);
      expect(stderr).toMatch(waited);
      expect(stderr).toContain(`pid ${pid}, cryptosense-db from `);
      expect(stderr).toContain(`pg_terminate_backend(${pid})`);
    }
    expect(await runMigrate(database, chain, ['status'])).toMatchObject({ code: 0 });
    await database.sql`select pg_terminate_backend(${pid})`;
    run.process.kill('SIGCONT');
    expect(await run.finished).toMatchObject({ code: 2 });
    await gate.open();
    expect(await runMigrate(database, chain, up)).toMatchObject({ code: 0 });
    await expectAgreement(database.sql, chain);
  });

  it('the error names the process id of the holder to a role that may not see other sessions', async () => {
    const database = await scratchDatabase();
    const role = await createScratchRole(database.url);
    try {
      await database.sql.unsafe(`grant create on database ${database.name} to ${role.name}`);
      const { run, pid, gate } = await startHolder(database);
      const target = role.urlOf(database.url);
      await expect(migrate.up({ target, ...chain, lockTimeoutMs: 0 })).rejects.toMatchObject({
        code: 'lock-timeout',
        details: {
          holder: { pid, applicationName: 'cryptosense-db', address: null, since: null },
        },
      });
      await gate.open();
      await run.finished;
    } finally {
      await database.sql.unsafe(`drop owned by ${role.name}`);
      await role.drop();
    }
  });

  it('a run builds an index concurrently while other runs wait for the lock', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...concurrentIndex, steps: 1 });
    const writer = connect(database.url, 1);
    const waiting: ReturnType<typeof startMigrate>[] = [];
    try {
      await writer.unsafe('begin; lock table prices in row exclusive mode');
      waiting.push(startMigrate(database, concurrentIndex, up));
      await until('the build waits for the writer', () => isBuilding(database));
      waiting.push(...[1, 2, 3].map(() => startMigrate(database, concurrentIndex, up)));
      await until('all four are connected', async () => {
        const sessions = await database.sql`
          select from pg_stat_activity
          where application_name = 'cryptosense-db' and datname = current_database()`;
        return sessions.length === 4;
      });
      await writer.unsafe('commit');
    } finally {
      await writer.end({ timeout: 1 });
    }
    for (const { finished } of waiting) expect(await finished).toMatchObject({ code: 0 });
    expect(await database.sql`select from pg_index where not indisvalid`).toHaveLength(0);
    expect(await loggedEvents(database.sql)).toEqual([
      'apply 20260101_000100',
      'apply 20260101_000200',
    ]);
  });

  it('migrate status does not wait for the lock and changes nothing', async () => {
    const database = await scratchDatabase();
    expect(await migrate.status({ target: database.url, ...chain })).toMatchObject({
      isCurrent: false,
    });
    expect(
      await database.sql`select from pg_namespace where nspname = 'cryptosense_db'`,
    ).toHaveLength(0);
    const { run, gate } = await startHolder(database);
    const { migrations } = await migrate.status({ target: database.url, ...chain });
    expect(migrations.map(({ state }) => state)).toEqual(Array(4).fill('pending'));
    await gate.open();
    await run.finished;
  });
});

async function isBuilding({ sql }: ScratchDatabase): Promise<boolean> {
  const builds = await sql`
    select from pg_stat_activity
    where query ilike 'create index concurrently%' and wait_event_type = 'Lock'
      and datname = current_database()`;
  return builds.length > 0;
}
