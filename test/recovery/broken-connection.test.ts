import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { withSession, withTransaction } from '../../src/database/connection.ts';
import { copyFrom } from '../../src/database/copy.ts';
import { parseTarget, type ServerTarget } from '../../src/database/target.ts';
import { createDatabase } from '../../src/typed-database.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { type FaultyProxyOptions, faults, openFaultyProxy } from '../support/faulty-proxy.ts';
import { rounds } from '../support/soak.ts';

/** The bytes at which connections break: a few in `npm test`, all in `npm run test:soak`. */
const bytes = 2_048;
const step = rounds(1) > 1 ? 1 : 401;
const offsets = Array.from({ length: Math.ceil(bytes / step) }, (_, index) => index * step);

let scratch: ScratchDatabase;
const strayed: unknown[] = [];
const catchStray = (error: unknown) => strayed.push(error);

beforeEach(async () => {
  scratch = await createScratchDatabase(inject('postgresUrl'));
  await scratch.sql`create table filled (id integer, name text)`;
  process.on('unhandledRejection', catchStray).on('uncaughtException', catchStray);
});
afterEach(async () => {
  process.off('unhandledRejection', catchStray).off('uncaughtException', catchStray);
  await scratch.drop();
});

/** Work of one kind through a connection that breaks at one byte. */
interface Trial extends Pick<FaultyProxyOptions, 'fault' | 'offset' | 'side'> {
  readonly work: (target: ServerTarget) => Promise<unknown>;
}

/** How the work ended: with its result, or with the code of an error. */
async function run({ work, ...broken }: Trial): Promise<string> {
  const server = parseTarget(scratch.url, { user: 'postgres' });
  if (server.kind !== 'server') throw new Error('the URL names a server');
  const to = server.hosts[0]?.port ?? 0;
  const proxy = await openFaultyProxy({ ...broken, to });
  try {
    const hosts = [{ host: '127.0.0.1', port: proxy.port }];
    await work({ ...server, hosts, connectTimeoutMs: 200 });
    return 'done';
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return typeof code === 'string' ? code : String(error);
  } finally {
    proxy.close();
  }
}

interface Outcome {
  readonly trial: Trial;
  readonly outcome: string;
}

/** A few at a time, so that the server has connections for all. */
async function runAll(trials: readonly Trial[]): Promise<readonly Outcome[]> {
  const waiting = [...trials];
  const outcomes: Outcome[] = [];
  const worker = async () => {
    for (let trial = waiting.pop(); trial; trial = waiting.pop()) {
      outcomes.push({ trial, outcome: await run(trial) });
    }
  };
  await Promise.all(Array.from({ length: 24 }, worker));
  return outcomes;
}

async function querySession(target: ServerTarget): Promise<void> {
  await withSession(target, {}, async (session) => {
    await session.sql`select ${1}::integer as one, ${'a'}::text as a`;
    await withTransaction(session.sql, async () => {
      await session.sql.unsafe('select generate_series(1, 50)');
    });
  });
}

async function queryPool(target: ServerTarget): Promise<void> {
  const db = createDatabase({ target, connectTimeoutMs: 200, maxConnections: 3 });
  const ask = () => sql`select ${1}::integer as one, array[1, null] as list`.execute(db);
  try {
    await Promise.all([ask(), ask(), ask()]);
    await db.transaction().execute((transaction) => sql`select 1`.execute(transaction));
  } finally {
    await db.destroy();
  }
}

async function copyRows(target: ServerTarget): Promise<void> {
  await withSession(target, {}, async (session) => {
    const lines = Array.from({ length: 5 }, (_, chunk) =>
      Buffer.from(`${chunk}\tname\n`.repeat(40)),
    );
    await withTransaction(session.sql, () =>
      copyFrom(session.sql, 'copy filled (id, name) from stdin', lines),
    );
  });
}

interface Kind {
  readonly name: string;
  readonly work: Trial['work'];
  readonly side: 'server' | 'client';
}

const kinds: readonly Kind[] = [
  { name: "the tool's session", work: querySession, side: 'server' },
  { name: 'the pool of createDatabase', work: queryPool, side: 'server' },
  { name: 'a COPY, in the answers', work: copyRows, side: 'server' },
  { name: 'a COPY, in its rows', work: copyRows, side: 'client' },
];

/** Errors of this package, of Node and the driver for a lost connection, and of the server. */
const known =
  /^(done|server-unreachable|login-refused|connection-lost|pool-exhausted|statement-refused|pool-closed|CONNECTION_\w+|E[A-Z]+|ERR_STREAM_\w+|[0-9A-Z]{5})$/;

describe('a connection that breaks at any byte', () => {
  it.each(kinds)(
    'rejects, and the process lives: $name',
    { timeout: 1_200_000 },
    async ({ work, side }) => {
      const trials = faults.flatMap((fault) =>
        offsets.map((offset) => ({ work, side, fault, offset })),
      );
      const outcomes = await runAll(trials);
      expect(strayed).toEqual([]);
      expect(outcomes.filter(({ outcome }) => outcome !== 'done').length).toBeGreaterThan(1);
      // Garbled values are other values, and an error of their parser is one of many.
      const sound = outcomes.filter(({ trial }) => trial.fault !== 'garble');
      expect(sound.filter(({ outcome }) => !known.test(outcome))).toEqual([]);
    },
  );
});
