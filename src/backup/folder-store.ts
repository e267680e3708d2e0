import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import type { Store, StoredObject, UnfinishedUpload } from './store.ts';

/** How a file is named until it is whole: `dump.3f9a1c.part`. */
const unfinished = /^(.+)\.[0-9a-f]{12}\.part$/;

/** A folder, which need not exist yet. A file appears under its name when it is whole and on the disk. */
export function openFolderStore(location: string): Store {
  const root = resolve(location);
  const pathOf = (key: string) => join(root, ...key.split('/'));
  const failed = (error: unknown) => storeFailed(root, error);
  return {
    name: root,
    put: (key, content, { signal } = {}) => put(pathOf(key), content, signal).catch(rethrow(root)),
    get: (key, { signal } = {}) => read(pathOf(key), { root, key, signal }),
    list: async (prefix) => {
      const files = await filesOf(root).catch(rethrow(root));
      return files
        .filter(({ key }) => key.startsWith(prefix) && !unfinished.test(key))
        .map(({ key, bytes }) => ({ key, bytes }));
    },
    remove: async (key) => {
      const path = pathOf(key);
      await rm(path, { force: true }).catch(rethrow(root));
      await removeEmpty(dirname(path), root);
    },
    listUnfinished: async () => {
      const files = await filesOf(root).catch(rethrow(root));
      return files.flatMap(({ key, startedAt }): readonly UnfinishedUpload[] => {
        const whole = unfinished.exec(key)?.[1];
        return whole === undefined ? [] : [{ key: whole, id: key, startedAt }];
      });
    },
    abort: async ({ id }) => {
      await rm(pathOf(id), { force: true }).catch((error: unknown) => {
        throw failed(error);
      });
      await removeEmpty(dirname(pathOf(id)), root);
    },
    close: () => {},
  };
}

async function put(
  path: string,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const part = `${path}.${randomBytes(6).toString('hex')}.part`;
  const file = await open(part, 'wx', 0o600);
  try {
    try {
      for await (const piece of content) {
        signal?.throwIfAborted();
        await file.writeFile(piece);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    signal?.throwIfAborted();
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
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
    if (!isMissing(error)) throw signal?.aborted ? error : storeFailed(root, error);
    throw new CryptosenseDbError(
      'no-backup',
      { message: `${root} has no ${key}` },
      { details: { id: key } },
    );
  }
}

interface FoundFile extends StoredObject {
  readonly startedAt: Date;
}

/** None for a folder that does not exist. */
async function filesOf(root: string): Promise<readonly FoundFile[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(
    (error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    },
  );
  const files = entries
    .filter((entry) => entry.isFile())
    .map(async ({ parentPath, name }): Promise<readonly FoundFile[]> => {
      const path = join(parentPath, name);
      // Another process may have removed it, or given it its name, since.
      const facts = await stat(path).catch(() => undefined);
      if (!facts) return [];
      const key = relative(root, path).split(sep).join('/');
      return [{ key, bytes: facts.size, startedAt: facts.birthtime }];
    });
  return (await Promise.all(files)).flat().sort((one, other) => compareText(one.key, other.key));
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

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function rethrow(root: string): (error: unknown) => never {
  return (error) => {
    throw isSystemError(error) ? storeFailed(root, error) : error;
  };
}

/** An error of the file system, and not one of the content that was to be written. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}

function storeFailed(store: string, cause: unknown): CryptosenseDbError<'store-failed'> {
  return new CryptosenseDbError(
    'store-failed',
    { message: `the store ${store} cannot be used`, evidence: [messageOf(cause)] },
    { details: { store }, cause },
  );
}
