import { loadModule, parseSync } from 'libpg-query';
import { CryptosenseDbError, type Problem } from '../errors.ts';
import { excerpt, indexOfCharacter, locate } from './location.ts';
import type { MigrationPair, SqlFile } from './source.ts';

/** A file, parsed and found fit to run. */
export interface Script {
  readonly file: SqlFile;
  /** `none`: the file says `-- Transaction: none`. */
  readonly transaction: 'own' | 'none';
  /** The file's own BEGIN where it has options, an isolation level say; else `begin`. */
  readonly begin: string;
  readonly statements: readonly Statement[];
  /** Why there is no way back, where a rollback says so. */
  readonly irreversible: string | undefined;
  readonly needsTimescale: boolean;
}

export interface Statement {
  readonly text: string;
  /** Where the text starts in the file, in UTF-16 units. */
  readonly index: number;
  readonly run: RunMode;
}

/**
 * How a statement of a file without a transaction is run.
 * - `in-transaction`: together with its journal entry, exactly once.
 * - `session`: SET and RESET; on every run, since a resumed one is another session.
 * - `alone`: PostgreSQL or TimescaleDB refuse it in a transaction, or it may end one itself
 *   (CALL, DO); interrupted between its end and its journal entry it runs again.
 * - `build-index`, `drop-index`: alone too, and what an interruption left is looked up first.
 */
export type RunMode =
  | { readonly kind: 'in-transaction' | 'session' | 'alone' }
  | {
      readonly kind: 'build-index';
      readonly index: string;
      readonly table: readonly string[];
      readonly isConcurrent: boolean;
    }
  | { readonly kind: 'drop-index'; readonly index: readonly string[] };

/**
 * Parses files with PostgreSQL's own grammar, loads it on first use.
 * Throws `faulty-statements` with every fault of every file; a syntax error hides what follows it
 * in its file.
 */
export async function parseScripts(
  files: readonly { readonly file: SqlFile; readonly kind: 'migration' | 'rollback' }[],
): Promise<readonly Script[]> {
  await loadModule();
  const problems: Problem[] = [];
  const scripts = files.map(({ file, kind }) =>
    parseScript(file, { kind, report: (problem) => problems.push(problem) }),
  );
  if (problems.length > 0) throw new CryptosenseDbError('faulty-statements', problems);
  return scripts;
}

/** Parses both files of each pair. Throws `faulty-statements`. */
export async function parsePairs(pairs: readonly MigrationPair[]): Promise<readonly Script[]> {
  return parseScripts(
    pairs.flatMap(({ migration, rollback }) => [
      { file: migration, kind: 'migration' },
      { file: rollback, kind: 'rollback' },
    ]),
  );
}

interface ParseOptions {
  readonly kind: 'migration' | 'rollback';
  readonly report: (problem: Problem) => void;
}

function parseScript(file: SqlFile, { kind, report }: ParseOptions): Script {
  const fault = (index: number, fact: string, hint?: string) =>
    report(faultAt(file, index, { fact, hint }));
  const directives = readDirectives(file.text);
  const transaction = directives.transaction === undefined ? 'own' : 'none';
  if (directives.transaction && directives.transaction.value.toLowerCase() !== 'none') {
    fault(
      directives.transaction.index,
      `"-- Transaction: ${directives.transaction.value}" is not understood`,
      'the only value is "none"',
    );
  }
  if (directives.irreversible?.value === '') {
    fault(
      directives.irreversible.index,
      '"-- Irreversible:" gives no reason',
      'say why there is no way back',
    );
  }
  const irreversible = kind === 'rollback' ? directives.irreversible?.value : undefined;

  const parsed = parse(file, fault);
  const own =
    transaction === 'own' && parsed
      ? takeOuterPair(parsed, fault)
      : { begin: plainBegin, rest: parsed ?? [] };
  for (const statement of own.rest) {
    checkAnywhere(statement, transaction, fault);
    if (transaction === 'own') checkInTransaction(statement, fault);
  }
  if (parsed && own.rest.length === 0 && irreversible === undefined) {
    fault(
      0,
      `has no statement${kind === 'rollback' ? ', and does not say "-- Irreversible: <why>"' : ''}`,
    );
  }
  return {
    file,
    transaction,
    begin: own.begin,
    statements: own.rest.map(({ text, index, node }) => ({ text, index, run: runMode(node) })),
    irreversible,
    needsTimescale: own.rest.some(({ node }) => createsTimescale(node)),
  };
}

