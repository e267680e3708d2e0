import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { withoutAwsWarning } from '../config.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { isNamed, s3Failed } from './s3-errors.ts';
import { type Encryption, upload } from './s3-upload.ts';
import {
  noObject,
  requireKey,
  type S3Options,
  type Store,
  type StoredObject,
  type UnfinishedUpload,
} from './store.ts';

/** How long a server may take to accept a connection, and how long a connection may be silent. */
const timeouts = { connectionTimeout: 10_000, socketTimeout: 60_000 };
/** How often a download goes on after its connection broke, without a byte between. */
const mostResumptions = 3;

interface S3Place {
  readonly client: S3Client;
  readonly bucket: string;
  /** Empty, or with a slash at its end. */
  readonly prefix: string;
  readonly name: string;
}

/** A bucket, or what is below a prefix in it. Throws `bad-configuration`; the first request finds other faults. */
export function openS3Store(location: string, options: S3Options): Store {
  const { bucket, prefix } = parseLocation(location);
  const encryption = encryptionOf(options);
  const name = prefix === '' ? `s3://${bucket}` : `s3://${bucket}/${prefix.slice(0, -1)}`;
  const client = createClient(options);
  const place: S3Place = { client, bucket, prefix, name };
  const keyOf = (key: string) => prefix + requireKey(key);
  const failed = (error: unknown) => {
    throw s3Failed(name, error);
  };
  const { endpoint } = options;
  return {
    name,
    endpoint,
    put: async (key, content, { signal } = {}) => {
      const object = { client, bucket, key: keyOf(key), store: name, endpoint, encryption };
      await upload(object, content, signal);
    },
    get: (key, { signal } = {}) => read(place, { key: requireKey(key), signal }),
    list: (below) => listObjects(place, below).catch(failed),
    remove: async (key) => {
      const command = new DeleteObjectCommand({ Bucket: bucket, Key: keyOf(key) });
      await client.send(command).catch((error: unknown) => {
        if (!isNamed(error, 'NoSuchKey')) failed(error);
      });
    },
    listUnfinished: () => listUploads(place).catch(failed),
    readWrittenAt: (upload) =>
      newestPart(place, upload).catch((error: unknown) =>
        isNamed(error, 'NoSuchUpload') ? undefined : failed(error),
      ),
    abort: async ({ key, id }) => {
      const upload = { Bucket: bucket, Key: keyOf(key), UploadId: id };
      await client.send(new AbortMultipartUploadCommand(upload)).catch((error: unknown) => {
        if (!isNamed(error, 'NoSuchUpload')) failed(error);
      });
    },
    close: () => client.destroy(),
  };
}

function createClient({ endpoint }: S3Options): S3Client {
  if (endpoint !== undefined) requireEndpoint(endpoint);
  return withoutAwsWarning(() => {
    const { region } = new S3Client({}).config;
    return new S3Client({
      // AWS redirects to the region of the bucket, and most compatible servers have one region.
      region: () => region().catch(() => 'us-east-1'),
      followRegionRedirects: true,
      // Compatible servers have no name of a host for each bucket, and some refuse newer checksums.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: timeouts,
    });
  });
}

async function listObjects(
  { client, bucket, prefix }: S3Place,
  below: string,
): Promise<readonly StoredObject[]> {
  const found: StoredObject[] = [];
  for (let token: string | undefined; ; ) {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix + below,
        ...(token !== undefined && { ContinuationToken: token }),
      }),
    );
    for (const { Key, Size } of page.Contents ?? []) {
      // Some consoles create a folder as an object without a name.
      if (Key === undefined || Key.endsWith('/')) continue;
      found.push({ key: Key.slice(prefix.length), bytes: Size ?? 0 });
    }
    token = page.NextContinuationToken;
    if (!page.IsTruncated || token === undefined) break;
  }
  return found.sort((one, other) => compareText(one.key, other.key));
}

async function listUploads({
  client,
  bucket,
  prefix,
}: S3Place): Promise<readonly UnfinishedUpload[]> {
  const found: UnfinishedUpload[] = [];
  for (let marker: { KeyMarker?: string; UploadIdMarker?: string } = {}; ; ) {
    const page = await client.send(
      new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...marker }),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined || Initiated === undefined) continue;
      found.push({ key: Key.slice(prefix.length), id: UploadId, startedAt: Initiated });
    }
    const { NextKeyMarker, NextUploadIdMarker } = page;
    if (!page.IsTruncated || !NextKeyMarker) return found;
    marker = {
      KeyMarker: NextKeyMarker,
      ...(NextUploadIdMarker && { UploadIdMarker: NextUploadIdMarker }),
    };
  }
}

