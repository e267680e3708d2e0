import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { restore } from '../../src/backup/restore.ts';
import { attemptsOf, hasPgDump, pgDumpMissing, restoredName } from '../support/backup.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

const storeFolder = () => join(temporaryFolder(), 'backups');

describe.skipIf(!hasPgDump)(`a restore that the server refuses${pgDumpMissing}`, () => {
  it('is not taken for a damaged archive when a constraint refuses rows', async () => {
    const { url, sql } = await scratchDatabase();
    // pg_restore sets an empty search path, in which the function does not find the table.
    await sql.unsafe(`
      create table invalid_kinds as select 'coin' as kind;
      create function is_kind(text) returns boolean language plpgsql as $$
        begin
          if not exists (select from invalid_kinds where kind = $1) then raise 'unknown kind'; end if;
          return true;
        end $$;
      create table things (kind text check (is_kind(kind)));
      insert into things values ('coin')`);
    const store = storeFolder();
    const { id } = await create({ target: url, store });
    const into = restoredName(sql);
    await expect(restore({ target: url, store, id, into })).rejects.toMatchObject({
      code: 'program-failed',
      message: expect.stringContaining('relation "invalid_kinds" does not exist'),
    });
    expect(await attemptsOf(sql, into)).toEqual([]);
  });

  it('names a tablespace that is missing, before anything is created', async () => {
    const { url, sql } = await scratchDatabase();
    const space = `cryptosense_scratch_${randomBytes(6).toString('hex')}`;
    await sql.reserve().then(async (session) => {
      await session`set allow_in_place_tablespaces = on`;
      await session.unsafe(`create tablespace ${space} location ''`);
      await session.unsafe(`create table coins (id int) tablespace ${space}`);
      session.release();
    });
    onTestFinished(async () => {
      await sql.unsafe(`drop table if exists coins`);
      await sql.unsafe(`drop tablespace if exists ${space}`);
    });
    const store = storeFolder();
    const { id, manifest } = await create({ target: url, store });
    expect(manifest.tablespaces).toEqual([space]);
    await sql`drop table coins`;
    await sql.unsafe(`drop tablespace ${space}`);
    const into = restoredName(sql);
    await expect(restore({ target: url, store, id, into })).rejects.toMatchObject({
      code: 'server-unsuitable',
      message: expect.stringContaining(`lacks a tablespace of the backup: ${space}`),
    });
    expect(await attemptsOf(sql, into)).toEqual([]);
  });
});
