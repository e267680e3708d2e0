import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { connect } from '../support/databases.ts';
import { fixture } from '../support/fixtures.ts';
import {
  closeGate,
  expectAgreement,
  loggedEvents,
  recordedVersions,
  scratchDatabase,
  startMigrate,
  until,
  untilNobodyRuns,
} from '../support/recovery.ts';
import { rounds } from '../support/soak.ts';

const chain = fixture('recovery-chain');
const up = ['up', '--json', '--table-lock-timeout', '600s'];

const signals = [
  { signal: 'SIGINT', code: 130 },
  { signal: 'SIGTERM', code: 143 },
] as const;

it('SIGHUP, as from a terminal that is closed, cancels the statement too', async () => {
  const database = await scratchDatabase();
  const gate = await closeGate(database, 1);
  const run = startMigrate(database, chain, up);
  await gate.reached();
  run.process.kill('SIGHUP');
  const { code, stdout, stderr } = await run.finished;
  expect({ code, stderr }).toEqual({ code: 129, stderr: '' });
  expect(JSON.parse(stdout)).toHaveProperty('error.code', 'interrupted');
  await untilNobodyRuns(database.sql);
});

describe.each(signals)('$signal', ({ signal, code }) => {
  it.each([
    ['a long statement in a transaction', { key: 1, completed: 0 }],
    ['a long journalled statement', { key: 2, completed: 1 }],
    ['a long statement outside a transaction', { key: 3, completed: 1 }],
    ['COMMIT', { key: 5, completed: 2 }],
  ] as const)('cancels %s, and the next run finishes', async (_where, { key, completed }) => {
    const database = await scratchDatabase();
    const gate = await closeGate(database, key);
    const run = startMigrate(database, chain, up);
    await gate.reached();
    run.process.kill(signal);
    const { code: actual, stdout, stderr } = await run.finished;
    expect({ code: actual, stderr }).toEqual({ code, stderr: '' });
    const { error } = JSON.parse(stdout);
    expect(error.code).toBe('interrupted');
    expect(error.details.completed).toHaveLength(completed);
    expect(error.details.pending).toHaveLength(4 - completed);
    await expectAgreement(database.sql, chain);
    await untilNobodyRuns(database.sql);

    await gate.open();
    await migrate.up({ target: database.url, ...chain, tableLockTimeoutMs: 600_000 });
    await expectAgreement(database.sql, chain);
    expect(await recordedVersions(database.sql)).toHaveLength(4);
    expect(await loggedEvents(database.sql)).not.toContain('failure 20260101_000100');
  });

  it('ends the wait for the lock, and nothing is changed', async () => {
    const database = await scratchDatabase();
    const gate = await closeGate(database, 1);
    const holder = startMigrate(database, chain, up);
    await gate.reached();
    const waiting = startMigrate(database, chain, ['up']);
    await once(waiting.process.stderr, 'data');
    waiting.process.kill(signal);
    expect(await waiting.finished).toMatchObject({ code });
    await gate.open();
    expect(await holder.finished).toMatchObject({ code: 0 });
  });

  it('ends the wait for a server that does not answer', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}));
    onTestFinished(() => void silent.close());
    const heard = new Promise((resolve) => silent.once('connection', resolve));
    const port = await new Promise<number>((resolve) => {
      silent.listen(0, '127.0.0.1', () => {
        const address = silent.address();
        resolve(typeof address === 'object' && address ? address.port : 0);
      });
    });
    const url = `postgresql://nobody@127.0.0.1:${port}/nothing?connect_timeout=600`;
    const run = startMigrate({ url }, chain, up);
    await heard;
    run.process.kill(signal);
    const { code: actual, stdout } = await run.finished;
    expect(actual).toBe(code);
    expect(JSON.parse(stdout).error.code).toBe('interrupted');
  });
});

describe('an interrupted run', () => {
  it('leaves an invalid index of a concurrent build, which the next run drops and builds again', async () => {
    const concurrentIndex = fixture('recovery-concurrent-index');
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...concurrentIndex, steps: 1 });
    const stop = new AbortController();
    const writer = connect(database.url, 1);
    try {
      await writer.unsafe('begin; lock table prices in row exclusive mode');
      const run = migrate.up({ target: database.url, ...concurrentIndex, signal: stop.signal });
      await until('the build waits for the writer', async () => {
        const builds = await database.sql`
          select from pg_stat_activity
          where query ilike 'create index concurrently%' and wait_event_type = 'Lock'
            and datname = current_database()`;
        return builds.length > 0;
      });
      stop.abort();
      await expect(run).rejects.toMatchObject({
        code: 'interrupted',
        details: { completed: [], pending: ['20260101_000200'] },
      });
    } finally {
      await writer.end({ timeout: 1 });
    }
    const { migrations } = await migrate.status({ target: database.url, ...concurrentIndex });
    expect(migrations.map(({ state }) => state)).toEqual(['applied', 'interrupted']);
    expect(await database.sql`select from pg_index where not indisvalid`).toHaveLength(1);
    await migrate.up({ target: database.url, ...concurrentIndex });
    expect(await database.sql`select from pg_index where not indisvalid`).toHaveLength(0);
    expect(await database.sql`select to_regclass('prices_id')::text as name`).toEqual([
      { name: 'prices_id' },
    ]);
  });

  it('leaves the history in agreement with the schema when another session cancels it at any moment', async () => {
    const database = await scratchDatabase();
    const attempts = rounds(8);
    let running = true;
    const cancelAll = async () => {
      while (running) {
        await database.sql`
          select pg_cancel_backend(pid) from pg_stat_activity
          where application_name = 'cryptosense-db' and datname = current_database()`;
      }
    };
    const cancelling = cancelAll();
    try {
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        await migrate.up({ target: database.url, ...chain }).catch(() => {});
        await expectAgreement(database.sql, chain);
      }
    } finally {
      running = false;
      await cancelling;
    }
    await migrate.up({ target: database.url, ...chain });
    await expectAgreement(database.sql, chain);
    expect(await recordedVersions(database.sql)).toHaveLength(4);
  });

  it('opens no connection when its signal was aborted before the start', async () => {
    const target = 'postgresql://nobody@127.0.0.1:1/nothing';
    await expect(
      migrate.up({ target, ...chain, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('stops waiting between two tries for a table lock', async () => {
    const database = await scratchDatabase();
    const gate = await closeGate(database, 1);
    const stop = new AbortController();
    const run = migrate.up({
      target: database.url,
      ...chain,
      tableLockTimeoutMs: 20,
      tableLockRetries: 1_000,
      signal: stop.signal,
      onProgress: ({ kind }) => kind === 'step-retried' && stop.abort(),
    });
    await expect(run).rejects.toMatchObject({ code: 'interrupted' });
    await gate.open();
    await expectAgreement(database.sql, chain);
  });
});
