import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { withoutAwsWarning } from '../../src/config.ts';
import { hasSwift, serveSwift } from './swift-server.js';

export { hasSwift };

/** For the name of a group of tests. */
export const swiftNote = hasSwift ? '' : ' (skipped: python3-swift is not installed here)';

/** The access key and the secret of a user, as the SDK reads them from the environment. */
export type SwiftUser = Readonly<Record<'AWS_ACCESS_KEY_ID' | 'AWS_SECRET_ACCESS_KEY', string>>;

/** All that the SDK reads of the environment. Its files in the home folder of this user are left out. */
export function environmentOf(user: SwiftUser): Readonly<Record<string, string>> {
  return {
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_MAX_ATTEMPTS: '2',
    ...user,
  };
}

/** May do everything in its account. */
export const writer: SwiftUser = {
  AWS_ACCESS_KEY_ID: 'test:writer',
  AWS_SECRET_ACCESS_KEY: 'writersecret',
};

/** A user that the server knows, without permissions. */
export const stranger: SwiftUser = {
  AWS_ACCESS_KEY_ID: 'test:stranger',
  AWS_SECRET_ACCESS_KEY: 'strangersecret',
};

export interface BucketContents {
  readonly objects: readonly string[];
  readonly uploads: readonly string[];
}

/** OpenStack Swift with its S3 interface: it checks signatures, and knows no encryption at rest. */
export interface Swift {
  /** `http://127.0.0.1:40123` */
  readonly endpoint: string;
  readonly port: number;
  /** A client of its own with the writer's keys. */
  readonly client: S3Client;
  /** Creates a bucket with this name. */
  readonly createBucket: (name: string) => Promise<void>;
  /** The keys of all objects, and of uploads that are open, as the server tells them. */
  readonly contentsOf: (bucket: string) => Promise<BucketContents>;
  /** Adds objects to the bucket's listing, without content: to put a thousand of them takes 15 s. */
  readonly addToListing: (bucket: string, keys: readonly string[]) => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Starts a server with a folder of its own, as this user. Takes about 2 s. */
export async function startSwift(): Promise<Swift> {
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-swift-'));
  const server = await serveSwift(folder);
  const endpoint = `http://127.0.0.1:${server.ports.proxy}`;
  const client = withoutAwsWarning(
    () =>
      new S3Client({
        endpoint,
        region: 'us-east-1',
        forcePathStyle: true,
        requestChecksumCalculation: 'WHEN_REQUIRED',
        credentials: {
          accessKeyId: writer.AWS_ACCESS_KEY_ID,
          secretAccessKey: writer.AWS_SECRET_ACCESS_KEY,
        },
      }),
  );
  return {
    endpoint,
    port: server.ports.proxy,
    client,
    createBucket: async (name) =>
      void (await client.send(new CreateBucketCommand({ Bucket: name }))),
    contentsOf: async (bucket) => {
      const objects = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
      const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      const keysOf = (found: readonly { readonly Key?: string | undefined }[] = []) =>
        found.map(({ Key = '' }) => Key);
      return { objects: keysOf(objects.Contents), uploads: keysOf(uploads.Uploads) };
    },
    addToListing: async (bucket, keys) => {
      const created_at = (Date.now() / 1000).toFixed(5);
      const facts = {
        size: 1,
        content_type: 'text/plain',
        etag: 'd41d8cd98f00b204e9800998ecf8427e',
      };
      const rows = keys.map((name) => ({ name, created_at, deleted: 0, ...facts }));
      const container = `http://127.0.0.1:${server.ports.container}/disk/0/AUTH_test/${bucket}`;
      const { ok, status } = await fetch(container, {
        method: 'UPDATE',
        headers: { 'x-timestamp': created_at },
        body: JSON.stringify(rows),
      });
      if (!ok) throw new Error(`the container server answered ${status}`);
    },
    stop: async () => {
      client.destroy();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
