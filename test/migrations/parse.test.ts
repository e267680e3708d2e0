import { describe, expect, it } from 'vitest';
import type { Script } from '../../src/migrations/parse.ts';
import type { RunMode } from '../../src/migrations/run-mode.ts';
import { readScripts } from '../../src/migrations/scripts.ts';
import { readMigrations, resolveFolders } from '../../src/migrations/source.ts';
import type { Direction } from '../../src/runtime/progress.ts';
import { errorOf } from '../support/errors.ts';
import { fixture } from '../support/fixtures.ts';
import { parseText, placesOf } from '../support/scripts.ts';

/** The script of a text that breaks no rule. */
function parse(text: string, direction: Direction = 'up'): Script {
  const { script, findings } = parseText(text, direction);
  expect(findings).toEqual([]);
  return script;
}

/** `f.sql:line:column rule` for each finding. */
function find(text: string, direction: Direction = 'up'): readonly string[] {
  return placesOf(parseText(text, direction).findings);
}

const texts = ({ statements }: Script) => statements.map(({ text }) => text);

describe('findings in folders of files', () => {
  const up = (place: string) => `20250101_120000_example.sql:${place}`;
  const down = (place: string) => `20250101_120000_example_rollback.sql:${place}`;

  it.each<[name: string, ...places: string[]]>([
    ['syntax-error', up('9:33 syntax-error'), down('7:6 syntax-error')],
    ['commit-in-the-middle', up('9:1 transaction-control'), up('10:1 transaction-control')],
    ['rollback-in-the-middle', up('8:3 transaction-control')],
    ['unfinished-transaction', up('5:1 unfinished-transaction'), down('7:1 transaction-control')],
    ['psql-command', up('8:1 psql-command'), down('7:23 psql-command')],
    ['copy', up('9:1 copy-from-stdin'), down('7:1 copy-to-stdout'), down('8:1 copy-from-stdin')],
    [
      'needs-no-transaction',
      up('7:1 needs-no-transaction'),
      up('8:1 needs-no-transaction'),
      down('5:1 needs-no-transaction'),
    ],
    ['transaction-twice', up('6:1 transaction-control'), up('10:1 transaction-control')],
    ['unknown-directive', up('4:1 unknown-directive'), down('5:1 missing-reason')],
    ['no-statement', up('1:1 no-statement'), down('1:1 no-statement')],
  ])('the findings in %s have file, line and column', async (name, ...places) => {
    const pairs = readMigrations(fixture(`statements-${name}`));
    const { details } = await errorOf('faulty-statements', () => readScripts(pairs));
    expect(placesOf(details.findings)).toEqual(places);
  });

  it('the packaged schema has no findings', async () => {
    const scripts = await readScripts(readMigrations(resolveFolders({})));
    expect(scripts.some(({ up }) => up.needsTimescale)).toBe(true);
    const alone = scripts.filter(({ up, down }) =>
      [up, down].some(({ transaction }) => transaction === 'none'),
    );
    expect(alone).toHaveLength(5);
    for (const { up, down } of alone) expect(down.transaction).toBe(up.transaction);
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
  ])('is removed when it is %j … %j', (begin, end) => {
    const script = parse(`${begin};\nSELECT 1;\n${end}`);
    expect(texts(script)).toEqual(['SELECT 1']);
    expect(script).toMatchObject({ transaction: 'own', begin: 'begin' });
  });

  it.each([
    'BEGIN ISOLATION LEVEL SERIALIZABLE',
    'START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE',
    'BEGIN TRANSACTION DEFERRABLE',
  ])('keeps the options of %s', (begin) => {
    expect(parse(`${begin}; SELECT 1; COMMIT;`)).toMatchObject({ begin });
  });

  it('can be missing', () => {
    expect(parse('SELECT 1; SELECT 2')).toMatchObject({ transaction: 'own', begin: 'begin' });
  });

  it('can contain savepoints', () => {
    const body = ['SAVEPOINT a', 'SELECT 1', 'ROLLBACK TO a', 'RELEASE a'];
    expect(texts(parse(`BEGIN; ${body.join(';')}; COMMIT;`))).toEqual(body);
  });

  it.each([
    ['BEGIN; SELECT 1;', '1:1 unfinished-transaction'],
    ['SELECT 1; COMMIT;', '1:11 transaction-control'],
    ['SELECT 1; END;', '1:11 transaction-control'],
    ['BEGIN; SELECT 1; COMMIT AND CHAIN;', '1:18 chained-commit'],
    ['BEGIN; SELECT 1; ABORT; COMMIT;', '1:18 transaction-control'],
    ['BEGIN; ROLLBACK AND CHAIN; COMMIT;', '1:8 transaction-control'],
    ["BEGIN; PREPARE TRANSACTION 'x'; COMMIT;", '1:8 transaction-control'],
    ["BEGIN; COMMIT PREPARED 'x'; COMMIT;", '1:8 transaction-control'],
    ['BEGIN; BEGIN; SELECT 1; COMMIT;', '1:8 transaction-control'],
    ['BEGIN; SELECT 1; START TRANSACTION; COMMIT;', '1:18 transaction-control'],
    ['-- Transaction: none\nSAVEPOINT a;', '2:1 transaction-control'],
  ])('breaks a rule in %j', (text, place) => {
    expect(find(text)).toContain(`f.sql:${place}`);
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
  ])('is not ended by the words inside %j', (statement) => {
    expect(texts(parse(`BEGIN;\n${statement};\nCOMMIT;\n`))).toEqual([statement]);
  });
});

