import { describe, expect, it } from 'vitest';
import { withoutLiterals } from '../../src/database/lock.ts';
import { remedyOf } from '../../src/database/remedies.ts';

const errorOf = (code: string, message: string) =>
  Object.assign(new Error(message), { code, severity: 'ERROR' });

describe('an error of the server', () => {
  it.each([
    ['57014', 'canceling statement due to statement timeout', /statement_timeout/],
    ['57014', 'canceling statement due to user request', /pg_cancel_backend/],
    ['57P01', 'terminating connection due to administrator command', /pg_terminate_backend/],
    ['57P02', 'terminating connection because of crash of another server process', /crashed/],
    ['57P05', 'terminating connection due to idle-session timeout', /idle_session_timeout/],
    ['25P03', 'terminating connection due to idle-in-transaction timeout', /idle_in_transaction/],
    ['25006', 'cannot execute CREATE TABLE in a read-only transaction', /alter role "me" set/],
    ['42501', 'permission denied for schema public', /grant create on schema "public" to "me"$/],
    ['42501', 'permission denied for database d', /grant create on database "d" to "me"$/],
    ['42501', 'must be owner of table t', /owner/],
    ['55006', 'database "d" is being accessed by other users', /pooler/],
    ['53300', 'sorry, too many clients already', /max_connections/],
  ])('has a remedy: %s %s', (code, message, remedy) => {
    expect(remedyOf(errorOf(code, message), { user: 'me' })).toMatch(remedy);
  });

  it('of another kind has none', () => {
    expect(remedyOf(errorOf('23505', 'duplicate key'), { user: 'me' })).toBeUndefined();
    expect(remedyOf(errorOf('42501', 'permission denied for table t'))).toBeUndefined();
  });
});

describe('the query of a session that blocks', () => {
  it.each([
    [
      "update users set email = 'secret@x' where id = 12345",
      'update users set email = ? where id = ?',
    ],
    ["select 'a--b', 'secret' -- secret\n, 'secret'", 'select ?, ? , ?'],
    ["select E'it\\'s secret', 'it''s secret', $$secret$$, $t$ 'secret' $t$", 'select ?, ?, ?, ?'],
    [
      'select "o\'brien", t1.c2, $1 from /* secret */ "a b"',
      'select "o\'brien", t1.c2, $1 from "a b"',
    ],
    ["insert into t values ('secret", 'insert into t values (?'],
    ['lock\n  table   t', 'lock table t'],
  ])('is shown without values: %j', (query, shown) => {
    const holder = { pid: 1, applicationName: 'a', address: null, since: null, query };
    expect(withoutLiterals(holder).query).toBe(shown);
  });

  it('is cut after its beginning', () => {
    const query = `select ${'column_name, '.repeat(50)}`;
    const holder = { pid: 1, applicationName: 'a', address: null, since: null, query };
    expect(withoutLiterals(holder).query?.length).toBeLessThan(100);
  });
});