interface Directive {
  readonly value: string;
  readonly index: number;
}

interface Directives {
  readonly transaction: Directive | undefined;
  readonly irreversible: Directive | undefined;
}

/** Directives stand in the `--` comments at the top, before the first statement. */
function readDirectives(text: string): Directives {
  const found = new Map<string, Directive>();
  skipTrivia(text, 0, (comment, index) => {
    const [, name, value] = /^--\s*(transaction|irreversible)\s*:(.*)$/i.exec(comment) ?? [];
    if (name === undefined || value === undefined) return;
    const key = name.toLowerCase();
    if (!found.has(key)) found.set(key, { value: value.trim(), index });
  });
  return { transaction: found.get('transaction'), irreversible: found.get('irreversible') };
}

type Fault = (index: number, fact: string, hint?: string) => void;

function faultAt(
  file: SqlFile,
  index: number,
  { fact, hint }: { readonly fact: string; readonly hint: string | undefined },
): Problem {
  const place = locate(file.name, file.text, index);
  return {
    message: `${place.file}:${place.line}:${place.column} ${fact}`,
    evidence: excerpt(place),
    ...(hint !== undefined && { hint }),
  };
}

type SyntaxNode = Readonly<Record<string, unknown>>;

interface ParsedStatement {
  readonly text: string;
  readonly index: number;
  /** The parse tree below its one key, and that key. */
  readonly node: { readonly type: string; readonly body: SyntaxNode };
}

/**
 * libpg-query counts in bytes of UTF-8, and takes leading comments to a statement's start.
 * undefined after a syntax error, which is reported.
 */
function parse(file: SqlFile, fault: Fault): readonly ParsedStatement[] | undefined {
  let tree: unknown;
  try {
    tree = parseSync(file.text);
  } catch (error) {
    reportSyntaxError(file, error, fault);
    return undefined;
  }
  const bytes = Buffer.from(file.text, 'utf8');
  const isAscii = bytes.length === file.text.length;
  let byteAt = 0;
  let indexAt = 0;
  return nodes(asNode(tree).stmts).map((raw) => {
    const from = Number(raw.stmt_location ?? 0);
    const length = Number(raw.stmt_len ?? bytes.length - from);
    indexAt += isAscii ? from - byteAt : bytes.toString('utf8', byteAt, from).length;
    byteAt = from;
    const whole = isAscii
      ? file.text.slice(from, from + length)
      : bytes.toString('utf8', from, from + length);
    const start = skipTrivia(whole, 0);
    const [type = '', body = {}] = Object.entries(asNode(raw.stmt))[0] ?? [];
    return {
      text: whole.slice(start, endOfText(whole)),
      index: indexAt + start,
      node: { type, body: asNode(body) },
    };
  });
}

function reportSyntaxError(file: SqlFile, error: unknown, fault: Fault): void {
  const details = asNode(asNode(error).sqlDetails);
  const position = Number(details.cursorPosition ?? 0);
  const index = indexOfCharacter(file.text, position);
  const copy = findCopyBefore(file.text, index);
  if (copy !== undefined) {
    fault(copy, copyFact, copyHint);
    return;
  }
  const command = /^\\\S*/.exec(file.text.slice(index))?.[0];
  if (command) {
    fault(
      index,
      `is a command of psql (${command}), not a statement`,
      'the file is run by the tool; write it in SQL',
    );
    return;
  }
  fault(index, error instanceof Error ? error.message : String(error));
}

const copyFact = 'COPY FROM STDIN needs a client that feeds it';
const copyHint = 'write the rows as INSERT … VALUES';

