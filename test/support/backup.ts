import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import type { Sql } from 'postgres';
import { inject } from 'vitest';
import { temporaryFolder } from './fixtures.ts';

/** Debian's programs of PostgreSQL 15: the server that tests bring has none of them. */
export const hasPgDump = existsSync('/usr/lib/postgresql/15/bin/pg_dump');
export const pgDumpMissing = hasPgDump ? '' : ' (skipped: no postgresql-client-15)';

const server = inject('timescaleUrl');
export const hasTimescaleServer = server !== undefined && hasPgDump;
export const timescaleMissing = hasTimescaleServer
  ? ''
  : ` (skipped: no ${server === undefined ? 'TimescaleDB server' : 'postgresql-client-15'})`;

/** A key pair of age, with the secret key in a file. */
export async function ageKeys(): Promise<{
  readonly recipient: string;
  readonly identityFile: string;
}> {
  const identity = await generateIdentity();
  const identityFile = join(temporaryFolder(), 'identity');
  writeFileSync(identityFile, `${identity}\n`, { mode: 0o600 });
  return { recipient: await identityToRecipient(identity), identityFile };
}

/** Drops a restored database, which is a template until it is activated. */
export async function dropRestored(sql: Sql, name: string): Promise<void> {
  const [found] = await sql`select from pg_database where datname = ${name}`;
  if (!found) return;
  await sql.unsafe(`alter database "${name}" is_template false`);
  await sql.unsafe(`drop database "${name}" with (force)`);
}
