import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { CryptosenseDbError } from '../../src/runtime/errors.ts';
import {
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
  type ScratchRole,
} from '../support/databases.ts';
import { wordsOf } from '../support/errors.ts';
import { fixture, writePairs } from '../support/fixtures.ts';

const basic = fixture('cli-basic');
let database: ScratchDatabase;
let role: ScratchRole;

beforeEach(async () => {
  database = await createScratchDatabase(inject('postgresUrl'));
  role = await createScratchRole(inject('postgresUrl'));
});
afterEach(async () => {
  await database.drop();
  await role.drop();
});

async function errorOfRun(folders: migrate.MigrateOptions | object = basic) {
  const run = migrate.up({ target: role.urlOf(database.url), ...basic, ...folders });
  const error: unknown = await run.catch((reason: unknown) => reason);
  if (!(error instanceof CryptosenseDbError)) throw new Error(`not an error of ours: ${error}`);
  return error;
}

describe('a role', () => {
  it('that may not create schemas is told the grant', async () => {
    const error = await errorOfRun();
    expect(error).toMatchObject({ code: 'not-permitted' });
    expect(wordsOf(error)).toContain('grant create on database');
  });

  it('without CREATE on public is told the grant', async () => {
    await database.sql.unsafe(`grant create on database ${database.name} to ${role.name}`);
    const error = await errorOfRun();
    expect(error).toMatchObject({ code: 'migration-failed', details: { sqlState: '42501' } });
    expect(wordsOf(error)).toContain(`grant create on schema "public" to "${role.name}"`);
  });

  it('that is read-only is told its own setting, not that the server is a standby', async () => {
    await database.sql.unsafe(`alter role ${role.name} set default_transaction_read_only = on`);
    const error = await errorOfRun();
    expect(error).toMatchObject({ code: 'no-primary' });
    expect(wordsOf(error)).toContain('default_transaction_read_only is on for the user');
    expect(wordsOf(error)).not.toContain('standby');
  });

  it('with a statement timeout is told which, and how to lift it', async () => {
    await database.sql.unsafe(`grant create on database ${database.name} to ${role.name}`);
    await database.sql.unsafe(`alter role ${role.name} set statement_timeout = '300ms'`);
    const folders = writePairs({ '20260101_000000_sleep': ['SELECT pg_sleep(60);', 'SELECT 1;'] });
    const error = await errorOfRun(folders);
    expect(error).toMatchObject({ code: 'migration-failed', details: { sqlState: '57014' } });
    expect(wordsOf(error)).toContain('statement_timeout = 0');
  });

  it('with too few connections is told the limit', async () => {
    await database.sql.unsafe(`alter role ${role.name} connection limit 0`);
    const error = await errorOfRun();
    expect(error).toMatchObject({ code: 'server-unreachable' });
    expect(wordsOf(error)).toContain('connection limit');
  });
});
