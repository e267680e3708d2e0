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
  const shown = (text: string) => withoutUnknown(text, error, ownText);
  const message = shown(error.message);
  const isOwn = (text: string) => hasWords(ownText, text.trim());
  const shownDetail = detail && (isOwn(detail) ? detail : isSafeDetail(error) && shown(detail));
  const context = contextOf(where);
  const shownQuery = query && isOwn(query) ? query : undefined;
  const constraint = constraintOf(error);
  const sensitive = {
    ...(message !== error.message && { message: error.message }),
    ...(detail && shownDetail !== detail && { detail }),
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
    cause: copyOf(error, { message, detail: shownDetail, where: context.join('\n') }),
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
/** Greedy, because the server does not escape a quotation mark inside a value. */
const fromFirstToLast = new RegExp(`[${opening}]([\\s\\S]*)[${closing}]`);
const eachQuoted = new RegExp(`[${opening}]([^${closing}]*)[${closing}]`, 'g');
const behindColon = /(?<=:\s+|：)(\S[\s\S]*)/;

/**
 * One rule for every SQLSTATE. A message with a position is about the text that was sent. Any other message may
 * repeat values of rows: in quotation marks or, in a message without them, behind a colon, and as bytes. Such a part is
 * shown where the file, the statement or the names that the error carries have it.
 */
function withoutUnknown(text: string, error: SqlError, ownText: string): string {
  if (error.position !== undefined) return text;
  const sources = [ownText, error.query ?? '', ...namesOf(error)];
  const isKnown = (part = '') => sources.some((source) => hasWords(source, part));
  const values = fromFirstToLast.test(text) ? fromFirstToLast : behindColon;
  const isAllKnown =
    isKnown(values.exec(text)?.[1]) ||
    (values === fromFirstToLast &&
      [...text.matchAll(eachQuoted)].every(([, part]) => isKnown(part)));
  const shown = isAllKnown ? text : text.replace(values, values === behindColon ? '…' : '"…"');
  return shown.replaceAll(/(?:\b0x[0-9a-f]{2}\b ?)+/g, '…');
}

/** Classes of SQLSTATEs that are about objects, sessions and settings: a detail of another one holds the row itself. */
const safeClasses = ['0A', '25', '28', '2B', '3D', '3F', '40', '42', '53', '54', '55', '57', '58'];

/** The detail of a RAISE may be anything, under any SQLSTATE. */
function isSafeDetail({ code, where = '' }: SqlError): boolean {
  return safeClasses.includes(code.slice(0, 2)) && !isRaised(where);
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

function namesOf(error: SqlError): readonly string[] {
  const { schema_name, table_name, column_name, constraint_name } = error;
  const names = [schema_name, table_name, column_name, constraint_name, error['data type_name']];
  return names.filter((name) => name !== undefined);
}

/**
 * True when the text has the part as whole words, without regard to case and quotation marks, which names lose in
 * messages. Punctuation is no word: a JSON value is not known because the text has braces.
 */
function hasWords(text: string, part: string): boolean {
  const [whole = '', sought = ''] = [text, part].map((each) =>
    each.toLowerCase().replaceAll('"', ''),
  );
  if (!/[\p{L}\p{N}]/u.test(sought) || sought !== sought.trim()) return false;
  const letter = /[\p{L}\p{N}_]/u;
  for (let at = whole.indexOf(sought); at >= 0; at = whole.indexOf(sought, at + 1)) {
    const end = at + sought.length;
    const isCut = (left = '', right = '') => letter.test(left) && letter.test(right);
    if (!isCut(whole[at - 1], sought[0]) && !isCut(sought.at(-1), whole[end])) return true;
  }
  return false;
}

function copyOf(
  error: SqlError,
  shown: {
    readonly message: string;
    readonly detail: string | false | undefined;
    readonly where: string;
  },
): Error {
  const { message, ...words } = shown;
  const { code, severity, hint, schema_name, table_name, column_name, constraint_name } = error;
  const names = { schema_name, table_name, column_name, constraint_name };
  const facts = { code, severity, severity_local: severity, hint, ...words, ...names };
  const known = Object.fromEntries(Object.entries(facts).filter(([, value]) => value));
  const copy = Object.assign(new Error(message), known);
  copy.name = error.name;
  copy.stack = error.stack?.replaceAll(error.message, message) ?? '';
  return copy;
}
