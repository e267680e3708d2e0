import { randomUUID } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { CryptosenseDbError, hasCode, messageOf } from './errors.ts';

/**
 * The content of a regular file, or of a pipe that a shell has opened, as in `--from <(curl …)`. Throws an Error for a
 * FIFO, a device or a socket: to read one of them may block this process for ever, its signals included.
 */
export function readBytes(path: string): Buffer {
  // To open a FIFO for reading waits for a writer unless the call says otherwise.
  const file = openSync(path, constants.O_RDONLY | (isShellPipe(path) ? 0 : constants.O_NONBLOCK));
  try {
    // A folder is left to Node, which says that it is one.
    const status = fstatSync(file);
    if (!status.isFile() && !status.isDirectory() && !isShellPipe(path)) {
      throw new Error('it is not a regular file');
    }
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

function isShellPipe(path: string): boolean {
  return /^\/dev\/(?:stdin|fd\/\d+)$/.test(path);
}

/** The text of the file; undefined when there is no file. Throws `file-problem`. */
export function readText(path: string): string | undefined {
  try {
    return readBytes(path).toString('utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw fileProblem(path, 'read', error);
  }
}

/** The secret in a file, without the line ends that an editor adds. Throws `file-problem`, also for an empty file. */
export function readSecret(path: string): string {
  const secret = readText(path)?.replace(/[\r\n]+$/, '');
  if (secret) return secret;
  const reason = secret === undefined ? 'it does not exist' : 'it is empty';
  throw fileProblem(path, 'read', new Error(reason));
}

export interface FileAccess {
  /** Default: that of the file that is replaced, else what the process creates files with. */
  readonly mode?: number | undefined;
  /** Only root can give a file to another user. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/**
 * Writes the text to a new file and renames that to `path`, so that no reader sees half a file. A symbolic link stays a
 * link, and its target is replaced. Throws `file-problem`.
 */
export function replaceFile(path: string, text: string, { mode, owner }: FileAccess = {}): void {
  requireWritable(path);
  let written: string | undefined;
  try {
    const existing = statSync(path, { throwIfNoEntry: false });
    const target = placeOf(path);
    written = join(dirname(target), `.${randomUUID()}.tmp`);
    writeFileSync(written, text, { flag: 'wx', ...(mode !== undefined && { mode }) });
    if (owner) chownSync(written, owner.uid, owner.gid);
    if (existing) chmodSync(written, mode ?? existing.mode);
    renameSync(written, target);
  } catch (error) {
    if (written !== undefined) rmSync(written, { force: true });
    throw fileProblem(path, 'written', error);
  }
}

/**
 * Creates a folder and those above it; the outermost one that was created, undefined where all were there. Throws Node's
 * error. Node's own `recursive` never returns below /proc, where the folder above exists and nothing can be created in
 * it.
 */
export function makeFolder(
  folder: string,
  { mode }: { readonly mode?: number | undefined } = {},
): string | undefined {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const parent = dirname(folder);
  const outer = parent === folder ? undefined : makeFolder(parent, { mode });
  try {
    mkdirSync(folder, mode);
  } catch (error) {
    // Another process may have been faster.
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw error;
    return outer;
  }
  return outer ?? folder;
}

/** The path behind a symbolic link, also when the link's target does not exist yet. */
function placeOf(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })) return realpathSync(path);
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return isLink ? resolve(realpathSync(dirname(path)), readlinkSync(path)) : path;
}

/** Throws `file-problem` when the file could not be written. Call it before long work that ends with the file. */
export function requireWritable(file: string): void {
  try {
    accessSync(dirname(placeOf(file)), constants.W_OK);
    const existing = statSync(file, { throwIfNoEntry: false });
    if (existing && !existing.isFile()) throw new Error('it is not a regular file');
  } catch (error) {
    throw fileProblem(file, 'written', error);
  }
}

function fileProblem(path: string, what: 'read' | 'written', cause: unknown) {
  return new CryptosenseDbError(
    'file-problem',
    {
      message: `${path} cannot be ${what}`,
      evidence: [messageOf(cause)],
      ...(what === 'written' && { hint: 'name a file in a folder that exists' }),
    },
    { details: { path }, cause },
  );
}
