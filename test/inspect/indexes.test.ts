import { describe, expect, it } from 'vitest';
import { answerOf, inCountedSession, rowOf } from '../support/inspection.ts';
import { scratchDatabase } from '../support/recovery.ts';

/** A database with these tables, and what `inspect indexes` says of it. */
async function inspectIndexes(statements: readonly string[]) {
  const database = await scratchDatabase();
  await inCountedSession(database.url, async (sql) => {
    for (const statement of statements) await sql.unsafe(statement);
  });
  return answerOf(database.url, 'indexes');
}

const readOften = (table: string, column: string) => `
  do $$ declare found int; begin
    for number in 1..1000 loop select ${column} into found from ${table} where ${column} = number; end loop;
  end $$`;
const manyRows = 'insert into items select n, n, n from generate_series(1, 60000) n';

describe('indexes', () => {
  it('are quiet where each is needed', async () => {
    const { rows, advice } = await inspectIndexes([
      'create table owners (id int primary key, name text)',
      'create table items (id int primary key, owner int references owners, price int)',
      'create index on items (owner, price)',
      'create index on items (price)',
      'create index on items (price) where owner is null',
      'create index on owners (lower(name))',
      'create index on owners (name text_pattern_ops)',
      'create index on owners (name)',
    ]);
    expect({ rows, advice }).toEqual({ rows: [], advice: [] });
  });

  it('names an index that equals another one, and keeps that of a constraint', async () => {
    const answer = await inspectIndexes([
      'create table items (id int primary key, a int, b int, unique (a, b))',
      'create index twin on items (a, b)',
      'create index backward on items (a desc, b desc)',
      'create index one on items (b) include (a)',
      'create index two on items (b) include (a)',
      'create unique index again on items (a, b)',
    ]);
    expect(answer.rows).toMatchObject([
      { name: 'backward', fault: 'duplicate' },
      { name: 'twin', fault: 'duplicate' },
      { name: 'two', fault: 'duplicate', detail: 'same as one' },
    ]);
    expect(answer.advice[2]).toContain('`drop index concurrently two`');
    expect(answer.advice.join()).not.toMatch(/drop index concurrently (items_|again)/);
  });

  it('names an index whose columns another one with the same predicate begins with', async () => {
    const answer = await inspectIndexes([
      'create table items (id int primary key, a int, b int, c text)',
      'create index short on items (a)',
      // Read backwards.
      'create index long on items (a desc, b)',
      'create unique index single on items (b)',
      'create index wide on items (b, c)',
      'create index part on items (c) where a > 0',
      'create index other on items (c, b) where a > 1',
    ]);
    expect(answer.rows).toMatchObject([
      { name: 'short', fault: 'prefix', detail: 'its columns lead long' },
    ]);
  });

  it('names an index that no query has used, since when, and what replicas may know', async () => {
    const answer = await inspectIndexes([
      'create table items (id int primary key, owner int, price int)',
      manyRows,
      'create index unused on items (price)',
      'create unique index kept on items (owner)',
      readOften('items', 'id'),
    ]);
    expect(answer.rows).toMatchObject([{ name: 'unused', fault: 'unused', scans: 0 }]);
    expect(answer.advice[0]).toContain('the counters were never reset');
    expect(answer.advice[0]).toContain('Replicas have their own counts');
    expect(answer.advice[0]).toContain('`drop index concurrently unused`');
  });

  it('keeps an index that a foreign key needs, and waits a week after the counters were reset', async () => {
    const answer = await inspectIndexes([
      'create table owners (id int primary key)',
      'create table items (id int primary key, owner int references owners, price int)',
      'insert into owners select n from generate_series(1, 60000) n',
      manyRows,
      'create index on items (owner)',
      readOften('items', 'id'),
    ]);
    expect(answer.rows).toEqual([]);
    const reset = await inspectIndexes([
      'create table items (id int primary key, owner int, price int)',
      manyRows,
      'create index on items (price)',
      'select pg_stat_reset()',
      readOften('items', 'id'),
    ]);
    expect(reset.rows).toEqual([]);
  });

  it('names an invalid index and one that REINDEX left behind', async () => {
    const answer = await inspectIndexes([
      'create table items (id int primary key, price int)',
      'create index broken on items (price)',
      'create index broken_ccnew on items (price)',
      `update pg_index set indisvalid = false
       where indexrelid in ('broken'::regclass, 'broken_ccnew'::regclass)`,
    ]);
    expect(answer.rows).toMatchObject([
      { name: 'broken', fault: 'invalid' },
      { name: 'broken_ccnew', fault: 'invalid' },
    ]);
    expect(answer.advice[0]).toContain('`reindex index concurrently broken`');
    expect(answer.advice[1]).toContain('`drop index concurrently broken_ccnew`');
  });

  it('names foreign keys without an index, and accepts columns in another order', async () => {
    const answer = await inspectIndexes([
      'create table owners (a int, b int, id int primary key, unique (a, b))',
      `create table items (id int primary key, a int, b int, "Owner" int references owners, part int references owners,
        foreign key (a, b) references owners (a, b))`,
      'create index on items (b, a, id)',
      'create index on items (part) where part > 0',
      'create table notes (owner int references owners)',
      'create index on notes (owner) where owner is not null',
    ]);
    expect(answer.rows).toMatchObject([
      { name: '"items_Owner_fkey"', fault: 'foreign key', detail: 'no index on ("Owner")' },
      { name: 'items_part_fkey', fault: 'foreign key' },
    ]);
    expect(answer.advice[0]).toContain('`create index concurrently on items ("Owner")`');
  });

  it('estimates how much of an index is bloat, and says that it is an estimate', async () => {
    const answer = await inspectIndexes([
      'create table items (id int, price int)',
      'insert into items select n, n from generate_series(1, 700000) n',
      'create index items_price on items (price)',
      'delete from items where id % 20 <> 0',
      'vacuum analyze items',
    ]);
    expect(rowOf(answer, 'name', 'items_price')).toMatchObject({ fault: 'bloated' });
    expect(answer.advice[0]).toContain('by an estimate');
    expect(answer.advice[0]).toContain('`reindex index concurrently items_price`');
  });

  it('waits a week after the first migration', async () => {
    const statements = [
      'create table items (id int primary key, price int)',
      'insert into items select n, n from generate_series(1, 60000) n',
      'create index on items (price)',
      readOften('items', 'id'),
      'create schema cryptosense_db',
    ];
    const migrated = (age: string) =>
      `create table cryptosense_db.migrations as select now() - interval '${age}' as applied_at`;
    const young = await inspectIndexes([...statements, migrated('6 days')]);
    expect(young.rows).toEqual([]);
    const old = await inspectIndexes([...statements, migrated('8 days')]);
    expect(old.rows).toMatchObject([
      { fault: 'unused', detail: expect.stringMatching(/^no scan since 2/) },
    ]);
  });

  it('counts the indexes of partitions to that of their table', async () => {
    const answer = await inspectIndexes([
      'create table items (id int, price int) partition by range (id)',
      'create table items_low partition of items for values from (0) to (30000)',
      'create table items_high partition of items for values from (30000) to (70000)',
      'create index on items (id)',
      'create index on items (price)',
      'insert into items select n, n from generate_series(1, 60000) n',
      readOften('items', 'id'),
    ]);
    expect(answer.rows).toMatchObject([
      { table: 'items', name: 'items_price_idx', fault: 'unused' },
    ]);
    expect(answer.rows[0]?.bytes).toBeGreaterThan(1e6);
    expect(answer.advice[0]).toContain('`drop index items_price_idx`');
  });
});
