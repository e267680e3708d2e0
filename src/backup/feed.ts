import type { RunningProgram } from '../runtime/child-process.ts';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';
import type { Backup } from './catalog.ts';
import { type Program, requireSuccess } from './programs.ts';

/**
 * Sends a dump to pg_restore, and waits until both have ended. Of two errors the one of the dump counts: pg_restore fails
 * where its input ends.
 */
export async function feed(
  dump: AsyncIterable<Uint8Array>,
  {
    running,
    program,
    backup: { folder, manifest },
    signal,
  }: {
    readonly running: RunningProgram;
    readonly program: Program;
    readonly backup: Backup;
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { stdin } = running;
  let isClosed = false;
  let hasFailed = false;
  let goOn = () => {};
  const onClosed = () => {
    isClosed = true;
    goOn();
  };
  // pg_restore may close its input before the end of the archive: with an error, or when it needs no more of it.
  stdin
    .on('error', onClosed)
    .on('close', onClosed)
    .on('drain', () => goOn());
  const success = requireSuccess(program, running).then(
    () => undefined,
    (error: unknown) => {
      hasFailed = true;
      return { error };
    },
  );
  try {
    for await (const piece of dump) {
      if (hasFailed) break;
      // The rest is read all the same: its checksum is to be compared.
      if (isClosed || stdin.write(piece)) continue;
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    }
  } catch (error) {
    running.kill();
    await success;
    signal?.throwIfAborted();
    throw error;
  }
  stdin.end();
  const failed = await success;
  signal?.throwIfAborted();
  if (!failed) return;
  throw isArchiveFault(failed.error)
    ? damaged(`${folder}${manifest.dump.object}`, failed.error)
    : failed.error;
}

/** pg_restore says so of an archive that it cannot read; its other errors come from the server. */
function isArchiveFault(error: unknown): boolean {
  return (
    isError(error, 'program-failed') &&
    error.problems.some(({ evidence = [] }) =>
      evidence.some((line) =>
        /could not (?:read from input file|uncompress data)|unexpected end of file|did not find magic string|corrupt|invalid/i.test(
          line,
        ),
      ),
    )
  );
}

function damaged(key: string, cause: unknown): CryptosenseDbError<'backup-damaged'> {
  const evidence = isError(cause) ? cause.problems.flatMap((each) => each.evidence ?? []) : [];
  return new CryptosenseDbError(
    'backup-damaged',
    { message: `${key} is no archive that pg_restore can read to its end`, evidence },
    { details: { key }, cause },
  );
}