describe('directives', () => {
  it.each([
    '-- Transaction: none',
    '--transaction:NONE',
    '  --  TRANSACTION :  None  ',
    '/* first */\n\n-- Author: me\n-- Transaction: none',
  ])('%j is a directive', (header) => {
    expect(parse(`${header}\nVACUUM;`)).toMatchObject({ transaction: 'none' });
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
  ])('%j is not a directive', (header) => {
    const text = `${header}\nSELECT 2;${header.startsWith('BEGIN') ? 'COMMIT;' : ''}`;
    expect(parse(text)).toMatchObject({ transaction: 'own' });
  });

  it.each(['own', '', 'none (see below)', 'nonе'])('the value %j is unknown', (value) => {
    const { findings } = parseText(`-- Author: me\n-- Transaction: ${value}\nSELECT 1;`);
    const place = { file: 'f.sql', line: 2, column: 1, lineText: `-- Transaction: ${value}` };
    expect(findings).toEqual([
      { ...place, rule: 'unknown-directive', directive: `-- Transaction: ${value}` },
    ]);
  });

  it('a rollback with a reason why it is irreversible needs no statement', () => {
    const why = 'the rows are gone: see ticket 12';
    const script = parse(`-- Irreversible: ${why}\n`, 'down');
    expect(script).toMatchObject({ irreversible: why, statements: [] });
    expect(parse(`--irreversible:${why}\nBEGIN;COMMIT;`, 'down')).toMatchObject({
      irreversible: why,
    });
  });

  it('the Irreversible directive has no effect in a migration', () => {
    expect(parse('-- Irreversible: no\nSELECT 1;')).toMatchObject({
      irreversible: undefined,
    });
    expect(find('-- Irreversible: no\n')).toEqual(['f.sql:1:1 no-statement']);
  });

  it('a missing reason gives one finding', () => {
    expect(find('-- Irreversible:   \n', 'down')).toEqual(['f.sql:1:1 missing-reason']);
  });
});

describe('statements that cannot run in a transaction', () => {
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

  it.each(refused)('%s is refused in a file with a transaction', (statement) => {
    expect(find(`BEGIN;\n  ${statement};\nCOMMIT;`)).toEqual(['f.sql:2:3 needs-no-transaction']);
  });

  it.each(refused)('%s runs in a file without a transaction', (statement) => {
    const { statements } = parse(`-- Transaction: none\n${statement};`);
    expect(statements).toMatchObject([{ text: statement }]);
    expect(statements[0]?.run.kind).toBe('alone');
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
  ])('%s can run in a transaction', (statement) => {
    expect(texts(parse(`BEGIN; ${statement}; COMMIT;`))).toEqual([statement]);
  });

  it.each(['', '-- Transaction: none\n'])(
    'DISCARD ALL is refused after %j, because it releases the lock of the run',
    (header) => {
      expect(find(`${header}DISCARD ALL;`)).toEqual([`f.sql:${header ? 2 : 1}:1 discard-all`]);
    },
  );
});

