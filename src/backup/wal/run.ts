import type { Target } from '../../database/target.ts';
import { CryptosenseDbError, isError } from '../../runtime/errors.ts';
import { requireWhole } from '../../runtime/whole-numbers.ts';
import { defaultKeep } from '../retention.ts';
import { defaultWalDays, type WalListOptions } from './list.ts';
import {
  type CommandOptions,
  type PhysicalBackup,
  readInfo,
  requirePgBackRest,
  runPgBackRest,
} from './pgbackrest.ts';
import { neverExpires, retainPhysical } from './retention.ts';
import { refuseManaged } from './server.ts';
import { findStanza, requireServerHost, type Stanza } from './stanza.ts';

export interface WalRunOptions extends WalListOptions {
  readonly kind: 'full' | 'incremental';
  /** The server, if it is named: one of a managed service is refused with what that service offers. */
  readonly target?: Target | string | undefined;
}

export interface WalRun {
  readonly stanza: string;
  readonly repository: string;
  /** The first backup is a full one, also where an incremental one was asked for. */
  readonly backup: PhysicalBackup;
  /** Labels of the backups that no rule keeps, and that are gone. */
  readonly expired: readonly string[];
  readonly kept: number;
  readonly durationMs: number;
}

/**
 * Makes a physical backup, then drops what no rule keeps: backups, and WAL from before the days of WAL. Creates the
 * stanza where it is missing. A backup that was interrupted leaves files that the next one of its kind uses.
 * Throws `wal-unavailable`, `program-missing`, `program-failed`, `bad-configuration`, `interrupted`.
 */
export async function run(options: WalRunOptions): Promise<WalRun> {
  const { kind, keep = defaultKeep, walDays = defaultWalDays, signal, onProgress } = options;
  requireWhole({ walDays }, walDaysRange);
  const startedAt = Date.now();
  await refuseManaged(options);
  await requirePgBackRest({ signal });
  const stanza = findStanza(options);
  requireServerHost(stanza);
  const command = { signal, onProgress };
  const before = await readInfo(stanza, command);
  if (!before.isCreated) await runPgBackRest(stanza, ['stanza-create'], command);
  const type = kind === 'full' ? 'full' : 'incr';
  await runPgBackRest(stanza, ['backup', `--type=${type}`, '--no-expire-auto', '--repo=1'], {
    ...command,
    what: 'backup',
  });
  const { backups } = await readInfo(stanza, command);
  const backup = backups.at(-1);
  if (!backup) {
    throw new CryptosenseDbError(
      'program-failed',
      { message: 'pgbackrest backup has ended, and the repository has no backup' },
      { details: { program: 'pgbackrest', exitCode: 0 } },
    );
  }
  const { kept, toExpire, withWal } = retainPhysical(backups, { keep, walDays, now: new Date() });
  await expire(stanza, { backup, toExpire, withWal, ...command });
  const labels = new Set(kept.map((each) => each.backup.label));
  return {
    stanza: stanza.name,
    repository: stanza.repository,
    backup,
    expired: backups.flatMap(({ label }) => (labels.has(label) ? [] : [label])),
    kept: kept.length,
    durationMs: Date.now() - startedAt,
  };
}

/** Ten years. */
const walDaysRange = { from: 1, to: 3_650 };

interface Expiry extends CommandOptions {
  readonly backup: PhysicalBackup;
  readonly toExpire: readonly string[];
  readonly withWal: number;
}

async function expire(
  stanza: Stanza,
  { backup, toExpire, withWal, ...command }: Expiry,
): Promise<void> {
  // Also where the configuration has other rules: those of pgBackRest would drop what ours keep.
  const keepAll = ['--repo=1', `--repo1-retention-full=${neverExpires}`];
  try {
    for (const label of toExpire) {
      await runPgBackRest(stanza, ['expire', ...keepAll, `--set=${label}`], command);
    }
    const wal = ['--repo1-retention-archive-type=incr', `--repo1-retention-archive=${withWal}`];
    await runPgBackRest(stanza, ['expire', ...keepAll, ...wal], command);
  } catch (error) {
    if (!isError(error)) throw error;
    throw error.with({
      message: `the backup ${backup.label} is made; old backups and WAL are still there`,
      hint: 'the next backup drops them',
    });
  }
}