/** Where the COPY FROM STDIN starts whose rows are taken for a statement at the index. */
function findCopyBefore(text: string, index: number): number | undefined {
  const head = text.slice(0, index).trimEnd();
  if (!head.endsWith(';')) return undefined;
  const start = skipTrivia(head, head.lastIndexOf(';', head.length - 2) + 1);
  return /^copy\b.*\bfrom\s+stdin\b/is.test(head.slice(start)) ? start : undefined;
}

const plainBegin = 'begin';

/** Takes off BEGIN at the start and COMMIT at the end; one of them alone is a fault. */
function takeOuterPair(
  statements: readonly ParsedStatement[],
  fault: Fault,
): { readonly begin: string; readonly rest: readonly ParsedStatement[] } {
  const first = statements[0];
  const last = statements.at(-1);
  if (!first || !last || !isBegin(first)) return { begin: plainBegin, rest: statements };
  const begin = nodes(first.node.body.options).length === 0 ? plainBegin : first.text;
  if (first === last || !isCommit(last)) {
    fault(
      first.index,
      'opens a transaction that the last statement does not commit',
      'end the file with COMMIT;',
    );
    return { begin, rest: statements.slice(1) };
  }
  if (last.node.body.chain === true) {
    fault(last.index, 'COMMIT AND CHAIN leaves a transaction open', 'end the file with COMMIT;');
  }
  return { begin, rest: statements.slice(1, -1) };
}

function isBegin({ node }: ParsedStatement): boolean {
  const kind = node.body.kind;
  return (
    node.type === 'TransactionStmt' && (kind === 'TRANS_STMT_BEGIN' || kind === 'TRANS_STMT_START')
  );
}

function isCommit({ node }: ParsedStatement): boolean {
  return node.type === 'TransactionStmt' && node.body.kind === 'TRANS_STMT_COMMIT';
}

const savepointKinds: readonly unknown[] = [
  'TRANS_STMT_SAVEPOINT',
  'TRANS_STMT_RELEASE',
  'TRANS_STMT_ROLLBACK_TO',
];

/** What no file may hold, whichever way it is run. */
function checkAnywhere(
  { node: { type, body }, text, index }: ParsedStatement,
  transaction: Script['transaction'],
  fault: Fault,
): void {
  const command = text.split(/\W/, 1)[0]?.toUpperCase();
  if (type === 'TransactionStmt') {
    if (transaction === 'none') {
      fault(
        index,
        `${command} in a file that says "-- Transaction: none"`,
        'take one of the two out',
      );
      return;
    }
    if (!savepointKinds.includes(body.kind)) {
      fault(
        index,
        `${command} ends or opens a transaction in the middle of the file`,
        'the whole file is one transaction; split it in two migrations',
      );
    }
    return;
  }
  if (type === 'CopyStmt' && body.filename === undefined) {
    if (body.is_from === true) fault(index, copyFact, copyHint);
    else fault(index, 'COPY TO STDOUT needs a client that reads it', 'leave it to psql');
  }
  if (type === 'DiscardStmt' && body.target === 'DISCARD_ALL') {
    fault(
      index,
      'DISCARD ALL gives up the lock that the run holds',
      'use RESET ALL, DISCARD TEMP, DISCARD PLANS or DISCARD SEQUENCES',
    );
  }
  if (type === 'IndexStmt' && isIndexBuiltAlone(body) && body.idxname === undefined) {
    fault(
      index,
      'builds an index without a name outside a transaction',
      'name it, so that an interrupted build can be found and taken up again',
    );
  }
}

function checkInTransaction({ node, index }: ParsedStatement, fault: Fault): void {
  const reason = refusesTransaction(node);
  if (reason === undefined) return;
  fault(
    index,
    `${reason} cannot run inside a transaction`,
    'put "-- Transaction: none" at the top of the file, and leave BEGIN and COMMIT out',
  );
}

/**
 * The statement's name when PostgreSQL or TimescaleDB refuse it inside a transaction block: the
 * callers of PreventInTransactionBlock() in the server's source, where the grammar alone tells.
 */
