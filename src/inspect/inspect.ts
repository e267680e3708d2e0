import { type Session, withSession } from '../database/connection.ts';
import { requireServerVersion } from '../database/requirements.ts';
import {
  isConnectionLost,
  isSqlError,
  type SqlError,
  sqlErrorCodes,
} from '../database/sql-errors.ts';
import { describeTarget, resolveTarget, type Target } from '../database/target.ts';
import { isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { type QuestionName, questionTitles } from './names.ts';
import type { Column, Found, Question, Row } from './question.ts';
import { activity } from './questions/activity.ts';
import { bloat } from './questions/bloat.ts';
import { cache } from './questions/cache.ts';
import { chunks } from './questions/chunks.ts';
import { coverage } from './questions/coverage.ts';
import { indexes } from './questions/indexes.ts';
import { jobs } from './questions/jobs.ts';
import { locks } from './questions/locks.ts';
import { sizes } from './questions/sizes.ts';
import { slow } from './questions/slow.ts';
import { readSight } from './sight.ts';

export type { QuestionName } from './names.ts';
export type { Column, Row, Value } from './question.ts';

export interface InspectOptions {
  /** A URL (`postgresql://…`, `embedded:FOLDER`) or a target that was read before. */
  readonly target: Target | string;
  /** Default: all, in the order of `inspect all`. */
  readonly questions?: readonly QuestionName[] | undefined;
  /** The most rows of an answer. Default: all rows. */
  readonly limit?: number | undefined;
  /** How long a statement of a question may run. Default 10,000; 60,000 for `coverage`. The embedded engine has no such limit. */
  readonly timeoutMs?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** When it fires, the server cancels the running statement and the call throws `interrupted`. */
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly question: QuestionName;
  readonly title: string;
  readonly columns: readonly Column[];
  /** false: the role may not ask it, it took too long, or the server refused it; `unseen` says why. */
  readonly isAnswered: boolean;
  readonly rows: readonly Row[];
  /** Rows that `limit` has left out. */
  readonly rowsLeftOut: number;
  /** Sentences, each with its statement in backticks. Empty when there is nothing to do. */
  readonly advice: readonly string[];
  /** What the role, the server or the time limit hides, and how to see it. */
  readonly unseen: readonly string[];
  /** What it means that there is no row. */
  readonly empty: string;
}

export interface InspectResult {
  readonly target: string;
  readonly at: Date;
  readonly answers: readonly Answer[];
}

const questions: readonly Question[] = [
  sizes,
  indexes,
  bloat,
  cache,
  slow,
  activity,
  locks,
  jobs,
  chunks,
  coverage,
];

const defaultTimeoutMs = 10_000;
/** For a table that a session has locked since the question began. */
const lockTimeoutMs = 1_000;

/**
 * Asks the catalog and the statistics of a database. Changes nothing, and runs on a standby and as a role without
 * special rights: what it cannot see is a sentence in `unseen`, not an error. Each question is a read-only transaction.
 * Throws what opening a session throws, and `server-unsuitable` for a server older than PostgreSQL 15.
 */
export async function inspect(options: InspectOptions): Promise<InspectResult> {
  const { questions: wanted, signal, onProgress, limit, timeoutMs } = options;
  if (timeoutMs !== undefined) requireWhole({ timeoutMs }, { from: 1, to: 2 ** 31 - 1 });
  if (limit !== undefined) requireWhole({ limit }, { from: 1, to: Number.MAX_SAFE_INTEGER });
  const asked = questions.filter(({ name }) => wanted === undefined || wanted.includes(name));
  const session = { signal, onProgress, isReadOnlyFine: true, isCatalogOnly: true };
  return withSession(resolveTarget(options.target), session, async (opened) => {
    requireServerVersion(opened);
    const at = new Date();
    const answers: Answer[] = [];
    for (const question of asked) {
      opened.throwIfInterrupted();
      const found = await ask(question, {
        session: opened,
        timeoutMs: timeoutMs ?? question.timeoutMs ?? defaultTimeoutMs,
      });
      answers.push(answerOf(question, found, limit));
    }
    return { target: describeTarget(opened.target), at, answers };
  });
}

interface Unanswered {
  readonly reason: string;
}

function answerOf(
  { name, columns, empty }: Question,
  found: Found | Unanswered,
  limit = Number.POSITIVE_INFINITY,
): Answer {
  const head = { question: name, title: questionTitles[name], columns };
  if ('reason' in found) {
    return {
      ...head,
      isAnswered: false,
      rows: [],
      rowsLeftOut: 0,
      advice: [],
      unseen: [found.reason],
      empty: 'There is no answer.',
    };
  }
  return {
    ...head,
    isAnswered: true,
    rows: found.rows.slice(0, limit),
    rowsLeftOut: Math.max(0, found.rows.length - limit),
    advice: found.advice,
    unseen: found.unseen ?? [],
    empty: found.empty ?? empty,
  };
}

async function ask(
  question: Question,
  { session, timeoutMs }: { readonly session: Session; readonly timeoutMs: number },
): Promise<Found | Unanswered> {
  const { sql } = session;
  await sql.unsafe('begin read only');
  try {
    const sight = await readSight(session);
    await sql.unsafe(
      `set local statement_timeout = ${timeoutMs}; set local lock_timeout = ${lockTimeoutMs}`,
    );
    return await question.ask(session, sight).catch((error: unknown) => {
      const reason = session.signal?.aborted ? undefined : reasonOf(error, timeoutMs);
      if (reason === undefined) throw error;
      return { reason };
    });
  } finally {
    // Also takes back the settings that a question has made.
    await sql.unsafe('rollback').catch(() => {});
  }
}

/** Why a question has no answer; undefined for an error that ends the whole call. */
function reasonOf(error: unknown, timeoutMs: number): string | undefined {
  if (isError(error, 'not-permitted') || isError(error, 'schema-untrusted')) {
    const [problem] = error.problems;
    return `${error.message}${problem?.hint === undefined ? '' : ` (${problem.hint})`}.`;
  }
  if (!isSqlError(error) || isConnectionLost(error)) return undefined;
  return describeRefusal(error, timeoutMs);
}

function describeRefusal({ code, message }: SqlError, timeoutMs: number): string {
  if (code === sqlErrorCodes.lockNotAvailable) {
    return 'Another session holds a table exclusively, or waits to. See which one: `cryptosense-db inspect locks`.';
  }
  if (code === '57014') {
    const time = timeoutMs % 1_000 === 0 ? `${timeoutMs / 1_000} s` : `${timeoutMs} ms`;
    return `The question took longer than ${time}, or another session cancelled it. Give it more time with --timeout.`;
  }
  if (code === sqlErrorCodes.insufficientPrivilege) {
    return `The role may not read all of it: ${message}. Let the owner grant the right, or use another role.`;
  }
  return `The server refused the question: ${message} (SQLSTATE ${code}).`;
}
