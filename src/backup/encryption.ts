import { ReadableStream } from 'node:stream/web';
import { CryptosenseDbError, messageOf, type Problem } from '../runtime/errors.ts';
import { readText } from '../runtime/files.ts';

// age's library is loaded by the first call that needs it.
const loadAge = () => import('age-encryption');

/** How every age archive begins. */
const firstLine = Buffer.from('age-encryption.org/v1\n');

/** Who can decrypt a backup. */
export interface RecipientOptions {
  /** Public keys of age: `age1…`. */
  readonly recipients?: readonly string[] | undefined;
  /** Files with one public key a line. Empty lines and those that begin with `#` are left out. */
  readonly recipientFiles?: readonly string[] | undefined;
}

/**
 * The public keys, each once, in their order; none: the backup is not encrypted. Throws `bad-configuration` for what is
 * no public key and for a file without one, and `file-problem`.
 */
export async function readRecipients({
  recipients = [],
  recipientFiles = [],
}: RecipientOptions): Promise<readonly string[]> {
  const named = recipients.map((text) => ({ text: text.trim(), place: 'a recipient' }));
  const filed = recipientFiles.flatMap((path) => keysOf(path));
  const all = [...named, ...filed];
  if (all.length === 0) return [];
  const { Encrypter } = await loadAge();
  const problems = all.flatMap(({ text, place }): readonly Problem[] =>
    isAccepted(() => new Encrypter().addRecipient(text))
      ? []
      : [{ message: `${place} is not a public key of age`, hint: recipientHint(text) }],
  );
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
  return [...new Set(all.map(({ text }) => text))];
}

function recipientHint(text: string): string {
  if (/^AGE-SECRET-KEY-/i.test(text)) {
    return 'it is a secret key: name its public key, which age-keygen -y prints';
  }
  return 'name a key that begins with age1, as age-keygen prints it';
}

/**
 * The secret keys in a file that age-keygen has written. Throws `bad-configuration` for a file with anything else or
 * without one, and `file-problem`.
 */
export async function readIdentities(path: string): Promise<readonly string[]> {
  const keys = keysOf(path);
  const { Decrypter } = await loadAge();
  const problems = keys
    .filter(({ text }) => !isAccepted(() => new Decrypter().addIdentity(text)))
    // Without the text: it may be a secret key with one wrong letter.
    .map(({ place }) => ({
      message: `${place} is not a secret key of age`,
      hint: 'the file holds lines that begin with AGE-SECRET-KEY-1, as age-keygen writes them',
    }));
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems.slice(0, 3));
  return [...new Set(keys.map(({ text }) => text))];
}

interface KeyLine {
  readonly text: string;
  /** `line 3 of /etc/keys` */
  readonly place: string;
}

function keysOf(path: string): readonly KeyLine[] {
  const text = readText(path);
  if (text === undefined) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `${path} does not exist` },
      { details: { path } },
    );
  }
  const lines = text
    .split('\n')
    .map((line, index) => ({ text: line.trim(), place: `line ${index + 1} of ${path}` }))
    .filter((line) => line.text !== '' && !line.text.startsWith('#'));
  if (lines.length > 0) return lines;
  throw new CryptosenseDbError('bad-configuration', { message: `${path} holds no key` });
}

function isAccepted(add: () => void): boolean {
  try {
    add();
    return true;
  } catch {
    return false;
  }
}

/** The content as an age archive, which `age --decrypt` reads too. The recipients are those of `readRecipients`. */
export async function* encrypt(
  content: AsyncIterable<Uint8Array>,
  recipients: readonly string[],
): AsyncGenerator<Uint8Array> {
  const { Encrypter } = await loadAge();
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  yield* await encrypter.encrypt(streamOf(content));
}

/** A text as an age archive in letters, which `age --decrypt` reads too. */
export async function encryptText(text: string, recipients: readonly string[]): Promise<string> {
  const { armor } = await loadAge();
  const parts: Uint8Array[] = [];
  for await (const part of encrypt(pieceOf(Buffer.from(text)), recipients)) parts.push(part);
  return armor.encode(Buffer.concat(parts));
}

export interface DecryptOptions {
  /** Those of `readIdentities`. */
  readonly identities: readonly string[];
  /** For messages. */
  readonly key: string;
}

/**
 * The content of an age archive. What was yielded is right, and is all of it only when the iteration ends without an
 * error: `backup-locked` when no identity fits, `backup-damaged` for an archive that is cut off or changed. A changed
 * line of a recipient looks like a recipient that does not fit.
 */
export async function* decrypt(
  content: AsyncIterable<Uint8Array>,
  { identities, key }: DecryptOptions,
): AsyncGenerator<Uint8Array> {
  const { Decrypter, identityToRecipient } = await loadAge();
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  /** What the source has thrown: it is not about the archive. */
  let ofSource: { readonly error: unknown } | undefined;
  const source = archiveOf(content, (error) => {
    ofSource = { error };
  });
  try {
    yield* await decrypter.decrypt(streamOf(source));
  } catch (error) {
    if (ofSource) throw ofSource.error;
    if (!/no identity matched/.test(messageOf(error))) throw damaged(key, error);
    const owners = await Promise.all(identities.map((identity) => identityToRecipient(identity)));
    throw new CryptosenseDbError(
      'backup-locked',
      {
        message: `no identity decrypts ${key}`,
        evidence: owners.map((owner) => `given: the identity of ${owner}`),
        hint: 'name the file with the secret key of one of its recipients',
      },
      { details: { key }, cause: error },
    );
  }
}

/** The text that `encryptText` has encrypted. Throws `backup-locked` and `backup-damaged`. */
export async function decryptText(text: string, options: DecryptOptions): Promise<string> {
  const { armor } = await loadAge();
  let archive: Uint8Array;
  try {
    archive = armor.decode(text);
  } catch (error) {
    throw damaged(options.key, error);
  }
  const parts: Uint8Array[] = [];
  for await (const part of decrypt(pieceOf(archive), options)) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

async function* pieceOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function streamOf(content: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  return ReadableStream.from(content);
}

/** The archive, if it is one by its first line: age's library would read anything else into memory up to a line's end. */
async function* archiveOf(
  content: AsyncIterable<Uint8Array>,
  onError: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  let start = Buffer.alloc(0);
  try {
    for await (const piece of content) {
      if (start.length >= firstLine.length) {
        yield piece;
        continue;
      }
      start = Buffer.concat([start, piece]);
      if (start.length < firstLine.length) continue;
      if (!start.subarray(0, firstLine.length).equals(firstLine)) break;
      yield start;
    }
    // The library refuses this as no archive.
    if (!start.subarray(0, firstLine.length).equals(firstLine)) yield Buffer.from('\n');
  } catch (error) {
    onError(error);
    throw error;
  }
}

function damaged(key: string, cause: unknown): CryptosenseDbError<'backup-damaged'> {
  return new CryptosenseDbError(
    'backup-damaged',
    { message: `${key} is cut off or changed, or no archive of age`, evidence: [messageOf(cause)] },
    { details: { key }, cause },
  );
}
