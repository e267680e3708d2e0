import { type Session, withRollback, withSession } from '../database/connection.ts';
import { isSqlError } from '../database/sql-errors.ts';
import type { RunOptions } from '../ledger/run.ts';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import {
  type FoundTable,
  findTables,
  hashSettings,
  readNewestMigration,
  readTable,
} from './contents.ts';
import type { ManifestTable } from './manifest.ts';
import type { DrilledMoment, DrillResult } from './report.ts';
import { type Login, smokeTest } from './smoke.ts';
import { type Copy, withCopy } from './wal/copy.ts';
import type { StanzaOptions } from './wal/stanza.ts';

interface MomentDrill extends StanzaOptions, Pick<RunOptions, 'onProgress' | 'signal'> {
  readonly pitr: Date;
  readonly database: string | undefined;
  readonly folder: string;
  readonly keep: boolean;
  readonly rtoMs: number;
  readonly login: Login | undefined;
  readonly pgBin: string | undefined;
}

/**
 * Restores the server as it was at a moment into a copy of its own, reads every row of a database, and does what the
 * services do first. A moment has no manifest: rows and hashes are reported, and not compared.
 */
export async function drillMoment(options: MomentDrill): Promise<DrillResult> {
  const { pitr, keep, rtoMs, login, signal, onProgress } = options;
  const startedAt = new Date();
  return withCopy({ ...options, to: pitr }, async ({ restored, target, restoreMs, replayMs }) => {
    const source = options.database ?? (await findDatabase(target, signal));
    const sessionOptions = { signal, isCatalogOnly: true, isReadOnlyFine: true };
    return withSession({ ...target, database: source }, sessionOptions, async (session) => {
      onProgress?.({ kind: 'backup-phase', phase: 'read' });
      const reading = performance.now();
      const facts = await readFacts(session);
      const { tables, faults } = await readAll(session, onProgress);
      const readMs = Math.round(performance.now() - reading);
      const { newestTransactionAt, newestEntry } = facts;
      const isLater = newestTransactionAt !== null && newestTransactionAt > pitr;
      const differences = [
        ...(isLater
          ? [`the newest transaction is of ${newestTransactionAt.toISOString()}, after the moment`]
          : []),
        ...faults,
      ];
      const smokeTests = await smokeTest(session, login);
      const totalMs = restoreMs + replayMs + readMs;
      const { startCommand, stopCommand } = restored;
      const kept = keep ? { startCommand, stopCommand } : undefined;
      return {
        store: restored.repository,
        id: restored.backup.label,
        source,
        backedUpAt: restored.backup.stoppedAt,
        startedAt,
        environment: facts.environment,
        newestMigration: facts.newestMigration,
        copy: restored.folder,
        moment: { to: pitr, newestTransactionAt, newestEntry, kept },
        phases: [
          { name: 'restore', durationMs: restoreMs },
          { name: 'replay', durationMs: replayMs },
          { name: 'read', durationMs: readMs },
        ],
        restoreMs: totalMs,
        rtoMs,
        tables,
        differences,
        smokeTests,
        hasPassed:
          differences.length === 0 &&
          totalMs <= rtoMs &&
          smokeTests.every(({ outcome }) => outcome !== 'failed'),
      };
    });
  });
}

/** The only database of the copy that is not PostgreSQL's own. Throws `bad-configuration` where there are several. */
async function findDatabase(
  target: Copy['target'],
  signal: AbortSignal | undefined,
): Promise<string> {
  const sessionOptions = { signal, isCatalogOnly: true, isReadOnlyFine: true };
  const names = await withSession(target, sessionOptions, async ({ sql }) => {
    // A restored backup that was not activated is a template.
    const rows = await sql<{ name: string }[]>`
      select datname as name from pg_database
      where datallowconn and not datistemplate and datname <> 'postgres' order by 1`;
    return rows.map(({ name }) => name);
  });
  const [only = 'postgres', ...others] = names;
  if (others.length === 0) return only;
  throw new CryptosenseDbError('bad-configuration', {
    message: `the server had several databases: ${names.join(', ')}`,
    hint: `choose one with: --database ${quoteShellWord(only)}`,
  });
}

type Facts = Pick<DrillResult, 'environment' | 'newestMigration'> &
  Pick<DrilledMoment, 'newestTransactionAt' | 'newestEntry'>;

async function readFacts({ sql }: Session): Promise<Facts> {
  const [{ newestTransactionAt, hasLedger }] = await sql<
    [Pick<Facts, 'newestTransactionAt'> & { readonly hasLedger: boolean }]
  >`
    select pg_last_xact_replay_timestamp() as "newestTransactionAt",
      to_regclass('cryptosense_db.migration_log') is not null as "hasLedger"`;
  if (!hasLedger) {
    return { newestTransactionAt, environment: null, newestMigration: null, newestEntry: null };
  }
  const [mark] = await sql<{ name: string }[]>`select name from cryptosense_db.environment`;
  const [entry] = await sql<NonNullable<Facts['newestEntry']>[]>`
    select event, version, at from cryptosense_db.migration_log order by id desc limit 1`;
  return {
    newestTransactionAt,
    environment: mark?.name ?? null,
    newestMigration: await readNewestMigration(sql),
    newestEntry: entry ?? null,
  };
}

/** Reads every row. A table that cannot be read is a fault, and the others are read all the same. */
async function readAll(
  session: Session,
  onProgress: OnProgress | undefined,
): Promise<{ readonly tables: readonly ManifestTable[]; readonly faults: readonly string[] }> {
  const found = (await findTables(session.sql)).filter(({ isLogged }) => isLogged);
  const tables: ManifestTable[] = [];
  const faults: string[] = [];
  for (const [done, table] of found.entries()) {
    session.throwIfInterrupted();
    onProgress?.({ kind: 'backup-counted', done, total: found.length });
    try {
      tables.push(await readOne(session, table));
    } catch (error) {
      session.throwIfInterrupted();
      if (!isSqlError(error)) throw error;
      faults.push(`table ${table.name} cannot be read: ${messageOf(error)}`);
    }
  }
  return { tables, faults };
}

/** The copy stands still, so that no table needs the snapshot of another one. */
async function readOne({ sql }: Session, table: FoundTable): Promise<ManifestTable> {
  return withRollback(sql, async () => {
    await sql.unsafe('begin read only; set local statement_timeout = 0');
    await sql.unsafe(hashSettings);
    const row = await readTable(sql, table);
    await sql.unsafe('rollback');
    return row;
  });
}
