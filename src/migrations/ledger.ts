import { quoteIdentifier, type Session } from '../database/connection.ts';
import { isSqlError, sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { CryptosenseDbError } from '../errors.ts';
import type { Direction } from '../progress.ts';
import type { Checksum } from './source.ts';
import type { Version } from './version.ts';

/** A migration that the database records as applied. */
export interface LedgerEntry {
  readonly version: Version;
  readonly description: string;
  readonly checksum: Checksum;
  readonly rollbackChecksum: Checksum;
  readonly appliedAt: Date;
  readonly appliedBy: string;
  readonly durationMs: number;
  readonly toolVersion: string;
}

/** A statement of a `-- Transaction: none` file whose run has not come to its end. */
export interface JournalEntry {
  readonly version: Version;
  readonly direction: Direction;
  /** From 0. */
  readonly position: number;
  readonly checksum: Checksum;
  readonly isFinished: boolean;
}

export interface Ledger {
  /** In order of version. */
  readonly entries: readonly LedgerEntry[];
  readonly journal: readonly JournalEntry[];
  readonly environment: Environment | undefined;
}

export const environments = ['dev', 'test', 'production'] as const;
export type Environment = (typeof environments)[number];

/** Raised with every change of the tables below that an older tool cannot work with; it refuses a newer ledger. */
const ledgerFormat = 1;

export const emptyLedger: Ledger = { entries: [], journal: [], environment: undefined };

/**
 * The ledger as it stands; undefined where the database has none.
 * Throws `ledger-newer`, and `not-permitted` when the role may not read it.
 */
export async function readLedger(session: Session): Promise<Ledger | undefined> {
  const { sql } = session;
  const rows = await Promise.all([
    sql<LedgerEntry[]>`
      select
        version, description, checksum, rollback_checksum as "rollbackChecksum",
        applied_at as "appliedAt", applied_by as "appliedBy",
        duration_ms as "durationMs", tool_version as "toolVersion"
      from cryptosense_db.migrations order by version`,
    sql<JournalEntry[]>`
      select version, direction, position, checksum, finished_at is not null as "isFinished"
      from cryptosense_db.migration_journal order by version, position`,
    sql<{ name: Environment }[]>`select name from cryptosense_db.environment`,
    sql<{ format: number }[]>`select format from cryptosense_db.ledger`,
  ]).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    const isRefused = sqlState(error) === sqlErrorCodes.insufficientPrivilege;
    throw isRefused ? ledgerRefused(session, 'read', error) : error;
  });
  if (!rows) return undefined;
  const [entries, journal, [mark], [ledger]] = rows;
  refuseNewer(ledger?.format);
  return { entries, journal, environment: mark?.name };
}

function isAbsent(error: unknown): boolean {
  return isSqlError(error) && (error.code === '42P01' || error.code === '3F000');
}

function refuseNewer(format: number | undefined): void {
  if (format === undefined || format <= ledgerFormat) return;
  throw new CryptosenseDbError(
    'ledger-newer',
    {
      message: `the ledger in this database has format ${format}; this release knows ${ledgerFormat}`,
      hint: 'use the release of cryptosense-db that wrote it, or a later one',
    },
    { details: { format } },
  );
}

/**
 * Creates the ledger in a transaction, and leaves that open. Call it with the migration lock held.
 * Throws `not-permitted` when the role may not create a schema.
 */
export async function createLedger({ sql, server }: Session): Promise<void> {
  const [allowed, created] = await Promise.allSettled([
    sql<[{ isAllowed: boolean }]>`
      select has_database_privilege(current_database(), 'create') as "isAllowed"`,
    sql.unsafe(`${ledgerTransaction}; ${ledgerDefinition}`),
  ]);
  if (allowed.status === 'fulfilled' && !allowed.value[0].isAllowed) {
    throw new CryptosenseDbError('not-permitted', {
      message: `the role "${server.user}" may not create a schema in the database "${server.database}"`,
      evidence: ['the history of migrations is kept in a schema of its own, cryptosense_db'],
      hint: `let an owner run: grant create on database ${quoteIdentifier(server.database)} to ${quoteIdentifier(server.user)}`,
    });
  }
  if (created.status === 'rejected') throw created.reason;
}

/** Throws `not-permitted` when the role may read the ledger that is there, but not write to it. */
export async function requireWritable(session: Session): Promise<void> {
  const [{ isAllowed }] = await session.sql<[{ isAllowed: boolean }]>`
    select bool_and(has_table_privilege(name, privilege)) as "isAllowed"
    from (values
      ('cryptosense_db.migrations', 'insert'),
      ('cryptosense_db.migrations', 'update'),
      ('cryptosense_db.migrations', 'delete'),
      ('cryptosense_db.migration_journal', 'insert'),
      ('cryptosense_db.migration_journal', 'update'),
      ('cryptosense_db.migration_journal', 'delete'),
      ('cryptosense_db.migration_log', 'insert'),
      ('cryptosense_db.environment', 'insert')
    ) as needed (name, privilege)`;
  if (!isAllowed) throw ledgerRefused(session, 'write to');
}

