import { compareVersions, type Version } from '../ledger/version.ts';
import type { MigrationPair } from '../migrations/source.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';

/** What says of a version that it is `since` or newer; all are without one. Throws `unknown-version`. */
export function versionsSince(
  pairs: readonly MigrationPair[],
  since: Version | undefined,
): (version: Version) => boolean {
  if (since === undefined) return () => true;
  if (pairs.some(({ version }) => version === since)) {
    return (version) => compareVersions(version, since) >= 0;
  }
  throw new CryptosenseDbError(
    'unknown-version',
    { message: `there is no migration ${since}` },
    { details: { version: since } },
  );
}