describe('statements whose effect ends with the session', () => {
  const kept: readonly string[] = [
    "SELECT set_config('search_path', 'own', false)",
    "SELECT x FROM set_config('work_mem', '99MB', false) x",
    "SELECT 1 WHERE (SELECT set_config('a.b', 'c', false)) = 'c'",
    "INSERT INTO t WITH s AS (SELECT pg_catalog.set_config('a.b', 'c', false)) SELECT * FROM s",
    'SELECT setseed(0.5)',
    'SELECT pg_advisory_lock(1)',
    'SELECT a FROM t WHERE pg_try_advisory_lock_shared(a)',
    "LOAD 'auto_explain'",
    'CREATE TEMP TABLE t (a integer)',
    'CREATE TABLE pg_temp.t (a integer)',
    'CREATE TEMPORARY TABLE t AS SELECT 1',
    'SELECT 1 AS a INTO TEMP t',
    'CREATE TEMP VIEW v AS SELECT 1',
    'CREATE TEMP SEQUENCE s',
    'SELECT 1 AS a INTO TEMP t UNION SELECT 2',
    'EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1',
    'CREATE FOREIGN TABLE pg_temp.t (a integer) SERVER s',
    'CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$',
    'CREATE PROCEDURE pg_temp_3.f() LANGUAGE sql AS $$ SELECT 1 $$',
    "CREATE TYPE pg_temp.e AS ENUM ('a')",
    'CREATE TYPE pg_temp.c AS (a integer)',
    'CREATE TYPE pg_temp.r AS RANGE (subtype = integer)',
    'CREATE DOMAIN pg_temp.d AS integer',
    'CREATE AGGREGATE pg_temp.a (integer) (sfunc = int4pl, stype = integer)',
    'CREATE OPERATOR pg_temp.+ (leftarg = integer, function = f)',
    'CREATE COLLATION pg_temp.c FROM "C"',
    'CREATE STATISTICS pg_temp.s ON a, b FROM t',
    'CREATE OPERATOR FAMILY pg_temp.o USING btree',
    'SET search_path = pg_temp, public',
    'PREPARE p AS SELECT 1',
    'LISTEN c',
    'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
  ];

  it.each(kept)('%s is refused in a file that another session may resume', (statement) => {
    expect(find(`-- Transaction: none\nSELECT 1;\n  ${statement};`)).toEqual([
      'f.sql:3:3 not-resumable',
    ]);
  });

  it.each([
    'CREATE FUNCTION f(a pg_temp.t) RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$',
    'CREATE TABLE pg_temporary (a integer)',
    'SET search_path = public, pg_temp',
    'SELECT 1 UNION SELECT 2',
    'SELECT pg_advisory_xact_lock(1)',
    "SELECT 'set_config(setseed)'",
    "CREATE VIEW v AS SELECT set_config('a.b', 'c', false)",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT set_config('a.b', 'c', false) $$",
  ])('%s leaves nothing in its session', (statement) => {
    expect(find(`-- Transaction: none\n${statement};`)).toEqual([]);
  });

  it.each(kept)('%s runs in a file with a transaction', (statement) => {
    expect(texts(parse(`BEGIN; ${statement}; COMMIT;`))).toEqual([statement]);
  });

  it.each([
    ['SELECT pg_advisory_unlock_all()', 'unlock-all'],
    ['SELECT 1, pg_catalog.pg_advisory_unlock_all()', 'unlock-all'],
    ['SELECT 1 FROM pg_advisory_unlock_all()', 'unlock-all'],
    ['DEALLOCATE ALL', 'deallocate-all'],
  ])('%s is refused in any file, because it releases what the run holds', (statement, rule) => {
    expect(find(`${statement};`)).toEqual([`f.sql:1:1 ${rule}`]);
    expect(find(`-- Transaction: none\n${statement};`)).toEqual([`f.sql:2:1 ${rule}`]);
  });

  it.each(['SELECT pg_advisory_unlock(1)', 'DEALLOCATE p', 'SELECT current_setting($$a.b$$)'])(
    '%s is allowed',
    (statement) => {
      expect(texts(parse(`${statement};`))).toEqual([statement]);
    },
  );
});

