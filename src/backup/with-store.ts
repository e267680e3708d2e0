import type { S3Options, Store } from './store.ts';

/** Names the store of an operation. */
export interface StoreOptions extends S3Options {
  /** `s3://bucket/prefix`, or a folder. */
  readonly store: string;
}

/** Opens the store, and closes it at the end. Throws `bad-configuration`, `store-failed`, and what `work` throws. */
export async function withStore<Result>(
  { store: location, endpoint, sse, kmsKey }: StoreOptions,
  work: (store: Store) => Promise<Result>,
): Promise<Result> {
  const store = await openStore(location, { endpoint, sse, kmsKey });
  try {
    return await work(store);
  } finally {
    store.close();
  }
}

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
