import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { beforeAll, describe, expect, it } from 'vitest';
import { decrypt, encrypt, readIdentities, readRecipients } from '../../src/backup/encryption.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const hasAge = spawnSync('age', ['--version']).status === 0;
const key = 'shop/a/dump.age';
/** What age encrypts at a time. */
const chunk = 64 * 1024;

interface KeyPair {
  readonly identity: string;
  readonly recipient: string;
}
let alice: KeyPair;
let bob: KeyPair;

beforeAll(async () => {
  [alice, bob] = await Promise.all([generateKeys(), generateKeys()]);
});

async function generateKeys(): Promise<KeyPair> {
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

async function* inPieces(bytes: Uint8Array, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of content) all.push(piece);
  return Buffer.concat(all);
}

const sealed = (text: Uint8Array, ...recipients: readonly string[]) =>
  collect(encrypt(inPieces(text), recipients));
const opened = (archive: Uint8Array, ...identities: readonly string[]) =>
  collect(decrypt(inPieces(archive), { identities, key }));

/** Bytes without a pattern, the same each time. */
function bytesOf(length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, at) =>
    createHash('sha256').update(String(at)).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

function fileWith(text: string): string {
  const path = join(temporaryFolder(), 'keys.txt');
  writeFileSync(path, text);
  return path;
}

describe('an encrypted backup', () => {
  it.each([0, 1, chunk - 1, chunk, chunk + 1, 5 * chunk])(
    'of %i bytes comes back, for each of its recipients',
    async (length) => {
      const text = bytesOf(length);
      const archive = await sealed(text, alice.recipient, bob.recipient);
      expect(archive.includes(text.subarray(0, 32)) && length > 32).toBe(false);
      for (const { identity } of [alice, bob]) {
        expect((await opened(archive, identity)).equals(text)).toBe(true);
      }
    },
  );

  it('opens with one identity among others', async () => {
    const archive = await sealed(Buffer.from('x'), bob.recipient);
    expect(String(await opened(archive, alice.identity, bob.identity))).toBe('x');
  });

  it('stays closed for another identity, and says whose that is', async () => {
    const archive = await sealed(Buffer.from('x'), bob.recipient);
    const error = await errorOf('backup-locked', () => opened(archive, alice.identity));
    expect(error.details).toEqual({ key });
    expect(wordsOf(error)).toContain(alice.recipient);
    expect(wordsOf(error)).not.toContain(alice.identity);
  });

  it('is damaged when it is cut off, wherever that is', async () => {
    const archive = await sealed(bytesOf(3 * chunk), alice.recipient);
    const header = archive.length - 3 * (chunk + 16);
    const ends = [0, 5, 30, header - 20, header, header + 1, header + chunk + 16, -chunk - 16, -1];
    for (const end of ends) {
      const cut = archive.subarray(0, end);
      await errorOf('backup-damaged', () => opened(cut, alice.identity));
    }
  });

  it('is damaged when a byte is another one, and yields nothing of the changed part', async () => {
    const text = bytesOf(3 * chunk);
    const archive = await sealed(text, alice.recipient);
    const header = archive.length - 3 * (chunk + 16);
    for (const at of [
      0,
      3,
      header - 10,
      header - 1,
      header,
      header + chunk + 20,
      archive.length - 1,
    ]) {
      const changed = Buffer.from(archive);
      changed[at] = (changed[at] ?? 0) ^ 1;
      const seen: Uint8Array[] = [];
      const read = async () => {
        for await (const piece of decrypt(inPieces(changed), {
          identities: [alice.identity],
          key,
        })) {
          seen.push(piece);
        }
      };
      await errorOf('backup-damaged', read);
      const got = Buffer.concat(seen);
      expect(got.equals(text.subarray(0, got.length)) && got.length < text.length).toBe(true);
    }
  });

  it('is damaged when something follows it', async () => {
    const archive = await sealed(bytesOf(chunk), alice.recipient);
    const longer = Buffer.concat([archive, archive]);
    await errorOf('backup-damaged', () => opened(longer, alice.identity));
  });

  it('is damaged when it is no archive, and is not read to its end', async () => {
    let pieces = 0;
    async function* zeros(): AsyncGenerator<Uint8Array> {
      for (; pieces < 1_000; pieces += 1) yield Buffer.alloc(1024);
    }
    const read = () => collect(decrypt(zeros(), { identities: [alice.identity], key }));
    await errorOf('backup-damaged', read);
    expect(pieces).toBeLessThan(10);
  });

  it('passes on the errors of its source, and ends the source when its reader stops', async () => {
    const fault = new Error('the network is gone');
    const archive = await sealed(bytesOf(5 * chunk), alice.recipient);
    let isEnded = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield* inPieces(archive.subarray(0, 3 * chunk));
        throw fault;
      } finally {
        isEnded = true;
      }
    }
    const identities = [alice.identity];
    await expect(collect(decrypt(source(), { identities, key }))).rejects.toBe(fault);
    await expect(collect(encrypt(source(), [alice.recipient]))).rejects.toBe(fault);
    isEnded = false;
    for await (const _ of decrypt(source(), { identities, key })) break;
    await expect.poll(() => isEnded).toBe(true);
  });
});

