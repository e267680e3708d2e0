import { isSqlError, type SqlError } from '../database/sql-errors.ts';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';

export interface SeedProgress {
  readonly completed: readonly string[];
  readonly pending: readonly string[];
}

export interface SeederStop {
  readonly seeder: string;
  readonly cause: unknown;
  /** Its transaction was committed before; what comes after it failed. */
  readonly isWritten: boolean;
}

/** Which seeder stopped, at which row or constraint, and what that leaves. */
export function describeSeedFailure(
  { seeder, cause, isWritten }: SeederStop,
  { completed, pending }: SeedProgress,
): CryptosenseDbError<'seed-failed'> {
  const error = isSqlError(cause) ? cause : undefined;
  const left = isWritten
    ? 'its rows are written, what follows them is not: run it again'
    : 'it is rolled back';
  return new CryptosenseDbError(
    'seed-failed',
    {
      message: `${seeder} stopped: ${messageOf(cause)}`,
      evidence: [
        ...(error ? wordsOf(error) : []),
        `seeded before it: ${completed.length}, ${left}, still to do: ${pending.length}`,
      ],
      ...(error?.hint && { hint: error.hint }),
    },
    {
      details: {
        seeder,
        completed,
        pending,
        table: error?.table_name,
        constraint: error?.constraint_name,
        sqlState: error?.code ?? '',
      },
      cause,
    },
  );
}

/** `where` names the row of a COPY: "COPY users, line 3". */
function wordsOf({ code, detail, where }: SqlError): readonly string[] {
  return [
    ...(detail ? [`detail: ${detail}`] : []),
    ...(where ? where.split('\n').map((line) => `in: ${line}`) : []),
    `SQLSTATE ${code}`,
  ];
}
