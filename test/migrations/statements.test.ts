import { describe, expect, it } from 'vitest';
import type { RunMode } from '../../src/migrations/run-mode.ts';
import { filesOf, readMigrations } from '../../src/migrations/source.ts';
import { parseScripts, type Script } from '../../src/migrations/statements.ts';
import type { CryptosenseDbError } from '../../src/runtime/errors.ts';
import { packagedMigrations, packagedRollbacks } from '../../src/runtime/package.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { fixture } from '../support/fixtures.ts';

type Kind = 'migration' | 'rollback';

async function parse(text: string, kind: Kind = 'migration'): Promise<Script> {
  const file = { name: 'f.sql', text, checksum: '' };
  const [script] = await parseScripts([{ file, kind }]);
  if (!script) throw new Error('one file gives one script');
  return script;
}

function faultOf(text: string, kind: Kind = 'migration') {
  return errorOf('faulty-statements', () => parse(text, kind));
}

/** `file:line:column` of each fault. */
function placesOf({ problems }: CryptosenseDbError): readonly string[] {
  return problems.map(({ message }) => /^\S+:\d+:\d+(?= )/.exec(message)?.[0] ?? message);
}

const texts = ({ statements }: Script) => statements.map(({ text }) => text);

describe('faults, by fixture folder', () => {
  const up = (place: string) => `20250101_120000_example.sql:${place}`;
  const down = (place: string) => `20250101_120000_example_rollback.sql:${place}`;

  it.each<[name: string, ...places: string[]]>([
    ['syntax-error', up('9:33'), down('7:6')],
    ['commit-in-the-middle', up('9:1'), up('10:1')],
    ['rollback-in-the-middle', up('8:3')],
    ['unfinished-transaction', up('5:1'), down('7:1')],
    ['psql-command', up('8:1'), down('7:23')],
    ['copy', up('9:1'), down('7:1'), down('8:1')],
    ['needs-no-transaction', up('7:1'), up('8:1'), down('5:1')],
    ['transaction-twice', up('6:1'), up('10:1')],
    ['unknown-directive', up('4:1'), down('5:1')],
    ['no-statement', up('1:1'), down('1:1')],
  ])('%s is found by file, line and column', async (name, ...places) => {
    const pairs = readMigrations(fixture(`statements-${name}`));
    const error = await errorOf('faulty-statements', () => parseScripts(filesOf(pairs)));
    expect(placesOf(error)).toEqual(places);
  });

  it('the packaged schema has none', async () => {
    const folders = { migrations: packagedMigrations, rollbacks: packagedRollbacks };
    const scripts = await parseScripts(filesOf(readMigrations(folders)));
    expect(scripts.some(({ needsTimescale }) => needsTimescale)).toBe(true);
    expect(scripts.every(({ transaction }) => transaction === 'own')).toBe(true);
  });
});