describe.skipIf(!hasAge)(
  `the program age${hasAge ? '' : ' (skipped: age is not installed here)'}`,
  () => {
    it.each([0, 3 * chunk + 5])('decrypts a backup of %i bytes', async (length) => {
      const text = bytesOf(length);
      const archive = await sealed(text, bob.recipient, alice.recipient);
      const identity = fileWith(`# of alice\n${alice.identity}\n`);
      const output = execFileSync('age', ['--decrypt', '--identity', identity], { input: archive });
      expect(output.equals(text)).toBe(true);
    });

    it('encrypts what a restore reads, with keys of age-keygen', async () => {
      const text = bytesOf(3 * chunk + 5);
      const path = join(temporaryFolder(), 'identity.txt');
      execFileSync('age-keygen', ['--output', path], { stdio: 'ignore' });
      const recipientFile = fileWith(
        execFileSync('age-keygen', ['-y', path], { encoding: 'utf8' }),
      );
      const recipients = await readRecipients({ recipientFiles: [recipientFile] });
      expect(recipients).toHaveLength(1);
      const args = ['--recipients-file', recipientFile];
      const archive = execFileSync('age', args, { input: text });
      expect((await opened(archive, ...(await readIdentities(path)))).equals(text)).toBe(true);
    });

    it('a passphrase of age is not an identity', async () => {
      // age asks for passphrases at a terminal alone: this is the head of such an archive.
      const head =
        'age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 15\nZV/AhotwSGqaPCU43cepl4WYUouAa17a3xpu4G2yi5k\n--- W2AmWSdcS9sPQOVLO8KqTLJqLbbR8BYgkSxHtFjSKpE\n';
      const archive = Buffer.concat([Buffer.from(head), Buffer.alloc(100)]);
      await errorOf('backup-locked', () => opened(archive, alice.identity));
    });
  },
);

describe('the keys of age', () => {
  it('are read from options and files, each once', async () => {
    const file = fileWith(`# alice\n${alice.recipient}\n\n  ${bob.recipient}  \r\n`);
    const options = { recipients: [bob.recipient], recipientFiles: [file] };
    expect(await readRecipients(options)).toEqual([bob.recipient, alice.recipient]);
    expect(await readRecipients({})).toEqual([]);
    const identities = fileWith(`# created\n# public key: ${alice.recipient}\n${alice.identity}\n`);
    expect(await readIdentities(identities)).toEqual([alice.identity]);
  });

  it.each([
    '',
    'age1',
    'ssh-ed25519 AAAA',
    'age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t',
  ])('%j is no recipient', async (text) => {
    await errorOf('bad-configuration', () => readRecipients({ recipients: [text] }));
  });

  it('a recipient with one wrong letter is refused, with its place', async () => {
    const last = alice.recipient.endsWith('q') ? 'p' : 'q';
    const file = fileWith(`${bob.recipient}\n${alice.recipient.slice(0, -1)}${last}\n`);
    const error = await errorOf('bad-configuration', () =>
      readRecipients({ recipientFiles: [file] }),
    );
    expect(wordsOf(error)).toContain(`line 2 of ${file}`);
  });

  it('a secret key is no recipient, and is not repeated', async () => {
    const recipients = [alice.identity];
    const error = await errorOf('bad-configuration', () => readRecipients({ recipients }));
    expect(wordsOf(error)).toContain('age-keygen -y');
    expect(wordsOf(error)).not.toContain(alice.identity.slice(-20));
  });

  it('a file without an identity is refused, and its lines are not repeated', async () => {
    const wrong = `${alice.identity.slice(0, -1)}${alice.identity.endsWith('Q') ? 'P' : 'Q'}`;
    for (const text of [
      '',
      '# nothing\n',
      wrong,
      alice.recipient,
      '-----BEGIN AGE ENCRYPTED FILE-----',
    ]) {
      const path = fileWith(text);
      const error = await errorOf('bad-configuration', () => readIdentities(path));
      expect(wordsOf(error)).not.toContain(alice.identity.slice(20, -5));
    }
  });

  it('a file that does not exist is named', async () => {
    const path = join(temporaryFolder(), 'none');
    await errorOf('file-problem', () => readIdentities(path));
    await errorOf('file-problem', () => readRecipients({ recipientFiles: [path] }));
  });
});
