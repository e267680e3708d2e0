import type { S3Options, Store } from './store.ts';

/** Opens `s3://bucket/prefix`, or a folder. Throws `bad-configuration` and `store-failed`. */
export async function openStore(location: string, options: S3Options = {}): Promise<Store> {
  if (location.startsWith('s3://')) {
    // Not before it is needed: it brings the SDK of AWS.
    const { openS3Store } = await import('./s3-store.ts');
    return openS3Store(location, options);
  }
  const { openFolderStore } = await import('./folder-store.ts');
  return openFolderStore(location);
}
