import { quoteIdentifier, type Session } from '../database/connection.ts';
import { isSqlError, sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Direction } from '../runtime/progress.ts';
import { ledgerFormat } from './format.ts';
import type { Checksum, Version } from './version.ts';

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
  /** 0: the database has no ledger. */
  readonly format: number;
  /** In order of version. */
  readonly entries: readonly LedgerEntry[];
  readonly journal: readonly JournalEntry[];
  readonly environment: Environment | undefined;
}

export const environments = ['dev', 'test', 'production'] as const;
export type Environment = (typeof environments)[number];

/** What a database without the schema has. */
export const emptyLedger: Ledger = { format: 0, entries: [], journal: [], environment: undefined };

/**
 * The ledger as it stands; `emptyLedger` where the database has none.
 * Throws `ledger-newer`, and `not-permitted` when the role may not read it.
 */
export async function readLedger(session: Session): Promise<Ledger> {
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
  if (!rows) return emptyLedger;
  const [entries, journal, [mark], [ledger]] = rows;
  const format = ledger?.format ?? 1;
  refuseNewer(format);
  return { format, entries, journal, environment: mark?.name };
}

function isAbsent(error: unknown): boolean {
  return isSqlError(error) && (error.code === '42P01' || error.code === '3F000');
}

function refuseNewer(format: number): void {
  if (format <= ledgerFormat) return;
  throw new CryptosenseDbError(
    'ledger-newer',
    {
      message: `the ledger in this database has format ${format}; this release knows ${ledgerFormat}`,
      hint: 'use the release of cryptosense-db that wrote it, or a later one',
    },
    { details: { format } },
  );
}

/** What a run writes: migrations with their history, or rows of seeders with the record of their runs. */
export type LedgerUse = 'migrations' | 'seeds';

const neededPrivileges: Readonly<Record<LedgerUse, readonly (readonly [string, string])[]>> = {
  migrations: [
    ['migrations', 'insert, update, delete'],
    ['migration_journal', 'insert, update, delete'],
    ['migration_log', 'insert'],
    ['environment', 'insert'],
  ],
  seeds: [['seed_runs', 'insert']],
};

/** Throws `not-permitted` when the role may read the ledger, but not write to the tables of that use. */
export async function requireLedgerWritable(session: Session, use: LedgerUse): Promise<void> {
  const needed = neededPrivileges[use].flatMap(([table, privileges]) =>
    privileges.split(', ').map((privilege) => ({ table: `cryptosense_db.${table}`, privilege })),
  );
  const [{ isAllowed }] = await session.sql<[{ isAllowed: boolean }]>`
    select bool_and(has_table_privilege("table", privilege)) as "isAllowed"
    from json_to_recordset(${JSON.stringify(needed)}::text::json) as needed ("table" text, privilege text)`;
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
