import { type MigrateOptions, type StatusResult, status } from '../../migrations/migrate.ts';
import { plural } from '../../runtime/amounts.ts';
import { type ErrorCode, isError } from '../../runtime/errors.ts';
import { type Blank, type Diagnosis, type Reading, reading, type Topic, unseen } from '../rule.ts';

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
          message: `${plural(count, 'migration')} ${areOrIs(count)} pending`,
          evidence: [versions],
          hint: 'cryptosense-db migrate up',
        })),
    },
    {
      name: 'history-mismatch',
      judge: ({ migrations }) =>
        found(migrations, ['changed', 'missing', 'out of order'], (count, versions) => ({
          severity: 'critical',
          message: `${plural(count, 'migration')} ${areOrIs(count)} not what the history recorded`,
          evidence: [versions],
          hint: 'see the difference: cryptosense-db migrate status',
        })),
    },
    {
      name: 'migration-interrupted',
      judge: ({ migrations }) =>
        found(migrations, ['interrupted'], (count, versions) => ({
          severity: 'critical',
          message: `${plural(count, 'migration')} ran in part`,
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
    return unreadHistory(error);
  }
}

/** What says that there is a history, and that this role or this release may not read it. */
const unreadable: readonly ErrorCode[] = ['not-permitted', 'ledger-untrusted', 'ledger-newer'];

/** Why the history cannot be read. Throws an error that says something else. */
export function unreadHistory(error: unknown): Blank {
  const isHidden = isError(error) && unreadable.includes(error.code);
  if (!isHidden) throw error;
  const [problem] = error.problems;
  return unseen(
    problem?.message ?? error.message,
    problem?.hint ?? 'cryptosense-db migrate status',
  );
}

function areOrIs(count: number): string {
  return count === 1 ? 'is' : 'are';
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