describe('the outer transaction', () => {
  it.each([
    ['BEGIN;', 'COMMIT;'],
    ['begin', 'end'],
    ['BEGIN WORK;', 'COMMIT WORK;'],
    ['BEGIN TRANSACTION;', 'END TRANSACTION;'],
    ['START TRANSACTION;', 'COMMIT AND NO CHAIN;'],
    ['/* open */ BEGIN -- it\n;', 'COMMIT -- it\n; -- and that was that'],
    [';;BEGIN;;', ';COMMIT;;'],
  ])('%j … %j is taken off', async (begin, end) => {
    const script = await parse(`${begin};\nSELECT 1;\n${end}`);
    expect(texts(script)).toEqual(['SELECT 1']);
    expect(script).toMatchObject({ transaction: 'own', begin: 'begin' });
  });

  it.each([
    'BEGIN ISOLATION LEVEL SERIALIZABLE',
    'START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE',
    'BEGIN TRANSACTION DEFERRABLE',
  ])('%s keeps what it asks for', async (begin) => {
    expect(await parse(`${begin}; SELECT 1; COMMIT;`)).toMatchObject({ begin });
  });

  it('may be missing', async () => {
    expect(await parse('SELECT 1; SELECT 2')).toMatchObject({ transaction: 'own', begin: 'begin' });
  });

  it('may hold savepoints', async () => {
    const body = ['SAVEPOINT a', 'SELECT 1', 'ROLLBACK TO a', 'RELEASE a'];
    expect(texts(await parse(`BEGIN; ${body.join(';')}; COMMIT;`))).toEqual(body);
  });

  it.each([
    ['BEGIN; SELECT 1;', 'f.sql:1:1'],
    ['SELECT 1; COMMIT;', 'f.sql:1:11'],
    ['SELECT 1; END;', 'f.sql:1:11'],
    ['BEGIN; SELECT 1; COMMIT AND CHAIN;', 'f.sql:1:18'],
    ['BEGIN; SELECT 1; ABORT; COMMIT;', 'f.sql:1:18'],
    ['BEGIN; ROLLBACK AND CHAIN; COMMIT;', 'f.sql:1:8'],
    ["BEGIN; PREPARE TRANSACTION 'x'; COMMIT;", 'f.sql:1:8'],
    ["BEGIN; COMMIT PREPARED 'x'; COMMIT;", 'f.sql:1:8'],
    ['BEGIN; BEGIN; SELECT 1; COMMIT;', 'f.sql:1:8'],
    ['BEGIN; SELECT 1; START TRANSACTION; COMMIT;', 'f.sql:1:18'],
    ['-- Transaction: none\nSAVEPOINT a;', 'f.sql:2:1'],
  ])('%j is a fault', async (text, place) => {
    expect(placesOf(await faultOf(text))).toContain(place);
  });

  it.each([
    'DO $$ BEGIN COMMIT; END $$',
    'CREATE FUNCTION f() RETURNS VOID LANGUAGE plpgsql AS $body$ BEGIN; COMMIT; $$;$$ END $body$',
    'CREATE PROCEDURE p() LANGUAGE SQL BEGIN ATOMIC SELECT 1; SELECT 2; END',
    'CREATE FUNCTION f() RETURNS INT LANGUAGE SQL BEGIN ATOMIC SELECT CASE WHEN TRUE THEN 1 END; END',
    'SELECT \'COMMIT; ROLLBACK;\' AS "BEGIN;"',
    'SELECT 1 /* COMMIT; /* nested; */ ROLLBACK; */ + 1',
    'SELECT 1 -- COMMIT;\n + 1',
    "SELECT E'it\\'s; \\\\'",
    "SELECT U&'d\\0061t\\+000061;'",
  ])('words inside %j end nothing', async (statement) => {
    expect(texts(await parse(`BEGIN;\n${statement};\nCOMMIT;\n`))).toEqual([statement]);
  });
});

describe('directives', () => {
  it.each([
    '-- Transaction: none',
    '--transaction:NONE',
    '  --  TRANSACTION :  None  ',
    '/* first */\n\n-- Author: me\n-- Transaction: none',
  ])('%j is understood', async (header) => {
    expect(await parse(`${header}\nVACUUM;`)).toMatchObject({ transaction: 'none' });
  });

  it.each([
    '/*\n-- Transaction: none\n*/',
    '/* Transaction: none */',
    '-- Description: -- Transaction: none',
    '-- Description: Transaction: none',
    'SELECT 1;\n-- Transaction: none\n',
    "SELECT '\n-- Transaction: none\n';",
    'BEGIN;\n-- Transaction: none',
    ';\n-- Transaction: none\n',
  ])('%j is none', async (header) => {
    const text = `${header}\nSELECT 2;${header.startsWith('BEGIN') ? 'COMMIT;' : ''}`;
    expect(await parse(text)).toMatchObject({ transaction: 'own' });
  });

  it.each(['own', '', 'none (see below)', 'nonе'])('the value %j is a fault', async (value) => {
    const error = await faultOf(`-- Author: me\n-- Transaction: ${value}\nSELECT 1;`);
    expect(placesOf(error)).toEqual(['f.sql:2:1']);
    expect(wordsOf(error)).toContain('"none"');
  });

  it('a rollback says why there is no way back, and needs no statement then', async () => {
    const why = 'the rows are gone: see ticket 12';
    const script = await parse(`-- Irreversible: ${why}\n`, 'rollback');
    expect(script).toMatchObject({ irreversible: why, statements: [] });
    expect(await parse(`--irreversible:${why}\nBEGIN;COMMIT;`, 'rollback')).toMatchObject({
      irreversible: why,
    });
  });

  it('a migration cannot say that', async () => {
    expect(await parse('-- Irreversible: no\nSELECT 1;')).toMatchObject({
      irreversible: undefined,
    });
    expect(placesOf(await faultOf('-- Irreversible: no\n'))).toEqual(['f.sql:1:1']);
  });

  it('a reason that is missing is one fault', async () => {
    expect(placesOf(await faultOf('-- Irreversible:   \n', 'rollback'))).toEqual(['f.sql:1:1']);
  });
});

