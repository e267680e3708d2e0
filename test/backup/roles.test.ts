import { join } from 'node:path';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { hasPgDump, pgDumpMissing } from '../support/backup.ts';
import { createScratchRole } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

describe.skipIf(!hasPgDump)(`the roles in a manifest${pgDumpMissing}`, () => {
  it.each([
    { what: 'nothing', statement: '', isThere: false },
    { what: 'an extension', statement: 'create extension pgcrypto', isThere: false },
    { what: 'a table', statement: 'create table coins (id int)', isThere: true },
    { what: 'a schema', statement: 'create schema vault', isThere: true },
    {
      what: 'a grant on a table of another role',
      statement:
        'create table coins (id int); alter table coins owner to OWNER; grant select on coins to SUPERUSER',
      isThere: true,
    },
    {
      what: 'a policy on a table of another role',
      statement:
        'create table coins (id int); create policy all_rows on coins to SUPERUSER; alter table coins owner to OWNER',
      isThere: true,
    },
  ])(
    'have the one that initdb has made where it has $what: $isThere',
    async ({ statement, isThere }) => {
      const owner = await createScratchRole(inject('postgresUrl'));
      onTestFinished(owner.drop);
      const { url, sql, name } = await scratchDatabase();
      const [{ superuser }] = await sql<[{ superuser: string }]>`
      select rolname as superuser from pg_roles where oid = 10`;
      await sql.unsafe(`alter database "${name}" owner to ${owner.name}`);
      await sql.unsafe(
        statement.replaceAll('SUPERUSER', superuser).replaceAll('OWNER', owner.name),
      );
      const { manifest } = await create({ target: url, store: join(temporaryFolder(), 'backups') });
      expect(manifest.roles).toEqual([...(isThere ? [superuser] : []), owner.name].sort());
    },
  );
});
