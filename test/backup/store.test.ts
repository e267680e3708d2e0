import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createWebServer } from 'node:http';
import { createServer } from 'node:https';
import { CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { openStore } from '../../src/backup/open-store.ts';
import { partBytes } from '../../src/backup/s3-upload.ts';
import { readText, type S3Options, type Store } from '../../src/backup/store.ts';
import { hasOpenssl, makeCertificate } from '../support/certificates.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { openFaultyProxy } from '../support/faulty-proxy.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { serveOnLoopback } from '../support/loopback.ts';
import {
  environmentOf,
  hasSwift,
  type Swift,
  type SwiftUser,
  startSwift,
  stranger,
  swiftNote,
  writer,
} from '../support/swift.ts';

const mebibyte = 1024 * 1024;
let swift: Swift | undefined;

const warnings = vi.spyOn(process, 'emitWarning');

beforeAll(async () => {
  if (hasSwift) swift = await startSwift();
});
afterAll(() => swift?.stop());

function running(): Swift {
  if (!swift) throw new Error('Swift does not run');
  return swift;
}

/** Keys as the SDK finds them. */
function useKeys(user: SwiftUser): void {
  for (const [name, value] of Object.entries(environmentOf(user))) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
}

async function openS3(location: string, options: S3Options = {}): Promise<Store> {
  const store = await openStore(location, {
    endpoint: running().endpoint,
    sse: 'none',
    ...options,
  });
  onTestFinished(() => store.close());
  return store;
}

/** A store in a bucket of the test's own. */
async function openBucket(options: S3Options = {}): Promise<Store> {
  useKeys(writer);
  const bucket = `test-${randomBytes(6).toString('hex')}`;
  await running().createBucket(bucket);
  return openS3(`s3://${bucket}/backups`, options);
}

const bucketOf = ({ name }: Store) => name.slice('s3://'.length, -'/backups'.length);

async function* pieces(...texts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

/** That many mebibytes, each a different one. */
async function* mebibytes(count: number): AsyncGenerator<Uint8Array> {
  for (let number = 0; number < count; number += 1) yield Buffer.alloc(mebibyte, number);
}

/** Runs `onEnd` before its end. */
async function* thenDo(
  content: AsyncIterable<Uint8Array>,
  onEnd: () => unknown,
): AsyncGenerator<Uint8Array> {
  yield* content;
  await onEnd();
}

const never = () => new Promise<never>(() => {});

async function keysIn(store: Store, prefix = ''): Promise<readonly string[]> {
  return (await store.list(prefix)).map(({ key }) => key);
}

/** Nothing is stored, and nothing is left of what was begun. */
async function expectEmpty(store: Store): Promise<void> {
  expect(await store.list('')).toEqual([]);
  expect(await store.listUnfinished()).toEqual([]);
}

const stores = [
  { kind: 'a folder', isHere: true, open: () => openStore(`${temporaryFolder()}/not/yet`) },
  { kind: `S3${swiftNote}`, isHere: hasSwift, open: () => openBucket() },
];

describe.each(stores)('a store in $kind', ({ isHere, open }) => {
  const run = it.skipIf(!isHere);

  run('has nothing at first', async () => {
    await expectEmpty(await open());
  });

  run('gives back what was put, and lists it by prefix in order', async () => {
    const store = await open();
    await store.put('shop/b/manifest.json', pieces('{', '}'));
    await store.put('shop/a/dump', pieces('12', '345'));
    await store.put('shop-2/a/dump', pieces());
    await store.put('über %2E+&/ü ?#', pieces('x'));
    expect(await readText(store, 'shop/b/manifest.json')).toBe('{}');
    expect(await readText(store, 'shop-2/a/dump')).toBe('');
    expect(await readText(store, 'über %2E+&/ü ?#')).toBe('x');
    expect(await store.list('shop/')).toEqual([
      { key: 'shop/a/dump', bytes: 5 },
      { key: 'shop/b/manifest.json', bytes: 2 },
    ]);
    expect(await keysIn(store)).toEqual([
      'shop-2/a/dump',
      'shop/a/dump',
      'shop/b/manifest.json',
      'über %2E+&/ü ?#',
    ]);
  });

  run('replaces an object', async () => {
    const store = await open();
    await store.put('a', pieces('one'));
    await store.put('a', pieces('two'));
    expect(await readText(store, 'a')).toBe('two');
  });

  run('removes an object, and one that is not there', async () => {
    const store = await open();
    await store.put('shop/a', pieces('x'));
    await store.remove('shop/a');
    await store.remove('shop/a');
    await expectEmpty(store);
  });

  run('says that an object is not there', async () => {
    const store = await open();
    const { details } = await errorOf('no-backup', () => readText(store, 'shop/a'));
    expect(details).toEqual({ id: 'shop/a' });
  });

  run.each(['../a', 'a/../../b', '/a', 'a//b', '', './a', 'a\\..\\b', 'a\0'])(
    'refuses the key %j',
    async (key) => {
      const store = await open();
      const calls = [
        () => store.put(key, pieces('x')),
        () => readText(store, key),
        () => store.remove(key),
      ];
      for (const call of calls) await errorOf('backup-damaged', call);
    },
  );

  run('takes an object of many parts, and gives it back', async () => {
    const store = await open();
    await store.put('big', mebibytes(20));
    expect(await store.list('')).toEqual([{ key: 'big', bytes: 20 * mebibyte }]);
    let bytes = 0;
    let isSame = true;
    for await (const piece of store.get('big')) {
      for (const value of [piece[0], piece[piece.length - 1]]) isSame &&= value !== undefined;
      isSame &&= piece[0] === Math.floor(bytes / mebibyte);
      bytes += piece.length;
    }
    expect({ bytes, isSame }).toEqual({ bytes: 20 * mebibyte, isSame: true });
    expect(await store.listUnfinished()).toEqual([]);
  });

  it.skipIf(!isHere).each([1, 20])(
    'leaves nothing when the content throws after %i MiB, and passes on the error',
    async (size) => {
      const store = await open();
      const fault = new Error('pg_dump was killed');
      const content = thenDo(mebibytes(size), () => {
        throw fault;
      });
      await expect(store.put('shop/dump', content)).rejects.toBe(fault);
      await expectEmpty(store);
    },
  );

  it.skipIf(!isHere).each([0, 1, 20])(
    'leaves nothing when the signal fires after %i MiB while it waits for more',
    async (size) => {
      const store = await open();
      const stop = new AbortController();
      const reason = new Error('stopped');
      const content = thenDo(mebibytes(size), () => {
        stop.abort(reason);
        return never();
      });
      const { signal } = stop;
      await expect(store.put('shop/dump', content, { signal })).rejects.toBe(reason);
      await expectEmpty(store);
    },
  );

  it.skipIf(!isHere).each([1, 20])(
    'leaves nothing when the signal fires with the end of %i MiB',
    async (size) => {
      const store = await open();
      const stop = new AbortController();
      const content = thenDo(mebibytes(size), () => setImmediate(() => stop.abort()));
      const { signal } = stop;
      const put = store.put('shop/dump', content, { signal });
      await expect(put).rejects.toBeInstanceOf(DOMException);
      await expectEmpty(store);
    },
  );

  run('stops reading when the signal fires', async () => {
    const store = await open();
    await store.put('big', mebibytes(20));
    const stop = new AbortController();
    const reason = new Error('stopped');
    const read = async () => {
      for await (const _ of store.get('big', { signal: stop.signal })) stop.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
  });
});

describe.skipIf(!hasSwift)(`S3${swiftNote}`, () => {
  it('lists more than one page of objects', async () => {
    const store = await openBucket();
    const names = Array.from({ length: 1_050 }, (_, at) => String(at).padStart(4, '0'));
    await running().addToListing(
      bucketOf(store),
      names.map((name) => `backups/shop/${name}`),
    );
    expect(await keysIn(store)).toEqual(names.map((name) => `shop/${name}`));
    expect(await keysIn(store, 'shop/09')).toHaveLength(100);
  });

  it('keeps to its prefix', async () => {
    const store = await openBucket();
    const whole = await openS3(`s3://${bucketOf(store)}`);
    await whole.put('backups-of-others/a', pieces('x'));
    await whole.put('backups/a', pieces('x'));
    expect(await keysIn(store)).toEqual(['a']);
    expect(await keysIn(whole)).toEqual(['backups-of-others/a', 'backups/a']);
  });

  it('finds the unfinished uploads of others, over several pages, and aborts them', async () => {
    const store = await openBucket();
    const { client } = running();
    const bucket = { Bucket: bucketOf(store) };
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of [...names.map((each) => `backups/shop/${each}`), 'others/x']) {
      const { UploadId } = await client.send(
        new CreateMultipartUploadCommand({ ...bucket, Key: name }),
      );
      const part = { ...bucket, Key: name, UploadId, PartNumber: 1, Body: 'begun' };
      await client.send(new UploadPartCommand(part));
    }
    const uploads = await store.listUnfinished();
    expect(uploads.map(({ key }) => key)).toEqual(names.map((name) => `shop/${name}`));
    for (const { startedAt } of uploads) {
      expect(Math.abs(Date.now() - startedAt.getTime())).toBeLessThan(60_000);
    }
    expect(await store.list('')).toEqual([]);
    for (const upload of uploads) await store.abort(upload);
    for (const upload of uploads) await store.abort(upload);
    expect(await store.listUnfinished()).toEqual([]);
    expect(await (await openS3(`s3://${bucketOf(store)}`)).listUnfinished()).toHaveLength(1);
  });

  it('refuses a wrong secret, and names neither secret', async () => {
    const store = await openBucket();
    useKeys({ ...writer, AWS_SECRET_ACCESS_KEY: 'wrongsecret' });
    const wrong = await openS3(store.name);
    const calls = [
      () => wrong.put('a', pieces('x')),
      () => wrong.put('a', mebibytes(9)),
      () => readText(wrong, 'a'),
      () => wrong.list(''),
      () => wrong.remove('a'),
      () => wrong.listUnfinished(),
    ];
    for (const call of calls) {
      const error = await errorOf('store-failed', call);
      expect(wordsOf(error)).toContain('SignatureDoesNotMatch');
      expect(wordsOf(error)).toContain('AWS_SECRET_ACCESS_KEY');
      expect(`${wordsOf(error)}${JSON.stringify(error)}`).not.toMatch(/wrongsecret|writersecret/);
    }
    useKeys(writer);
    await expectEmpty(await openS3(store.name));
  });

  it('says which permissions are missing', async () => {
    const store = await openBucket();
    useKeys(stranger);
    const other = await openS3(store.name);
    const error = await errorOf('store-failed', () => other.put('a', pieces('x')));
    expect(wordsOf(error)).toMatch(/AccessDenied[\s\S]*s3:PutObject/);
  });

  it('says that there are no keys', async () => {
    useKeys({ AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' });
    const store = await openS3('s3://bucket');
    const error = await errorOf('store-failed', () => store.list(''));
    expect(wordsOf(error)).toMatch(/CredentialsProviderError[\s\S]*AWS_ACCESS_KEY_ID/);
  });

  it('says that the bucket does not exist', async () => {
    useKeys(writer);
    const store = await openS3('s3://nowhere/backups');
    for (const call of [() => store.put('a', pieces('x')), () => store.list('')]) {
      expect(wordsOf(await errorOf('store-failed', call))).toMatch(/NoSuchBucket[\s\S]*create/);
    }
  });

  it('asks for encryption at rest by default, and names the way out for a server without', async () => {
    const store = await openBucket({ sse: undefined });
    for (const content of [pieces('x'), mebibytes(9)]) {
      const error = await errorOf('store-failed', () => store.put('a', content));
      expect(wordsOf(error)).toMatch(/encryption is not supported[\s\S]*--sse none/);
    }
    await expectEmpty(store);
  });

  it('leaves no upload open when the server fails midway', async () => {
    const store = await openBucket();
    const proxy = await openFaultyProxy({
      to: running().port,
      fault: 'reset',
      side: 'client',
      offset: 6 * mebibyte,
    });
    onTestFinished(() => proxy.close());
    const broken = await openS3(store.name, { endpoint: `http://127.0.0.1:${proxy.port}` });
    const error = await errorOf('store-failed', () => broken.put('a', mebibytes(40)));
    expect(wordsOf(error)).toMatch(/ECONNRESET|EPIPE/);
    await expectEmpty(store);
  });

  it('goes on with a download whose connection breaks', async () => {
    const store = await openBucket();
    await store.put('big', mebibytes(20));
    const proxy = await openFaultyProxy({ to: running().port, fault: 'cut', offset: 8 * mebibyte });
    onTestFinished(() => proxy.close());
    const broken = await openS3(store.name, { endpoint: `http://127.0.0.1:${proxy.port}` });
    const seen: number[] = [];
    let bytes = 0;
    for await (const piece of broken.get('big')) {
      bytes += piece.length;
      if (piece[0] !== undefined && seen.at(-1) !== piece[0]) seen.push(piece[0]);
    }
    expect(bytes).toBe(20 * mebibyte);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, at) => at));
  });
});

describe('an S3 store that cannot be reached', () => {
  it('says that nothing listens', async () => {
    useKeys(writer);
    const { origin, close } = await serveOnLoopback(createWebServer());
    close();
    const store = await openStore('s3://bucket', { endpoint: origin });
    const error = await errorOf('store-failed', () => store.list(''));
    expect(wordsOf(error)).toMatch(/ECONNREFUSED[\s\S]*--endpoint/);
  });

  it('says that the host has no address', async () => {
    useKeys(writer);
    const store = await openStore('s3://bucket', { endpoint: 'http://s3.invalid' });
    const error = await errorOf('store-failed', () => store.list(''));
    expect(wordsOf(error)).toMatch(/(ENOTFOUND|EAI_AGAIN)[\s\S]*--endpoint/);
  });

  it('says that the server is no S3', async () => {
    useKeys(writer);
    const { origin } = await serveOnLoopback(
      createWebServer((_, response) => response.writeHead(200).end('<html><p>hello')),
    );
    const store = await openStore('s3://bucket', { endpoint: origin });
    await errorOf('store-failed', () => store.list(''));
  });

  const opensslNote = hasOpenssl ? '' : ' (skipped: openssl is not installed here)';
  it.skipIf(!hasOpenssl)(`says that the certificate is not trusted${opensslNote}`, async () => {
    useKeys(writer);
    const { certificate, key } = makeCertificate('localhost', { names: 'DNS:localhost' });
    const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
    const { origin } = await serveOnLoopback(server);
    const endpoint = origin.replace('http://127.0.0.1', 'https://localhost');
    const store = await openStore('s3://bucket', { endpoint });
    const error = await errorOf('store-failed', () => store.list(''));
    expect(wordsOf(error)).toMatch(/DEPTH_ZERO_SELF_SIGNED_CERT[\s\S]*NODE_EXTRA_CA_CERTS/);
    const plain = await openStore('s3://bucket', {
      endpoint: (await serveOnLoopback(createWebServer())).origin.replace('http:', 'https:'),
    });
    const other = await errorOf('store-failed', () => plain.list(''));
    expect(wordsOf(other)).toMatch(/http:\/\/ in --endpoint/);
  });

  it('ends at once when the signal fires', async () => {
    useKeys(writer);
    const server = createWebServer();
    const { origin } = await serveOnLoopback(server);
    const store = await openStore('s3://bucket', { endpoint: origin });
    const stop = new AbortController();
    const reason = new Error('stopped');
    const asked = once(server, 'request').then(() => stop.abort(reason));
    const read = readOne(store.get('a', { signal: stop.signal }));
    await expect(read).rejects.toBe(reason);
    await asked;
  });
});

async function readOne(content: AsyncIterable<Uint8Array>): Promise<unknown> {
  for await (const piece of content) return piece;
  return undefined;
}

describe('the location of an S3 store', () => {
  it.each([
    's3://',
    's3:///prefix',
    's3://UPPER/x',
    's3://key:topsecret@bucket/x',
    's3://bucket/a/../b',
    's3://b_u',
  ])('%s is refused, and not repeated', async (location) => {
    const error = await errorOf('bad-configuration', () => openStore(location));
    expect(wordsOf(error)).not.toContain('topsecret');
  });

  it.each(['minio:9000', 'ftp://x', 'https://key:topsecret@minio.example', ''])(
    'the endpoint %j is refused, and not repeated',
    async (endpoint) => {
      const error = await errorOf('bad-configuration', () =>
        openStore('s3://bucket', { endpoint }),
      );
      expect(wordsOf(error)).not.toContain('topsecret');
    },
  );

  it('a KMS key is refused with another encryption', async () => {
    const options = { sse: 'AES256', kmsKey: 'alias/x' } as const;
    await errorOf('bad-configuration', () => openStore('s3://bucket', options));
  });

  it.each([
    ['s3://bucket', 's3://bucket'],
    ['s3://bucket/', 's3://bucket'],
    ['s3://bucket//a//b/', 's3://bucket/a/b'],
  ])('%s is the store %s', async (location, name) => {
    const store = await openStore(location);
    expect(store.name).toBe(name);
    store.close();
  });
});

it('10,000 parts hold 1 TB', () => {
  const sizes = Array.from({ length: 10_000 }, (_, at) => partBytes(at + 1) ?? 0);
  expect(sizes.reduce((sum, size) => sum + size)).toBeGreaterThan(1e12);
  expect(Math.min(...sizes)).toBeGreaterThanOrEqual(5 * mebibyte);
  expect(partBytes(10_001)).toBeUndefined();
});

it('none of this has made the SDK warn of the version of Node', () => {
  expect(warnings.mock.calls.filter(([text]) => String(text).includes('AWS'))).toEqual([]);
});