describe('statements that refuse a transaction', () => {
  const refused: readonly string[] = [
    'CREATE INDEX CONCURRENTLY i ON t (a)',
    'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (lower(a))',
    'CREATE INDEX i ON t (a) WITH (timescaledb.transaction_per_chunk)',
    'CREATE INDEX i ON t (a) WITH (tsdb.transaction_per_chunk = on)',
    'DROP INDEX CONCURRENTLY IF EXISTS i',
    'REINDEX INDEX CONCURRENTLY i',
    'REINDEX (CONCURRENTLY) TABLE t',
    'REINDEX SCHEMA public',
    'REINDEX DATABASE d',
    'VACUUM',
    'VACUUM (FULL, ANALYZE) t',
    'CLUSTER',
    'ALTER TABLE t DETACH PARTITION p CONCURRENTLY',
    'ALTER DATABASE d SET TABLESPACE s',
    'ALTER SYSTEM SET work_mem = 1',
    'ALTER SYSTEM RESET ALL',
    'CREATE DATABASE d',
    'DROP DATABASE d',
    "CREATE TABLESPACE s LOCATION '/s'",
    'DROP TABLESPACE s',
    "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
    'DROP SUBSCRIPTION s',
    'ALTER SUBSCRIPTION s REFRESH PUBLICATION',
    'ALTER SUBSCRIPTION s SET PUBLICATION p',
    'CREATE MATERIALIZED VIEW v WITH (timescaledb.continuous) AS SELECT 1',
    'CREATE MATERIALIZED VIEW v WITH (timescaledb.continuous = true) AS SELECT 1 WITH DATA',
    "CALL refresh_continuous_aggregate('v', NULL, NULL)",
    "CALL public.refresh_continuous_aggregate('v', NULL, NULL)",
  ];

  it.each(refused)('%s is a fault in a file with one', async (statement) => {
    const error = await faultOf(`BEGIN;\n  ${statement};\nCOMMIT;`);
    expect(placesOf(error)).toEqual(['f.sql:2:3']);
    expect(wordsOf(error)).toContain('-- Transaction: none');
  });

  it.each(refused)('%s runs in a file without one', async (statement) => {
    const { statements } = await parse(`-- Transaction: none\n${statement};`);
    expect(statements).toMatchObject([{ text: statement }]);
    expect(statements[0]?.run.kind).toMatch(/^(alone|build-index|drop-index)$/);
  });

  it.each([
    'CREATE INDEX i ON t (a)',
    'CREATE INDEX i ON t (a) WITH (timescaledb.transaction_per_chunk = false)',
    'CREATE INDEX i ON t (a) WITH (timescaledb.transaction_per_chunk = off)',
    'CREATE INDEX i ON t (a) WITH (timescaledb.transaction_per_chunk = 0)',
    'CREATE INDEX "concurrently" ON t (a)',
    'DROP INDEX i',
    'REINDEX TABLE t',
    'REINDEX (CONCURRENTLY off) TABLE t',
    'ANALYZE t',
    'CLUSTER t USING i',
    'DISCARD TEMP',
    'ALTER TABLE t DETACH PARTITION p',
    'ALTER DATABASE d SET work_mem = 1',
    "ALTER TYPE e ADD VALUE 'x'",
    "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (connect = false)",
    "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (create_slot = off)",
    'ALTER SUBSCRIPTION s SET PUBLICATION p WITH (refresh = false)',
    'ALTER SUBSCRIPTION s DISABLE',
    'CREATE MATERIALIZED VIEW v AS SELECT 1',
    'CREATE MATERIALIZED VIEW v WITH (timescaledb.continuous) AS SELECT 1 WITH NO DATA',
    "CALL other('refresh_continuous_aggregate')",
    "COPY t FROM '/data.csv'",
    "COPY t TO PROGRAM 'gzip'",
  ])('%s is none of them', async (statement) => {
    expect(texts(await parse(`BEGIN; ${statement}; COMMIT;`))).toEqual([statement]);
  });

  it.each(['', '-- Transaction: none\n'])(
    'DISCARD ALL would give up the lock, after %j',
    async (header) => {
      const error = await faultOf(`${header}DISCARD ALL;`);
      expect(placesOf(error)).toEqual([`f.sql:${header ? 2 : 1}:1`]);
    },
  );
});