/** When the newest part was stored; when the upload began, where it has none. */
async function newestPart(
  { client, bucket, prefix }: S3Place,
  { key, id, startedAt }: UnfinishedUpload,
): Promise<Date> {
  let newest = startedAt;
  for (let marker: { PartNumberMarker?: string } = {}; ; ) {
    const upload = { Bucket: bucket, Key: prefix + key, UploadId: id };
    const page = await client.send(new ListPartsCommand({ ...upload, ...marker }));
    for (const { LastModified } of page.Parts ?? []) {
      if (LastModified !== undefined && LastModified > newest) newest = LastModified;
    }
    const { NextPartNumberMarker } = page;
    if (!page.IsTruncated || !NextPartNumberMarker) return newest;
    marker = { PartNumberMarker: NextPartNumberMarker };
  }
}

/**
 * The reader may pause for long, as pg_restore does while it builds an index, and servers end idle connections: then a
 * new request goes on at the same byte of the same object.
 */
async function* read(
  { client, bucket, prefix, name }: S3Place,
  { key, signal }: { readonly key: string; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  const object = { Bucket: bucket, Key: prefix + key };
  const options = signal && { abortSignal: signal };
  let offset = 0;
  let size: number | undefined;
  let version: string | undefined;
  for (let failures = 0; ; ) {
    try {
      const rest = offset > 0 && { Range: `bytes=${offset}-`, IfMatch: version };
      const response = await client.send(new GetObjectCommand({ ...object, ...rest }), options);
      size ??= response.ContentLength;
      version = response.ETag;
      for await (const piece of response.Body as AsyncIterable<Uint8Array>) {
        offset += piece.length;
        failures = 0;
        yield piece;
      }
      if (size === undefined || offset === size) return;
      throw new Error(`the connection ended after ${offset} of ${size} bytes`);
    } catch (error) {
      signal?.throwIfAborted();
      if (isNamed(error, 'NoSuchKey')) throw noObject(name, key);
      failures += 1;
      const isBegun = version !== undefined && !isNamed(error, 'PreconditionFailed');
      if (isBegun && offset === size) return;
      if (!isBegun || failures > mostResumptions) throw s3Failed(name, error);
    }
  }
}

function parseLocation(location: string): { readonly bucket: string; readonly prefix: string } {
  const parts = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(\/.*)?$/s.exec(location);
  const segments = (parts?.[2] ?? '').split('/').filter((segment) => segment !== '');
  if (parts?.[1] === undefined || segments.some((each) => each === '.' || each === '..')) {
    throw new CryptosenseDbError('bad-configuration', {
      // The text may hold keys: s3://KEY:SECRET@bucket
      message: 'the store is not of the form s3://bucket/prefix',
      hint: 'name a bucket and, if you like, a prefix; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile',
    });
  }
  return { bucket: parts[1], prefix: segments.map((segment) => `${segment}/`).join('') };
}

function requireEndpoint(endpoint: string): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:';
  if (isWeb && url.username === '' && url.password === '') return;
  throw new CryptosenseDbError('bad-configuration', {
    message: isWeb
      ? 'the endpoint holds a user or a password'
      : 'the endpoint is not a URL of a server',
    hint: 'name it as in --endpoint https://minio.example:9000; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile',
  });
}

function encryptionOf({ sse, kmsKey }: S3Options): Encryption {
  if (kmsKey !== undefined && sse !== undefined && sse !== 'aws:kms') {
    throw new CryptosenseDbError('bad-configuration', {
      message: `a KMS key is named, but the encryption is ${sse}`,
      hint: 'leave the key out, or ask for aws:kms',
    });
  }
  if (sse === 'none') return {};
  if (sse === 'aws:kms' || kmsKey !== undefined) {
    return {
      ServerSideEncryption: 'aws:kms',
      ...(kmsKey !== undefined && { SSEKMSKeyId: kmsKey }),
    };
  }
  return { ServerSideEncryption: 'AES256' };
}
