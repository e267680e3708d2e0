import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { restore } from '../../src/backup/restore.ts';
import {
  connectTo,
  hasPgDump,
  hasTimescaleServer,
  pgDumpMissing,
  restoredName,
  timescaleMissing,
} from '../support/backup.ts';
import { connect } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

const storeFolder = () => join(temporaryFolder(), 'backups');

describe.skipIf(!hasPgDump)(`what a restore compares${pgDumpMissing}`, () => {
  it('leaves out the rows of a materialized view, which a dump does not have', async () => {
    const { url, sql, name } = await scratchDatabase();
    await sql.unsafe(`
      create table coins as select 1 as id;
      create materialized view stale as select * from coins;
      create materialized view never_filled as select * from coins with no data;
      insert into coins values (2)`);
    const store = storeFolder();
    const { manifest, id } = await create({ target: url, store });
    expect(manifest.tables.map((table) => table.name)).toEqual(['public.coins']);
    expect(manifest.materializedViews).toEqual([
      { name: 'public.never_filled', isPopulated: false },
      { name: 'public.stale', isPopulated: true },
    ]);
    const into = restoredName(sql);
    await restore({ target: url, store, id: 'latest', into });
    expect(await connectTo(url, into)`select count(*)::int as rows from stale`).toMatchObject([
      { rows: 2 },
    ]);
    // A manifest that was written when rows of materialized views were still counted.
    const file = join(store, name, id, 'manifest.json');
    const older = {
      ...manifest,
      materializedViews: manifest.materializedViews.slice(0, 1),
      tables: [
        ...manifest.tables,
        { name: 'public.stale', kind: 'materialized view', rows: 1, hash: '12' },
      ],
    };
    writeFileSync(file, JSON.stringify(older));
    await restore({ target: url, store, id: 'latest', into: restoredName(sql) });
    const wrong = readFileSync(file, 'utf8').replace('"isPopulated":false', '"isPopulated":true');
    writeFileSync(file, wrong);
    await expect(
      restore({ target: url, store, id: 'latest', into: restoredName(sql) }),
    ).rejects.toMatchObject({
      code: 'restore-differs',
      details: {
        differences: [
          'materialized view public.never_filled: isPopulated true in the backup, false restored',
        ],
      },
    });
  });

  it('does not depend on the order of columns, which a column of a parent table changes', async () => {
    const { url, sql } = await scratchDatabase();
    await sql.unsafe(`
      create table events (id int, dropped int);
      create table logins (address text) inherits (events);
      alter table events add column at timestamptz;
      alter table events drop column dropped;
      insert into logins values (1, '10.0.0.1', '2026-01-31T00:00:00Z');
      create table without_columns ();
      insert into without_columns default values`);
    const store = storeFolder();
    await create({ target: url, store });
    const into = restoredName(sql);
    await restore({ target: url, store, id: 'latest', into });
    const restored = connectTo(url, into);
    const columns = await restored<{ name: string }[]>`
      select attname as name from pg_attribute
      where attrelid = 'logins'::regclass and attnum > 0 order by attnum`;
    expect(columns.map((column) => column.name)).toEqual(['id', 'at', 'address']);
  });
});

describe.skipIf(!hasTimescaleServer)(
  `a backup of a database with TimescaleDB${timescaleMissing}`,
  () => {
    it('has tables of schemas that are named as those of TimescaleDB, and no chunks', async () => {
      const { url, sql } = await scratchDatabase(inject('timescaleUrl'));
      await sql.unsafe(`
      create extension if not exists timescaledb;
      create schema timescaledb_mine;
      create table timescaledb_mine.coins as select 1 as id;
      create schema _timescaledb_mine;
      create table _timescaledb_mine.coins as select 2 as id;
      create table prices (time timestamptz not null);
      select create_hypertable('prices', 'time');
      insert into prices values (now())`);
      const { manifest } = await create({ target: url, store: storeFolder() });
      expect(manifest.tables.map(({ name, kind, rows }) => [name, kind, rows])).toEqual([
        ['_timescaledb_mine.coins', 'table', 1],
        ['timescaledb_mine.coins', 'table', 1],
        ['public.prices', 'hypertable', 1],
      ]);
    });

    it('is refused where the extension is in another schema than public', async () => {
      const { url, sql } = await scratchDatabase(inject('timescaleUrl'));
      await sql.unsafe('drop extension if exists timescaledb cascade');
      const other = connect(url, 1);
      onTestFinished(() => other.end({ timeout: 1 }));
      await other.unsafe('create schema elsewhere');
      await other.unsafe('create extension timescaledb schema elsewhere');
      await expect(create({ target: url, store: storeFolder() })).rejects.toMatchObject({
        code: 'server-unsuitable',
        message: expect.stringContaining('TimescaleDB is in the schema "elsewhere"'),
      });
    });
  },
);
