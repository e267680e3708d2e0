import { quoteIdentifier, type Session } from '../database/connection.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Manifest } from './manifest.ts';
import { findProgram, type Program } from './programs.ts';

/**
 * Checks what can be checked before a restore creates anything, and returns its pg_restore. Throws `database-exists`,
 * `server-unsuitable`, `not-permitted` and `program-missing`.
 */
export async function prepare(
  session: Session,
  manifest: Manifest,
  {
    into,
    pgBin,
    signal,
  }: {
    readonly into: string;
    readonly pgBin?: string | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Program> {
  requireServerVersion(session);
  const { sql, server } = session;
  const [found] = await sql`select from pg_database where datname = ${into}::name`;
  if (found) {
    throw databaseExists(into);
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

export function databaseExists(database: string): CryptosenseDbError<'database-exists'> {
  return new CryptosenseDbError(
    'database-exists',
    {
      message: `the database "${database}" exists; a backup is restored into a new one only`,
      hint: 'name another one with --into',
    },
    { details: { database } },
  );
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
