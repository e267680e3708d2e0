import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Sql } from 'postgres';
import { inject } from 'vitest';
import { openEmbeddedEngine } from '../../src/database/embedded/engine.ts';
import type { Environment } from '../../src/ledger/marks.ts';
import { createTestDatabase } from '../../src/testing.ts';
import { connect, createScratchDatabase } from './databases.ts';
import { serveEngine } from './engine-server.ts';
import { until } from './recovery.ts';
import { copySavedEngine, type SavedState } from './saved-engines.ts';

/** A database with TimescaleDB. */
export interface TimescaleDatabase {
  readonly engine: 'server' | 'embedded';
  /** What the tool takes as `--url`. */
  readonly url: string;
  /** Looks into it. The embedded engine has one session, so not while the tool runs. */
  readonly withSql: <T>(use: (sql: Sql) => Promise<T>) => Promise<T>;
  readonly drop: () => Promise<void>;
}

export interface EmbeddedOptions {
  /**
   * How the tool reaches the embedded engine. `port`: the test process keeps the engine open and
   * serves it, so that the tool starts none. `folder`: each run of the tool starts the engine.
   * Default: `port`.
   */
  readonly embeddedAs?: 'port' | 'folder';
}

/** An empty database on the server where there is one, else of the embedded engine. */
export async function createTimescaleDatabase({
  embeddedAs = 'port',
}: EmbeddedOptions = {}): Promise<TimescaleDatabase> {
  const server = inject('timescaleUrl');
  if (!server) return createEmbedded('empty', embeddedAs);
  const { url, sql, drop } = await createScratchDatabase(server);
  return { engine: 'server', url, withSql: (use) => use(sql), drop };
}

export interface MigratedOptions extends EmbeddedOptions {
  /** The mark of the database. Default: none. */
  readonly environment?: Environment;
}

/** A database with the whole packaged schema: a clone on the server, or a copy of a saved folder. */
export async function createMigratedDatabase({
  environment,
  embeddedAs = 'port',
}: MigratedOptions = {}): Promise<TimescaleDatabase> {
  const server = inject('timescaleUrl');
  const database = await (server ? cloneOf(server) : createEmbedded('migrated', embeddedAs));
  await database.withSql(async (sql) => {
    // A clone bears the mark of a test database.
    await sql`truncate cryptosense_db.environment`;
    if (environment)
      await sql`insert into cryptosense_db.environment (name) values (${environment})`;
  });
  return database;
}

async function cloneOf(server: string): Promise<TimescaleDatabase> {
  const { url, drop } = await createTestDatabase({ server });
  const sql = connect(url);
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

/** Those of a clone are paused. Schedules them again, the next run three days from now. */
export async function scheduleJobs({ withSql }: Pick<TimescaleDatabase, 'withSql'>): Promise<void> {
  await withSql(
    (sql) => sql`
      select alter_job(job_id, scheduled => true, next_start => now() + interval '3 days')
      from timescaledb_information.jobs`,
  );
}

/** A clone on a server is marked as a template, in which no job runs. Takes the mark off, and waits for the scheduler. */
export async function startScheduler({
  withSql,
}: Pick<TimescaleDatabase, 'withSql'>): Promise<void> {
  await withSql(async (sql) => {
    const [{ name }] = await sql<[{ name: string }]>`select current_database() as name`;
    await sql.unsafe(`alter database ${name} is_template false`);
    await sql`select _timescaledb_functions.start_background_workers()`;
    await until('a scheduler', async () => {
      const [scheduler] = await sql`
        select from pg_stat_activity
        where datname = current_database() and application_name = 'TimescaleDB Background Worker Scheduler'`;
      return scheduler;
    });
  });
}

function createEmbedded(
  state: SavedState,
  embeddedAs: 'port' | 'folder',
): Promise<TimescaleDatabase> {
  return embeddedAs === 'port' ? serveSavedEngine(state) : createFolderDatabase(state);
}

async function serveSavedEngine(state: SavedState): Promise<TimescaleDatabase> {
  const { folder, drop } = await createFolderDatabase(state);
  const server = await serveEngine(await openEmbeddedEngine({ folder }));
  return {
    engine: 'embedded',
    url: server.url,
    withSql: (use) => withConnection(server.url, use),
    drop: async () => {
      await server.close();
      await drop();
    },
  };
}

export interface FolderDatabase extends TimescaleDatabase {
  readonly folder: string;
}

/**
 * A database of the embedded engine in a folder, for tests of what the tool itself does with such a
 * folder. Each use opens the engine.
 */
export async function createFolderDatabase(state: SavedState): Promise<FolderDatabase> {
  const folder = await copySavedEngine(state);
  return {
    engine: 'embedded',
    folder,
    url: `embedded:${folder}`,
    withSql: async (use) => {
      const server = await serveEngine(await openEmbeddedEngine({ folder }));
      try {
        return await withConnection(server.url, use);
      } finally {
        await server.close();
      }
    },
    drop: async () => rmSync(dirname(folder), { recursive: true, force: true }),
  };
}

async function withConnection<T>(url: string, use: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connect(url, 1);
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

export interface OpenDatabase {
  readonly sql: Sql;
  readonly engine: 'server' | 'embedded';
  readonly close: () => Promise<void>;
}

/** A database with the whole packaged schema, held open on one connection until `close`. */
export async function openSchemaDatabase(): Promise<OpenDatabase> {
  const { engine, url, drop } = await createMigratedDatabase();
  const sql = connect(url, 1);
  return {
    sql,
    engine,
    close: async () => {
      await sql.end({ timeout: 1 });
      await drop();
    },
  };
}
