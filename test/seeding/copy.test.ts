import { describe, expect, it } from 'vitest';
import { withSession } from '../../src/database/connection.ts';
import { copyFrom } from '../../src/database/copy.ts';
import { resolveTarget } from '../../src/database/target.ts';
import { onServer } from '../support/databases.ts';
import { scratchDatabase, until } from '../support/recovery.ts';

/** Copies those chunks into a table `t (id int primary key, word text)` of a plain PostgreSQL. */
async function copy(chunks: Iterable<Buffer> | AsyncIterable<Buffer>, setup = '') {
  const database = await scratchDatabase();
  await database.sql.unsafe(`create table t (id int primary key, word text); ${setup}`);
  const copied = withSession(resolveTarget(database.url), {}, async (session) => {
    await copyFrom(session.sql, 'copy t (id, word) from stdin', chunks);
    const [{ one }] = await session.sql<[{ one: number }]>`select 1 as one`;
    return one;
  });
  return { database, copied };
}

const chunksOf = (...texts: readonly string[]) => texts.map((text) => Buffer.from(text));

/** More than sockets hold: the error comes while the client still writes. */
function* many(from: number, count: number): Generator<Buffer> {
  for (let start = from; start < from + count; start += 1_000) {
    const lines = Array.from(
      { length: 1_000 },
      (_, index) => `${start + index}\t${'x'.repeat(80)}\n`,
    );
    yield Buffer.from(lines.join(''));
  }
}

async function* wrecked() {
  yield* many(1, 5_000);
  throw new Error('the source dried up');
}

describe('a COPY', () => {
  it('writes every row, and the session runs the next query', async () => {
    const { database, copied } = await copy(many(1, 50_000));
    expect(await copied).toBe(1);
    const [row] = await database.sql`select count(*)::int as count from t`;
    expect(row).toEqual({ count: 50_000 });
  });

  it('writes nothing when its source has no rows', async () => {
    const { database, copied } = await copy([]);
    expect(await copied).toBe(1);
    expect(await database.sql`select from t`).toHaveLength(0);
  });

  it.each([
    ['a bad row at the end', chunksOf('1\ta\n', 'two\tb\n'), '22P02'],
    ['a bad row at the start', chunksOf('one\ta\n'), '22P02'],
    ['a row without its columns', chunksOf('1\n'), '22P04'],
    ['a duplicate key', chunksOf('1\ta\n1\tb\n'), '23505'],
    ['a bad row among many', [...chunksOf('x\ta\n'), ...many(1, 100_000)], '22P02'],
    ['a bad row after many', [...many(1, 100_000), ...chunksOf('x\ta\n')], '22P02'],
  ])('rejects %s and writes nothing', async (_, chunks, code) => {
    const { database, copied } = await copy(chunks);
    await expect(copied).rejects.toMatchObject({ details: { sqlState: code } });
    expect(await database.sql`select from t`).toHaveLength(0);
  });

  it('rejects rows that a deferred constraint refuses at the end', async () => {
    const { database, copied } = await copy(
      chunksOf('1\ta\n2\ta\n'),
      'alter table t add unique (word) deferrable initially deferred',
    );
    await expect(copied).rejects.toMatchObject({ details: { sqlState: '23505' } });
    expect(await database.sql`select from t`).toHaveLength(0);
  });

  it('rejects rows that a trigger refuses after the last row', async () => {
    const { database, copied } = await copy(
      chunksOf('1\ta\n'),
      `create function refuse() returns trigger language plpgsql as $$
       begin perform pg_sleep(0.3); raise exception 'not today'; end $$;
       create trigger t after insert on t for each statement execute function refuse();`,
    );
    await expect(copied).rejects.toThrow('not today');
    expect(await database.sql`select from t`).toHaveLength(0);
  });

  it('rejects with the error of its source, and writes nothing', async () => {
    const { database, copied } = await copy(wrecked());
    await expect(copied).rejects.toThrow('the source dried up');
    expect(await database.sql`select from t`).toHaveLength(0);
  });

  it.each(['between chunks', 'at its end'])(
    'rejects when its backend is killed %s, and writes nothing',
    async (moment) => {
      let open = () => {};
      const opened = new Promise<void>((resolve) => {
        open = resolve;
      });
      async function* halted() {
        yield Buffer.from('1\ta\n');
        await opened;
        if (moment === 'between chunks') yield* many(2, 200_000);
      }
      const { database, copied } = await copy(halted());
      const outcome = copied.then(
        () => 'silent success',
        (error: unknown) => error,
      );
      await until('the COPY', async () => {
        const found = await database.sql`
          select from pg_stat_activity where query like 'copy t%' and datname = current_database()`;
        return found.length > 0;
      });
      await onServer(
        database.url,
        (admin) => admin`
          select pg_terminate_backend(pid) from pg_stat_activity
          where query like 'copy t%' and datname = current_database()`,
      );
      open();
      expect(await outcome).toMatchObject({ code: 'connection-lost' });
      expect(await database.sql`select from t`).toHaveLength(0);
    },
  );
});
