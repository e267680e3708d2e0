import type { FailedConstraint, SensitiveWords } from '../runtime/errors.ts';
import { isSqlError, type SqlError } from './sql-errors.ts';

/** What the server says about a refused statement, apart from what may be values of rows. */
export interface ServerWords {
  readonly message: string;
  /** One line each: detail, place, context, SQLSTATE. */
  readonly evidence: readonly string[];
  readonly constraint: FailedConstraint;
  /** What is left out. */
  readonly sensitive: SensitiveWords | undefined;
  /** The error without `sensitive`, to be a `cause`. */
  readonly cause: Error;
}

/**
 * Separates the server's words about a statement from the values of rows that they repeat. A violation of a constraint
 * repeats the row in its detail, COPY the row in its context, a bad value stands in the message. `ownText` is the text
 * of the file that failed: what it holds itself may be shown.
 */
export function serverWords(
  error: SqlError,
  { ownText }: { readonly ownText: string },
): ServerWords {
  const { code, detail, where, internal_query: query } = error;
  const message = messageOf(error, ownText);
  const isShown = detail && (isSafeDetail(error) || holds(ownText, detail));
  const shownDetail = isShown ? detail : undefined;
  const context = contextOf(where);
  const shownQuery = query && holds(ownText, query) ? query : undefined;
  const constraint = constraintOf(error);
  const sensitive = {
    ...(message !== error.message && { message: error.message }),
    ...(detail && !shownDetail && { detail }),
    ...(where && context.join('\n') !== where && { where }),
    ...(query && !shownQuery && { query }),
  };
  return {
    message,
    evidence: [
      ...(shownDetail ? [`detail: ${shownDetail}`] : []),
      ...describeConstraint(constraint),
      ...context.map((line) => `in: ${line}`),
      ...(shownQuery ? [`query: ${shownQuery}`] : []),
      `SQLSTATE ${code}`,
    ],
    constraint,
    sensitive: Object.keys(sensitive).length > 0 ? sensitive : undefined,
    cause: copyOf(error, { message, detail: shownDetail, where: context.join('\n') || undefined }),
  };
}

/**
 * An error for a log or for `cause`: that of the server without values of rows, and one that has it as its cause
 * without repeating its message. Returns any other error unchanged.
 */
export function withoutValues(error: unknown, own: { readonly ownText: string }): unknown {
  if (isSqlError(error)) return serverWords(error, own).cause;
  if (!(error instanceof Error) || error.cause === undefined) return error;
  const cause = withoutValues(error.cause, own);
  if (cause === error.cause || !(error.cause instanceof Error)) return error;
  const [said, shown] = [error.cause.message, cause instanceof Error ? cause.message : ''];
  const copy = new Error(error.message.replaceAll(said, shown), { cause });
  copy.name = error.name;
  copy.stack = error.stack?.replaceAll(said, shown) ?? '';
  return copy;
}

/** Quotation marks of the languages in which a server may speak. */
const opening = '"“„«»「『‹›';
const closing = '"”“»«」』›‹';
const fromFirstToLast = new RegExp(`[${opening}][^]*[${closing}]`);
const eachQuoted = new RegExp(`[${opening}]([^${closing}]*)[${closing}]`, 'g');

/**
 * A data exception repeats the value. Another error of a statement that ran may repeat a value that was taken for a
 * name: in a cast to regclass, or in a statement that EXECUTE put together.
 */
function messageOf(error: SqlError, ownText: string): string {
  const { message, code, position, where = '' } = error;
  if (isOfConstraint(code)) return message;
  const isKnown = (text: string) => holds(ownText, text) || namesOf(error).includes(text);
  if (code.startsWith('22') && code !== invalidParameter) {
    const [quoted = ''] = fromFirstToLast.exec(message) ?? [];
    const shown = isKnown(quoted.slice(1, -1)) ? message : maskQuoted(message);
    return shown.replaceAll(/(?:\b0x[0-9a-f]{2}\b ?)+/g, '…');
  }
  // With a position, the server points at a name in the text of the query.
  if (position !== undefined) return message;
  const isOfNames = isSafe(code) && !missingNames.includes(code) && !where.includes('EXECUTE');
  const isAllKnown = [...message.matchAll(eachQuoted)].every(
    ([, text = '']) => isKnown(text) || holds(error.query ?? '', text),
  );
  return isOfNames || isAllKnown ? message : maskQuoted(message);
}

