import { type CheckResult, check } from '../../backup/backup.ts';
import { isError, type Problem } from '../../runtime/errors.ts';
import { absent, type Diagnosis, type Reading, reading, type Topic } from '../rule.ts';

/** The store of backups, where one is configured, and the database that they are of. */
export interface BackupSource {
  readonly store: Parameters<typeof check>[0] | undefined;
  readonly database: string;
}

export interface Backups extends Pick<CheckResult, 'problems'> {
  /** Why the store cannot be read; null where it can. */
  readonly failure: Problem | null;
}

export const backups: Topic<Backups, BackupSource> = {
  name: 'backups',
  read: readBackups,
  rules: [{ name: 'backup-stale', judge: judgeBackups }],
};

async function readBackups({ store, database }: BackupSource): Promise<Reading<Backups>> {
  if (store === undefined) return absent;
  try {
    const { problems } = await check({ ...store, database });
    return reading({ problems, failure: null });
  } catch (error) {
    const [failure] = isError(error, 'store-failed') ? error.problems : [];
    if (failure === undefined) throw error;
    return reading({ problems: [], failure });
  }
}

function judgeBackups({ problems, failure }: Backups): readonly Diagnosis[] {
  if (failure !== null) {
    const { message, evidence = [], hint } = failure;
    return [
      {
        severity: 'warning',
        message: `whether there is a backup is not known: ${message}`,
        evidence,
        hint: hint ?? 'cryptosense-db backup list',
      },
    ];
  }
  return problems.map(({ kind, detail }) =>
    kind === 'not verified'
      ? { severity: 'warning', message: detail, hint: 'cryptosense-db backup verify latest' }
      : {
          severity: 'critical',
          message: detail,
          hint: 'cryptosense-db backup create, by a schedule: cryptosense-db backup schedule',
        },
  );
}
