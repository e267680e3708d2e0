import { openStore } from './open-store.ts';
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