/** Violations of constraints: the message names the constraint, and the detail has the values. */
function isOfConstraint(code: string): boolean {
  return code.startsWith('23');
}

const invalidParameter = '22023';

/** The classes of SQLSTATEs that are about objects, sessions and settings, not about values. */
const safeClasses = ['0A', '25', '28', '2B', '3D', '3F', '40', '42', '53', '54', '55', '57', '58'];

function isSafe(code: string): boolean {
  return safeClasses.includes(code.slice(0, 2));
}

/** A table, column, object, function, schema that does not exist, and a name that is none. */
const missingNames = ['42P01', '42703', '42704', '42883', '3F000', '42602'];

/** Greedy, because the server does not escape a quotation mark inside a value. */
function maskQuoted(message: string): string {
  return message.replace(fromFirstToLast, '"…"');
}

/** The detail of a RAISE may be anything, under any SQLSTATE. */
function isSafeDetail({ code, where = '' }: SqlError): boolean {
  return isSafe(code) && !isRaised(where);
}

function isRaised(where: string): boolean {
  return /\bRAISE$/m.test(where.split('\n')[0] ?? '');
}

const contextLines = [
  /^PL\/pgSQL function .+ line \d+ at [\w ]+$/,
  /^PL\/pgSQL function [^"'$]+$/,
  /^SQL function "[^"]*"(?: statement \d+| during \w+)?$/,
  /^COPY [^,:"']+, line \d+(?:, column [^,:"']+)?/,
];

/** The lines of a context that name a function, or the row of a COPY; without the values after a colon. */
function contextOf(where = ''): readonly string[] {
  return where.split('\n').flatMap((line) => {
    const found = contextLines.map((known) => known.exec(line)?.[0]).find((text) => text);
    return found === undefined ? [] : [found];
  });
}

function constraintOf(error: SqlError): FailedConstraint {
  const { schema_name: schema, table_name: table, constraint_name: constraint } = error;
  const { column_name: column, detail, code, where = '' } = error;
  // "Key (email, lower(name))=(…) already exists."
  const isOfKey = ['23503', '23505', '23P01'].includes(code) && !isRaised(where);
  const key = isOfKey ? /\((.*?)\)=\(/.exec(detail ?? '')?.[1] : undefined;
  return { schema, table, columns: column ?? key, constraint };
}

function describeConstraint({ schema, table, columns, constraint }: FailedConstraint) {
  const facts = [
    ...(table === undefined ? [] : [`table ${schema === undefined ? '' : `${schema}.`}${table}`]),
    ...(columns === undefined ? [] : [`columns (${columns})`]),
    ...(constraint === undefined ? [] : [`constraint ${constraint}`]),
  ];
  return facts.length === 0 ? [] : [facts.join(', ')];
}

function namesOf(error: SqlError): readonly unknown[] {
  const { schema_name, table_name, column_name, constraint_name } = error;
  return [schema_name, table_name, column_name, constraint_name, error['data type_name']];
}

/** Without regard to case and quotation marks, which names lose in messages. */
function holds(text: string, part: string): boolean {
  const [whole = '', sought = ''] = [text, part].map((each) =>
    each.toLowerCase().replaceAll('"', ''),
  );
  return whole.includes(sought);
}

function copyOf(
  error: SqlError,
  shown: {
    readonly message: string;
    readonly detail?: string | undefined;
    readonly where?: string | undefined;
  },
): Error {
  const { message, detail, where } = shown;
  const { code, severity, hint, schema_name, table_name, column_name, constraint_name } = error;
  const names = { schema_name, table_name, column_name, constraint_name };
  const facts = { code, severity, severity_local: severity, detail, hint, where, ...names };
  const known = Object.fromEntries(Object.entries(facts).filter(([, value]) => value));
  const copy = Object.assign(new Error(message), known);
  copy.name = error.name;
  copy.stack = error.stack?.replaceAll(error.message, message) ?? '';
  return copy;
}
