import { randomBytes } from 'node:crypto';
import {
  quoteIdentifier,
  quoteLiteral,
  type Session,
  withSession,
} from '../database/connection.ts';
import { databaseArgument, libpqEnvironment } from '../database/libpq.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import {
  describeTarget,
  resolveTarget,
  type ServerTarget,
  type Target,
} from '../database/target.ts';
import { changeMark } from '../ledger/environment.ts';
import type { Environment } from '../ledger/marks.ts';
import { ensureLedger, withRun } from '../ledger/run.ts';
import { CryptosenseDbError, isError, type Problem } from '../runtime/errors.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import { activate } from './activate.ts';
import { type ArchiveOptions, readDump } from './archive.ts';
import { type Backup, findBackup } from './catalog.ts';
import { compare } from './compare.ts';
import { requireServer } from './create.ts';
import { requireName, withSuffix } from './database-name.ts';
import { feed } from './feed.ts';
import type { Manifest } from './manifest.ts';
import { databaseExists, prepare } from './prepare.ts';
import { type Program, start } from './programs.ts';
import { unseal } from './sealed.ts';
import type { Store } from './store.ts';
import { type StoreOptions, withStore } from './with-store.ts';

export interface RestoreOptions extends StoreOptions, ArchiveOptions {
  /** Any database of the server to restore to; its login needs a superuser where the backup has TimescaleDB. */
  readonly target: Target | string;
  /** An id, or `latest`. */
  readonly id: string;
  /** Of which database; needed where the store has backups of several. */
  readonly database?: string | undefined;
  /** The name of the new database. */
  readonly into: string;
  /** Start the jobs of the restored database. Default: they stay off until `activate`. */
  readonly activate?: boolean | undefined;
  /** Keep a database that differs from the manifest, or could not be restored, under the name of the attempt. */
  readonly keep?: boolean | undefined;
  /**
   * The mark of the copy, which gets a ledger where it has none. Default: `test` for a copy of production, else the mark
   * that the backup has.
   */
  readonly mark?: Environment | undefined;
  readonly pgBin?: string | undefined;
}

export interface RestorePhase {
  readonly name: 'prepare' | 'restore' | 'analyze' | 'compare' | 'finish';
  readonly durationMs: number;
}

export interface RestoreResult {
  readonly target: string;
  readonly id: string;
  /** The database that was backed up. */
  readonly source: string;
  readonly database: string;
  /** As it was written into the copy; undefined without one. */
  readonly mark: Environment | undefined;
  readonly isActive: boolean;
  readonly tables: number;
  readonly rows: number;
  readonly phases: readonly RestorePhase[];
  readonly durationMs: number;
}

