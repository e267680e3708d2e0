import { fstatSync, writeSync } from 'node:fs';

/** Standard output; without `fd` where it is not the process's own. */
interface Stream extends NodeJS.WritableStream {
  readonly fd?: number;
  _write?: NodeJS.WriteStream['_write'];
}

/**
 * Calls `onFailure` once when standard output cannot take what is written, as on a full disk. A reader that closed its
 * pipe, as in `cryptosense-db migrate status | head -1`, is no failure. A failure of standard error is passed over:
 * nothing is left to report it to, and the work goes on.
 */
export function watchStreams(
  { stdout, stderr }: { readonly stdout: Stream; readonly stderr: Stream },
  onFailure: (error: Error) => void,
): void {
  let isReported = false;
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || isReported) return;
    isReported = true;
    onFailure(error);
  });
  stderr.on('error', () => {});
  const { fd } = stdout;
  if (fd === undefined || !fstatSync(fd).isFile()) return;
  // Node's stream for a file takes the first part of a text for the whole, when the disk has no room for the rest.
  stdout._write = (chunk: Buffer, _encoding, done) => {
    try {
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
      done();
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
    }
  };
}
