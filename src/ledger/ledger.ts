import { quoteIdentifier, type Session } from '../database/connection.ts';
import { isSqlError, sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Direction } from '../runtime/progress.ts';
import { ledgerFormat } from './format.ts';
import type { Environment } from './marks.ts';
import { type LedgerUse, requireTrustedLedger } from './trust.ts';
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
  /** `public` was first in the search path of the run that recorded it. Not known of a run of release 0.1. */
  readonly ranInPublic: boolean;
}

/** A statement of a `-- Transaction: none` file whose run has not finished. */
export interface JournalEntry {
  readonly version: Version;
  readonly direction: Direction;
  /** From 0. */
  readonly position: number;
  readonly checksum: Checksum;
  readonly isFinished: boolean;
  readonly startedAt: Date;
}

export interface Ledger {
  /** The number of the ledger's definition; 0 when the database has no ledger. */
  readonly format: number;
  /** In order of version. */
  readonly entries: readonly LedgerEntry[];
  readonly journal: readonly JournalEntry[];
  readonly environment: Environment | undefined;
}

/** The ledger of a database that has none. */
export const emptyLedger: Ledger = { format: 0, entries: [], journal: [], environment: undefined };

/**
 * Checks that the ledger runs no code of another role, and reads it, of this release's format or an older one;
 * `emptyLedger` when the database has none. Call it first in a session.
 * Throws `ledger-untrusted`, `ledger-newer`, and `not-permitted` when the role may not read it.
 */
export async function readLedger(session: Session, use: LedgerUse = 'migrations'): Promise<Ledger> {
  const { sql } = session;
  if (!(await requireTrustedLedger(session, use))) return emptyLedger;
  const rows = await Promise.all([
    // In a ledger of an older format, search_path is the column of `absent`.
    sql<LedgerEntry[]>`
      select entry.* from (select null as search_path) absent, lateral (select
        version, description, checksum, rollback_checksum as "rollbackChecksum",
        applied_at as "appliedAt", applied_by as "appliedBy",
        duration_ms as "durationMs", tool_version as "toolVersion",
        search_path is not null as "ranInPublic"
      from cryptosense_db.migrations) entry order by version`,
    sql<JournalEntry[]>`
      select
        version, direction, position, checksum, finished_at is not null as "isFinished",
        started_at as "startedAt"
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
  // A restored dump without data has the tables, and no row in them.
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
      message: `the ledger in this database has format ${format}; this release knows formats up to ${ledgerFormat}`,
      hint: 'use the release of cryptosense-db that wrote the ledger, or a later one',
    },
    { details: { format } },
  );
}

const neededPrivileges: Readonly<Record<LedgerUse, readonly (readonly [string, string])[]>> = {
  migrations: [
    ['migrations', 'insert, update, delete'],
    ['migration_journal', 'insert, update, delete'],
    ['migration_log', 'insert'],
    ['environment', 'insert'],
  ],
  seeds: [
    ['seed_runs', 'insert'],
    ['seed_afterwards', 'insert, update, delete'],
    ['environment', 'insert'],
  ],
  mark: [
    ['environment', 'insert, update'],
    ['migration_log', 'insert'],
  ],
  prices: [
    ['price_imports', 'insert, delete'],
    ['price_assets', 'insert, update'],
    ['price_files', 'insert, update'],
    ['price_upkeep', 'insert, update, delete'],
  ],
};

/** Throws `not-permitted` when the role may read the ledger but not write to the tables of that use. */
export async function requireLedgerWritable(session: Session, use: LedgerUse): Promise<void> {
  const needed = neededPrivileges[use].flatMap(([table, privileges]) =>
    privileges.split(', ').map((privilege) => ({ table: `cryptosense_db.${table}`, privilege })),
  );
  const [{ isAllowed }] = await session.sql<[{ isAllowed: boolean }]>`
    select pg_catalog.bool_and(pg_catalog.has_table_privilege("table", privilege)) as "isAllowed"
    from pg_catalog.json_to_recordset(${JSON.stringify(needed)}::text::json)
      as needed ("table" text, privilege text)`;
  if (!isAllowed) throw ledgerRefused(session, 'write to');
}

function ledgerRefused({ server }: Session, access: 'read' | 'write to', cause?: unknown) {
  const user = quoteIdentifier(server.user);
  const schema = 'schema cryptosense_db';
  const rights = access === 'read' ? 'select' : 'select, insert, update, delete';
  return new CryptosenseDbError(
    'not-permitted',
    {
      message: `the role "${server.user}" may not ${access} the history of migrations in "${server.database}"`,
      evidence: ['the tool keeps the history in a schema of its own, cryptosense_db'],
      hint: `run the command as the role that owns the schema, or let that role run: grant usage on ${schema} to ${user}; grant ${rights} on all tables in ${schema} to ${user}`,
    },
    { cause },
  );
}

/**
 * The texts of the rollbacks that were recorded with the migrations, by version. A version without a record is not in
 * the map: call it with the migration lock held, so that no record disappears after `readLedger`.
 */
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
