import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { snapshot } from '../../../src/schema/schema.ts';
import { compareSnapshots } from '../../../src/schema/snapshot/difference.ts';
import { printSnapshot, type Snapshot } from '../../../src/schema/snapshot/snapshot.ts';
import { hasPgDump, pgDumpMissing } from '../../support/backup.ts';
import { createScratchDatabase, type ScratchDatabase } from '../../support/databases.ts';
import { createTimescaleDatabase } from '../../support/schema-database.ts';
import { everything } from './everything.ts';

const run = promisify(execFile);
const programs = '/usr/lib/postgresql/15/bin';

describe('the snapshot of a database with every kind of object', () => {
  let database: ScratchDatabase;
  let other: ScratchDatabase;
  let first: Snapshot;

  beforeAll(async () => {
    database = await createScratchDatabase(inject('postgresUrl'));
    other = await createScratchDatabase(inject('postgresUrl'));
    await database.sql.unsafe(everything);
    first = await read(database);
  });
  afterAll(async () => {
    await other.drop();
    await database.drop();
  });

  it('has each of them with what is said of it', async () => {
    await expect(printSnapshot(first)).toMatchFileSnapshot('everything.snapshot');
  });

  it.skipIf(!hasPgDump)(
    `has the same bytes after a dump and a restore${pgDumpMissing}`,
    async () => {
      const { stdout } = await run(`${programs}/pg_dump`, ['--schema-only', database.url]);
      await other.sql.unsafe(
        stdout.replaceAll(/^\\.*$/gm, '').replaceAll(/^SELECT pg_catalog.set_config.*$/gm, ''),
      );
      expect(compareSnapshots(first, await read(other))).toEqual([]);
      expect(printSnapshot(await read(other))).toBe(printSnapshot(first));
    },
  );

  it('is the same on the embedded engine, which is a later release of PostgreSQL', async () => {
    const empty = await createTimescaleDatabase();
    await empty.withSql((sql) => sql.unsafe(everything));
    const second = await read(empty);
    await empty.drop();
    const named = ({ objects }: Snapshot) => objects.filter(({ kind }) => kind !== 'database');
    expect(named(second)).toEqual(named(first));
  });

  it('does not depend on settings of the database', async () => {
    const own = await createScratchDatabase(inject('postgresUrl'));
    await own.sql.unsafe(`
      create table paths (path text default E'a\\\\b' check (path ~ E'\\\\d'), every interval default '1 day');
      create view digits as select path from paths where path like E'\\\\_%'`);
    const before = printSnapshot(await read(own));
    for (const setting of [
      'standard_conforming_strings = off',
      'quote_all_identifiers = on',
      'search_path = public',
      "intervalstyle = 'iso_8601'",
    ]) {
      await own.sql.unsafe(`do $$ begin
        execute format('alter database %I set ${setting.replaceAll("'", "''")}', current_database());
      end $$`);
    }
    const after = printSnapshot(await read(own));
    await own.drop();
    expect(after).toBe(before);
  });

  it.each([
    ['a default', "alter table app.coins alter name set default 'x'", 'table', 'app.coins'],
    [
      'an index left invalid',
      "update pg_index set indisvalid = false where indexrelid = 'app.coins_symbol'::regclass",
      'table',
      'app.coins',
    ],
    ['an index', 'drop index app.coins_symbol', 'table', 'app.coins'],
    [
      'a CHECK',
      'alter table app.coins drop constraint price_known, add constraint price_known check (price <> 8)',
      'table',
      'app.coins',
    ],
    ['a trigger', 'alter table app.coins enable trigger touched', 'table', 'app.coins'],
    ['a policy', 'alter policy own on app.coins using (true)', 'table', 'app.coins'],
    ['row security', 'alter table app.coins force row level security', 'table', 'app.coins'],
    ['a comment', 'comment on column app.coins.symbol is null', 'table', 'app.coins'],
    ['a grant', 'grant select (name) on app.coins to public', 'table', 'app.coins'],
    [
      'what the owner may do',
      'revoke update, trigger on app.coins from current_user',
      'table',
      'app.coins',
    ],
    [
      'the body of a function',
      "create or replace function twice(x int, y int default 2) returns int language sql immutable as 'select 0'",
      'function',
      'public.twice(x integer, y integer)',
    ],
    [
      'a default of an argument',
      "create or replace function twice(x int, y int default 3) returns int language sql immutable as 'select x * y'",
      'function',
      'public.twice(x integer, y integer)',
    ],
    [
      'a view',
      'create or replace view busy as select symbol, 1::bigint as n from app.coins',
      'view',
      'public.busy',
    ],
    ['a word of an enum', "alter type mood add value 'glad'", 'type', 'public.mood'],
    ['a domain', 'alter domain positive drop not null', 'type', 'public.positive'],
    [
      'a comment on the check of a domain',
      "comment on constraint positive_check on domain positive is 'More than nothing'",
      'type',
      'public.positive',
    ],
    ['a sequence', 'alter sequence numbers increment 6', 'sequence', 'public.numbers'],
    [
      'a partition',
      'alter table prices detach partition prices_2026',
      'table',
      'public.prices_2026',
    ],
    [
      'a publication',
      'alter publication outgoing set (publish = insert)',
      'publication',
      'outgoing',
    ],
    ['an event trigger', 'alter event trigger noticed disable', 'event trigger', 'noticed'],
    ['a schema', 'comment on schema app is null', 'schema', 'app'],
    [
      'the enforcement of a foreign key',
      'alter table prices_2026 disable trigger all',
      'table',
      'public.prices_2026',
    ],
    [
      'the index of a key',
      'alter index app.coins_pkey set (fillfactor = 50)',
      'table',
      'app.coins',
    ],
  ])('shows that %s was changed, and nothing else', async (_, statement, kind, name) => {
    const before = await read(database);
    await database.sql.unsafe(statement);
    const [difference, ...others] = compareSnapshots(before, await read(database));
    expect(difference).toMatchObject({ change: 'changed', kind, name });
    expect(others).toEqual([]);
  });
});

async function read({ url }: { readonly url: string }): Promise<Snapshot> {
  return (await snapshot({ target: url, grants: true })).snapshot;
}
