import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { CopyObjectCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import {
  ageKeys,
  attemptsOf,
  connectTo,
  createReadings,
  dropRestored,
  hasPgDump,
  pgDumpMissing,
  restoredName,
  type WatchedPrograms,
  watchedPrograms,
} from '../support/backup.ts';
import { type CliResult, callCli, type RunningCli, startCli } from '../support/cli.ts';
import {
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
  type ScratchRole,
} from '../support/databases.ts';
import { faults, openFaultyProxy } from '../support/faulty-proxy.ts';
import { rounds } from '../support/soak.ts';
import {
  type Fate,
  openStorageProxy,
  refusal,
  type StorageOperation,
  type StorageProxyOptions,
  type StorageRequest,
} from '../support/storage-proxy.ts';
import {
  environmentOf,
  hasSwift,
  type Swift,
  startSwift,
  swiftNote,
  writer,
} from '../support/swift.ts';

const isPossible = hasPgDump && hasSwift;
const note = `${pgDumpMissing}${swiftNote}`;
const mebibyte = 1024 * 1024;

let swift: Swift;
/** Its dump of 27 MB takes four parts. */
let large: ScratchDatabase;
/** Its dump of 9 MB takes two parts. */
let small: ScratchDatabase;
let role: ScratchRole;

beforeAll(async () => {
  if (!isPossible) return;
  swift = await startSwift();
  large = await createScratchDatabase(inject('postgresUrl'));
  small = await createScratchDatabase(inject('postgresUrl'));
  await createReadings(large.sql, 18_500);
  await createReadings(small.sql, 6_500);
  role = await createScratchRole(inject('postgresUrl'));
  await small.sql.unsafe(`alter role ${role.name} superuser`);
});
afterAll(async () => {
  await large?.drop();
  await small?.drop();
  await role?.drop();
  await swift?.stop();
});

const env = environmentOf(writer);
const call = (words: readonly string[]) => callCli(['backup', ...words], { env });

async function createBucket(): Promise<string> {
  const name = `test-${randomBytes(6).toString('hex')}`;
  await swift.createBucket(name);
  return name;
}

const storeFlags = (bucket: string, endpoint = swift.endpoint) => [
  ...['--store', `s3://${bucket}/backups`, '--endpoint', endpoint, '--sse', 'none'],
];
const urlFlags = ({ url }: { readonly url: string }) => ['--url', role.urlOf(url)];
const programFlags = ({ folder }: WatchedPrograms) => ['--pg-bin', folder];

/** A server in front of Swift that treats the requests that fit in another way. */
async function treating(isMeant: (request: StorageRequest) => boolean, fate: Fate) {
  let hits = 0;
  const { endpoint } = await openStorageProxy({
    to: swift.port,
    decide: (request) => {
      if (!isMeant(request)) return 'pass';
      hits += 1;
      return fate;
    },
  });
  return { endpoint, hits: () => hits };
}

const is =
  (operation: StorageOperation, name = 'dump') =>
  (request: StorageRequest) =>
    request.operation === operation && request.name === name;

/** A port in front of the server that breaks each connection after 5 MiB. */
async function breakingUrl({ url }: ScratchDatabase, side: 'server' | 'client') {
  const broken = new URL(url);
  const to = Number(broken.port);
  const proxy = await openFaultyProxy({ to, fault: 'reset', side, offset: 5 * mebibyte });
  onTestFinished(proxy.close);
  broken.port = String(proxy.port);
  return { url: broken.href, close: proxy.close };
}

/** Interrupts the run at the moment's first request. */
function interrupting(
  run: () => RunningCli,
  {
    when,
    operation,
    name,
    part,
    from = 0,
  }: Omit<StorageRequest, 'from'> & { readonly when: 'before' | 'after'; readonly from?: number },
) {
  let hits = 0;
  const at =
    (now: string) =>
    (request: StorageRequest): Fate => {
      const isMoment =
        now === when &&
        is(operation, name)(request) &&
        request.part === part &&
        request.from >= from;
      if (isMoment) hits += 1;
      if (isMoment && hits === 1) run().process.kill('SIGINT');
      return 'pass';
    };
  return { before: at('before'), after: at('after'), hits: () => hits };
}

function expectError(result: CliResult, says: RegExp): void {
  expect(result).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(says) });
  expectNoSecret(result);
}

function expectNoSecret({ stdout, stderr }: CliResult): void {
  for (const secret of [writer.AWS_SECRET_ACCESS_KEY, role.password, 'AGE-SECRET-KEY']) {
    expect(stdout + stderr).not.toContain(secret);
  }
}

