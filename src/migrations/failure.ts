import { isSqlError, type SqlError, sqlErrorCodes } from '../database/sql-errors.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { excerpt, type Location, locate } from '../sql/location.ts';
import type { StatementError } from './step.ts';

/** How far the run came: versions that are committed, and versions that were not begun. */
export interface RunProgress {
  readonly completed: readonly string[];
  readonly pending: readonly string[];
}

/** The failing statement with its place in the file, and all that PostgreSQL says of it. */
export function describeFailure(
  { step, statement, offset, isBehind, cause, message }: StatementError,
  { completed, pending }: RunProgress,
): CryptosenseDbError<'migration-failed'> {
  const { version, direction, script } = step;
  const { file, transaction } = script;
  const error = isSqlError(cause) ? cause : undefined;
  const place = locate(file.name, file.text, statement.index + offset);
  const undone =
    transaction === 'own'
      ? 'it is rolled back'
      : 'the statements before it stay; the next run goes on with this one';
  return new CryptosenseDbError(
    'migration-failed',
    {
      message: `${place.file}:${place.line}:${place.column} ${message}`,
      evidence: [
        ...excerpt(place),
        ...(isBehind ? [behindTheLast] : []),
        ...(error ? wordsOf(error) : []),
        `${direction === 'up' ? 'applied' : 'rolled back'} before it: ${completed.length}, ${undone}, still to do: ${pending.length}`,
      ],
      ...hintOf(error, { runsAlone: statement.run.kind === 'alone' && transaction === 'none' }),
    },
    {
      details: {
        version,
        direction,
        completed,
        pending,
        location: pick(place),
        sqlState: error?.code ?? '',
      },
      cause,
    },
  );
}

const behindTheLast =
  'behind the last statement: in what was deferred, in the history row, or in COMMIT';

function wordsOf({ code, detail, where, internal_query: query }: SqlError): readonly string[] {
  return [
    ...(detail ? [`detail: ${detail}`] : []),
    ...(where ? where.split('\n').map((line) => `in: ${line}`) : []),
    ...(query ? [`query: ${query}`] : []),
    `SQLSTATE ${code}`,
  ];
}

function hintOf(
  error: SqlError | undefined,
  { runsAlone }: { readonly runsAlone: boolean },
): { readonly hint?: string } {
  if (error?.message.includes('"apache" license')) {
    return {
      hint: "the server runs TimescaleDB under its Apache licence; set timescaledb.license = 'timescale' in postgresql.conf, or use a server that offers it",
    };
  }
  if (error?.code === sqlErrorCodes.lockNotAvailable && runsAlone) {
    return {
      hint: 'it may have committed a part of its work, so it is not tried again by itself: look, then run it again; see also --table-lock-timeout',
    };
  }
  if (error?.code === sqlErrorCodes.lockNotAvailable) {
    return {
      hint: 'another session holds the lock, see pg_blocking_pids; run it again when that ends, or wait longer with --table-lock-timeout and --table-lock-retries',
    };
  }
  return error?.hint ? { hint: error.hint } : {};
}

function pick({ file, line, column }: Location) {
  return { file, line, column };
}
