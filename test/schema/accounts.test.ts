import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { isError } from '../../src/runtime/errors.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

const before = '20261127_120100';
const version = '20261127_120200';
const first = 'aaaaaaaa-0000-4000-8000-000000000001';
const second = 'aaaaaaaa-0000-4000-8000-000000000002';

let database: TimescaleDatabase;
afterEach(() => database?.drop());

const ask = (query: string) => database.withSql((sql) => sql.unsafe(query));
const emails = () => ask('select email from users order by id');
const register = (id: string, email: string) =>
  ask(`insert into users (id, email, password_hash, created_at)
    values ('${id}', '${email}', 'hash', '2026-01-01')`);

async function refusal(run: Promise<unknown>): Promise<string> {
  const error: unknown = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: 'migration-failed', details: { sqlState: '23505' } });
  return isError(error) ? JSON.stringify(error.problems) : '';
}

describe('the migration to one account for an address', () => {
  beforeEach(async () => {
    database = await createMigratedDatabase({ environment: 'dev' });
    await migrate.down({ target: database.url, to: before });
  });

  it('refuses accounts whose addresses differ in case only, by id and without the address, and runs once they do not', async () => {
    await register(first, 'ada@example.com');
    await register(second, 'Ada@Example.com');
    await register('aaaaaaaa-0000-4000-8000-000000000003', 'ben@example.com');

    const message = await refusal(migrate.up({ target: database.url, to: version }));
    expect(message).toContain(`differ in case only`);
    expect(message).toContain(`The groups: ${first}, ${second}`);
    expect(message).not.toMatch(/example/i);

    await ask(`update users set deleted_at = now() where id = '${second}'`);
    expect(await migrate.up({ target: database.url, to: version })).toMatchObject({
      steps: [{ version }],
    });
    expect(await emails()).toHaveLength(3);
  });
});

describe('its rollback', () => {
  beforeEach(async () => {
    database = await createMigratedDatabase({ environment: 'dev' });
  });

  it('refuses an address that was registered again, by id and without the address, and runs once it is changed', async () => {
    await register(first, 'ada@example.com');
    await ask('update users set deleted_at = now()');
    await register(second, 'ada@example.com');

    const message = await refusal(migrate.down({ target: database.url, to: before }));
    expect(message).toContain('deleted accounts included');
    expect(message).toContain(`The groups: ${first}, ${second}`);
    expect(message).not.toMatch(/example/i);

    await ask(`update users set email = '${first}@example.com' where id = '${first}'`);
    await migrate.down({ target: database.url, to: before });
    expect(await ask(`select from pg_constraint where conname = 'users_email_key'`)).toHaveLength(
      1,
    );
  });
});
