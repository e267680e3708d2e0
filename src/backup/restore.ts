import { randomBytes } from 'node:crypto';
import {
  quoteIdentifier,
  quoteLiteral,
  type Session,
  withSession,
} from '../database/connection.ts';
import { databaseArgument, libpqEnvironment } from '../database/libpq.ts';
import { requireServerVersion } from '../database/requirements.ts';
import {
  describeTarget,
  resolveTarget,
  type ServerTarget,
  type Target,
} from '../database/target.ts';
import { changeMark } from '../ledger/environment.ts';
import type { Environment } from '../ledger/marks.ts';
import { ensureLedger, type RunOptions, withRun } from '../ledger/run.ts';
import { CryptosenseDbError, isError, type Problem } from '../runtime/errors.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import { type ArchiveOptions, readDump } from './archive.ts';
import { type Backup, findBackup } from './catalog.ts';
import { compare } from './compare.ts';
import { requireServer } from './create.ts';
import { withSuffix } from './database-name.ts';
import { feed } from './feed.ts';
import type { Manifest } from './manifest.ts';
import { findProgram, type Program, start } from './programs.ts';
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
 * Throws `database-exists`, `no-backup`, `backup-damaged`, `backup-locked`, `restore-differs`, `server-unsuitable`,
 * `not-permitted`, `program-missing`, `program-failed`, `store-failed` and `interrupted`.
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const target = requireServer(resolveTarget(options.target));
  const { signal, onProgress } = options;
  const startedAt = performance.now();
  return withStore(options, async (store) => {
    const backup = await findBackup(store, options);
    const { manifest } = backup;
    const phases: RestorePhase[] = [];
    const phase = async <T>(name: RestorePhase['name'], work: () => Promise<T>): Promise<T> => {
      onProgress?.({ kind: 'backup-phase', phase: name });
      const begun = performance.now();
      const result = await work();
      phases.push({ name, durationMs: Math.round(performance.now() - begun) });
      return result;
    };
    const mark = await withSession(target, { signal, isCatalogOnly: true }, async (session) => {
      const pgRestore = await phase('prepare', () => prepare(session, manifest, options));
      // Not the name that was asked for, until the database is whole.
      const name = withSuffix(options.into, `_restoring_${randomBytes(4).toString('hex')}`);
      try {
        await createDatabase(session, name, manifest.locale);
        await fill({ ...target, database: name }, { backup, store, pgRestore, phase, options });
        return await phase('finish', async () => {
          const written = await markCopy({ ...target, database: name }, { manifest, options });
          await finish(session, { name, manifest, options });
          return written;
        });
      } catch (error) {
        const isGone = !options.keep && (await isDropped(target, name));
        throw isGone || !isError(error) ? error : error.with(leftBehind(name));
      }
    });
    return {
      target: describeTarget({ ...target, database: options.into }),
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

export interface ActivateOptions extends Omit<RunOptions, 'lockTimeoutMs'> {
  /** A restored database. */
  readonly target: Target | string;
}

export interface ActivateResult {
  readonly target: string;
  /** Jobs that run from now on. */
  readonly jobs: number;
}

/** Starts the jobs of a restored database, whose policies then compress, refresh and drop. Throws `not-permitted`. */
export async function activate(options: ActivateOptions): Promise<ActivateResult> {
  const target = requireServer(resolveTarget(options.target));
  return withSession(target, options, async ({ sql, server }) => {
    await sql.unsafe(`alter database ${quoteIdentifier(server.database)} is_template false`);
    const [{ isThere }] = await sql<[{ isThere: boolean }]>`
      select to_regproc('_timescaledb_functions.start_background_workers') is not null as "isThere"`;
    if (!isThere) return { target: describeTarget(target), jobs: 0 };
    await sql`select _timescaledb_functions.start_background_workers()`;
    const [{ jobs }] = await sql<[{ jobs: number }]>`
      select count(*)::int as jobs from timescaledb_information.jobs where scheduled and job_id >= 1000`;
    return { target: describeTarget(target), jobs };
  });
}

/** Checks what can be checked before anything is created. */
async function prepare(
  session: Session,
  manifest: Manifest,
  { into, pgBin, signal }: RestoreOptions,
): Promise<Program> {
  requireServerVersion(session);
  const { sql, server } = session;
  const [found] = await sql`select from pg_database where datname = ${into}::name`;
  if (found) {
    throw new CryptosenseDbError(
      'database-exists',
      {
        message: `the database "${into}" exists; a backup is restored into a new one only`,
        hint: 'name another one with --into',
      },
      { details: { database: into } },
    );
  }
  const major = Math.floor(server.version / 10_000);
  const wanted = Number.parseInt(manifest.versions.postgresql, 10);
  if (major !== wanted) {
    throw unsuitable(
      `the backup is of PostgreSQL ${manifest.versions.postgresql}, and the server is PostgreSQL ${major}`,
      `restore it to a server of PostgreSQL ${wanted}`,
    );
  }
  await requireRoles(session, manifest);
  await requireTablespaces(session, manifest);
  if (manifest.versions.timescaledb !== null) {
    await requireSameTimescale(session, manifest.versions.timescaledb);
  }
  return findProgram('pg_restore', { major, binFolder: pgBin, signal });
}

/** A role that is missing would take its policies and grants along, without an error where pg_restore skips them. */
async function requireRoles({ sql }: Session, { roles }: Manifest): Promise<void> {
  const rows = await sql<{ name: string }[]>`
    select wanted as name from json_array_elements_text(${JSON.stringify(roles)}::text::json) as wanted
    where not exists (select from pg_roles where rolname = wanted) order by 1`;
  if (rows.length === 0) return;
  const names = rows.map(({ name }) => name);
  throw unsuitable(
    `the server lacks ${names.length === 1 ? 'a role' : 'roles'} of the backup: ${names.join(', ')}`,
    `create them first: ${names.map((name) => `create role ${quoteIdentifier(name)} nologin;`).join(' ')}`,
  );
}

async function requireTablespaces({ sql }: Session, { tablespaces }: Manifest): Promise<void> {
  const rows = await sql<{ name: string }[]>`
    select wanted as name from json_array_elements_text(${JSON.stringify(tablespaces)}::text::json) as wanted
    where not exists (select from pg_tablespace where spcname = wanted) order by 1`;
  if (rows.length === 0) return;
  const names = rows.map(({ name }) => name);
  throw unsuitable(
    `the server lacks ${names.length === 1 ? 'a tablespace' : 'tablespaces'} of the backup: ${names.join(', ')}`,
    `create them first, each in an empty folder: ${names.map((name) => `create tablespace ${quoteIdentifier(name)} location '/FOLDER';`).join(' ')}`,
  );
}

/** Another version cannot read the catalog of TimescaleDB in the dump. */
async function requireSameTimescale({ sql, server }: Session, version: string): Promise<void> {
  const [facts] = await sql<
    [{ isSuperuser: boolean; isAvailable: boolean; versions: string; isPreloaded: boolean }]
  >`
    select
      (select rolsuper from pg_roles where rolname = current_user) as "isSuperuser",
      exists (
        select from pg_available_extension_versions where name = 'timescaledb' and version = ${version}
      ) as "isAvailable",
      coalesce((
        select string_agg(version, ', ' order by version) from pg_available_extension_versions
        where name = 'timescaledb'
      ), 'none') as versions,
      current_setting('shared_preload_libraries') ~ '(^|[, ])timescaledb' as "isPreloaded"`;
  if (!facts.isAvailable) {
    throw unsuitable(
      `the backup has TimescaleDB ${version}, and the server offers ${facts.versions}`,
      `install TimescaleDB ${version} on the server, restore, and update the extension then`,
    );
  }
  if (!facts.isSuperuser) {
    throw new CryptosenseDbError('not-permitted', {
      message: `the role "${server.user}" is no superuser, and only one may restore a database with TimescaleDB`,
      hint: 'name a superuser in the URL',
    });
  }
  if (!facts.isPreloaded) {
    throw unsuitable(
      'TimescaleDB is installed on the server but not loaded',
      "set shared_preload_libraries = 'timescaledb' in postgresql.conf and restart the server",
    );
  }
}

function unsuitable(message: string, hint: string): CryptosenseDbError<'server-unsuitable'> {
  return new CryptosenseDbError('server-unsuitable', { message, hint });
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
    options: { into, activate: isActivated, target, signal },
  }: { readonly name: string; readonly manifest: Manifest; readonly options: RestoreOptions },
): Promise<void> {
  for (const statement of manifest.settings) {
    await sql.unsafe(statement.replace('%DATABASE%', () => quoteIdentifier(name)));
  }
  await sql.unsafe(`alter database ${quoteIdentifier(name)} rename to ${quoteIdentifier(into)}`);
  if (!isActivated) return;
  const restored = requireServer(resolveTarget(target));
  await activate({ target: { ...restored, database: into }, signal });
}

/** False: it may be there, because the server cannot be reached. */
function isDropped(target: ServerTarget, name: string): Promise<boolean> {
  return dropRestored(target, name).then(
    () => true,
    () => false,
  );
}

function leftBehind(name: string): Problem {
  const quoted = quoteIdentifier(name);
  const statements = [
    `alter database ${quoted} is_template false`,
    `drop database if exists ${quoted}`,
  ];
  const commands = statements.map((statement) => `-c ${quoteShellWord(statement)}`);
  return {
    message: `the database ${JSON.stringify(name)} is left behind`,
    hint: `look at it, then drop it: psql ${commands.join(' ')}`,
  };
}

/** Drops a restored database, which cannot be dropped while it is a template. One that is not there is dropped already. */
export async function dropRestored(target: ServerTarget, name: string): Promise<void> {
  // In a session of its own: the one of the restore may be lost, or interrupted.
  await withSession(target, { isCatalogOnly: true }, async ({ sql }) => {
    const quoted = quoteIdentifier(name);
    const [found] = await sql`select from pg_database where datname = ${name}::name`;
    if (!found) return;
    await sql.unsafe(`alter database ${quoted} is_template false`);
    await sql.unsafe(`drop database ${quoted} with (force)`);
  });
}