function refusesTransaction({ type, body }: ParsedStatement['node']): string | undefined {
  switch (type) {
    case 'IndexStmt':
      if (body.concurrent === true) return 'CREATE INDEX CONCURRENTLY';
      return isPerChunk(body) ? 'CREATE INDEX … transaction_per_chunk' : undefined;
    case 'DropStmt':
      return body.concurrent === true ? 'DROP INDEX CONCURRENTLY' : undefined;
    case 'ReindexStmt':
      if (hasOption(body.params, 'concurrently')) return 'REINDEX CONCURRENTLY';
      return body.relation === undefined ? 'REINDEX of a schema or database' : undefined;
    case 'VacuumStmt':
      return body.is_vacuumcmd === true ? 'VACUUM' : undefined;
    case 'ClusterStmt':
      return body.relation === undefined ? 'CLUSTER of all tables' : undefined;
    case 'AlterTableStmt':
      return nodes(body.cmds).some(isConcurrentDetach)
        ? 'DETACH PARTITION CONCURRENTLY'
        : undefined;
    case 'AlterDatabaseStmt':
      return hasOption(body.options, 'tablespace') ? 'ALTER DATABASE SET TABLESPACE' : undefined;
    case 'CreateTableAsStmt':
      return isContinuousWithData(body) ? 'a continuous aggregate WITH DATA' : undefined;
    case 'CallStmt':
      return functionName(body) === 'refresh_continuous_aggregate'
        ? 'refresh_continuous_aggregate'
        : undefined;
    case 'CreateSubscriptionStmt':
      return isOff(body.options, 'connect') || isOff(body.options, 'create_slot')
        ? undefined
        : 'CREATE SUBSCRIPTION';
    case 'AlterSubscriptionStmt':
      return refreshesSubscription(body) ? 'ALTER SUBSCRIPTION with a refresh' : undefined;
    case 'DropSubscriptionStmt':
      return 'DROP SUBSCRIPTION';
    case 'AlterSystemStmt':
      return 'ALTER SYSTEM';
    case 'CreatedbStmt':
      return 'CREATE DATABASE';
    case 'DropdbStmt':
      return 'DROP DATABASE';
    case 'CreateTableSpaceStmt':
      return 'CREATE TABLESPACE';
    case 'DropTableSpaceStmt':
      return 'DROP TABLESPACE';
    default:
      return undefined;
  }
}

function runMode(node: ParsedStatement['node']): RunMode {
  const { type, body } = node;
  if (type === 'VariableSetStmt') return { kind: 'session' };
  if (type === 'IndexStmt' && isIndexBuiltAlone(body)) {
    const relation = asNode(body.relation);
    return {
      kind: 'build-index',
      index: String(body.idxname),
      table: [relation.schemaname, relation.relname].filter((part) => typeof part === 'string'),
      isConcurrent: body.concurrent === true,
    };
  }
  if (type === 'DropStmt' && body.concurrent === true) {
    const name = asNode(asNode(nodes(body.objects)[0]).List);
    return { kind: 'drop-index', index: nodes(name.items).map(stringOf) };
  }
  const isAlone =
    type === 'CallStmt' || type === 'DoStmt' || refusesTransaction(node) !== undefined;
  return { kind: isAlone ? 'alone' : 'in-transaction' };
}

function isIndexBuiltAlone(body: SyntaxNode): boolean {
  return body.concurrent === true || isPerChunk(body);
}

function isPerChunk(body: SyntaxNode): boolean {
  return hasOption(body.options, 'transaction_per_chunk', timescaleNamespaces);
}

/** A change of publications refreshes, unless it is told not to. */
function refreshesSubscription({ kind, options }: SyntaxNode): boolean {
  if (kind === 'ALTER_SUBSCRIPTION_REFRESH') return true;
  return /_PUBLICATION$/.test(String(kind)) && !isOff(options, 'refresh');
}

function isConcurrentDetach(command: SyntaxNode): boolean {
  const detach = asNode(command.AlterTableCmd);
  return asNode(asNode(detach.def).PartitionCmd).concurrent === true;
}

