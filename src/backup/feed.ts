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
  let canBeDamage = true;
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
      canBeDamage = !isServerError(error) || isOfRows(error);
      return { error };
    },
  );
  try {
    for await (const piece of dump) {
      if (!canBeDamage) break;
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

/** The server has refused a statement of pg_restore: the archive was read. */
function isServerError(error: unknown): boolean {
  return linesOf(error).some((line) => /\b(?:ERROR|FATAL|PANIC): {2}/.test(line));
}

/** Rows of a damaged archive may be refused as well. */
function isOfRows(error: unknown): boolean {
  return linesOf(error).some((line) => line.includes('COPY failed for table'));
}

/** pg_restore says so of an archive that it cannot read. */
function isArchiveFault(error: unknown): boolean {
  return (
    !isServerError(error) &&
    linesOf(error).some((line) =>
      /could not (?:read from input file|uncompress data)|unexpected end of file|did not find magic string|corrupt|invalid/i.test(
        line,
      ),
    )
  );
}

function linesOf(error: unknown): readonly string[] {
  return isError(error, 'program-failed')
    ? error.problems.flatMap(({ evidence = [] }) => evidence)
    : [];
}

function damaged(key: string, cause: unknown): CryptosenseDbError<'backup-damaged'> {
  return new CryptosenseDbError(
    'backup-damaged',
    {
      message: `${key} is no archive that pg_restore can read to its end`,
      evidence: linesOf(cause),
    },
    { details: { key }, cause },
  );
}
