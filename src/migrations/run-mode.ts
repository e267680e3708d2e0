import type { StatementNode } from '../sql/parse.ts';
import { asNode, lastName, nodes, type SyntaxNode, stringOf } from '../sql/tree.ts';

/**
 * `own`: the whole file runs in one transaction of its own. `none`: the file says
 * `-- Transaction: none`, and its statements are journalled one by one.
 */
export type TransactionMode = 'own' | 'none';

/**
 * How a statement of a file without a transaction runs.
 * - `in-transaction`: in one transaction with its journal entry, exactly once.
 * - `session`: SET and RESET; in every run, since a run that resumes the file has a new session.
 * - `alone`: PostgreSQL or TimescaleDB refuse it in a transaction, or it may end a transaction
 *   itself (CALL, DO). It runs again after an interruption between its end and its journal entry.
 * - `build-index`, `drop-index`: alone too; the run first looks up what an interruption left behind.
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

/** How the statement runs in a file without a transaction. */
export function runModeOf(node: StatementNode): RunMode {
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
  const detach = asNode(command.AlterTableCmd);
  return asNode(asNode(detach.def).PartitionCmd).concurrent === true;
}

function isContinuousWithData(body: SyntaxNode): boolean {
  const into = asNode(body.into);
  return hasOption(into.options, 'continuous', timescaleNamespaces) && into.skipData !== true;
}

/** True for CREATE EXTENSION timescaledb, and for a DO block that contains it. */
export function createsTimescale({ type, body }: StatementNode): boolean {
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

/** True for a WITH list or option list that has the option and does not set it to false. */
function hasOption(
  list: unknown,
  name: string,
  namespaces: readonly unknown[] = [undefined],
): boolean {
  const value = optionValue(list, name, namespaces);
  return value !== undefined && !offValues.includes(value);
}

/** True for a list that sets the option to false. */
function isOff(list: unknown, name: string): boolean {
  const value = optionValue(list, name, [undefined]);
  return value !== undefined && offValues.includes(value);
}

const offValues: readonly string[] = ['false', 'off', 'no', '0'];

/** The value in lower case, empty for an option without a value; undefined without the option. */
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
  // The grammar reads an unreserved word, such as off, as the name of a type.
  const word = nodes(asNode(value.TypeName).names).at(-1) ?? value;
  return stringOf(word).toLowerCase();
}