function isContinuousWithData(body: SyntaxNode): boolean {
  const into = asNode(body.into);
  return hasOption(into.options, 'continuous', timescaleNamespaces) && into.skipData !== true;
}

/** CREATE EXTENSION itself, or in a DO block that creates it where it is absent. */
function createsTimescale({ type, body }: ParsedStatement['node']): boolean {
  if (type === 'CreateExtensionStmt') return body.extname === 'timescaledb';
  return (
    type === 'DoStmt' &&
    nodes(body.args).some((argument) =>
      /create\s+extension\s+(if\s+not\s+exists\s+)?"?timescaledb/i.test(
        stringOf(asNode(asNode(argument.DefElem).arg)),
      ),
    )
  );
}

/** `tsdb` is the short form, since TimescaleDB 2.19. */
const timescaleNamespaces: readonly unknown[] = ['timescaledb', 'tsdb'];

/** True when a WITH or option list has the name, and does not set it to false. */
function hasOption(
  list: unknown,
  name: string,
  namespaces: readonly unknown[] = [undefined],
): boolean {
  const value = optionValue(list, name, namespaces);
  return value !== undefined && !offValues.includes(value);
}

/** True when the list sets the option to false. */
function isOff(list: unknown, name: string): boolean {
  const value = optionValue(list, name, [undefined]);
  return value !== undefined && offValues.includes(value);
}

const offValues: readonly string[] = ['false', 'off', 'no', '0'];

/** The value in lower case, empty where only the name stands; undefined without the option. */
function optionValue(
  list: unknown,
  name: string,
  namespaces: readonly unknown[],
): string | undefined {
  const option = nodes(list)
    .map((node) => asNode(node.DefElem))
    .find(({ defname, defnamespace }) => defname === name && namespaces.includes(defnamespace));
  if (!option) return undefined;
  const value = asNode(option.arg);
  if (value.Integer) return String(asNode(value.Integer).ival ?? 0);
  if (value.Boolean) return String(asNode(value.Boolean).boolval ?? false);
  // An unreserved word, such as off, is taken for the name of a type.
  const word = nodes(asNode(value.TypeName).names).at(-1) ?? value;
  return stringOf(word).toLowerCase();
}

function functionName(body: SyntaxNode): string {
  return stringOf(nodes(asNode(body.funccall).funcname).at(-1) ?? {});
}

function stringOf(node: SyntaxNode): string {
  return String(asNode(node.String).sval ?? '');
}

function asNode(value: unknown): SyntaxNode {
  return isNode(value) ? value : {};
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null;
}

function nodes(value: unknown): SyntaxNode[] {
  return Array.isArray(value) ? value.map(asNode) : [];
}

// What PostgreSQL takes for white space: fewer characters than JavaScript's \s.
const blank = /[ \t\n\r\f\v]+/y;
const lineComment = /--[^\n]*/y;

/** The index of the first character that is neither white space nor comment. */
export function skipTrivia(
  text: string,
  from: number,
  onLineComment?: (comment: string, index: number) => void,
): number {
  let index = from;
  for (;;) {
    blank.lastIndex = index;
    lineComment.lastIndex = index;
    if (blank.test(text)) index = blank.lastIndex;
    else if (lineComment.test(text)) {
      onLineComment?.(text.slice(index, lineComment.lastIndex), index);
      index = lineComment.lastIndex;
    } else if (text.startsWith('/*', index)) index = skipBlockComment(text, index);
    else return index;
  }
}

function endOfText(text: string): number {
  let end = text.length;
  while (end > 0 && ' \t\n\r\f\v'.includes(text.charAt(end - 1))) end -= 1;
  return end;
}

/** Block comments nest, as in the SQL standard. */
function skipBlockComment(text: string, from: number): number {
  let depth = 0;
  let index = from;
  do {
    if (text.startsWith('/*', index)) {
      depth += 1;
      index += 2;
    } else if (text.startsWith('*/', index)) {
      depth -= 1;
      index += 2;
    } else index += 1;
  } while (depth > 0 && index < text.length);
  return index;
}
