import { pipeline } from 'node:stream/promises';
import type { RunningProgram } from '../runtime/child-process.ts';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';
import type { Backup } from './catalog.ts';
import { type Program, requireSuccess } from './programs.ts';

/**
 * Sends a dump to pg_restore, and waits until both have ended. Of two errors the one of the dump counts: pg_restore then
 * fails because its input ends.
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
  let ofDump: { readonly error: unknown } | undefined;
  const source = (async function* () {
    try {
      yield* dump;
    } catch (error) {
      ofDump = { error };
      throw error;
    }
  })();
  const sending = pipeline(source, running.stdin).catch((error: unknown) => error);
  const success = requireSuccess(program, running).catch((error: unknown) => ({ error }));
  const sent = await sending;
  if (ofDump) running.kill();
  const failed = await success;
  signal?.throwIfAborted();
  if (ofDump) throw ofDump.error;
  if (failed)
    throw isArchiveFault(failed.error)
      ? damaged(`${folder}${manifest.dump.object}`, failed.error)
      : failed.error;
  if (sent instanceof Error) throw sent;
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