/**
 * Restores a backup into a new database, compares every table with the manifest, and gives the database its name only
 * then. Its jobs are off, because the database is a template until `activate`. When it fails, nothing is left under the
 * name; what was restored is dropped, unless `keep`.
 * Throws `bad-configuration`, `database-exists`, `no-backup`, `backup-damaged`, `backup-locked`, `restore-differs`, `server-unsuitable`,
 * `not-permitted`, `program-missing`, `program-failed`, `store-failed` and `interrupted`.
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const target = patient(requireServer(resolveTarget(options.target)));
  const { signal, onProgress } = options;
  const startedAt = performance.now();
  requireName(options.into);
  return withStore(options, async (store) => {
    const backup = await unseal(await findBackup(store, options), options);
    const { manifest } = backup;
    const restored = { ...target, database: options.into };
    const phases: RestorePhase[] = [];
    const phase = async <T>(name: RestorePhase['name'], work: () => Promise<T>): Promise<T> => {
      onProgress?.({ kind: 'backup-phase', phase: name });
      const begun = performance.now();
      const result = await work();
      phases.push({ name, durationMs: Math.round(performance.now() - begun) });
      return result;
    };
    // Not the name that was asked for, until the database is whole.
    const name = withSuffix(options.into, `_restoring_${randomBytes(4).toString('hex')}`);
    let state: 'not begun' | 'begun' | 'named' = 'not begun';
    const work = async (session: Session) => {
      const pgRestore = await phase('prepare', () => prepare(session, manifest, options));
      state = 'begun';
      await createDatabase(session, name, manifest.locale);
      await fill({ ...target, database: name }, { backup, store, pgRestore, phase, options });
      return phase('finish', async () => {
        const written = await markCopy({ ...target, database: name }, { manifest, options });
        await finish(session, { name, manifest, into: options.into });
        state = 'named';
        if (options.activate) await activate({ target: restored, signal });
        return written;
      });
    };
    const mark = await withSession(target, { signal, isCatalogOnly: true }, work).catch(
      async (error: unknown) => {
        if (state === 'not begun') throw error;
        const isBack =
          state === 'begun' || (await isRenamed(target, { from: options.into, to: name }));
        const left = isBack ? name : options.into;
        const isGone = options.keep ? await isMissing(target, left) : await isDropped(target, left);
        throw isGone || !isError(error) ? error : withLeft(error, left);
      },
    );
    return {
      target: describeTarget(restored),
      id: backup.id,
      source: backup.database,
      database: options.into,
      mark,
      isActive: options.activate === true,
      tables: manifest.tables.length,
      rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0),
      phases,
      durationMs: Math.round(performance.now() - startedAt),
    };
  });
}

/** A template, because TimescaleDB starts no scheduler in one: its jobs would run at once. */
async function createDatabase(
  { sql }: Session,
  name: string,
  { encoding, collate, ctype, icu }: Manifest['locale'],
): Promise<void> {
  const provider = icu === null ? '' : ` locale_provider icu icu_locale ${quoteLiteral(icu)}`;
  await sql.unsafe(
    `create database ${quoteIdentifier(name)} template template0 is_template true encoding ${quoteLiteral(encoding)}
      lc_collate ${quoteLiteral(collate)} lc_ctype ${quoteLiteral(ctype)}${provider}`,
  );
}

interface Filling {
  readonly backup: Backup;
  readonly store: Store;
  readonly pgRestore: Program;
  readonly phase: <T>(name: RestorePhase['name'], work: () => Promise<T>) => Promise<T>;
  readonly options: RestoreOptions;
}

/** In the order that TimescaleDB needs: extension, pre_restore, pg_restore in one process, post_restore, ANALYZE. */
async function fill(
  target: ServerTarget,
  { backup, store, pgRestore, phase, options }: Filling,
): Promise<void> {
  const { signal } = options;
  const { manifest } = backup;
  const { timescaledb } = manifest.versions;
  const inDatabase = <T>(work: (session: Session) => Promise<T>) =>
    withSession(target, { signal, isCatalogOnly: true }, work);
  await phase('restore', async () => {
    if (timescaledb !== null) {
      await inDatabase(({ sql }) =>
        sql.unsafe(
          `create extension timescaledb schema public version ${quoteLiteral(timescaledb)}`,
        ),
      );
      await inDatabase(({ sql }) => sql`select public.timescaledb_pre_restore()`);
    }
    const environment = await libpqEnvironment(target, { signal });
    const args = ['--exit-on-error', '--no-password', databaseArgument(target.database)];
    const running = start(pgRestore, args, { environment, signal });
    running.stdout.resume();
    await feed(readDump(store, backup, options), { running, program: pgRestore, backup, signal });
    if (timescaledb !== null) {
      await inDatabase(({ sql }) => sql`select public.timescaledb_post_restore()`);
    }
  });
  await phase('analyze', () => inDatabase(({ sql }) => sql.unsafe('analyze')));
  await phase('compare', () => inDatabase((session) => compare(session, manifest, options)));
}

/**
 * Marks the copy, and logs what it is a copy of. Without `mark` a copy of production becomes `test`, and each other one
 * keeps the mark that its ledger has. Returns the mark; undefined where there is none.
 */
