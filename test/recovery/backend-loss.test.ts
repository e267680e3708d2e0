import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { connect, type ScratchDatabase } from '../support/databases.ts';
import { type PostgresServer, startEmbeddedPostgres } from '../support/embedded-postgres.ts';
import { fixture } from '../support/fixtures.ts';
import {
  closeGate,
  expectAgreement,
  recordedVersions,
  scratchDatabase,
  startMigrate,
  until,
  untilNobodyRuns,
} from '../support/recovery.ts';

const chain = fixture('recovery-chain');
const up = ['up', '--json', '--table-lock-timeout', '600s'];

let server: PostgresServer;
beforeAll(async () => {
  server = await startEmbeddedPostgres();
});
afterAll(() => server.stop());

type Loss = (database: ScratchDatabase, pid: number) => Promise<unknown>;

/** Each ends the backend of a run in a different way. */
const losses: Readonly<Record<string, Loss>> = {
  'the backend is terminated': ({ sql }, pid) => sql`select pg_terminate_backend(${pid})`,
  'the server is restarted': () => server.restart(),
  'the server crashes': async ({ url }, pid) => {
    const probe = connect(url, 1);
    const ownPid = async () => (await probe<{ pid: number }[]>`select pg_backend_pid() as pid`)[0];
    const before = await ownPid();
    process.kill(pid, 'SIGKILL');
    await until('the server has ended every session and accepts new ones', async () => {
      const now = await ownPid().catch(() => before);
      return now?.pid !== before?.pid;
    });
    await probe.end();
  },
};

const places = [
  ['in the middle of a transaction', 1],
  ['in a journalled statement', 2],
  ['in a statement outside a transaction', 3],
  ['in COMMIT', 5],
] as const;

describe.each(Object.entries(losses))('a run when %s', (_name, loseBackend) => {
  it.each(places)(
    'reports a lost connection %s, and the next run finishes',
    async (_where, key) => {
      const database = await scratchDatabase(server.url);
      const gate = await closeGate(database, key);
      const run = startMigrate(database, chain, up);
      await loseBackend(database, await gate.reached());
      await gate.open();
      const { code, stdout, stderr } = await run.finished;
      expect({ code, stderr, error: JSON.parse(stdout).error.code }).toEqual({
        code: 2,
        stderr: '',
        error: 'connection-lost',
      });
      await expectAgreement(database.sql, chain);

      await migrate.up({ target: database.url, ...chain, tableLockTimeoutMs: 600_000 });
      await expectAgreement(database.sql, chain);
      expect(await recordedVersions(database.sql)).toHaveLength(4);
    },
  );
});

describe('a run that has lost its connection', () => {
  it('names the committed migrations, and at most the running migration is committed besides them', async () => {
    const database = await scratchDatabase(server.url);
    const gate = await closeGate(database, 5);
    const run = migrate.up({ target: database.url, ...chain, tableLockTimeoutMs: 600_000 });
    const pid = await gate.reached();
    await database.sql`select pg_terminate_backend(${pid})`;
    const completed = ['20260101_000100', '20260101_000200'];
    const pending = ['20260101_000300', '20260101_000400'];
    await expect(run).rejects.toMatchObject({
      code: 'connection-lost',
      details: { completed, pending },
    });
    await gate.open();
    await untilNobodyRuns(database.sql);
    const recorded = await recordedVersions(database.sql);
    expect([completed, [...completed, pending[0]]]).toContainEqual(recorded);
    await expectAgreement(database.sql, chain);
  });

  it('ends when it was waiting for the lock, and the run with the lock finishes', async () => {
    const database = await scratchDatabase(server.url);
    const gate = await closeGate(database, 1);
    const holder = startMigrate(database, chain, up);
    const holderPid = await gate.reached();
    const waiting = startMigrate(database, chain, up);
    const others = () => database.sql<{ pid: number }[]>`
      select pid from pg_stat_activity
      where application_name = 'cryptosense-db' and datname = current_database()
        and pid <> ${holderPid}`;
    await until('the second run waits', async () => (await others())[0]);
    for (const { pid } of await others()) await database.sql`select pg_terminate_backend(${pid})`;
    expect(await waiting.finished).toMatchObject({ code: 2 });
    await gate.open();
    expect(await holder.finished).toMatchObject({ code: 0 });
    await expectAgreement(database.sql, chain);
  });
});
