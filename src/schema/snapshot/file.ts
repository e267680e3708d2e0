import { CryptosenseDbError } from '../../runtime/errors.ts';
import { readText } from '../../runtime/files.ts';
import { quoteShellWord } from '../../runtime/shell-words.ts';
import { parseSnapshot, type Snapshot } from './snapshot.ts';

/** Reads a snapshot file. Throws `file-problem`, with the hint where there is no file. */
export function readSnapshotFile(
  path: string,
  { hint = 'write one with: cryptosense-db schema snapshot --out FILE' } = {},
): Snapshot {
  const text = readText(path);
  const found = text === undefined ? undefined : parseSnapshot(text);
  if (found) return found;
  throw new CryptosenseDbError(
    'file-problem',
    text === undefined
      ? { message: `${path} is not there`, hint }
      : {
          message: `${path} is no snapshot of a schema that this release can read`,
          hint: `write it again with: cryptosense-db schema snapshot --out ${quoteShellWord(path)}`,
        },
    { details: { path } },
  );
}
