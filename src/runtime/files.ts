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
import { CryptosenseDbError, messageOf } from './errors.ts';

/** undefined where there is no file. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw fileProblem(path, 'read', error);
  }
}

/** Written beside it, then renamed: nobody ever reads half a file. A link stays one. */
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

/** Where the file is, or is to be: a link may say so, even one to a file that is not there. */
function placeOf(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })) return realpathSync(path);
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return isLink ? resolve(realpathSync(dirname(path)), readlinkSync(path)) : path;
}

/** Throws `file-problem` for a file that could not be written: for work that ends with writing it. */
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
      hint: 'name another, in a folder that is there',
    },
    { details: { path }, cause },
  );
}