function ledgerRefused({ server }: Session, what: 'read' | 'write to', cause?: unknown) {
  const user = quoteIdentifier(server.user);
  const schema = 'schema cryptosense_db';
  const rights = what === 'read' ? 'select' : 'select, insert, update, delete';
  return new CryptosenseDbError(
    'not-permitted',
    {
      message: `the role "${server.user}" may not ${what} the history of migrations in "${server.database}"`,
      evidence: ['it is kept in a schema of its own, cryptosense_db'],
      hint: `run it as the role that owns it, or let an owner run: grant usage on ${schema} to ${user}; grant ${rights} on all tables in ${schema} to ${user}`,
    },
    { cause },
  );
}

/**
 * It stays open while files are parsed. That an empty ledger is on the disk, nobody waits for: the COMMIT after it
 * takes it along.
 */
const ledgerTransaction =
  'begin; set local idle_in_transaction_session_timeout = 0; set local synchronous_commit = off';

/**
 * Where all columns of a table have a known length, it needs no TOAST table: two files less that a new database has
 * to make.
 */
const ledgerDefinition = `
  create schema if not exists cryptosense_db;
  comment on schema cryptosense_db is
    'History of schema migrations, written by the tool cryptosense-db. Not for editing by hand.';

  create table cryptosense_db.ledger (format integer not null);
  insert into cryptosense_db.ledger values (${ledgerFormat});

  create table cryptosense_db.migrations (
    version text collate "C" primary key,
    description text not null,
    checksum text not null,
    rollback_sql text not null,
    rollback_checksum text not null,
    applied_by text not null default session_user,
    applied_at timestamptz not null default clock_timestamp(),
    duration_ms integer not null,
    tool_version text not null
  );
  comment on table cryptosense_db.migrations is
    'One row for each migration that is applied, with the rollback that undoes it.';

  create table cryptosense_db.migration_log (
    id bigint generated always as identity primary key,
    event text not null
      check (event in ('apply', 'rollback', 'repair', 'forget', 'baseline', 'failure')),
    version text not null,
    description text not null,
    checksum text,
    at timestamptz not null default clock_timestamp(),
    by text not null default session_user,
    duration_ms integer,
    detail text,
    tool_version text not null
  );
  comment on table cryptosense_db.migration_log is 'Everything that was done, in order; append-only.';

  create function cryptosense_db.refuse_change() returns trigger language plpgsql as $$
  begin
    raise exception '%.% is append-only', tg_table_schema, tg_table_name;
  end $$;
  create trigger append_only before update or delete or truncate on cryptosense_db.migration_log
    for each statement execute function cryptosense_db.refuse_change();

  create table cryptosense_db.migration_journal (
    version varchar(15) collate "C" not null,
    direction varchar(4) not null check (direction in ('up', 'down')),
    position integer not null,
    checksum varchar(64) not null,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    primary key (version, direction, position)
  );
  comment on table cryptosense_db.migration_journal is
    'Statements of "-- Transaction: none" files whose run has not come to its end.';

  create table cryptosense_db.environment (
    is_only boolean primary key default true check (is_only),
    name varchar(10) not null check (name in ('dev', 'test', 'production')),
    marked_at timestamptz not null default clock_timestamp(),
    marked_by name not null default session_user
  );
  comment on table cryptosense_db.environment is 'What this database is; written once.';
`;

/** The rollbacks that were recorded when the migrations were applied, by version. */
export async function readRollbacks(
  { sql }: Session,
  versions: readonly Version[],
): Promise<ReadonlyMap<Version, string>> {
  if (versions.length === 0) return new Map();
  const rows = await sql<{ version: Version; text: string }[]>`
    select version, rollback_sql as text from cryptosense_db.migrations
    where version in ${sql([...versions])}`;
  return new Map(rows.map(({ version, text }) => [version, text]));
}

/** Marks the database; the mark stays when there is one. Returns the mark that it bears. */
export async function markEnvironment({ sql }: Session, name: Environment): Promise<Environment> {
  const [row] = await sql<{ name: Environment }[]>`
    with marked as (
      insert into cryptosense_db.environment (name) values (${name})
      on conflict (is_only) do nothing
      returning name
    )
    select name from marked union all select name from cryptosense_db.environment`;
  return row?.name ?? name;
}
