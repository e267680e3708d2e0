import type { Session } from '../database/connection.ts';
import { remedyOf, type Situation } from '../database/remedies.ts';
import { serverWords, withoutValues } from '../database/server-words.ts';
import {
  isConnectionLost,
  isRefusedInTransaction,
  isSqlError,
  type SqlError,
  sqlErrorCodes,
} from '../database/sql-errors.ts';
import { recordFailure, type Writer } from '../ledger/history.ts';
import {
  type Completion,
  CryptosenseDbError,
  describeHolder,
  faultyFiles,
  type LockHolder,
  messageOf,
  noConstraint,
  withSensitive,
} from '../runtime/errors.ts';
import { excerpt } from '../runtime/excerpt.ts';
import { indexOfCharacter, locate } from '../sql/location.ts';
import type { Statement } from './parse.ts';
import { CleanUpError } from './remains.ts';
import { ownSession, type Step } from './step.ts';

/** The server refused a statement of a step; `cause` is the server's error. */
export class StatementError extends Error {
  readonly step: Step;
  readonly statement: Statement;
  /** What the server points at, in UTF-16 units from the start of the statement; 0 where it points at nothing. */
  readonly offset: number;
  /** The failure came after the last statement: in deferred work, in the history row or in COMMIT. */
  readonly isAfterLast: boolean;
  /** A part of the statement's work may be committed: it ran alone, and the server does not show the contrary. */
  readonly mayHaveCommitted: boolean;
  /** The session that blocked the statement, where the server told. */
  readonly blocker: LockHolder | undefined;
  /** The statement of the tool's own that the server refused, where it was to remove what an earlier run has left. */
  readonly cleanUp: string | undefined;

  constructor(
    step: Step,
    statement: Statement,
    {
      cause,
      offset = 0,
      isAfterLast = false,
      mayHaveCommitted = false,
      blocker,
      cleanUp,
    }: {
      readonly cause: unknown;
      readonly offset?: number;
      readonly isAfterLast?: boolean;
      readonly mayHaveCommitted?: boolean;
      readonly blocker?: LockHolder | undefined;
      readonly cleanUp?: string | undefined;
    },
  ) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.step = step;
    this.statement = statement;
    this.offset = offset;
    this.isAfterLast = isAfterLast;
    this.mayHaveCommitted = mayHaveCommitted;
    this.blocker = blocker;
    this.cleanUp = cleanUp;
  }

  /** The same failure, with the session that blocked the statement. */
  blockedBy(blocker: LockHolder | undefined): StatementError {
    const { cause, offset, isAfterLast, mayHaveCommitted, cleanUp } = this;
    const place = { cause, offset, isAfterLast, mayHaveCommitted, blocker, cleanUp };
    return new StatementError(this.step, this.statement, place);
  }

  /** True when no run can tell which part of the statement's work is committed. */
  get leavesUnknown(): boolean {
    return this.mayHaveCommitted && this.statement.run.remains === undefined;
  }
}

/** The server's error with its statement. Any other error is returned as it came. */
export function atStatement(
  error: unknown,
  { step, statement }: { readonly step: Step; readonly statement: Statement },
  { mayHaveCommitted = false }: { readonly mayHaveCommitted?: boolean } = {},
): unknown {
  if (error instanceof CleanUpError) {
    const { cause, text: cleanUp } = error;
    return isConnectionLost(cause)
      ? cause
      : new StatementError(step, statement, { cause, cleanUp });
  }
  if (!isSqlError(error) || isConnectionLost(error)) return error;
  const { position } = error;
  const offset = position ? indexOfCharacter(statement.text, Number(position) - 1) : 0;
  return new StatementError(step, statement, { cause: error, offset, mayHaveCommitted });
}

/** The ledger refused the step's history row: the file ended its transaction, or released the lock of the run. */
export function transactionLeft({ script: { file, transaction } }: Step) {
  return faultyFiles('faulty-statements', [
    { file: file.name, rule: 'left-transaction', transaction },
  ]);
}

/** The error of a run that a refused statement ended: its place in the file, and all that PostgreSQL says about it. */
export function migrationFailed(
  error: StatementError,
  { completed, pending, user }: Completion & Situation,
): CryptosenseDbError<'migration-failed'> {
  const { step, statement, offset, isAfterLast, blocker, cleanUp, cause } = error;
  const { version, direction, script } = step;
  const { file } = script;
  const refusal = isSqlError(cause) ? cause : undefined;
  const words = refusal && serverWords(refusal, { ownText: file.text });
  const place = locate(file.name, file.text, statement.index + offset);
  const { line, column } = place;
  return new CryptosenseDbError(
    'migration-failed',
    {
      message: `${place.file}:${line}:${column} ${words?.message ?? messageOf(cause)}`,
      evidence: [
        ...excerpt(place),
        ...(isAfterLast ? [afterLast] : []),
        ...(cleanUp === undefined
          ? []
          : [`before the statement: an interrupted run has left an invalid index; ${cleanUp}`]),
        ...(words?.evidence ?? []),
        ...(blocker ? [`blocked by ${describeHolder(blocker)}`] : []),
        `${direction === 'up' ? 'applied' : 'rolled back'} before it: ${completed.length}; ${whatStays(error)}; still to do: ${pending.length}`,
      ],
      ...failureHint(error, { refusal, user }),
    },
    {
      details: withSensitive(
        {
          version,
          direction,
          completed,
          pending,
          location: { file: place.file, line, column },
          sqlState: refusal?.code ?? '',
          ...(words?.constraint ?? noConstraint),
        },
        words?.sensitive,
      ),
      cause: words?.cause ?? cause,
    },
  );
}

function whatStays({ step, leavesUnknown }: StatementError): string {
  if (step.script.transaction === 'own') return 'this one is rolled back';
  return leavesUnknown
    ? 'the statements before this one stay, and this one may have committed a part of its work'
    : 'the statements before this one stay, and the next run starts with this one';
}

const afterLast =
  'after the last statement: in a deferred constraint or trigger, in the history row, or in COMMIT';

function failureHint(
  { step: { version, script }, leavesUnknown, blocker, cleanUp }: StatementError,
  { refusal, user }: Situation & { readonly refusal: SqlError | undefined },
): { readonly hint?: string } {
  if (refusal?.message.includes('"apache" license')) {
    return {
      hint: "the server runs TimescaleDB under its Apache licence; set timescaledb.license = 'timescale' in postgresql.conf, or use a server that offers it",
    };
  }
  if (leavesUnknown) {
    return {
      hint: `look at what the statement has committed; then let the next run repeat it, with: cryptosense-db migrate repair --repeat ${version}; or record it as finished, with: cryptosense-db migrate repair --finish ${version}`,
    };
  }
  if (script.transaction === 'own' && isRefusedInTransaction(refusal)) {
    return {
      hint: 'write "-- Transaction: none" at the top of the file, and remove BEGIN and COMMIT; its statements then run one by one, and may commit',
    };
  }
  if (refusal?.code === sqlErrorCodes.lockNotAvailable) {
    return {
      hint: `another session holds the lock (${blocker ? `to end it: select pg_terminate_backend(${blocker.pid})` : 'see pg_blocking_pids'}); run the command again when that session ends, or wait longer with --table-lock-timeout and --table-lock-retries`,
    };
  }
  const hint = refusal && (refusal.hint ?? remedyOf(refusal, { user }) ?? cleanUpHint({ cleanUp }));
  return hint === undefined ? {} : { hint };
}

function cleanUpHint({ cleanUp }: Pick<StatementError, 'cleanUp'>): string | undefined {
  return cleanUp && 'remove the invalid index by hand, then run the command again';
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