async function markCopy(
  target: ServerTarget,
  {
    manifest,
    options: { mark, signal },
  }: { readonly manifest: Manifest; readonly options: RestoreOptions },
): Promise<Environment | undefined> {
  return withRun({ target, signal }, { access: 'write' }, async (run) => {
    const before = run.ledger.environment;
    const environment = mark ?? (before === 'production' ? 'test' : before);
    if (environment === undefined) return undefined;
    await ensureLedger(run, 'mark');
    const copyOf = `${manifest.id} of ${manifest.database}`;
    await changeMark(run, { before, environment, copyOf });
    return environment;
  });
}

/** Gives the database its settings and its name. */
async function finish(
  { sql }: Session,
  {
    name,
    manifest,
    into,
  }: { readonly name: string; readonly manifest: Manifest; readonly into: string },
): Promise<void> {
  for (const statement of manifest.settings) {
    await sql.unsafe(statement.replace('%DATABASE%', () => quoteIdentifier(name)));
  }
  try {
    await sql.unsafe(`alter database ${quoteIdentifier(name)} rename to ${quoteIdentifier(into)}`);
  } catch (error) {
    // Another restore was faster.
    throw sqlState(error) === sqlErrorCodes.databaseExists ? databaseExists(into) : error;
  }
}

/** Without the timeouts of the role or the database: a session waits while pg_restore works for hours. */
function patient(target: ServerTarget): ServerTarget {
  return {
    ...target,
    settings: {
      ...target.settings,
      statement_timeout: '0',
      lock_timeout: '0',
      idle_session_timeout: '0',
      idle_in_transaction_session_timeout: '0',
    },
  };
}

/** Takes the name from a database that could not be activated. False: it has it still. */
function isRenamed(
  target: ServerTarget,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<boolean> {
  const rename = async ({ sql }: Session) => {
    const quoted = quoteIdentifier(from);
    await sql.unsafe(`alter database ${quoted} is_template true`);
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${from}`;
    await sql.unsafe(`alter database ${quoted} rename to ${quoteIdentifier(to)}`);
  };
  return withSession(target, { isCatalogOnly: true }, rename).then(
    () => true,
    () => false,
  );
}

/** False: it may be there, because the server cannot be reached. */
function isDropped(target: ServerTarget, name: string): Promise<boolean> {
  return dropRestored(target, name).then(
    () => true,
    () => false,
  );
}

function isMissing(target: ServerTarget, name: string): Promise<boolean> {
  const find = ({ sql }: Session) => sql`select from pg_database where datname = ${name}::name`;
  return withSession(target, { isCatalogOnly: true }, find).then(
    (found) => found.length === 0,
    () => false,
  );
}

/** The same error, which also names the database that is left, and how to drop it. */
function withLeft(error: CryptosenseDbError, name: string): CryptosenseDbError {
  const quoted = quoteIdentifier(name);
  const statements = [
    `alter database ${quoted} is_template false`,
    `drop database if exists ${quoted} with (force)`,
  ];
  const commands = statements.map((statement) => `-c ${quoteShellWord(statement)}`);
  const problem: Problem = {
    message: `the database ${JSON.stringify(name)} is left behind`,
    evidence: ['it is a template, so that its jobs are off'],
    hint: `look at it, then drop it: psql ${commands.join(' ')}`,
  };
  if (!isError(error, 'restore-differs')) return error.with(problem);
  const details = { ...error.details, leftDatabase: name };
  return new CryptosenseDbError('restore-differs', [...error.problems, problem], { details });
}

/** Drops a restored database, which cannot be dropped while it is a template. One that is not there is dropped already. */
export async function dropRestored(target: ServerTarget, name: string): Promise<void> {
  // In a session of its own: the one of the restore may be lost, or interrupted.
  await withSession(patient(target), { isCatalogOnly: true }, async ({ sql }) => {
    const quoted = quoteIdentifier(name);
    const [found] = await sql`select from pg_database where datname = ${name}::name`;
    if (!found) return;
    await sql.unsafe(`alter database ${quoted} is_template false`);
    await sql.unsafe(`drop database ${quoted} with (force)`);
  });
}
