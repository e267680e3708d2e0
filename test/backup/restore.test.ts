import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { activate } from '../../src/backup/activate.ts';
import { create } from '../../src/backup/create.ts';
import type { Manifest } from '../../src/backup/manifest.ts';
import { restore } from '../../src/backup/restore.ts';
import {
  attemptsOf,
  dropRestored,
  hasPgDump,
  pgDumpMissing,
  restoredName,
} from '../support/backup.ts';
import { createScratchRole, databaseUrl, type ScratchDatabase } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

/** A database with a table, and a backup of it. */
async function backedUp(
  prepare: (database: ScratchDatabase) => Promise<unknown> = async () => {},
): Promise<
  ScratchDatabase & {
    readonly options: { readonly store: string; readonly id: string };
    readonly edit: (change: (manifest: Manifest) => Manifest) => void;
  }
> {
  const database = await scratchDatabase();
  await database.sql`create table coins as select 1 as id`;
  await prepare(database);
  const store = join(temporaryFolder(), 'backups');
  const { id, manifest } = await create({ target: database.url, store });
  const file = join(store, database.name, id, 'manifest.json');
  return {
    ...database,
    options: { store, id },
    edit: (change) => {
      expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(manifest);
      writeFileSync(file, JSON.stringify(change(manifest)));
    },
  };
}

async function stateOf(sql: Sql, name: string) {
  const rows = await sql`
    select datistemplate as "isTemplate", datconnlimit as "limit" from pg_database where datname = ${name}`;
  return [...rows];
}

describe.skipIf(!hasPgDump)(`a restore${pgDumpMissing}`, () => {
  it('lasts longer than the timeouts of its role', async () => {
    const role = await createScratchRole(inject('postgresUrl'));
    onTestFinished(role.drop);
    const { url, sql, options } = await backedUp();
    await sql.unsafe(`
      alter role ${role.name} superuser;
      alter role ${role.name} set idle_session_timeout = '50ms';
      alter role ${role.name} set statement_timeout = '10ms'`);
    const into = restoredName(sql);
    expect(await restore({ ...options, target: role.urlOf(url), into })).toMatchObject({
      database: into,
    });
  });

  it('activates a database that is read-only by its settings, with its limit of connections', async () => {
    const { url, sql, options } = await backedUp(({ sql: source, name }) =>
      source.unsafe(`
        alter database "${name}" set default_transaction_read_only = on;
        alter database "${name}" connection limit 7`),
    );
    const admin = inject('postgresUrl');
    const into = restoredName(sql);
    expect(await restore({ ...options, target: admin, into, activate: true })).toMatchObject({
      isActive: true,
    });
    expect(await stateOf(sql, into)).toEqual([{ isTemplate: false, limit: 7 }]);
    const other = restoredName(sql);
    await restore({ ...options, target: admin, into: other });
    expect(await stateOf(sql, other)).toEqual([{ isTemplate: true, limit: 7 }]);
    await activate({ target: databaseUrl(url, other) });
    expect(await stateOf(sql, other)).toEqual([{ isTemplate: false, limit: 7 }]);
  });

  it('leaves nothing under the name when the database cannot be activated', async () => {
    const { sql, options, edit } = await backedUp();
    edit((manifest) => ({
      ...manifest,
      settings: ['ALTER DATABASE %DATABASE% SET session_preload_libraries TO no_such_library'],
    }));
    const into = restoredName(sql);
    const request = { ...options, target: inject('postgresUrl'), into, activate: true };
    await expect(restore(request)).rejects.toThrow(/no_such_library/);
    expect(await stateOf(sql, into)).toEqual([]);
    expect(await attemptsOf(sql, into)).toEqual([]);
    await expect(restore({ ...request, keep: true })).rejects.toThrow(/no_such_library/);
    expect(await stateOf(sql, into)).toEqual([]);
    const [kept = ''] = await attemptsOf(sql, into);
    expect(await stateOf(sql, kept)).toMatchObject([{ isTemplate: true }]);
    await dropRestored(sql, kept);
  });

  it('refuses a name that PostgreSQL would cut', async () => {
    const { url, sql, options } = await backedUp();
    const into = `${'x'.repeat(62)}é`;
    await expect(restore({ ...options, target: url, into })).rejects.toMatchObject({
      code: 'bad-configuration',
      message: expect.stringContaining('64 bytes'),
    });
    expect(await stateOf(sql, into.slice(0, 62))).toEqual([]);
  });

  it('says that the name is taken when another restore was faster', async () => {
    const { url, sql, options } = await backedUp();
    const into = restoredName(sql);
    const request = { ...options, target: url, into };
    const outcomes = await Promise.allSettled([restore(request), restore(request)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(
      outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : [])),
    ).toMatchObject([{ code: 'database-exists', details: { database: into } }]);
    expect(await attemptsOf(sql, into)).toEqual([]);
  });
});

describe('activate', () => {
  it.each(['template1', 'its own'])(
    'refuses %s database, which no restore has left off',
    async (which) => {
      const { url, sql, name } = await scratchDatabase();
      const database = which === 'template1' ? which : name;
      await expect(activate({ target: databaseUrl(url, database) })).rejects.toMatchObject({
        code: 'environment-refused',
        message: `"${database}" is not a database that a restore has left off`,
      });
      expect(await stateOf(sql, 'template1')).toMatchObject([{ isTemplate: true }]);
    },
  );
});
