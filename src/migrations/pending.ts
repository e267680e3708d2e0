import type { Session } from '../database/connection.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Version } from '../ledger/version.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { MigrationPair } from './source.ts';
import { compareWithLedger, type MigrationState } from './status.ts';

const lackingStates: ReadonlySet<MigrationState> = new Set([
  'pending',
  'out of order',
  'interrupted',
]);

/** Migrations of the folder that are not applied, or applied in part only; in order of version. */
export function findLacking(pairs: readonly MigrationPair[], ledger: Ledger): readonly Version[] {
  return compareWithLedger(pairs, ledger)
    .filter(({ state }) => lackingStates.has(state))
    .map(({ version }) => version);
}

/** The error of an operation that needs those migrations; `consequence` continues its sentence. */
export function pendingMigrations(
  { server }: Session,
  versions: readonly Version[],
  { consequence, hint }: { readonly consequence: string; readonly hint: string },
): CryptosenseDbError<'pending-migrations'> {
  const count = versions.length === 1 ? 'a migration' : `${versions.length} migrations`;
  return new CryptosenseDbError(
    'pending-migrations',
    {
      message: `"${server.database}" lacks ${count} of the folder${consequence}`,
      evidence: [versions.join(', ')],
      hint,
    },
    { details: { versions } },
  );
}
