import { CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { openStore } from '../../src/backup/open-store.ts';
import { pruneStore } from '../../src/backup/prune.ts';
import type { Store } from '../../src/backup/store.ts';
import { dayMs } from '../../src/runtime/days.ts';
import { until } from '../support/recovery.ts';
import { hasSwift, type Swift, startSwift, swiftNote, writer } from '../support/swift.ts';

let swift: Swift | undefined;

beforeAll(async () => {
  if (hasSwift) swift = await startSwift();
});
afterAll(() => swift?.stop());

const bucket = 'uploads';
const key = 'shop/2026-01-30T020000Z-aaaaaa/dump';

async function openBucket({ endpoint, createBucket }: Swift): Promise<Store> {
  const keys = {
    ...writer,
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  };
  for (const [name, value] of Object.entries(keys)) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  await createBucket(bucket);
  const store = await openStore(`s3://${bucket}`, { endpoint, sse: 'none' });
  onTestFinished(() => store.close());
  return store;
}

it.skipIf(!hasSwift)(
  `an upload is left alone until nothing was written to it for a day${swiftNote}`,
  async () => {
    if (!swift) throw new Error('Swift does not run');
    const { client } = swift;
    const store = await openBucket(swift);
    const object = { Bucket: bucket, Key: key };
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(object));
    const listed = async () => {
      const [upload] = await store.listUnfinished();
      if (!upload) throw new Error('the upload is not open');
      return upload;
    };
    const begun = await listed();
    expect(await store.readWrittenAt(begun)).toEqual(begun.startedAt);
    const write = async (PartNumber: number) => {
      const part = { ...object, UploadId, PartNumber, Body: 'of a dump that runs' };
      await client.send(new UploadPartCommand(part));
    };
    await write(1);
    await write(2);
    // S3 gives whole seconds.
    const passed = begun.startedAt.getTime() + 2_000;
    await until('two seconds', async () => Date.now() > passed);
    // On a page of its own.
    await write(3);

    const written = (await store.readWrittenAt(await listed()))?.getTime() ?? Number.NaN;
    expect(written).toBeGreaterThan(begun.startedAt.getTime() + 1_000);
    const dayAfterStart = new Date(begun.startedAt.getTime() + dayMs + 500);
    const running = await pruneStore(store, { now: dayAfterStart });
    expect(running.uploads).toMatchObject([{ key, ageMs: dayMs + 500, isDeleted: false }]);
    expect(await listed()).toEqual(begun);

    const dayAfterPart = new Date(written + dayMs + 500);
    const planned = await pruneStore(store, { now: dayAfterPart, dryRun: true });
    expect(planned.uploads).toMatchObject([{ key, isDeleted: true }]);
    expect(await listed()).toEqual(begun);
    await pruneStore(store, { now: dayAfterPart });
    expect(await store.listUnfinished()).toEqual([]);
    expect(await store.readWrittenAt(begun)).toBeUndefined();
  },
);
