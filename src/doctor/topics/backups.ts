import { type CheckResult, check } from '../../backup/backup.ts';
import { absent, type Reading, reading, type Topic } from '../rule.ts';

/** The store of backups, where one is configured, and the database that they are of. */
export interface BackupSource {
  readonly store: Parameters<typeof check>[0] | undefined;
  readonly database: string;
}

export type Backups = Pick<CheckResult, 'problems'>;

export const backups: Topic<Backups, BackupSource> = {
  name: 'backups',
  read: readBackups,
  rules: [
    {
      name: 'backup-stale',
      judge: ({ problems }) =>
        problems.map(({ kind, detail }) => ({
          severity: kind === 'not verified' ? ('warning' as const) : ('critical' as const),
          message: detail,
          hint:
            kind === 'not verified'
              ? 'cryptosense-db backup verify latest'
              : 'cryptosense-db backup create, by a schedule: cryptosense-db backup schedule',
        })),
    },
  ],
};

async function readBackups({ store, database }: BackupSource): Promise<Reading<Backups>> {
  return store === undefined ? absent : reading(await check({ ...store, database }));
}
