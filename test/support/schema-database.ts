import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres, { type Sql } from 'postgres';
import { inject } from 'vitest';
import { openEmbeddedEngine } from '../../src/database/embedded/engine.ts';
import * as migrate from '../../src/migrations/migrate.ts';
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

export interface OpenDatabase {
  readonly sql: Sql;
  readonly engine: 'server' | 'embedded';
  readonly close: () => Promise<void>;
}

/** A database with the whole packaged schema, held open on one connection until `close`. */
export async function openSchemaDatabase(): Promise<OpenDatabase> {
  const database = await createTimescaleDatabase();
  const { engine, url, drop } = database;
  await migrate.up({ target: url });
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
