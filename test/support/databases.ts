import { randomBytes } from 'node:crypto';
import postgres, { type Sql } from 'postgres';

/** A database of a test's own on a server, and a handle to look into it. */
export interface ScratchDatabase {
  readonly name: string;
  readonly url: string;
  readonly sql: Sql;
  /** Drops it and ends the sessions in it. */
  readonly drop: () => Promise<void>;
}

export async function createScratchDatabase(serverUrl: string): Promise<ScratchDatabase> {
  const name = `cryptosense_scratch_${randomBytes(6).toString('hex')}`;
  await onServer(serverUrl, (admin) => admin.unsafe(`create database ${name}`));
  const url = databaseUrl(serverUrl, name);
  const sql = connect(url);
  return {
    name,
    url,
    sql,
    drop: async () => {
      await sql.end({ timeout: 1 });
      await onServer(serverUrl, (admin) =>
        admin.unsafe(`drop database if exists ${name} with (force)`),
      );
    },
  };
}

/** A role of a test's own. */
export interface ScratchRole {
  readonly name: string;
  readonly password: string;
  /** The URL of a database, as this role. */
  readonly urlOf: (databaseUrl: string) => string;
  /** Call it once the databases that it owns are gone. */
  readonly drop: () => Promise<void>;
}

/** It may log in, and nothing else where `rights` do not say so. */
export async function createScratchRole(
  serverUrl: string,
  {
    password = randomBytes(6).toString('hex'),
    rights = '',
  }: { readonly password?: string; readonly rights?: 'createdb' | '' } = {},
): Promise<ScratchRole> {
  const name = `cryptosense_scratch_${randomBytes(6).toString('hex')}`;
  const literal = `'${password.replaceAll("'", "''")}'`;
  await onServer(serverUrl, (admin) =>
    admin.unsafe(`create role ${name} login password ${literal} ${rights}`),
  );
  return {
    name,
    password,
    urlOf: (databaseUrl) => {
      const url = new URL(databaseUrl);
      const [scheme, rest] = [`${url.protocol}//`, `${url.host}${url.pathname}${url.search}`];
      return `${scheme}${name}:${encodeURIComponent(password)}@${rest}`;
    },
    drop: () => onServer(serverUrl, (admin) => admin.unsafe(`drop role ${name}`)),
  };
}

/** The server's URL with another database in it. */
export function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** A handle for looking; quiet, and safe to forget for a moment. */
export function connect(url: string, max = 2): Sql {
  return postgres(url, { max, onnotice: () => {} });
}

/** A session of the administrator's for a moment. */
export async function onServer(url: string, use: (admin: Sql) => Promise<unknown>): Promise<void> {
  const admin = connect(url, 1);
  try {
    await use(admin);
  } finally {
    await admin.end({ timeout: 1 });
  }
}
