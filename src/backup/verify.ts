import { type ArchiveOptions, readDump } from './archive.ts';
import { findBackup } from './catalog.ts';
import { feed } from './feed.ts';
import { findProgram, start } from './programs.ts';
import { faultOf, writeVerification } from './verification.ts';
import { type StoreOptions, withStore } from './with-store.ts';

export interface VerifyOptions extends StoreOptions, ArchiveOptions {
  /** An id, or `latest`. */
  readonly id: string;
  /** Needed where the store has backups of several databases. */
  readonly database?: string | undefined;
  /** The folder of pg_restore. */
  readonly pgBin?: string | undefined;
}

export interface VerifyResult {
  readonly store: string;
  readonly database: string;
  readonly id: string;
  /** Of the stored dump. */
  readonly bytes: number;
  readonly durationMs: number;
}

/**
 * Reads a whole backup: its checksum, its encryption, and the archive to its end with pg_restore. Records in the store
 * whether it was found whole, for `check`. Throws `no-backup`, `backup-damaged`, `backup-locked`, `program-missing` and
 * `store-failed`.
 */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const { pgBin, signal } = options;
  const startedAt = performance.now();
  return withStore(options, async (store) => {
    const backup = await findBackup(store, options);
    const { manifest, database, id } = backup;
    const major = Number.parseInt(manifest.versions.postgresql, 10);
    const pgRestore = await findProgram('pg_restore', { major, binFolder: pgBin, signal });
    // Without a database it writes SQL, which reads every byte of the archive.
    const running = start(pgRestore, ['--file=/dev/null'], { signal });
    running.stdout.resume();
    const dump = readDump(store, backup, options);
    try {
      await feed(dump, { running, program: pgRestore, backup, signal });
    } catch (error) {
      const reason = faultOf(error);
      if (reason !== undefined) {
        // Of two errors that of the backup counts.
        const record = { isWhole: false, at: new Date(), reason } as const;
        await writeVerification(store, backup, record).catch(() => {});
      }
      throw error;
    }
    await writeVerification(store, backup, { isWhole: true, at: new Date() });
    return {
      store: store.name,
      database,
      id,
      bytes: manifest.dump.stored.bytes,
      durationMs: Math.round(performance.now() - startedAt),
    };
  });
}
