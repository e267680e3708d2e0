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

describe.skipIf(!hasPgDump)(`the role that backs up${pgDumpMissing}`, () => {
  const refusals = [
    {
      what: 'a table',
      statement: 'create table coins (id int)',
      right: 'grant pg_read_all_data to ROLE',
    },
    {
      what: 'a table with row-level security',
      statement:
        'create table coins (id int); alter table coins enable row level security; grant pg_read_all_data to ROLE',
      right: 'alter role ROLE bypassrls',
    },
    {
      what: 'a large object',
      statement: `select lo_from_bytea(4711, 'x'); grant pg_read_all_data to ROLE`,
      right: 'alter role ROLE set lo_compat_privileges = on',
    },
  ];
  it.each(refusals)('is told which right it lacks for $what', async ({ statement, right }) => {
    const role = await createScratchRole(inject('postgresUrl'));
    onTestFinished(role.drop);
    const { url, sql } = await scratchDatabase();
    const named = (text: string) => text.replaceAll('ROLE', `"${role.name}"`);
    await sql.unsafe(named(statement));
    const backUp = () =>
      create({ target: role.urlOf(url), store: join(temporaryFolder(), 'backups') });
    await expect(backUp()).rejects.toMatchObject({
      code: 'not-permitted',
      problems: [
        {
          message: expect.stringContaining(`the role "${role.name}" may not read`),
          hint: expect.stringContaining(named(right)),
        },
      ],
    });
    await sql.unsafe(named(right));
    expect(await backUp()).toMatchObject({ target: expect.any(String) });
  });
});
