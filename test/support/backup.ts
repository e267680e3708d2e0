import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import type { Sql } from 'postgres';
import { inject, onTestFinished } from 'vitest';
import type { ManifestTable } from '../../src/backup/manifest.ts';
import { connect, databaseUrl } from './databases.ts';
import { temporaryFolder } from './fixtures.ts';

/** Debian's programs of PostgreSQL 15: the server that tests bring has none of them. */
const programs = '/usr/lib/postgresql/15/bin';
export const hasPgDump = existsSync(join(programs, 'pg_dump'));
export const pgDumpMissing = hasPgDump ? '' : ' (skipped: no postgresql-client-15)';

export interface WatchedPrograms {
  /** What `--pg-bin` takes. */
  readonly folder: string;
  /** The process of the program that was started last. Throws when none was. */
  readonly pidOf: (name: 'pg_dump' | 'pg_restore') => number;
}

/** Debian's programs, which leave their process id in a file. Dumps are not compressed: these tests need bytes soon. */
export function watchedPrograms(): WatchedPrograms {
  const folder = temporaryFolder();
  for (const [name, flags] of [
    ['pg_dump', '--compress=0'],
    ['pg_restore', ''],
  ] as const) {
    const script = [
      '#!/bin/sh',
      `[ "$1" = --version ] && exec ${programs}/${name} --version`,
      `echo $$ >${folder}/${name}.pid`,
      `exec ${programs}/${name} ${flags} "$@"`,
    ];
    writeFileSync(join(folder, name), `${script.join('\n')}\n`, { mode: 0o755 });
  }
  return { folder, pidOf: (name) => Number(readFileSync(join(folder, `${name}.pid`), 'utf8')) };
}

/** A table of so many rows of about a kilobyte that does not compress. */
export async function createReadings(sql: Sql, rows: number): Promise<void> {
  await sql`
    create table readings as
    select n, (
      select string_agg(encode(sha512(format('%s-%s', n, k)::bytea), 'base64'), '')
      from generate_series(1, 16) k
    ) as text from generate_series(1, ${rows}::int) n`;
}

const server = inject('timescaleUrl');
export const hasTimescaleServer = server !== undefined && hasPgDump;
export const timescaleMissing = hasTimescaleServer
  ? ''
  : ` (skipped: no ${server === undefined ? 'TimescaleDB server' : 'postgresql-client-15'})`;

/** A key pair of age, with the secret key in a file of the folder. */
export async function ageKeys(folder = temporaryFolder()): Promise<{
  readonly recipient: string;
  readonly identityFile: string;
}> {
  const identity = await generateIdentity();
  const identityFile = join(folder, 'identity');
  writeFileSync(identityFile, `${identity}\n`, { mode: 0o600 });
  return { recipient: await identityToRecipient(identity), identityFile };
}

/** A name for a restored database, which is dropped when the test ends. */
export function restoredName(sql: Sql): string {
  const name = `cryptosense_scratch_${randomBytes(6).toString('hex')}`;
  onTestFinished(() => dropRestored(sql, name));
  return name;
}

/** Databases that restores into this name left behind. */
export async function attemptsOf(sql: Sql, name: string): Promise<readonly string[]> {
  const found = await sql<{ name: string }[]>`
    select datname as name from pg_database where starts_with(datname, ${`${name}_restoring_`})`;
  return found.map(({ name: each }) => each);
}

/** A handle on a restored database, for looking. */
export function connectTo(serverUrl: string, name: string): Sql {
  const sql = connect(databaseUrl(serverUrl, name));
  onTestFinished(() => sql.end({ timeout: 1 }));
  return sql;
}

/** The rows and hashes of the tables, counted by the formula of docs/backup.md. */
export async function countRows(
  sql: Sql,
  tables: readonly ManifestTable[],
): Promise<readonly ManifestTable[]> {
  return sql.begin('isolation level repeatable read', async (transaction) => {
    await transaction`set local timezone = 'UTC'`;
    const counted = tables.map(async ({ name, kind }): Promise<ManifestTable> => {
      const columns = await transaction<{ name: string }[]>`
        select quote_ident(attname) as name from pg_attribute
        where attrelid = ${name}::regclass and attnum > 0 and not attisdropped order by attname`;
      const names = columns.map((column) => `t.${column.name}`);
      const [row] = await transaction.unsafe<[{ rows: number; hash: string }]>(`
        select count(*)::int as rows, coalesce(sum(hashtextextended(row(${names})::text, 0)::numeric), 0)::text as hash
        from ${name} as t`);
      return { name, kind, ...row };
    });
    return Promise.all(counted);
  });
}

/** Drops a restored database, which is a template until it is activated. */
export async function dropRestored(sql: Sql, name: string): Promise<void> {
  const [found] = await sql`select from pg_database where datname = ${name}`;
  if (!found) return;
  await sql.unsafe(`alter database "${name}" is_template false`);
  await sql.unsafe(`drop database "${name}" with (force)`);
}