describe('what a session would have to keep', () => {
  const kept: readonly string[] = [
    "SELECT set_config('search_path', 'own', false)",
    'CREATE TEMP TABLE t (a integer)',
    'CREATE TABLE pg_temp.t (a integer)',
    'CREATE TEMPORARY TABLE t AS SELECT 1',
    'SELECT 1 AS a INTO TEMP t',
    'CREATE TEMP VIEW v AS SELECT 1',
    'CREATE TEMP SEQUENCE s',
    'PREPARE p AS SELECT 1',
    'LISTEN c',
    'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
  ];

  it.each(kept)('%s is a fault in a file that may be taken up in another', async (statement) => {
    const error = await faultOf(`-- Transaction: none\nSELECT 1;\n  ${statement};`);
    expect(placesOf(error)).toEqual(['f.sql:3:3']);
  });

  it.each(kept)('%s is fine in a file with a transaction', async (statement) => {
    expect(texts(await parse(`BEGIN; ${statement}; COMMIT;`))).toEqual([statement]);
  });

  it.each([
    'SELECT pg_advisory_unlock_all()',
    'SELECT 1, pg_catalog.pg_advisory_unlock_all()',
    'DEALLOCATE ALL',
  ])('%s would take it from the run, in any file', async (statement) => {
    expect(placesOf(await faultOf(`${statement};`))).toEqual(['f.sql:1:1']);
    expect(placesOf(await faultOf(`-- Transaction: none\n${statement};`))).toEqual(['f.sql:2:1']);
  });

  it.each(['SELECT pg_advisory_unlock(1)', 'DEALLOCATE p', 'SELECT current_setting($$a.b$$)'])(
    '%s takes nothing',
    async (statement) => {
      expect(texts(await parse(`${statement};`))).toEqual([statement]);
    },
  );
});

describe('how statements of a file without a transaction run', () => {
  it.each<[string, RunMode]>([
    ['SELECT 1', { kind: 'in-transaction' }],
    ['LOCK TABLE t', { kind: 'in-transaction' }],
    ['SET work_mem = 1', { kind: 'session' }],
    ['RESET ALL', { kind: 'session' }],
    ['SET SESSION ROLE r', { kind: 'session' }],
    ['DO $$ BEGIN COMMIT; END $$', { kind: 'alone' }],
    ['CALL p()', { kind: 'alone' }],
    ['VACUUM', { kind: 'alone' }],
    [
      'CREATE INDEX CONCURRENTLY "I x" ON "S"."T" (a)',
      { kind: 'build-index', index: 'I x', table: ['S', 'T'], isConcurrent: true },
    ],
    [
      'CREATE INDEX i ON t (a) WITH (timescaledb.transaction_per_chunk)',
      { kind: 'build-index', index: 'i', table: ['t'], isConcurrent: false },
    ],
    ['DROP INDEX CONCURRENTLY "S".i', { kind: 'drop-index', index: ['S', 'i'] }],
  ])('%s', async (statement, run) => {
    const { statements } = await parse(`-- Transaction: none\n${statement};`);
    expect(statements.map((found) => found.run)).toEqual([run]);
  });

  it('an index without a name could not be found again', async () => {
    const error = await faultOf('-- Transaction: none\nCREATE INDEX CONCURRENTLY ON t (a);');
    expect(placesOf(error)).toEqual(['f.sql:2:1']);
  });
});

describe('needsTimescale', () => {
  it.each([
    ['CREATE EXTENSION timescaledb', true],
    ['CREATE EXTENSION IF NOT EXISTS "timescaledb" WITH SCHEMA public', true],
    ['DO $$ BEGIN IF TRUE THEN CREATE EXTENSION IF NOT EXISTS timescaledb; END IF; END $$', true],
    ['CREATE EXTENSION pgcrypto', false],
    ["SELECT 'create extension timescaledb'", false],
    ['DROP EXTENSION timescaledb', false],
  ])('%s: %s', async (statement, needsTimescale) => {
    expect(await parse(`${statement};`)).toMatchObject({ needsTimescale });
  });
});

it('SET TRANSACTION, which would come too late, is refused with where to say it', async () => {
  const error = await faultOf(
    'BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;',
  );
  expect(wordsOf(error)).toContain('f.sql:1:8 SET TRANSACTION comes too late');
});
