import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres, { type Sql } from 'postgres';
import { inject } from 'vitest';
import { openEmbeddedEngine } from '../../src/database/embedded/engine.ts';
import type { Environment } from '../../src/ledger/ledger.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { createTestDatabase } from '../../src/testing.ts';
import { connect, createScratchDatabase } from './databases.ts';

/** A database with TimescaleDB, empty as yet. */
export interface TimescaleDatabase {
  readonly engine: 'server' | 'embedded';
  /** What the tool takes as `--url`. */
  readonly url: string;
  /** Looks into it; the embedded engine serves one at a time, so not while the tool runs. */
  readonly withSql: <T>(use: (sql: Sql) => Promise<T>) => Promise<T>;
  readonly drop: () => Promise<void>;
}

/** On the server where there is one, else in a folder of the embedded engine. */
export async function createTimescaleDatabase(): Promise<TimescaleDatabase> {
  const server = inject('timescaleUrl');
  if (server) {
    const { url, sql, drop } = await createScratchDatabase(server);
    return { engine: 'server', url, withSql: (use) => use(sql), drop };
  }
  const root = mkdtempSync(join(tmpdir(), 'cryptosense-db-embedded-'));
  const folder = join(root, 'database');
  return {
    engine: 'embedded',
    url: `embedded:${folder}`,
    withSql: async (use) => {
      const { sql, close } = await openEmbedded(folder);
      try {
        return await use(sql);
      } finally {
        await close();
      }
    },
    drop: async () => rmSync(root, { recursive: true, force: true }),
  };
}

/** A database with the whole packaged schema: on a server a clone, which is there at once. */
export async function createMigratedDatabase({
  environment,
}: {
  readonly environment?: Environment;
} = {}): Promise<TimescaleDatabase> {
  const server = inject('timescaleUrl');
  if (!server) {
    const database = await createTimescaleDatabase();
    await migrate.up({ target: database.url, environment });
    return database;
  }
  const { url, drop } = await createTestDatabase({ server });
  const sql = connect(url);
  // A clone is marked as a test's, which not every test means.
  await sql`truncate cryptosense_db.environment`;
  if (environment) await sql`insert into cryptosense_db.environment (name) values (${environment})`;
  return {
    engine: 'server',
    url,
    withSql: (use) => use(sql),
    drop: async () => {
      await sql.end({ timeout: 1 });
      await drop();
    },
  };
}

export interface OpenDatabase {
  readonly sql: Sql;
  readonly engine: 'server' | 'embedded';
  readonly close: () => Promise<void>;
}

/** A database with the whole packaged schema, held open on one connection until `close`. */
export async function openSchemaDatabase(): Promise<OpenDatabase> {
  const { engine, url, drop } = await createMigratedDatabase();
  const { sql, close } =
    engine === 'embedded'
      ? await openEmbedded(url.slice('embedded:'.length))
      : await openServer(url);
  return {
    sql,
    engine,
    close: async () => {
      await close();
      await drop();
    },
  };
}

async function openServer(url: string) {
  const sql = connect(url, 1);
  return { sql, close: () => sql.end({ timeout: 1 }) };
}

async function openEmbedded(folder: string) {
  const engine = await openEmbeddedEngine({ folder });
  const options = {
    max: 1,
    onnotice: () => {},
    socket: () => engine.connect(),
  };
  const sql = postgres({ user: 'postgres', database: 'postgres', ...options });
  return {
    sql,
    close: async () => {
      await sql.end({ timeout: 1 });
      await engine.close();
    },
  };
}
