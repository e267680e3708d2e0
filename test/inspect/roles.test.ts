import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { inspect } from '../../src/inspect/inspect.ts';
import { connect, createScratchDatabase, createScratchRole } from '../support/databases.ts';
import { answerOf } from '../support/inspection.ts';
import { openPlainServer } from '../support/plain-server.ts';
import { scratchDatabase } from '../support/recovery.ts';
import { migratedDatabase } from '../support/seeding.ts';

const timescaleUrl = inject('timescaleUrl');

/** A role that may only log in. */
async function loginRole(server: string) {
  const role = await createScratchRole(server);
  onTestFinished(role.drop);
  return role;
}

describe('a role that may only log in', () => {
  it('is answered, and is told what it cannot see and who can grant it', async () => {
    const server = inject('postgresUrl');
    const role = await loginRole(server);
    const database = await scratchDatabase();
    await database.sql`create table items as select n, n::text as name from generate_series(1, 600000) n`;
    await database.sql`analyze items`;
    const other = connect(`${database.url}?application_name=other`, 1);
    onTestFinished(() => other.end({ timeout: 1 }));
    await other.unsafe('begin; select 1');
    const { answers } = await inspect({ target: role.urlOf(database.url) });
    expect(answers.filter(({ isAnswered }) => !isAnswered)).toEqual([]);
    const unseenOf = (name: string) => answers.find(({ question }) => question === name)?.unseen;
    expect(unseenOf('activity')).toEqual([
      expect.stringContaining(`\`grant pg_read_all_stats to ${role.name}\``),
    ]);
    expect(unseenOf('bloat')).toEqual([
      expect.stringContaining(`\`grant pg_read_all_data to ${role.name}\``),
    ]);
    expect(unseenOf('sizes')).toEqual([]);
  });

  it('sees the session that blocks another one, without its statement', async () => {
    const server = inject('postgresUrl');
    const role = await loginRole(server);
    const database = await scratchDatabase();
    await database.sql`create table items (id int)`;
    const [holder, waiter] = [connect(database.url, 1), connect(database.url, 1)];
    onTestFinished(async () => {
      await holder.end({ timeout: 1 });
      await waiter.end({ timeout: 1 });
    });
    await holder.unsafe('begin; lock table items');
    const waiting = waiter.unsafe('select from items').execute();
    const look = () => answerOf(role.urlOf(database.url), 'locks');
    await expect.poll(async () => (await look()).rows.length).toBe(2);
    const answer = await look();
    expect(answer.rows).toMatchObject([{ depth: 0, state: null, statement: null }, { depth: 1 }]);
    expect(answer.unseen).toEqual([expect.stringContaining('pg_read_all_stats')]);
    await holder.unsafe('rollback');
    await waiting;
  });

  it.skipIf(!timescaleUrl)(
    `sees hypertables, chunks and jobs, and is told that it may not read prices${timescaleUrl ? '' : ' (skipped: it needs a server with TimescaleDB)'}`,
    async () => {
      const role = await loginRole(timescaleUrl ?? '');
      const database = await migratedDatabase();
      await database.withSql(
        (sql) => sql`
          insert into price_history (time, asset_symbol, price_usd) values (now(), 'BTC', 1)`,
      );
      const { answers } = await inspect({ target: role.urlOf(database.url) });
      const unanswered = answers.filter(({ isAnswered }) => !isAnswered);
      expect(unanswered).toMatchObject([
        { question: 'coverage', unseen: [expect.stringContaining('permission denied')] },
      ]);
      const rowsOf = (name: string) => answers.find(({ question }) => question === name)?.rows;
      expect(rowsOf('chunks')).toContainEqual(
        expect.objectContaining({ table: 'price_history', chunks: 1 }),
      );
      expect(rowsOf('sizes')).toContainEqual(
        expect.objectContaining({ table: 'price_history', kind: 'hypertable' }),
      );
      expect(rowsOf('jobs')).toContainEqual(
        expect.objectContaining({ procedure: 'policy_compression', on: 'price_history' }),
      );
    },
  );
});

describe('a database', () => {
  it('without TimescaleDB and prices is told so in a sentence each, and gets no advice about them', async () => {
    const server = await openPlainServer();
    const database = await createScratchDatabase(server.url);
    onTestFinished(async () => {
      await database.drop();
      await server.stop();
    });
    const { answers } = await inspect({
      target: database.url,
      questions: ['jobs', 'chunks', 'coverage', 'sizes', 'locks', 'activity'],
    });
    const empty = Object.fromEntries(answers.map(({ question, empty }) => [question, empty]));
    expect(empty).toEqual({
      sizes: 'The database has no table.',
      activity: 'No other session is in a transaction.',
      locks: 'No session waits for a lock.',
      jobs: 'There is no job: the database has no TimescaleDB.',
      chunks: 'There is no hypertable: the database has no TimescaleDB.',
      coverage: 'There is no price history: the database has no TimescaleDB.',
    });
    for (const answer of answers)
      expect(answer).toMatchObject({ rows: [], advice: [], unseen: [] });
  });

  it('that accepts no writes is inspected all the same', async () => {
    const database = await scratchDatabase();
    await database.sql`create table items (id int)`;
    await database.sql.unsafe(
      `alter database ${database.name} set default_transaction_read_only = on`,
    );
    const { answers } = await inspect({ target: database.url });
    expect(answers.filter(({ isAnswered }) => !isAnswered)).toEqual([]);
    expect(answers[0]?.rows).toMatchObject([{ table: 'items' }]);
  });
});
