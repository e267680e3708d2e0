import type { Session } from '../database/connection.ts';
import { serverWords, withoutValues } from '../database/server-words.ts';
import {
  isRefusedInTransaction,
  isSqlError,
  type SqlError,
  sqlErrorCodes,
} from '../database/sql-errors.ts';
import { recordFailure, type Writer } from '../ledger/history.ts';
import {
  type Completion,
  CryptosenseDbError,
  faultyFiles,
  messageOf,
  noConstraint,
  withSensitive,
} from '../runtime/errors.ts';
import { excerpt } from '../runtime/excerpt.ts';
import { locate } from '../sql/location.ts';
import type { Statement } from './parse.ts';
import type { TransactionMode } from './run-mode.ts';
import { ownSession, type Step } from './step.ts';

/** The server refused a statement of a step; `cause` is the server's error. */
export class StatementError extends Error {
  readonly step: Step;
  readonly statement: Statement;
  /** What the server points at, in UTF-16 units from the start of the statement; 0 where it points at nothing. */
  readonly offset: number;
  /** The failure came after the last statement: in deferred work, in the history row or in COMMIT. */
  readonly isAfterLast: boolean;

  constructor(
    step: Step,
    statement: Statement,
    {
      cause,
      offset = 0,
      isAfterLast = false,
    }: { readonly cause: unknown; readonly offset?: number; readonly isAfterLast?: boolean },
  ) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.step = step;
    this.statement = statement;
    this.offset = offset;
    this.isAfterLast = isAfterLast;
  }
}

/** The ledger refused the step's history row: the file ended its transaction, or released the lock of the run. */
export function transactionLeft({ script: { file, transaction } }: Step) {
  return faultyFiles('faulty-statements', [
    { file: file.name, rule: 'left-transaction', transaction },
  ]);
}

/** The error of a run that a refused statement ended: its place in the file, and all that PostgreSQL says about it. */
export function migrationFailed(
  { step, statement, offset, isAfterLast, cause }: StatementError,
  { completed, pending }: Completion,
): CryptosenseDbError<'migration-failed'> {
  const { version, direction, script } = step;
  const { file, transaction } = script;
  const error = isSqlError(cause) ? cause : undefined;
  const words = error && serverWords(error, { ownText: file.text });
  const place = locate(file.name, file.text, statement.index + offset);
  const { line, column } = place;
  const rest =
    transaction === 'own'
      ? 'this one is rolled back'
      : 'the statements before this one stay, and the next run starts with this one';
  return new CryptosenseDbError(
    'migration-failed',
    {
      message: `${place.file}:${line}:${column} ${words?.message ?? messageOf(cause)}`,
      evidence: [
        ...excerpt(place),
        ...(isAfterLast ? [afterLast] : []),
        ...(words?.evidence ?? []),
        `${direction === 'up' ? 'applied' : 'rolled back'} before it: ${completed.length}; ${rest}; still to do: ${pending.length}`,
      ],
      ...failureHint(error, {
        transaction,
        isAlone: statement.run.kind === 'alone' && transaction === 'none',
      }),
    },
    {
      details: withSensitive(
        {
          version,
          direction,
          completed,
          pending,
          location: { file: place.file, line, column },
          sqlState: error?.code ?? '',
          ...(words?.constraint ?? noConstraint),
        },
        words?.sensitive,
      ),
      cause: words?.cause ?? cause,
    },
  );
}

const afterLast =
  'after the last statement: in a deferred constraint or trigger, in the history row, or in COMMIT';

function failureHint(
  error: SqlError | undefined,
  { transaction, isAlone }: { readonly transaction: TransactionMode; readonly isAlone: boolean },
): { readonly hint?: string } {
  if (error?.message.includes('"apache" license')) {
    return {
      hint: "the server runs TimescaleDB under its Apache licence; set timescaledb.license = 'timescale' in postgresql.conf, or use a server that offers it",
    };
  }
  if (transaction === 'own' && isRefusedInTransaction(error)) {
    return {
      hint: 'write "-- Transaction: none" at the top of the file, and remove BEGIN and COMMIT; its statements then run one by one, and may commit',
    };
  }
  if (error?.code === sqlErrorCodes.lockNotAvailable && isAlone) {
    return {
      hint: 'the statement may have committed a part of its work, so it was not tried again: check that part, then run the command again; see also --table-lock-timeout',
    };
  }
  if (error?.code === sqlErrorCodes.lockNotAvailable) {
    return {
      hint: 'another session holds the lock (see pg_blocking_pids); run the command again when that session ends, or wait longer with --table-lock-timeout and --table-lock-retries',
    };
  }
  return error?.hint ? { hint: error.hint } : {};
}

/** Records the failure in the log, without values of rows. A second error while doing so is dropped: the first one is what counts. */
export async function logFailure(
  { sql }: Session,
  { step, cause }: StatementError,
  writer: Writer,
): Promise<void> {
  const { version, description, checksum, script } = step;
  const detail = messageOf(withoutValues(cause, { ownText: script.file.text }));
  await sql
    .unsafe(ownSession.join('; '))
    .then(() => recordFailure(sql, { version, description, checksum, detail }, writer))
    .catch(() => {});
}
