import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
} from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { untilAborted } from '../runtime/abortable.ts';
import { CryptosenseDbError, hasCode, messageOf } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { requireKey, type Store, type StoredObject, type UnfinishedUpload } from './store.ts';

/** How a file is named until it is whole: `dump.3f9a1c0b2d4e.part`. */
const unfinished = /^(.+)\.[0-9a-f]{12}\.part$/;

/**
 * A folder, which need not exist yet. A file appears under its name when it is whole and on the disk. Links to other
 * folders are followed: a database's backups may lie on another disk.
 */
export function openFolderStore(location: string): Store {
  const root = resolve(location);
  const pathOf = (key: string) => join(root, ...requireKey(key).split('/'));
  const onDisk = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throw storeFailed(root, error);
    });
  const remove = async (path: string) => {
    await onDisk(rm(path, { force: true }));
    await removeEmpty(dirname(path), root);
  };
  return {
    name: root,
    put: (key, content, { signal } = {}) => put(pathOf(key), content, { root, onDisk, signal }),
    get: (key, { signal } = {}) => read(pathOf(key), { root, key, signal }),
    list: async (prefix) => {
      const files = await onDisk(filesOf(root));
      return files
        .filter(({ key }) => key.startsWith(prefix) && !unfinished.test(key))
        .map(({ key, bytes }) => ({ key, bytes }));
    },
    remove: (key) => remove(pathOf(key)),
    listUnfinished: async () => {
      const files = await onDisk(filesOf(root));
      return files.flatMap(({ key, writtenAt }): readonly UnfinishedUpload[] => {
        const whole = unfinished.exec(key)?.[1];
        return whole === undefined ? [] : [{ key: whole, id: key, startedAt: writtenAt }];
      });
    },
    readWrittenAt: async ({ startedAt }) => startedAt,
    abort: ({ id }) => remove(pathOf(id)),
    close: () => {},
  };
}

interface PutOptions {
  readonly root: string;
  /** Names the store in errors of the disk; those of the content stay as they are. */
  readonly onDisk: <T>(work: Promise<T>) => Promise<T>;
  readonly signal: AbortSignal | undefined;
}

async function put(
  path: string,
  content: AsyncIterable<Uint8Array>,
  { root, onDisk, signal }: PutOptions,
): Promise<void> {
  signal?.throwIfAborted();
  const part = `${path}.${randomBytes(6).toString('hex')}.part`;
  try {
    const file = await onDisk(create(part));
    try {
      for await (const piece of untilAborted(content, signal)) await onDisk(file.writeFile(piece));
      await onDisk(file.sync());
    } finally {
      await onDisk(file.close());
    }
    signal?.throwIfAborted();
    await onDisk(rename(part, path));
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    await removeEmpty(dirname(path), root);
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Its folder may go between the two calls: the process that removes a file removes the folder that gets empty. */
async function create(path: string): Promise<FileHandle> {
  for (let attempts = 1; ; attempts += 1) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      return await open(path, 'wx', 0o600);
    } catch (error) {
      if (!hasCode(error, 'ENOENT') || attempts === 5) throw error;
    }
  }
}

/** Without it a new name can be lost with the power. Not every file system can do it. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path).catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close().catch(() => {});
}

async function* read(
  path: string,
  {
    root,
    key,
    signal,
  }: { readonly root: string; readonly key: string; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: 1024 * 1024, ...(signal && { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    if (!hasCode(error, 'ENOENT')) throw storeFailed(root, error);
    throw new CryptosenseDbError(
      'no-backup',
      { message: `${root} has no ${key}` },
      { details: { id: key } },
    );
  }
}

interface FoundFile extends StoredObject {
  readonly writtenAt: Date;
}

/** None for a folder that does not exist. */
async function filesOf(root: string): Promise<readonly FoundFile[]> {
  const found: FoundFile[] = [];
  const visit = async (folder: string, key: string, above: readonly string[]): Promise<void> => {
    // Another process may have removed it, or given a file its name, since.
    const place = await unlessMissing(realpath(folder));
    if (place === undefined || above.includes(place)) return;
    for (const entry of (await unlessMissing(readdir(folder, { withFileTypes: true }))) ?? []) {
      const path = join(folder, entry.name);
      const facts = await unlessMissing(stat(path));
      if (facts?.isDirectory()) await visit(path, `${key}${entry.name}/`, [...above, place]);
      if (!facts?.isFile()) continue;
      found.push({ key: key + entry.name, bytes: facts.size, writtenAt: facts.mtime });
    }
  };
  await visit(root, '', []);
  return found.sort((one, other) => compareText(one.key, other.key));
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    // ELOOP: a link that leads to itself.
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ELOOP')) return undefined;
    throw error;
  });
}

/** Removes a folder that holds nothing, and those above it, up to the root. */
async function removeEmpty(folder: string, root: string): Promise<void> {
  for (let each = folder; each.startsWith(root + sep); each = dirname(each)) {
    const isRemoved = await rmdir(each).then(
      () => true,
      () => false,
    );
    if (!isRemoved) return;
  }
}

function storeFailed(store: string, cause: unknown): CryptosenseDbError<'store-failed'> {
  return new CryptosenseDbError(
    'store-failed',
    {
      message: `the store ${store} cannot be used`,
      evidence: [messageOf(cause)],
      ...hintOf(cause),
    },
    { details: { store }, cause },
  );
}

function hintOf(cause: unknown): { readonly hint?: string } {
  if (hasCode(cause, 'ENOSPC') || hasCode(cause, 'EDQUOT')) {
    return { hint: 'make room on its disk: cryptosense-db backup prune, or name another store' };
  }
  if (hasCode(cause, 'EACCES') || hasCode(cause, 'EPERM') || hasCode(cause, 'EROFS')) {
    return { hint: 'let this user write to the folder, or name another store' };
  }
  return {};
}
