import { hasOption, isOff, timescaleNamespaces } from '../sql/options.ts';
import type { StatementNode } from '../sql/parse.ts';
import { asNode, lastName, nodes, type SyntaxNode, stringOf } from '../sql/tree.ts';

/**
 * `own`: the whole file runs in one transaction of its own. `none`: the file says
 * `-- Transaction: none`, and its statements are journalled one by one.
 */
export type TransactionMode = 'own' | 'none';

/**
 * How a statement of a file without a transaction runs.
 * - `in-transaction`: in one transaction with its journal entry, exactly once. A statement that the server refuses
 *   there runs alone instead.
 * - `session`: SET and RESET; in every run, since a run that resumes the file has a new session.
 * - `alone`: between two journal entries. PostgreSQL or TimescaleDB refuse it in a transaction, or it may end a
 *   transaction itself (CALL, DO).
 */
export interface RunMode {
  readonly kind: 'in-transaction' | 'session' | 'alone';
  /** What an interruption may leave of it when it runs alone. Absent: a part of its work, and no run can tell which. */
  readonly remains?: Remains;
  /** What a RESET takes away of the settings of the run. */
  readonly resets?: ResetSetting;
  /** ALTER EXTENSION timescaledb UPDATE, which needs a session of its own. */
  readonly updatesTimescale?: true;
}

/** The settings that every run sets. A file that resets one would get the value of the role or the database. */
const runSettingNames = [
  'search_path',
  'client_encoding',
  'lock_timeout',
  'standard_conforming_strings',
  'idle_session_timeout',
  'client_connection_check_interval',
] as const;

export type RunSetting = (typeof runSettingNames)[number];
export type ResetSetting = RunSetting | 'all';

/** A name without its schema, or with it. */
export type Name = readonly string[];

/**
 * What an interrupted statement may leave, and so how the next run goes on.
 * - `repeatable`: a second run of the statement does no harm.
 * - `index`: an invalid index, or the index.
 * - `reindex`: invalid copies of the indexes that were being rebuilt.
 * - `aggregate`: the continuous aggregate, without all of its rows.
 * - `partition`: a partition whose detaching has begun.
 * - `object`: the object, or nothing.
 */
export type Remains =
  | { readonly kind: 'repeatable' }
  | {
      readonly kind: 'index';
      readonly index: string;
      readonly table: Name;
      readonly isConcurrent: boolean;
      /** IF NOT EXISTS. */
      readonly mayExist: boolean;
    }
  | {
      readonly kind: 'reindex';
      readonly scope: ReindexScope;
      /** The database's own name is empty. */
      readonly name: Name;
      readonly isConcurrent: boolean;
    }
  | { readonly kind: 'aggregate'; readonly view: Name }
  | { readonly kind: 'partition'; readonly table: Name; readonly partition: Name }
  | {
      readonly kind: 'object';
      readonly catalog: 'index' | 'database' | 'tablespace' | 'subscription';
      readonly name: Name;
      readonly change: 'create' | 'drop';
    };

export type ReindexScope = 'index' | 'table' | 'schema' | 'database';

/**
 * The name of a statement that PostgreSQL or TimescaleDB refuse in a transaction block; undefined
 * for any other. These are the callers of PreventInTransactionBlock() in the server's source, as
 * far as the statement's text decides.
 */
