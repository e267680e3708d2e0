import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { untilAborted } from '../runtime/abortable.ts';
import { isError } from '../runtime/errors.ts';
import { isNamed, isRefused, s3Failed } from './s3-errors.ts';
import { flagsOf } from './store.ts';

/** The encryption at rest that a request asks for. */
export type Encryption = Pick<
  ConstructorParameters<typeof PutObjectCommand>[0],
  'ServerSideEncryption' | 'SSEKMSKeyId'
>;

interface S3Object {
  readonly client: S3Client;
  readonly bucket: string;
  readonly key: string;
  /** For messages. */
  readonly store: string;
  readonly endpoint: string | undefined;
  readonly encryption: Encryption;
}

const mebibyte = 1024 * 1024;

/**
 * The sizes of parts. S3 takes 10,000 parts, and a part stays in memory until the server has it: small ones first, so
 * that memory grows with the object. Up to 84 GB three parts take 72 MiB, and up to 1.0 TB 441 MiB.
 */
const stages = [
  { parts: 1_000, bytes: 8 * mebibyte },
  { parts: 3_000, bytes: 24 * mebibyte },
  { parts: 6_000, bytes: 147 * mebibyte },
] as const;
const mostInFlight = 2;

/** How long the last request may go on after the signal has fired: without its answer, nothing says what is stored. */
const graceMs = 5_000;
const cleaningMs = 20_000;

/** The size of a part, counted from 1; undefined beyond the last. */
export function partBytes(number: number): number | undefined {
  let last = 0;
  for (const { parts, bytes } of stages) {
    last += parts;
    if (number <= last) return bytes;
  }
  return undefined;
}

/**
 * Uploads an object, in several parts when it is larger than one. An upload in parts is completed when the content has
 * ended without an error, and else aborted. Throws `store-failed`, the error of the content, or the signal's reason.
 */
