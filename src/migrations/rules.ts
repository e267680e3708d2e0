import type { Fault } from '../runtime/findings.ts';
import type { ParsedStatement, StatementNode } from '../sql/parse.ts';
import { asNode, lastName, nodes, type SyntaxNode, stringOf, typed } from '../sql/tree.ts';
import { isIndexBuiltAlone, refusesTransaction, type TransactionMode } from './run-mode.ts';

/** The rules that a statement breaks in a file of that mode. */
export function brokenRules(
  { node, text }: ParsedStatement,
  transaction: TransactionMode,
): readonly Fault[] {
  if (node.type === 'TransactionStmt') {
    if (transaction === 'own' && isTransactionControl(node, savepointKinds)) return [];
    const command = text.split(/\W/, 1)[0]?.toUpperCase() ?? '';
    return [{ rule: 'transaction-control', command, transaction }];
  }
  const called = functionsCalledBy(node, text);
  const inMode =
    transaction === 'own' ? brokenInTransaction(node) : brokenWhenResumed(node, called);
  const unlock: readonly Fault[] = called.has('pg_advisory_unlock_all')
    ? [{ rule: 'unlock-all' }]
    : [];
  return [...brokenInAnyMode(node), ...unlock, ...inMode];
}

/** True for a statement such as BEGIN or COMMIT that is of one of the kinds, in PostgreSQL's names. */
export function isTransactionControl(
  { type, body }: StatementNode,
  kinds: readonly unknown[],
): boolean {
  return type === 'TransactionStmt' && kinds.includes(body.kind);
}

/** True for COPY FROM STDIN, whose rows follow the statement in a file of psql. */
export function readsRows({ type, body }: StatementNode): boolean {
  return type === 'CopyStmt' && body.is_from === true && body.filename === undefined;
}

/** True for the setting under which the server reads `\'` in a plain string as a quote inside the string. */
export function escapesQuotes({ type, body }: StatementNode): boolean {
  const [value] = nodes(body.args);
  return (
    type === 'VariableSetStmt' &&
    body.name === 'standard_conforming_strings' &&
    value !== undefined &&
    isFalse(value)
  );
}

/** PostgreSQL accepts the beginnings of its words for false. */
function isFalse(value: SyntaxNode): boolean {
  const { ival, sval } = asNode(value.A_Const);
  if (ival !== undefined) return Number(asNode(ival).ival ?? 0) === 0;
  return /^(f(a(l(se?)?)?)?|no?|off?|0)$/i.test(String(asNode(sval).sval ?? ''));
}

const savepointKinds = ['TRANS_STMT_SAVEPOINT', 'TRANS_STMT_RELEASE', 'TRANS_STMT_ROLLBACK_TO'];

function brokenInAnyMode({ type, body }: StatementNode): readonly Fault[] {
  switch (type) {
    case 'CopyStmt':
      if (body.filename !== undefined) return [];
      return [{ rule: readsRows({ type, body }) ? 'copy-from-stdin' : 'copy-to-stdout' }];
    case 'DiscardStmt':
      return body.target === 'DISCARD_ALL' ? [{ rule: 'discard-all' }] : [];
    case 'DeallocateStmt':
      return body.name === undefined ? [{ rule: 'deallocate-all' }] : [];
    case 'IndexStmt':
      return isIndexBuiltAlone(body) && body.idxname === undefined
        ? [{ rule: 'unnamed-index' }]
        : [];
    default:
      return [];
  }
}

function brokenInTransaction(node: StatementNode): readonly Fault[] {
  if (node.type === 'VariableSetStmt' && node.body.name === 'TRANSACTION') {
    return [{ rule: 'late-set-transaction' }];
  }
  const statement = refusesTransaction(node);
  return statement === undefined ? [] : [{ rule: 'needs-no-transaction', statement }];
}

/** A run that resumes a file has another session than the run before it. */
function brokenWhenResumed(node: StatementNode, called: ReadonlySet<string>): readonly Fault[] {
  const objects = [
    ...(called.has('set_config') ? (['setting'] as const) : []),
    ...(createsTemporary(node) ? (['temporary'] as const) : []),
    ...(changesSession(node, called) ? (['session'] as const) : []),
  ];
  return objects.map((object) => ({ rule: 'not-resumable', object }));
}

function changesSession({ type }: StatementNode, called: ReadonlySet<string>): boolean {
  const statements = ['PrepareStmt', 'DeclareCursorStmt', 'ListenStmt', 'LoadStmt'];
  return statements.includes(type) || [...called].some((name) => sessionFunctions.test(name));
}

/** What a statement calls for its session: the seed of random(), and advisory locks that outlive the transaction. */
const sessionFunctions = /^(?:setseed|pg_(?:try_)?advisory_lock(?:_shared)?)$/;

const sessionWords = /set_config|setseed|pg_(?:try_)?advisory/i;

/** Statements that run what they hold. A view, a rule or a function only keeps it. */
const executing = [
  ...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CopyStmt'],
  ...['CallStmt', 'CreateTableAsStmt', 'ExplainStmt', 'ExecuteStmt'],
];

/**
 * The functions of the session that the statement calls, anywhere in it. The words spare the search of nearly every
 * statement.
 */
function functionsCalledBy({ type, body }: StatementNode, text: string): ReadonlySet<string> {
  const names = new Set<string>();
  if (executing.includes(type) && sessionWords.test(text)) collectCalls(body, names);
  return names;
}

function collectCalls(value: unknown, names: Set<string>): void {
  if (Array.isArray(value)) for (const item of value) collectCalls(item, names);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, field] of Object.entries(value)) {
      // CALL keeps its call in a field of another name.
      if (key === 'FuncCall' || key === 'funccall') names.add(lastName(asNode(field).funcname));
      collectCalls(field, names);
    }
  }
}

/**
 * True for a statement that creates something that PostgreSQL drops at the end of its session, and for a search path
 * that lets the next statements create such objects.
 */
function createsTemporary({ type, body }: StatementNode): boolean {
  switch (type) {
    case 'VariableSetStmt': {
      const first = asNode(asNode(nodes(body.args)[0]).A_Const);
      return body.name === 'search_path' && isTemporarySchema(asNode(first.sval).sval);
    }
    case 'SelectStmt':
      // SELECT … INTO of a UNION stands in its first SELECT.
      return body.larg === undefined
        ? isTemporary(asNode(body.intoClause).rel)
        : createsTemporary({ type, body: asNode(body.larg) });
    case 'ExplainStmt':
      return createsTemporary(typed(body.query));
    case 'CreateForeignTableStmt':
      return isTemporary(asNode(body.base).relation);
    default: {
      const created = body.relation ?? asNode(body.into).rel ?? body.view ?? body.sequence;
      return isTemporary(created ?? body.typevar) || newNames(body).some(isNamedTemporary);
    }
  }
}

/** The names that CREATE gives to functions, types, operators and the like. */
function newNames(body: SyntaxNode): readonly unknown[] {
  return [
    body.funcname,
    body.defnames,
    body.typeName,
    body.domainname,
    body.opclassname,
    body.opfamilyname,
    body.conversion_name,
  ];
}

function isNamedTemporary(name: unknown): boolean {
  const [schema, ...rest] = nodes(name).map(stringOf);
  return rest.length > 0 && isTemporarySchema(schema);
}

function isTemporary(relation: unknown): boolean {
  const { relpersistence, schemaname } = asNode(relation);
  return relpersistence === 't' || isTemporarySchema(schemaname);
}

function isTemporarySchema(name: unknown): boolean {
  return typeof name === 'string' && /^pg_temp(_\d+)?$/.test(name);
}