describe('the mode in which a statement of a file without a transaction runs', () => {
  const repeatable = { kind: 'repeatable' } as const;
  const reindex = { kind: 'reindex', isConcurrent: false } as const;
  const index = { kind: 'index', isConcurrent: false, mayExist: false } as const;
  const dropped = { kind: 'object', change: 'drop' } as const;

  it.each<[string, RunMode]>([
    ['SELECT 1', { kind: 'in-transaction' }],
    ['LOCK TABLE t', { kind: 'in-transaction' }],
    ['SET work_mem = 1', { kind: 'session' }],
    ['RESET ALL', { kind: 'session', resets: 'all' }],
    ['RESET Search_Path', { kind: 'session', resets: 'search_path' }],
    ['SET "Search_Path" TO DEFAULT', { kind: 'session', resets: 'search_path' }],
    ['RESET work_mem', { kind: 'session' }],
    ['SET NAMES DEFAULT', { kind: 'session', resets: 'client_encoding' }],
    ['SET SESSION ROLE r', { kind: 'session' }],
    ['DO $$ BEGIN INSERT INTO t VALUES (1); END $$', { kind: 'in-transaction' }],
    ['DO $$ BEGIN COMMIT; END $$', { kind: 'alone' }],
    ['DO $$ BEGIN CALL p(); END $$', { kind: 'alone' }],
    ["DO $$ BEGIN EXECUTE 'CALL p()'; END $$", { kind: 'alone' }],
    ["DO LANGUAGE plperl 'spi_commit()'", { kind: 'alone' }],
    ['CALL p()', { kind: 'alone' }],
    ["CALL refresh_continuous_aggregate('v', NULL, NULL)", { kind: 'alone', remains: repeatable }],
    ["SELECT reorder_chunk('c'), move_chunk('d')", { kind: 'in-transaction', remains: repeatable }],
    ["SELECT reorder_chunk('c'), f()", { kind: 'in-transaction' }],
    ['VACUUM', { kind: 'alone', remains: repeatable }],
    ['CLUSTER t USING i', { kind: 'in-transaction', remains: repeatable }],
    ['ALTER EXTENSION e UPDATE', { kind: 'in-transaction', remains: repeatable }],
    [
      'ALTER EXTENSION timescaledb UPDATE',
      { kind: 'in-transaction', remains: repeatable, updatesTimescale: true },
    ],
    [
      'REINDEX TABLE t',
      { kind: 'in-transaction', remains: { ...reindex, scope: 'table', name: ['t'] } },
    ],
    [
      'REINDEX INDEX CONCURRENTLY s.i',
      {
        kind: 'alone',
        remains: { ...reindex, scope: 'index', name: ['s', 'i'], isConcurrent: true },
      },
    ],
    ['REINDEX SCHEMA s', { kind: 'alone', remains: { ...reindex, scope: 'schema', name: ['s'] } }],
    ['REINDEX DATABASE d', { kind: 'alone', remains: { ...reindex, scope: 'database', name: [] } }],
    [
      'CREATE INDEX CONCURRENTLY "I x" ON "S"."T" (a)',
      {
        kind: 'alone',
        remains: { ...index, index: 'I x', table: ['S', 'T'], isConcurrent: true },
      },
    ],
    [
      'CREATE INDEX IF NOT EXISTS i ON t (a) WITH (timescaledb.transaction_per_chunk)',
      { kind: 'alone', remains: { ...index, index: 'i', table: ['t'], mayExist: true } },
    ],
    [
      'DROP INDEX CONCURRENTLY "S".i',
      { kind: 'alone', remains: { ...dropped, catalog: 'index', name: ['S', 'i'] } },
    ],
    [
      'CREATE DATABASE d',
      {
        kind: 'alone',
        remains: { ...dropped, change: 'create', catalog: 'database', name: ['d'] },
      },
    ],
    [
      'DROP SUBSCRIPTION s',
      { kind: 'alone', remains: { ...dropped, catalog: 'subscription', name: ['s'] } },
    ],
    [
      'ALTER TABLE s.t DETACH PARTITION p CONCURRENTLY',
      { kind: 'alone', remains: { kind: 'partition', table: ['s', 't'], partition: ['p'] } },
    ],
    [
      'CREATE MATERIALIZED VIEW s.v WITH (timescaledb.continuous) AS SELECT 1',
      { kind: 'alone', remains: { kind: 'aggregate', view: ['s', 'v'] } },
    ],
  ])('is as expected for %s', (statement, run) => {
    const { statements } = parse(`-- Transaction: none\n${statement};`);
    expect(statements.map((found) => found.run)).toEqual([run]);
  });

  it('does not exist for an index without a name, which the next run could not find', () => {
    expect(find('-- Transaction: none\nCREATE INDEX CONCURRENTLY ON t (a);')).toEqual([
      'f.sql:2:1 unnamed-index',
    ]);
  });
});

describe('ALTER EXTENSION timescaledb UPDATE', () => {
  const update = 'ALTER EXTENSION timescaledb UPDATE';

  it.each([
    [`${update};`, []],
    [`SET lock_timeout = '1s'; ${update}; SELECT 1;`, []],
    ['SELECT 1; ALTER EXTENSION pgcrypto UPDATE;', []],
    [`SELECT 1; ${update};`, ['f.sql:2:11 late-update']],
    [`${update}; ${update};`, [`f.sql:2:37 late-update`]],
  ])('may only be the first statement of its file: %s', (text, places) => {
    expect(find(`-- Author: me\n${text}`)).toEqual(places);
    expect(find(`-- Transaction: none\n${text}`)).toEqual(places);
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
  ])('for %s is %s', (statement, needsTimescale) => {
    expect(parse(`${statement};`)).toMatchObject({ needsTimescale });
  });
});

it('SET TRANSACTION is refused after the transaction has begun', () => {
  expect(find('BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nCOMMIT;')).toEqual([
    'f.sql:2:1 late-set-transaction',
  ]);
});