export async function upload(
  object: S3Object,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await uploadParts(object, { content, stop });
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

async function uploadParts(
  object: S3Object,
  {
    content,
    stop,
  }: { readonly content: AsyncIterable<Uint8Array>; readonly stop: AbortController },
): Promise<void> {
  const { store } = object;
  const buffers = openBuffers();
  const inFlight = new Set<Promise<void>>();
  const completed: CompletedPart[] = [];
  let begun: Multipart | undefined;
  try {
    const parts = partsOf(untilAborted(content, stop.signal), { store, buffers });
    for await (const { number, bytes, isLast } of parts) {
      if (number === 1 && isLast) return await putWhole(object, { bytes, signal: stop.signal });
      begun ??= await begin(object, stop.signal);
      while (inFlight.size >= mostInFlight) await Promise.race(inFlight);
      stop.signal.throwIfAborted();
      const sent: Promise<void> = sendPart(begun, { number, bytes, signal: stop.signal }).then(
        (part) => {
          completed.push(part);
          buffers.giveBack(bytes);
          inFlight.delete(sent);
        },
        (error: unknown) => {
          // Ends the reading of the content, and the other part.
          stop.abort(s3Failed(store, error));
          inFlight.delete(sent);
        },
      );
      inFlight.add(sent);
    }
    await Promise.all(inFlight);
    stop.signal.throwIfAborted();
    if (begun) await complete(begun, { completed, signal: stop.signal });
  } catch (error) {
    stop.abort(error);
    await Promise.all(inFlight);
    const isClean = begun === undefined || (await abort(begun));
    if (isClean || !isError(error)) throw error;
    throw error.with({
      message: `the upload of ${object.key} stays unfinished`,
      hint: `remove it when a day has passed: cryptosense-db backup prune${flagsOf({ name: store, endpoint: object.endpoint })}`,
    });
  }
}

interface Buffers {
  readonly take: (bytes: number) => Buffer;
  readonly giveBack: (bytes: Buffer) => void;
}

/** The same memory for part after part: freed buffers of this size would pile up until the next garbage collection. */
function openBuffers(): Buffers {
  let free: ArrayBufferLike[] = [];
  return {
    take: (bytes) => {
      free = free.filter(({ byteLength }) => byteLength === bytes);
      const memory = free.pop();
      return memory ? Buffer.from(memory) : Buffer.allocUnsafeSlow(bytes);
    },
    giveBack: ({ buffer }) => void free.push(buffer),
  };
}

interface Part {
  readonly number: number;
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

/** The content in parts, of which there is at least one. It may be empty. */
async function* partsOf(
  content: AsyncIterable<Uint8Array>,
  { store, buffers }: { readonly store: string; readonly buffers: Buffers },
): AsyncGenerator<Part> {
  let number = 1;
  const takeNext = () => {
    const bytes = partBytes(number);
    if (bytes === undefined) throw s3Failed(store, new Error('the object is above 1.0 TB'));
    return buffers.take(bytes);
  };
  let buffer = takeNext();
  let used = 0;
  for await (const piece of content) {
    for (let taken = 0; taken < piece.length; ) {
      if (used === buffer.length) {
        yield { number, bytes: buffer, isLast: false };
        number += 1;
        buffer = takeNext();
        used = 0;
      }
      const next = piece.subarray(taken, taken + buffer.length - used);
      buffer.set(next, used);
      taken += next.length;
      used += next.length;
    }
  }
  yield { number, bytes: buffer.subarray(0, used), isLast: true };
}

/** An upload in parts that the server knows. */
interface Multipart {
  readonly object: S3Object;
  readonly id: string;
}

async function begin(object: S3Object, signal: AbortSignal): Promise<Multipart> {
  const { client, bucket, key, encryption, store } = object;
  const command = new CreateMultipartUploadCommand({ Bucket: bucket, Key: key, ...encryption });
  // An upload whose id is not known cannot be aborted.
  const { UploadId } = await inGrace(signal, (abortSignal) =>
    client.send(command, { abortSignal }),
  ).catch((error: unknown) => {
    throw s3Failed(store, error);
  });
  if (UploadId === undefined) throw s3Failed(store, new Error('the server names no upload'));
  return { object, id: UploadId };
}

async function sendPart(
  { object: { client, bucket, key }, id }: Multipart,
  { number, bytes, signal }: Omit<Part, 'isLast'> & { readonly signal: AbortSignal },
): Promise<CompletedPart> {
  const part = { Bucket: bucket, Key: key, UploadId: id, PartNumber: number };
  const command = new UploadPartCommand({ ...part, Body: bytes });
  const { ETag } = await client.send(command, { abortSignal: signal });
  return { PartNumber: number, ETag };
}

async function complete(
  { object, id }: Multipart,
  { completed, signal }: { readonly completed: CompletedPart[]; readonly signal: AbortSignal },
): Promise<void> {
  const { client, bucket, key } = object;
  const Parts = completed.sort((one, other) => (one.PartNumber ?? 0) - (other.PartNumber ?? 0));
  const command = new CompleteMultipartUploadCommand({
    ...{ Bucket: bucket, Key: key, UploadId: id },
    MultipartUpload: { Parts },
  });
  await finish(object, { signal, send: (abortSignal) => client.send(command, { abortSignal }) });
}

async function putWhole(
  object: S3Object,
  { bytes, signal }: { readonly bytes: Buffer; readonly signal: AbortSignal },
): Promise<void> {
  const { client, bucket, key, encryption } = object;
  const command = new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, ...encryption });
  await finish(object, { signal, send: (abortSignal) => client.send(command, { abortSignal }) });
}

/** The request after which the object is there. Where it fails, or the signal fires, the object is not left. */
async function finish(
  object: S3Object,
  {
    signal,
    send,
  }: {
    readonly signal: AbortSignal;
    readonly send: (abortSignal: AbortSignal) => Promise<unknown>;
  },
): Promise<void> {
  try {
    await inGrace(signal, send);
  } catch (error) {
    // Without an answer, or when a second attempt finds the upload gone, the object may be stored.
    if (!isRefused(error) || isNamed(error, 'NoSuchUpload')) await removeObject(object);
    signal.throwIfAborted();
    throw s3Failed(object.store, error);
  }
  if (!signal.aborted) return;
  await removeObject(object);
  throw signal.reason;
}

/** Sends a request that may go on for a while after the signal has fired. */
async function inGrace<T>(
  signal: AbortSignal,
  send: (abortSignal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    timer = setTimeout(() => late.abort(signal.reason), graceMs);
  };
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await send(late.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * False: the upload may be open. A part that the server was storing can outlive the first request, as the documentation
 * of S3 says, so that it is repeated until the upload is unknown.
 */
async function abort({ object: { client, bucket, key }, id }: Multipart): Promise<boolean> {
  const command = new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: id });
  const options = { abortSignal: AbortSignal.timeout(cleaningMs) };
  try {
    for (let attempts = 0; attempts < 3; attempts += 1) await client.send(command, options);
    return true;
  } catch (error) {
    return isNamed(error, 'NoSuchUpload');
  }
}

async function removeObject({ client, bucket, key }: S3Object): Promise<void> {
  const command = new DeleteObjectCommand({ Bucket: bucket, Key: key });
  const options = { abortSignal: AbortSignal.timeout(cleaningMs) };
  await client.send(command, options).catch(() => {});
}
