import { CryptosenseDbError } from '../runtime/errors.ts';
import type { S3Options, Store } from './store.ts';

/** Opens `s3://bucket/prefix`, or a folder. Throws `bad-configuration` and `store-failed`. */
export async function openStore(location: string, options: S3Options = {}): Promise<Store> {
  // A misspelt store would become a folder `gs:` on the local disk, which has the backups then.
  const scheme = /^([a-z][a-z\d+.-]*):/i.exec(location)?.[1]?.toLowerCase();
  if (scheme === 's3') {
    // Not before it is needed: it brings the SDK of AWS.
    const { openS3Store } = await import('./s3-store.ts');
    return openS3Store(`s3${location.slice(scheme.length)}`, options);
  }
  if (scheme !== undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `${scheme}: is no kind of store`,
      hint: 'name s3://bucket/prefix, or a folder; a folder with a colon in its name begins with ./ or /',
    });
  }
  const { openFolderStore } = await import('./folder-store.ts');
  return openFolderStore(location);
}
