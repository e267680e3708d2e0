import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import { expect, inject, onTestFinished, vi } from 'vitest';
import { type CliResult, type RunningCli, startCli } from './cli.ts';
import { connect, createScratchDatabase, type ScratchDatabase } from './databases.ts';
import { type Folders, folderFlags } from './fixtures.ts';

/** A database of the test's own on a plain PostgreSQL, dropped when the test ends. */
export async function scratchDatabase(server = inject('postgresUrl')): Promise<ScratchDatabase> {
  const database = await createScratchDatabase(server);
  onTestFinished(database.drop);
  return database;
}

/** Starts `cryptosense-db migrate …` on this database and these folders in a new process. */
export function startMigrate(
  { url }: Pick<ScratchDatabase, 'url'>,
  folders: Folders,
  args: readonly string[],
): RunningCli {
  const run = startCli(['migrate', ...args, '--url', url, ...folderFlags(folders)]);
  onTestFinished(() => void run.process.kill('SIGKILL'));
  return run;
}

export function runMigrate(
  database: Pick<ScratchDatabase, 'url'>,
  folders: Folders,
  args: readonly string[],
): Promise<CliResult> {
  return startMigrate(database, folders, args).finished;
}

/** Waits until the probe finds something. */
export async function until(claim: string, probe: () => Promise<unknown>): Promise<void> {
  const check = async () => {
    if (!(await probe())) throw new Error(`not in time: ${claim}`);
  };
  await vi.waitFor(check, { timeout: 40_000, interval: 20 });
}

/** A lock for which statements of a fixture wait: `select pg_advisory_xact_lock_shared(KEY)`. */
export interface Gate {
  /** Waits until a statement waits for the gate. Returns the process id of its backend. */
  readonly reached: () => Promise<number>;
  readonly open: () => Promise<void>;
}

/** Closes the gate with this key until it is opened or the test ends. */
export async function closeGate({ url }: Pick<ScratchDatabase, 'url'>, key: number): Promise<Gate> {
  const sql = connect(url, 1);
  const open = () => sql.end({ timeout: 1 });
  onTestFinished(open);
  await sql`select pg_advisory_lock(${key})`;
  const waiting = () => sql<{ pid: number }[]>`
    select pid from pg_locks
    where locktype = 'advisory' and not granted and objid = ${key} and objsubid = 1
      and database = (select oid from pg_database where datname = current_database())`;
  return {
    open,
    reached: async () => {
      await until(`a statement at gate ${key}`, async () => (await waiting())[0]);
      return (await waiting())[0]?.pid ?? 0;
    },
  };
}

/** Waits until no backend of the tool is left. A backend ends a moment after its killed client. */
export async function untilNobodyRuns(sql: Sql): Promise<void> {
  await until('no backend of the tool', async () => {
    const backends = await sql`
      select from pg_stat_activity
      where application_name = 'cryptosense-db' and datname = current_database()`;
    return backends.length === 0;
  });
}

export async function recordedVersions(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ version: string }[]>`
    select version from cryptosense_db.migrations order by version`;
  return rows.map(({ version }) => version);
}

export async function publicTables(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`
    select tablename as name from pg_tables where schemaname = 'public' order by tablename`;
  return rows.map(({ name }) => name);
}

/** The events of the log, oldest first, as `event version`. */
export async function loggedEvents(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ line: string }[]>`
    select event || ' ' || version as line from cryptosense_db.migration_log order by id`;
  return rows.map(({ line }) => line);
}

/**
 * Expects exactly the tables that the recorded migrations and the journalled statements make. The files of the folders
 * have one statement in a line.
 */
export async function expectAgreement(sql: Sql, { migrations, rollbacks }: Folders): Promise<void> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regclass('cryptosense_db.migrations') is not null as "isThere"`;
  const recorded = isThere ? await recordedVersions(sql) : [];
  const journal = isThere
    ? await sql<{ version: string; direction: string; position: number }[]>`
        select version, direction, position from cryptosense_db.migration_journal
        where finished_at is not null order by version, position`
    : [];
  const expected = new Set<string>();
  const apply = (statement = '') => {
    const [, verb, table = ''] = /^(create|drop) table (\w+)/i.exec(statement) ?? [];
    if (verb?.toLowerCase() === 'create') expected.add(table);
    if (verb?.toLowerCase() === 'drop') expected.delete(table);
  };
  for (const name of readdirSync(migrations).sort()) {
    const version = name.slice(0, 15);
    const up = statementsOf(join(migrations, name));
    const down = statementsOf(join(rollbacks, name.replace('.sql', '_rollback.sql')));
    if (recorded.includes(version)) up.forEach(apply);
    for (const { direction, position } of journal.filter((row) => row.version === version)) {
      apply((direction === 'up' ? up : down)[position]);
    }
  }
  expect(await publicTables(sql)).toEqual([...expected].sort());
}

function statementsOf(path: string): readonly string[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => !/^(--|begin;|commit;|\s*$)/i.test(line));
}