export function refusesTransaction({ type, body }: StatementNode): string | undefined {
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
      return lastName(asNode(body.funccall).funcname) === 'refresh_continuous_aggregate'
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

/**
 * True for a statement that leaves the transaction without a snapshot: those of PlannedStmtRequiresSnapshot() in the
 * server's source that a file can begin with.
 */
export function takesNoSnapshot({ type, body }: StatementNode): boolean {
  // After a reset the run sets its own values again, which takes a snapshot.
  if (type === 'VariableSetStmt') return resetBy(body) === undefined;
  return type === 'LockStmt' || type === 'ConstraintsSetStmt';
}

/** How the statement runs in a file without a transaction. */
export function runModeOf(node: StatementNode): RunMode {
  if (node.type === 'VariableSetStmt') {
    const resets = resetBy(node.body);
    return { kind: 'session', ...(resets !== undefined && { resets }) };
  }
  const isAlone = mayEndTransaction(node) || refusesTransaction(node) !== undefined;
  const remains = remainsOf(node);
  return {
    kind: isAlone ? 'alone' : 'in-transaction',
    ...(remains && { remains }),
    ...(updatesTimescale(node) && { updatesTimescale: true }),
  };
}

/** The setting of the run in RESET x or SET x TO DEFAULT. */
function resetBy({ kind, name }: SyntaxNode): ResetSetting | undefined {
  if (kind === 'VAR_RESET_ALL') return 'all';
  if (kind !== 'VAR_RESET' && kind !== 'VAR_SET_DEFAULT') return undefined;
  return runSettingNames.find((setting) => setting === String(name).toLowerCase());
}

/** True for CALL, and for a DO block with a word that may end a transaction; `execute` may hide a CALL. */
function mayEndTransaction({ type, body }: StatementNode): boolean {
  if (type === 'CallStmt') return true;
  return type === 'DoStmt' && textsOfBlock(body).some((text) => endingWord.test(text));
}

const endingWord = /commit|rollback|call|execute/i;

function remainsOf({ type, body }: StatementNode): Remains | undefined {
  switch (type) {
    case 'IndexStmt':
      if (!isIndexBuiltAlone(body)) return undefined;
      return {
        kind: 'index',
        index: String(body.idxname),
        table: nameOf(body.relation),
        isConcurrent: body.concurrent === true,
        mayExist: body.if_not_exists === true,
      };
    case 'DropStmt': {
      if (body.concurrent !== true) return undefined;
      const name = asNode(asNode(nodes(body.objects)[0]).List);
      return { ...dropped, catalog: 'index', name: nodes(name.items).map(stringOf) };
    }
    case 'ReindexStmt':
      return {
        kind: 'reindex',
        ...reindexed(body),
        isConcurrent: hasOption(body.params, 'concurrently'),
      };
    case 'AlterTableStmt': {
      const detach = nodes(body.cmds).find(isConcurrentDetach);
      const partition = detach && nameOf(partitionOf(detach).name);
      return partition && { kind: 'partition', table: nameOf(body.relation), partition };
    }
    case 'CreateTableAsStmt':
      return isContinuousWithData(body)
        ? { kind: 'aggregate', view: nameOf(asNode(body.into).rel) }
        : undefined;
    case 'CreatedbStmt':
      return { ...created, catalog: 'database', name: [String(body.dbname)] };
    case 'DropdbStmt':
      return { ...dropped, catalog: 'database', name: [String(body.dbname)] };
    case 'CreateTableSpaceStmt':
      return { ...created, catalog: 'tablespace', name: [String(body.tablespacename)] };
    case 'DropTableSpaceStmt':
      return { ...dropped, catalog: 'tablespace', name: [String(body.tablespacename)] };
    case 'CreateSubscriptionStmt':
      return { ...created, catalog: 'subscription', name: [String(body.subname)] };
    case 'DropSubscriptionStmt':
      return { ...dropped, catalog: 'subscription', name: [String(body.subname)] };
    case 'CallStmt':
      return isRepeatable(body.funccall) ? { kind: 'repeatable' } : undefined;
    case 'SelectStmt': {
      const calls = nodes(body.targetList).map(
        (target) => asNode(asNode(target.ResTarget).val).FuncCall,
      );
      return calls.length > 0 && calls.every(isRepeatable) ? { kind: 'repeatable' } : undefined;
    }
    case 'VacuumStmt':
    case 'ClusterStmt':
    case 'AlterSystemStmt':
    case 'AlterDatabaseStmt':
    case 'AlterSubscriptionStmt':
    case 'AlterExtensionStmt':
      return { kind: 'repeatable' };
    default:
      return undefined;
  }
}

const created = { kind: 'object', change: 'create' } as const;
const dropped = { kind: 'object', change: 'drop' } as const;

/** Procedures and functions of TimescaleDB that refuse a transaction, and that may run a second time. */
const repeatableNames: readonly string[] = [
  'refresh_continuous_aggregate',
  'reorder_chunk',
  'move_chunk',
];

function isRepeatable(call: unknown): boolean {
  return repeatableNames.includes(lastName(asNode(call).funcname));
}

function reindexed({ kind, relation, name }: SyntaxNode): { scope: ReindexScope; name: Name } {
  if (kind === 'REINDEX_OBJECT_INDEX') return { scope: 'index', name: nameOf(relation) };
  if (kind === 'REINDEX_OBJECT_TABLE') return { scope: 'table', name: nameOf(relation) };
  if (kind === 'REINDEX_OBJECT_SCHEMA') return { scope: 'schema', name: [String(name)] };
  return { scope: 'database', name: [] };
}

/** A relation's name in the parts that the statement gives. */
export function nameOf(relation: unknown): Name {
  const { schemaname, relname } = asNode(relation);
  return [schemaname, relname].filter((part) => typeof part === 'string');
}

/** True for a CREATE INDEX that cannot run in a transaction, and that an interruption leaves half built. */
export function isIndexBuiltAlone(body: SyntaxNode): boolean {
  return body.concurrent === true || isPerChunk(body);
}

function isPerChunk(body: SyntaxNode): boolean {
  return hasOption(body.options, 'transaction_per_chunk', timescaleNamespaces);
}

/** A change of publications refreshes the subscription unless the option `refresh` is false. */
function refreshesSubscription({ kind, options }: SyntaxNode): boolean {
  if (kind === 'ALTER_SUBSCRIPTION_REFRESH') return true;
  return /_PUBLICATION$/.test(String(kind)) && !isOff(options, 'refresh');
}

function isConcurrentDetach(command: SyntaxNode): boolean {
  return partitionOf(command).concurrent === true;
}

function partitionOf(command: SyntaxNode): SyntaxNode {
  return asNode(asNode(asNode(command.AlterTableCmd).def).PartitionCmd);
}

function isContinuousWithData(body: SyntaxNode): boolean {
  const into = asNode(body.into);
  return hasOption(into.options, 'continuous', timescaleNamespaces) && into.skipData !== true;
}

/** True for ALTER EXTENSION timescaledb UPDATE. */
export function updatesTimescale({ type, body }: StatementNode): boolean {
  return type === 'AlterExtensionStmt' && body.extname === 'timescaledb';
}

/** True for CREATE EXTENSION timescaledb, and for a DO block that contains it. */
export function createsTimescale({ type, body }: StatementNode): boolean {
  if (type === 'CreateExtensionStmt') return body.extname === 'timescaledb';
  return type === 'DoStmt' && textsOfBlock(body).some((text) => createExtension.test(text));
}

const createExtension = /create\s+extension\s+(if\s+not\s+exists\s+)?"?timescaledb/i;

/** The code of a DO block, and the name of its language where the block gives one. */
function textsOfBlock(body: SyntaxNode): readonly string[] {
  return nodes(body.args).map((argument) => stringOf(asNode(asNode(argument.DefElem).arg)));
}
