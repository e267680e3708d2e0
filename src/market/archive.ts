import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline, type Readable, Transform } from 'node:stream';
import { crc32, createGunzip } from 'node:zlib';
import yauzl from 'yauzl';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';

/** A text file: one on the disk, or one in an archive, unpacked where it is a gzip. */
export interface TextFile {
  /** The name without folders, and without `.gz`. */
  readonly name: string;
  /** For messages: the path, and the name in the archive. */
  readonly place: string;
  readonly open: () => Promise<Readable>;
}

const gzipName = /\.gz$/i;

type Zip = { readonly path: string } | { readonly bytes: Buffer };

/**
 * The files of a zip, in the order of its directory. Throws `file-problem` for one that is damaged or encrypted. A zip
 * on the disk is open only while its directory or one of its files is read.
 */
export async function readZip(zip: Zip, place: string): Promise<readonly TextFile[]> {
  const archive = await openZip(zip, place);
  const files: TextFile[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      archive.on('error', (error: Error) => reject(damaged(place, error)));
      archive.on('end', resolve);
      archive.on('entry', (entry: yauzl.Entry) => {
        const name = entry.fileName.split('/').at(-1) ?? '';
        const inside = `${place}: ${entry.fileName}`;
        const isGzip = gzipName.test(name);
        const open = async () => {
          const stream = await openEntry(await openZip(zip, place), { entry, place: inside });
          return isGzip ? through(stream, createGunzip()) : stream;
        };
        if (name !== '') files.push({ name: name.replace(gzipName, ''), place: inside, open });
        archive.readEntry();
      });
      archive.readEntry();
    });
  } finally {
    archive.close();
  }
  return files;
}

function openZip(zip: Zip, place: string): Promise<yauzl.ZipFile> {
  const settings = { lazyEntries: true, autoClose: false } as const;
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, file?: yauzl.ZipFile) =>
      file ? resolve(file) : reject(damaged(place, error));
    if ('path' in zip) yauzl.open(zip.path, settings, done);
    else yauzl.fromBuffer(zip.bytes, settings, done);
  });
}

function openEntry(
  archive: yauzl.ZipFile,
  { entry, place }: { readonly entry: yauzl.Entry; readonly place: string },
): Promise<Readable> {
  return new Promise((resolve, reject) => {
    archive.openReadStream(entry, (error, stream) => {
      // The stream keeps the file open until it ends.
      archive.close();
      if (stream) resolve(through(stream, checkCrc(entry.crc32, place)));
      else reject(damaged(place, error));
    });
  });
}

/** What the second stream makes of the first. The end or an error of one is that of both. */
function through(from: Readable, to: Transform): Readable {
  return pipeline(from, to, () => {});
}

/** yauzl checks sizes only. */
function checkCrc(expected: number, place: string): Transform {
  let actual = 0;
  return new Transform({
    transform: (chunk: Buffer, _, done) => {
      actual = crc32(chunk, actual);
      done(null, chunk);
    },
    flush: (done) => {
      done(actual === expected ? null : damaged(place, new Error('its checksum is another')));
    },
  });
}

/** Of a file in it, and of an empty zip (APPNOTE.TXT, 4.3.7 and 4.3.16). */
const zipStarts = ['PK\u0003\u0004', 'PK\u0005\u0006'];

/** The text files that a file on the disk holds: itself, unpacked, or those of the zip that it is. */
export async function readTextFiles(path: string, name: string): Promise<readonly TextFile[]> {
  const start = await firstBytes(path);
  if (zipStarts.includes(start.subarray(0, 4).toString('latin1'))) return readZip({ path }, path);
  const isGzip = start[0] === 0x1f && start[1] === 0x8b;
  const openFile = async () => {
    const stream = createReadStream(path);
    return isGzip ? through(stream, createGunzip()) : stream;
  };
  return [{ name: isGzip ? name.replace(gzipName, '') : name, place: path, open: openFile }];
}

async function firstBytes(path: string): Promise<Buffer> {
  try {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw damaged(path, error);
  }
}

function damaged(path: string, cause: unknown): CryptosenseDbError<'file-problem'> {
  return new CryptosenseDbError(
    'file-problem',
    { message: `${path} cannot be read`, evidence: [messageOf(cause)] },
    { details: { path }, cause },
  );
}

/** A line without its end, and its number from 1. */
export interface Line {
  readonly text: string;
  readonly number: number;
}

/**
 * The lines of a text in UTF-8, without a byte order mark, in batches as the bytes arrive. Throws `file-problem` for
 * bytes that cannot be unpacked, and for a line of more than a megabyte, which no file of prices has.
 */
export async function* readLines({
  open: openText,
  place,
}: TextFile): AsyncGenerator<readonly Line[]> {
  const stream = await openText();
  const decoder = new TextDecoder();
  let rest = '';
  let number = 0;
  const take = (texts: readonly string[]) =>
    texts.map((text) => {
      number += 1;
      return { text: text.endsWith('\r') ? text.slice(0, -1) : text, number };
    });
  try {
    for await (const chunk of stream) {
      const texts = (rest + decoder.decode(chunk as Buffer, { stream: true })).split('\n');
      rest = texts.pop() ?? '';
      if (rest.length > longestLine)
        throw new Error(`line ${number + texts.length + 1} has no end`);
      yield take(texts);
    }
  } catch (error) {
    throw error instanceof CryptosenseDbError ? error : damaged(place, error);
  }
  rest += decoder.decode();
  if (rest !== '') yield take([rest]);
}

const longestLine = 1024 * 1024;
