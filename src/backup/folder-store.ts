import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  type FileHandle,
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
import { type CryptosenseDbError, hasCode, messageOf } from '../runtime/errors.ts';
import { makeFolder } from '../runtime/files.ts';
import { compareText } from '../runtime/order.ts';
import {
  flagsOf,
  noObject,
  requireKey,
  type Store,
  type StoredObject,
  storeFailed,
  type UnfinishedUpload,
} from './store.ts';

/** How a file is named until it is whole: `dump.3f9a1c0b2d4e.part`. */
const unfinished = /^(.+)\.[0-9a-f]{12}\.part$/;

/**
 * A folder, which need not exist yet. A file appears under its name when it is whole and on the disk. Links to other
 * folders are followed: a database's backups may lie on another disk.
 */
export function openFolderStore(location: string): Store {
  const root = resolve(location);
  const pathOf = (key: string) => join(root, ...requireKey(key).split('/'));
  const disk: Disk = { root, created: undefined };
  const reading = <T>(work: Promise<T>) => onDisk(work, { root, access: 'read' });
  const remove = async (path: string) => {
    await onDisk(rm(path, { force: true }), { root, access: 'write' });
    await removeEmpty(dirname(path), disk);
  };
  return {
    name: root,
    put: (key, content, { signal } = {}) => put(pathOf(key), content, { disk, signal }),
    get: (key, { signal } = {}) => read(pathOf(key), { root, key, signal }),
    list: async (prefix) => {
      const files = await reading(filesOf(root));
      return files
        .filter(({ key }) => key.startsWith(prefix) && !unfinished.test(key))
        .map(({ key, bytes }) => ({ key, bytes }));
    },
    remove: (key) => remove(pathOf(key)),
    listUnfinished: async () => {
      const files = await reading(filesOf(root));
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

interface Disk {
  readonly root: string;
  /** The outermost folder that this store has created, to have a place. It goes again when nothing is left in it. */
  created: string | undefined;
}

interface Access {
  readonly root: string;
  readonly access: 'read' | 'write';
}

/** Names the store in errors of the disk; those of the content stay as they are. */
async function onDisk<T>(work: Promise<T>, access: Access): Promise<T> {
  return work.catch((error: unknown) => {
    throw diskFailed(error, access);
  });
}

async function put(
  path: string,
  content: AsyncIterable<Uint8Array>,
  { disk, signal }: { readonly disk: Disk; readonly signal: AbortSignal | undefined },
): Promise<void> {
  signal?.throwIfAborted();
  const { root } = disk;
  const writing = <T>(work: Promise<T>) => onDisk(work, { root, access: 'write' });
  const part = `${path}.${randomBytes(6).toString('hex')}.part`;
  try {
    const file = await writing(create(part, disk));
    try {
      for await (const piece of untilAborted(content, signal)) await writing(file.writeFile(piece));
      await writing(file.sync());
    } finally {
      await writing(file.close());
    }
    signal?.throwIfAborted();
    await writing(rename(part, path));
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    await removeEmpty(dirname(path), disk);
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Its folder may go between the calls: the process that removes a file removes the folder that gets empty. */
async function create(path: string, disk: Disk): Promise<FileHandle> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      const created = makeFolder(dirname(path), { mode: 0o700 });
      if (created !== undefined && !isBelow(created, disk.root)) disk.created = created;
      return await open(path, 'wx', 0o600);
    } catch (error) {
      if (!hasCode(error, 'ENOENT') || attempts === 5) throw error;
    }
  }
}

function isBelow(folder: string, root: string): boolean {
  return folder.startsWith(root.endsWith(sep) ? root : root + sep);
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
    if (!hasCode(error, 'ENOENT')) throw diskFailed(error, { root, access: 'read' });
    throw noObject(root, key);
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

/** Removes a folder that holds nothing, and those above it, up to the root, or to what this store has created. */
async function removeEmpty(folder: string, { root, created }: Disk): Promise<void> {
  const isOurs = (each: string) =>
    isBelow(each, root) || (created !== undefined && (each === created || isBelow(each, created)));
  for (let each = folder; isOurs(each); each = dirname(each)) {
    const isRemoved = await rmdir(each).then(
      () => true,
      () => false,
    );
    if (!isRemoved) return;
  }
}

function diskFailed(cause: unknown, access: Access): CryptosenseDbError<'store-failed'> {
  const hint = hintOf(cause, access);
  return storeFailed(access.root, { fact: messageOf(cause), hint, cause });
}

function hintOf(cause: unknown, { root, access }: Access): string | undefined {
  if (hasCode(cause, 'ENOSPC') || hasCode(cause, 'EDQUOT')) {
    const prune = `cryptosense-db backup prune${flagsOf({ name: root })}`;
    return `make room on its disk: ${prune}; or name another store`;
  }
  if (hasCode(cause, 'EACCES') || hasCode(cause, 'EPERM') || hasCode(cause, 'EROFS')) {
    const what = access === 'read' ? 'read the folder and all below it' : 'write to the folder';
    return `let this user ${what}, or name another store`;
  }
  return undefined;
}