const nothing = { objects: [], uploads: [] };

describe.skipIf(!isPossible)(`a backup to S3${note}`, () => {
  const create = (
    bucket: string,
    {
      url,
      endpoint,
      programs = watchedPrograms(),
    }: {
      readonly url: string;
      readonly endpoint?: string;
      readonly programs?: WatchedPrograms;
    },
  ) => {
    const flags = [
      ...storeFlags(bucket, endpoint),
      ...urlFlags({ url }),
      ...programFlags(programs),
    ];
    return call(['create', ...flags]);
  };

  it.each<[string, 'large' | 'small', (request: StorageRequest) => boolean, Fate, RegExp]>([
    [
      'S3 refuses after the third part',
      'large',
      ({ part }) => part > 3,
      refusal(400, 'ExpiredToken'),
      /ExpiredToken[\s\S]*lent for a time that is over/,
    ],
    [
      'S3 is busy from the third part on',
      'large',
      ({ part }) => part > 2,
      refusal(503, 'SlowDown'),
      /SlowDown[\s\S]*AWS_MAX_ATTEMPTS/,
    ],
    [
      'S3 refuses the upload',
      'small',
      is('begin'),
      refusal(403, 'AccessDenied'),
      /AccessDenied[\s\S]*s3:PutObject/,
    ],
    [
      'S3 refuses to join the parts',
      'small',
      is('complete'),
      refusal(400, 'InvalidPart'),
      /InvalidPart/,
    ],
    [
      'the answer of success is an error',
      'small',
      is('complete'),
      refusal(200, 'InternalError'),
      /InternalError/,
    ],
    [
      'S3 refuses the manifest',
      'small',
      is('put', 'manifest.json'),
      refusal(403, 'AccessDenied'),
      /AccessDenied/,
    ],
    [
      'each answer to the manifest is lost',
      'small',
      is('put', 'manifest.json'),
      'lose',
      /ECONNRESET|EPIPE|hang up/,
    ],
  ])('leaves nothing when %s', async (_, size, isMeant, fate, says) => {
    const bucket = await createBucket();
    const { endpoint, hits } = await treating(isMeant, fate);
    const { url } = size === 'large' ? large : small;
    expectError(await create(bucket, { url, endpoint }), says);
    expect(hits()).toBeGreaterThan(0);
    expect(await swift.contentsOf(bucket)).toEqual(nothing);
  });

  it('is whole when the answer to the last request of an upload is lost', async () => {
    const bucket = await createBucket();
    let hits = 0;
    const { endpoint } = await openStorageProxy({
      to: swift.port,
      decide: (request) => {
        if (is('complete')(request)) hits += 1;
        return is('complete')(request) && hits === 1 ? 'lose' : 'pass';
      },
    });
    expect(await create(bucket, { url: small.url, endpoint })).toMatchObject({ code: 0 });
    expect(hits).toBe(2);
    expect(await call(['verify', 'latest', ...storeFlags(bucket)])).toMatchObject({ code: 0 });
    expect((await swift.contentsOf(bucket)).uploads).toEqual([]);
  });

  it.each(faults.slice(0, rounds(2)))(
    'leaves nothing when every connection breaks in a part (%s)',
    async (fault) => {
      const bucket = await createBucket();
      const proxy = await openFaultyProxy({
        to: swift.port,
        fault,
        side: 'client',
        offset: 5 * mebibyte,
      });
      onTestFinished(proxy.close);
      const endpoint = `http://127.0.0.1:${proxy.port}`;
      expectError(
        await create(bucket, { url: small.url, endpoint }),
        /the store s3:\S+ cannot be used/,
      );
      expect(await swift.contentsOf(bucket)).toEqual(nothing);
    },
  );

  it('says that an upload stays open when S3 refuses to end it as well', async () => {
    const bucket = await createBucket();
    const { endpoint } = await treating(
      ({ operation, part }) => part > 1 || operation === 'abort',
      refusal(403, 'AccessDenied'),
    );
    expectError(
      await create(bucket, { url: small.url, endpoint }),
      /the upload of backups\/\S+\/dump stays unfinished[\s\S]*backup prune/,
    );
    const { objects, uploads } = await swift.contentsOf(bucket);
    expect([objects.length, uploads.length]).toEqual([0, 1]);
    const { stdout } = await call(['list', ...storeFlags(bucket), '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ backups: [], damaged: [] });
  });

  it('leaves nothing when pg_dump is killed between two parts', async () => {
    const bucket = await createBucket();
    const programs = watchedPrograms();
    const { endpoint } = await openStorageProxy({
      to: swift.port,
      decide: ({ part }) => {
        if (part === 2) process.kill(programs.pidOf('pg_dump'), 'SIGKILL');
        return 'pass';
      },
    });
    const { url } = large;
    const result = await create(bucket, { url, endpoint, programs });
    expectError(result, /pg_dump was ended by SIGKILL/);
    expect(await swift.contentsOf(bucket)).toEqual(nothing);
  });

  it('leaves nothing when the connection to PostgreSQL breaks', async () => {
    const bucket = await createBucket();
    const { url } = await breakingUrl(small, 'server');
    expectError(await create(bucket, { url }), /pg_dump ended with exit code 1/);
    expect(await swift.contentsOf(bucket)).toEqual(nothing);
  });

  const interruptible = async ({
    endpoint,
    bucket,
  }: {
    readonly endpoint: string;
    readonly bucket: string;
  }) => {
    const { recipient, identityFile } = await ageKeys();
    const words = ['create', '--recipient', recipient, ...urlFlags(small)];
    const flags = [...storeFlags(bucket, endpoint), ...programFlags(watchedPrograms())];
    const run = startCli(['backup', ...words, ...flags], { env });
    onTestFinished(() => void run.process.kill('SIGKILL'));
    return { run, identityFile };
  };

  const expectNothingOrWhole = async (
    result: CliResult,
    { bucket, identityFile }: { readonly bucket: string; readonly identityFile: string },
  ) => {
    expectNoSecret(result);
    const { objects, uploads } = await swift.contentsOf(bucket);
    expect(uploads).toEqual([]);
    // null: before the program listens to signals, or at its end. A backup that was finished stays.
    expect(objects.length === 0 ? [130, null] : [0, 130, null]).toContain(result.code);
    if (objects.length === 0) return;
    const words = ['verify', 'latest', ...storeFlags(bucket), '--identity', identityFile];
    expect(await call(words)).toMatchObject({ code: 0 });
  };

  const name = 'dump.age';
  const moments = [
    { when: 'after', operation: 'begin', part: 0, name },
    { when: 'before', operation: 'put', part: 0, name: 'manifest.json' },
    // The others in the long run only.
    { when: 'after', operation: 'put', part: 0, name: 'manifest.json' },
    { when: 'before', operation: 'complete', part: 0, name },
    { when: 'after', operation: 'complete', part: 0, name },
    { when: 'before', operation: 'begin', part: 0, name },
    { when: 'before', operation: 'part', part: 1, name },
    { when: 'after', operation: 'part', part: 1, name },
    { when: 'before', operation: 'part', part: 2, name },
    { when: 'after', operation: 'part', part: 2, name },
  ] as const;
  it.each(moments.slice(0, rounds(2)))(
    'leaves nothing, or is whole, on SIGINT $when $operation $part of $name',
    async (moment) => {
      const bucket = await createBucket();
      const { before, after, hits } = interrupting(() => run, moment);
      const { endpoint } = await openStorageProxy({
        to: swift.port,
        decide: before,
        onAnswer: after,
      });
      const { run, identityFile } = await interruptible({ endpoint, bucket });
      const result = await run.finished;
      expect(hits()).toBeGreaterThan(0);
      await expectNothingOrWhole(result, { bucket, identityFile });
    },
  );

  it('leaves nothing, or is whole, on SIGINT at any moment', { timeout: 600_000 }, async () => {
    const moments = rounds(1);
    for (let moment = 0; moment < moments; moment += 1) {
      const bucket = await createBucket();
      const { run, identityFile } = await interruptible({ endpoint: swift.endpoint, bucket });
      await sleep(400 + (moment * 1_600) / moments);
      run.process.kill('SIGINT');
      await expectNothingOrWhole(await run.finished, { bucket, identityFile });
    }
  });
});

describe.skipIf(!isPossible)(`a restore from S3${note}`, () => {
  const kinds = ['plain', 'encrypted'] as const;
  type Kind = (typeof kinds)[number];
  const buckets = { plain: '', encrypted: '' };
  let folder = '';
  let identityFile = '';

  beforeAll(async () => {
    if (!isPossible) return;
    folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-test-'));
    const keys = await ageKeys(folder);
    identityFile = keys.identityFile;
    for (const kind of kinds) {
      buckets[kind] = await createBucket();
      const recipients = kind === 'encrypted' ? ['--recipient', keys.recipient] : [];
      const flags = [...storeFlags(buckets[kind]), ...urlFlags(small), ...recipients];
      expect(await call(['create', ...flags])).toMatchObject({ code: 0 });
    }
  });
  afterAll(() => folder && rmSync(folder, { recursive: true, force: true }));

  interface Restoring {
    readonly bucket: string;
    readonly into: string;
    readonly endpoint?: string;
    readonly url?: string;
    readonly more?: readonly string[];
  }
  const words = ({ bucket, into, endpoint, url = small.url, more = [] }: Restoring) => [
    ...['restore', 'latest', '--into', into, ...storeFlags(bucket, endpoint), ...urlFlags({ url })],
    ...['--identity', identityFile, ...more],
  ];

  const expectNoDatabase = async (into: string) => {
    expect(await small.sql`select from pg_database where datname = ${into}`).toEqual([]);
    expect(await attemptsOf(small.sql, into)).toEqual([]);
  };

  const expectSameRows = async (into: string) => {
    const read = (sql: Sql) =>
      sql`select count(*), md5(string_agg(text, '' order by n)) from readings`;
    expect(await read(connectTo(small.url, into))).toEqual(await read(small.sql));
  };

  const startRestore = (restoring: Restoring) => {
    const run = startCli(['backup', ...words(restoring)], { env });
    onTestFinished(() => void run.process.kill('SIGKILL'));
    return run;
  };

  const dumpKey = async (bucket: string) => {
    const { objects } = await swift.contentsOf(bucket);
    return objects.find((key) => !key.endsWith('.json')) ?? '';
  };

  /** Writes the dump again, changed. */
  const change = async (bucket: string, edit: (bytes: Buffer) => Buffer) => {
    const object = { Bucket: bucket, Key: await dumpKey(bucket) };
    const { Body } = await swift.client.send(new GetObjectCommand(object));
    const bytes = await buffer(Body as Readable);
    await swift.client.send(new PutObjectCommand({ ...object, Body: edit(bytes) }));
  };

  const copyOf = async (kind: Kind) => {
    const bucket = await createBucket();
    for (const key of (await swift.contentsOf(buckets[kind])).objects) {
      const CopySource = `${buckets[kind]}/${encodeURIComponent(key)}`;
      await swift.client.send(new CopyObjectCommand({ Bucket: bucket, Key: key, CopySource }));
    }
    return bucket;
  };

  const flipped = (bytes: Buffer) => {
    const at = bytes.length >> 1;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    return bytes;
  };

  const isRest = (request: StorageRequest) => request.operation === 'get' && request.from > 0;
  const isDump = (request: StorageRequest) =>
    request.operation === 'get' && request.name.startsWith('dump');

  /** A server in front of Swift whose first answer with the dump breaks; `decide` treats what follows. */
  const breakingOnce = (decide: StorageProxyOptions['decide']) =>
    openStorageProxy({
      to: swift.port,
      decide: (request) =>
        isDump(request) && request.from === 0 ? { bytes: 3 * mebibyte } : decide(request),
    });

  it.each(kinds)('goes on where the connection broke (%s)', async (kind) => {
    const { endpoint, requests } = await breakingOnce(() => 'pass');
    const into = restoredName(small.sql);
    expect(await call(words({ bucket: buckets[kind], into, endpoint }))).toMatchObject({ code: 0 });
    // What was on its way when the connection broke is asked for again.
    expect(requests.filter(isRest)).toMatchObject([{ from: expect.any(Number) }]);
    await expectSameRows(into);
  });

  it.each<[string, Fate, RegExp]>([
    ['S3 refuses the rest', refusal(403, 'AccessDenied'), /AccessDenied[\s\S]*s3:GetObject/],
    ['each new connection breaks', 'cut', /ECONNRESET|EPIPE|hang up/],
  ])('leaves no database when the connection breaks and %s', async (_, fate, says) => {
    const { endpoint } = await breakingOnce((request) => (isRest(request) ? fate : 'pass'));
    const into = restoredName(small.sql);
    expectError(await call(words({ bucket: buckets.plain, into, endpoint })), says);
    await expectNoDatabase(into);
  });

  it('leaves no database when another dump is put in the place of the one that it reads', async () => {
    const bucket = await copyOf('plain');
    const { endpoint } = await breakingOnce(async (request): Promise<Fate> => {
      if (isRest(request)) await change(bucket, flipped);
      return 'pass';
    });
    const into = restoredName(small.sql);
    expectError(await call(words({ bucket, into, endpoint })), /replaced while it was read/);
    await expectNoDatabase(into);
  });

  it.each(kinds)('names a dump that is cut off, and one with another byte (%s)', async (kind) => {
    for (const edit of [flipped, (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)]) {
      const bucket = await copyOf(kind);
      await change(bucket, edit);
      const into = restoredName(small.sql);
      const says =
        /damaged|not what its manifest says|cut off or changed|no archive that pg_restore/;
      expectError(await call(words({ bucket, into })), says);
      await expectNoDatabase(into);
    }
  });

  it('names a wrong key', async () => {
    const { identityFile: other } = await ageKeys();
    const into = restoredName(small.sql);
    const more = ['--identity', other];
    const result = await call(words({ bucket: buckets.encrypted, into, more }));
    expectError(result, /no identity decrypts/);
    await expectNoDatabase(into);
  });

  it('leaves no database when pg_restore is killed midway', async () => {
    const programs = watchedPrograms();
    const { endpoint } = await breakingOnce((request) => {
      if (isRest(request)) process.kill(programs.pidOf('pg_restore'), 'SIGKILL');
      return 'pass';
    });
    const into = restoredName(small.sql);
    const more = programFlags(programs);
    const result = await call(words({ bucket: buckets.encrypted, into, endpoint, more }));
    expectError(result, /pg_restore was ended by SIGKILL/);
    await expectNoDatabase(into);
  });

  it('leaves no database when the connection to PostgreSQL breaks', async () => {
    const { url } = await breakingUrl(small, 'client');
    const into = restoredName(small.sql);
    const result = await call(words({ bucket: buckets.plain, into, url }));
    expectError(result, /pg_restore ended with exit code 1/);
    await expectNoDatabase(into);
  });

  it('names the database that it leaves behind when PostgreSQL cannot be reached any more', async () => {
    const { url, close } = await breakingUrl(small, 'client');
    const { endpoint } = await breakingOnce((request) => {
      if (isRest(request)) close();
      return 'pass';
    });
    const into = restoredName(small.sql);
    const result = await call(words({ bucket: buckets.plain, into, url, endpoint }));
    const [left = ''] = await attemptsOf(small.sql, into);
    onTestFinished(() => dropRestored(small.sql, left));
    expect(left).not.toBe('');
    expectError(result, new RegExp(`the database "${left}" is left behind`));
    expect(await small.sql`select from pg_database where datname = ${into}`).toEqual([]);
  });

  const moments = [
    { when: 'before', operation: 'get', name: 'dump.age', part: 0, from: 1 },
    // The others in the long run only.
    { when: 'after', operation: 'get', name: 'dump.age', part: 0, from: 1 },
    { when: 'before', operation: 'get', name: 'dump.age', part: 0, from: 0 },
    { when: 'after', operation: 'get', name: 'dump.age', part: 0, from: 0 },
    { when: 'before', operation: 'get', from: 0, name: 'manifest.json', part: 0 },
  ] as const;
  it.each(moments.slice(0, rounds(1)))(
    'leaves no database on SIGINT $when $operation $name from $from',
    async (moment) => {
      const { before, after, hits } = interrupting(() => run, moment);
      const { endpoint } = await openStorageProxy({
        to: swift.port,
        decide: (request) => {
          before(request);
          return isDump(request) && request.from === 0 ? { bytes: 3 * mebibyte } : 'pass';
        },
        onAnswer: after,
      });
      const into = restoredName(small.sql);
      const run = startRestore({ bucket: buckets.encrypted, into, endpoint });
      const result = await run.finished;
      expect(hits()).toBeGreaterThan(0);
      expect(result.code).toBe(130);
      expectNoSecret(result);
      await expectNoDatabase(into);
    },
  );

  it('leaves no half of a database on SIGINT at any moment', { timeout: 600_000 }, async () => {
    const moments = rounds(1);
    for (let moment = 0; moment < moments; moment += 1) {
      const into = restoredName(small.sql);
      const run = startRestore({ bucket: buckets.encrypted, into });
      await sleep(500 + (moment * 1_500) / moments);
      run.process.kill('SIGINT');
      const result = await run.finished;
      expectNoSecret(result);
      const [found] = await small.sql`select from pg_database where datname = ${into}`;
      expect(found ? [0, 130, null] : [130, null]).toContain(result.code);
      if (found) await expectSameRows(into);
      else await expectNoDatabase(into);
    }
  });
});
