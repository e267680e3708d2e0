import { type Session, withSession } from '../database/connection.ts';
import { defaultLockTimeoutMs, withMigrationLock } from '../database/lock.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { resolveTarget, type Target } from '../database/target.ts';
import { toolVersion } from '../runtime/package.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { ledgerFormat, upgradeLedger } from './format.ts';
import type { Writer } from './history.ts';
import { type Ledger, readLedger, requireLedgerWritable } from './ledger.ts';
import type { LedgerUse } from './trust.ts';

/** What every operation on a database with a ledger takes. */
export interface RunOptions {
  /** A URL (`postgresql://…`, `embedded:FOLDER`) or a target that was read before. */
  readonly target: Target | string;
  readonly onProgress?: OnProgress | undefined;
  /** When it fires, the server cancels the running statement and the operation throws `interrupted`. */
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for another run to end. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
}

/** One operation on a database: its session, and the ledger as it was when the operation started. */
export interface Run {
  readonly session: Session;
  readonly ledger: Ledger;
  readonly writer: Writer;
  readonly onProgress: OnProgress | undefined;
}

/**
 * Opens a session, takes the migration lock where `access` is `write`, reads the ledger, and calls `work` with them.
 * Releases the lock and closes the session however `work` ends. `use` says which tables of the ledger `work` touches.
 * Throws what `withSession` throws; `server-unsuitable`, `ledger-untrusted`, `ledger-newer`, `not-permitted`,
 * `lock-timeout`.
 */
export async function withRun<T>(
  options: RunOptions,
  {
    access,
    use,
    holdsTimescale = false,
  }: {
    /** `write-unlocked`: writes under a lock of its own, while migrations and seeds may run. */
    readonly access: 'read' | 'write' | 'write-unlocked';
    readonly use?: LedgerUse;
    /** For a run that updates TimescaleDB, which has to be unloaded until then. */
    readonly holdsTimescale?: boolean;
  },
  work: (run: Run) => Promise<T>,
): Promise<T> {
  const { signal, onProgress, lockTimeoutMs = defaultLockTimeoutMs } = options;
  const target = resolveTarget(options.target);
  const sessionOptions = {
    signal,
    onProgress,
    lockTimeoutMs,
    isReadOnlyFine: access === 'read',
    isCatalogOnly: true,
    holdsTimescale,
  };
  return withSession(target, sessionOptions, async (session) => {
    requireServerVersion(session);
    const writer = { pid: session.pid, toolVersion: toolVersion() };
    const readAndWork = async () =>
      work({ session, writer, onProgress, ledger: await readLedger(session, use) });
    return access === 'write'
      ? withMigrationLock(session, { lockTimeoutMs, onProgress }, readAndWork)
      : readAndWork();
  });
}

/**
 * Makes sure that this run can write to the ledger: creates it, or brings an older one to this release's format. Call
 * it before the first write and after every check that may refuse the run, so that a refused run changes nothing.
 * Throws `not-permitted`; the ledger is unchanged then.
 */
export async function ensureLedger(
  { session, ledger: { format } }: Run,
  use: LedgerUse,
): Promise<void> {
  if (format < ledgerFormat) await upgradeLedger(session, { from: format });
  await requireLedgerWritable(session, use);
}
