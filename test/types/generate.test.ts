import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { generate } from '../../src/types/generate.ts';
import { requireParser } from '../../src/types/render.ts';
import { cleanEnvironment } from '../support/cli.ts';
import { createScratchDatabase } from '../support/databases.ts';
import { folderFlags, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

const committed = readFileSync('src/database/types.ts', 'utf8');
const program = join(import.meta.dirname, '../../bin/cryptosense-db.js');

let database: TimescaleDatabase;
beforeAll(async () => {
  database = await createMigratedDatabase();
});
afterAll(() => database?.drop());

async function textOf(url: string, out = join(temporaryFolder(), 'types.ts')): Promise<string> {
  await generate({ target: url, file: out });
  return readFileSync(out, 'utf8');
}

/** Prices of a year, a chunk a week, all but the newest compressed. */
async function fillWithChunks(sql: Sql): Promise<number> {
  await sql`
    insert into price_history (time, asset_symbol, price_usd)
    select now() - n * interval '1 day', 'BTC', 43000 + n from generate_series(0, 364) as n`;
  await sql`select compress_chunk(c, true) from show_chunks('price_history', older_than => interval '30 days') as c`;
  const [{ count } = { count: 0 }] = await sql<{ count: number }[]>`
    select count(*)::int as count from show_chunks('price_history')`;
  return count;
}

describe('the generated types of the packaged schema equal the committed types', () => {
  it('for a new database', async () => {
    expect(await textOf(database.url)).toBe(committed);
  });

  it('for a database with chunks, compressed chunks and a refreshed aggregate', async () => {
    const chunks = await database.withSql(fillWithChunks);
    expect(chunks).toBeGreaterThan(40);
    expect(await textOf(database.url)).toBe(committed);
  });

  it('for a database with extensions, other schemas and dropped tables', async () => {
    await database.withSql(async (sql) => {
      await sql`create table somebodys (id integer)`;
      await sql`create schema elsewhere create table users (nothing integer)`;
      await sql`create table elsewhere.part (id integer) partition by range (id)`;
      const available = await sql<{ name: string }[]>`
        select name from pg_available_extensions
        where name in ('pg_stat_statements', 'pg_buffercache', 'pg_freespacemap')`;
      for (const { name } of available) await sql`create extension ${sql(name)} schema public`;
      await sql`drop table somebodys`;
    });
    expect(await textOf(database.url)).toBe(committed);
  });

  it('for other settings of the database and another locale of the process', async () => {
    await database.withSql(async (sql) => {
      const [{ name = '' } = {}] = await sql<{ name: string }[]>`select current_database() as name`;
      for (const setting of [
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German'",
        "search_path = 'elsewhere'",
        "bytea_output = 'escape'",
        'quote_all_identifiers = on',
      ]) {
        await sql.unsafe(`alter database ${name} set ${setting}`);
      }
    });
    const out = join(temporaryFolder(), 'types.ts');
    const args = [program, 'types', 'generate', '--url', database.url, '--out', out, '--quiet'];
    const env = { ...cleanEnvironment(), LC_ALL: 'et_EE.UTF-8', LANG: 'et_EE.UTF-8', TZ: 'UTC+9' };
    await promisify(execFile)(process.execPath, args, { env });
    expect(readFileSync(out, 'utf8')).toBe(committed);
  });
});

it('the words of an enum have the same order in every locale', async () => {
  const scratch = await createScratchDatabase(inject('postgresUrl'));
  try {
    await scratch.sql`create type word as enum ('chat', 'dark', 'hidden', 'crypto')`;
    await scratch.sql`create table words (word word)`;
    const none = writePairs({});
    const texts = await Promise.all(
      ['C', 'cs_CZ.UTF-8', 'sv_SE.UTF-8'].map(async (locale) => {
        const out = join(temporaryFolder(), 'types.ts');
        const args = [program, 'types', 'generate', '--url', scratch.url, '--out', out, '--quiet'];
        const env = { ...cleanEnvironment(), LC_ALL: locale };
        await promisify(execFile)(process.execPath, [...args, ...folderFlags(none)], { env });
        return readFileSync(out, 'utf8');
      }),
    );
    expect(new Set(texts).size).toBe(1);
    expect(texts[0]).toContain('"chat" | "crypto" | "dark" | "hidden"');
  } finally {
    await scratch.drop();
  }
});

it('the types include inheriting tables, but no partitions or chunks, and composite columns are text', async () => {
  const scratch = await createScratchDatabase(inject('postgresUrl'));
  try {
    await scratch.sql.unsafe(`
      create table parent (a integer not null);
      create table child (b text) inherits (parent);
      create table block_chunk () inherits (parent);
      create table parts (a integer) partition by list (a);
      create table part partition of parts for values in (1);
      create view rows as select p as row, array[p] as many from parent p`);
    const file = join(temporaryFolder(), 'types.ts');
    await generate({ target: scratch.url, file, ...writePairs({}) });
    const text = readFileSync(file, 'utf8');
    expect(text.match(/^export interface \w+/gm)).toEqual(
      ['BlockChunk', 'Child', 'Parent', 'Parts', 'Rows', 'DB'].map(
        (name) => `export interface ${name}`,
      ),
    );
    expect(text).toContain('interface Child {\n  a: number;\n  b: string | null;\n}');
    expect(text).toContain('interface Rows {\n  many: string[] | null;\n  row: string | null;\n}');
  } finally {
    await scratch.drop();
  }
});

it('a TypeScript without a parser is refused, and the error names the release that is needed', () => {
  expect(() => requireParser({ version: '7.0.1' })).toThrow(
    expect.objectContaining({
      code: 'package-missing',
      message: expect.stringContaining('TypeScript 5 or 6, and 7.0.1 is installed'),
      details: { package: 'typescript' },
    }),
  );
});

describe('the generation of types in a database with a thousand tables of other schemas', () => {
  it.skipIf(!inject('timescaleUrl'))('reads only the tables of the schema public', async () => {
    await database.withSql((sql) =>
      sql.unsafe(`do $$ begin for n in 1..1000 loop
        execute format('create table elsewhere.many_%s (a integer, b text, c numeric)', n);
      end loop; end $$`),
    );
    expect(await textOf(database.url)).toBe(committed);
  });
});
