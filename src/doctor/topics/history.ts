import { type MigrateOptions, type StatusResult, status } from '../../migrations/migrate.ts';
import { isError } from '../../runtime/errors.ts';
import { type Diagnosis, type Reading, reading, type Topic, unseen } from '../rule.ts';

export type History = Pick<StatusResult, 'migrations'>;

export const history: Topic<History, MigrateOptions> = {
  name: 'history of migrations',
  read: readHistory,
  rules: [
    {
      name: 'migrations-pending',
      judge: ({ migrations }) =>
        found(migrations, ['pending'], (count, versions) => ({
          severity: 'warning',
          message: `${count} migrations are pending`,
          evidence: [versions],
          hint: 'cryptosense-db migrate up',
        })),
    },
    {
      name: 'history-mismatch',
      judge: ({ migrations }) =>
        found(migrations, ['changed', 'missing', 'out of order'], (count, versions) => ({
          severity: 'critical',
          message: `${count} migrations are not what the history recorded`,
          evidence: [versions],
          hint: 'see the difference: cryptosense-db migrate status',
        })),
    },
    {
      name: 'migration-interrupted',
      judge: ({ migrations }) =>
        found(migrations, ['interrupted'], (count, versions) => ({
          severity: 'critical',
          message: `${count} migrations ran in part`,
          evidence: [versions],
          hint: 'see how far they are: cryptosense-db migrate status',
        })),
    },
  ],
};

async function readHistory(options: MigrateOptions): Promise<Reading<History>> {
  try {
    return reading(await status(options));
  } catch (error) {
    if (!isError(error, 'not-permitted')) throw error;
    return unseen(
      error.message,
      'grant usage on schema cryptosense_db to ROLE, and select on its tables',
    );
  }
}

function found(
  migrations: History['migrations'],
  states: readonly History['migrations'][number]['state'][],
  diagnose: (count: number, versions: string) => Diagnosis,
): Diagnosis | undefined {
  const those = migrations.filter(({ state }) => states.includes(state));
  if (those.length === 0) return undefined;
  const shown = those
    .slice(0, 5)
    .map(({ version, description, state }) => `${version} ${description}: ${state}`);
  const more = those.length > shown.length ? `, and ${those.length - shown.length} more` : '';
  return diagnose(those.length, `${shown.join(', ')}${more}`);
}
