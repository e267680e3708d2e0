import { randomUUID } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
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

/** The text of the file; undefined when there is no file. Throws `file-problem`. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw fileProblem(path, 'read', error);
  }
}

/**
 * Writes the text to a new file and renames that to `path`, so that no reader sees half a file. A symbolic link stays a
 * link, and its target is replaced. Throws `file-problem`.
 */
export function replaceFile(path: string, text: string): void {
  requireWritable(path);
  let written: string | undefined;
  try {
    const existing = statSync(path, { throwIfNoEntry: false });
    const target = placeOf(path);
    written = join(dirname(target), `.${randomUUID()}.tmp`);
    writeFileSync(written, text, { flag: 'wx' });
    if (existing) chmodSync(written, existing.mode);
    renameSync(written, target);
  } catch (error) {
    if (written !== undefined) rmSync(written, { force: true });
    throw fileProblem(path, 'written', error);
  }
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
