import { CryptosenseDbError } from '../runtime/errors.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';

/** A place that keeps backups: a folder, or a bucket of S3 with a prefix. Keys are relative: `shop/2026-…/dump`. */
export interface Store {
  /** For messages: `s3://bucket/prefix`, or the path of the folder. */
  readonly name: string;
  /** Of a server that is compatible with S3. */
  readonly endpoint?: string | undefined;
  /**
   * Writes an object, in whole or not at all: when `content` throws, or the signal fires, no object of that key is left
   * and no upload is open. Nothing touches a disk on the way to S3.
   */
  readonly put: (
    key: string,
    content: AsyncIterable<Uint8Array>,
    options?: { readonly signal?: AbortSignal | undefined },
  ) => Promise<void>;
  /** The content of an object. Throws `no-backup` when there is none of that key. */
  readonly get: (
    key: string,
    options?: { readonly signal?: AbortSignal | undefined },
  ) => AsyncIterable<Uint8Array>;
  /** Every object whose key begins with the prefix, in order of keys. */
  readonly list: (prefix: string) => Promise<readonly StoredObject[]>;
  /** An object that is not there is removed already. */
  readonly remove: (key: string) => Promise<void>;
  /** Uploads that did not come to their end: of this store alone, begun by any process. */
  readonly listUnfinished: () => Promise<readonly UnfinishedUpload[]>;
  /** When an upload was last written to; undefined where it is not open any more. */
  readonly readWrittenAt: (upload: UnfinishedUpload) => Promise<Date | undefined>;
  readonly abort: (upload: UnfinishedUpload) => Promise<void>;
  readonly close: () => void;
}

/** The flags of the command line that name this store, for hints: ` --store s3://backups/db`. */
export function flagsOf({ name, endpoint }: Pick<Store, 'name' | 'endpoint'>): string {
  const words = ['--store', name, ...(endpoint === undefined ? [] : ['--endpoint', endpoint])];
  return words.map((word) => ` ${quoteShellWord(word)}`).join('');
}

export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
}

export interface UnfinishedUpload {
  readonly key: string;
  /** How the store knows it. */
  readonly id: string;
  /** When it began; in a folder, when it was last written to. */
  readonly startedAt: Date;
}

/** How objects in S3 are reached and encrypted at rest. Keys and region come from the chain of the AWS SDK. */
export interface S3Options {
  /** Of a compatible server: `https://minio.example:9000`. Default: AWS. */
  readonly endpoint?: string | undefined;
  /** `AES256` by default, `aws:kms`, or `none` for servers that do not know it. */
  readonly sse?: 'AES256' | 'aws:kms' | 'none' | undefined;
  /** With `aws:kms`. Default: the key of the bucket. */
  readonly kmsKey?: string | undefined;
}

/**
 * The same key. Throws `backup-damaged` for one that leads out of the store: a manifest names the object of its dump,
 * and who can write to the store can write anything there.
 */
export function requireKey(key: string): string {
  const isSound = key.split('/').every((part) => !/^\.{0,2}$|[\\\0]/.test(part));
  if (isSound) return key;
  throw new CryptosenseDbError(
    'backup-damaged',
    { message: `${JSON.stringify(key)} is not the name of an object of a backup` },
    { details: { key } },
  );
}

/** The store cannot be reached, read or written. */
export function storeFailed(
  store: string,
  {
    fact,
    hint,
    cause,
  }: { readonly fact: string; readonly hint: string | undefined; readonly cause: unknown },
): CryptosenseDbError<'store-failed'> {
  return new CryptosenseDbError(
    'store-failed',
    {
      message: `the store ${store} cannot be used`,
      evidence: [fact],
      ...(hint !== undefined && { hint }),
    },
    { details: { store }, cause },
  );
}

/** The store has no object of that key. */
export function noObject(store: string, key: string): CryptosenseDbError<'no-backup'> {
  return new CryptosenseDbError(
    'no-backup',
    { message: `${store} has no ${key}` },
    { details: { id: key } },
  );
}

/** The whole object as text: for manifests. */
export async function readText(store: Store, key: string): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of store.get(key)) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

/** A text as the content of an object. */
export async function* contentOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
