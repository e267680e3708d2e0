import type { ParsedStatement, StatementNode } from '../sql/parse.ts';
import { asNode, nodes, type SyntaxNode, typed } from '../sql/tree.ts';
import {
  type Effect,
  effectsOfStatement,
  followEffect,
  isSame,
  kindOf,
  type ObjectName,
  objectNamed,
  ofRelation,
  type StandingObject,
  searchPathOf,
  textsOf,
} from './effects.ts';

/**
 * A statement whose replay on a standby waits for the queries there that use the same relations, and cancels them when
 * it has waited for max_standby_streaming_delay (PostgreSQL documentation, 27.4.2).
 */
export interface ReplayConflict {
  /** `ALTER TABLE` */
  readonly statement: string;
  /** In the file, from 1. */
  readonly line: number;
  /** The relations that it names; empty for one such as DROP OWNED, which names none. */
  readonly relations: readonly string[];
}

/** A conflict, with its names as the parser has found them. */
export interface FileConflict extends Omit<ReplayConflict, 'relations'> {
  readonly on: readonly ObjectName[];
}

interface Lock {
  readonly statement: string;
  readonly on: readonly ObjectName[];
}

type NewObjects = readonly StandingObject<undefined>[];

/**
 * The statements of a file that take ACCESS EXCLUSIVE on a relation, or drop a database or a tablespace: the standby
 * takes the same lock (PostgreSQL documentation, 13.3 and 27.4.2). A relation that the file has created before is left
 * out: no query uses it. What functions and DO blocks do is not seen.
 */
export function conflictsOf(
  statements: readonly ParsedStatement[],
  lineOf: (index: number) => number,
): readonly FileConflict[] {
  const path = searchPathOf(statements);
  let created: NewObjects = [];
  return statements.flatMap(({ node, index }) => {
    const lock = lockOf(node, path);
    const conflicts = lock ? onOthers([{ ...lock, line: lineOf(index) }], created) : [];
    created = after(created, [...effectsOfStatement(node, path), ...createsTemporaryTable(node)]);
    return conflicts;
  });
}

/** The conflicts of each file of a plan, without those on relations that an earlier file creates. */
export function conflictsInPlan(
  files: readonly {
    readonly effects: readonly Effect[];
    readonly replayConflicts: readonly FileConflict[];
  }[],
): readonly (readonly ReplayConflict[])[] {
  let created: NewObjects = [];
  return files.map(({ effects, replayConflicts }) => {
    const conflicts = onOthers(replayConflicts, created);
    created = after(created, effects);
    return conflicts.map(({ on, ...conflict }) => ({ ...conflict, relations: on.map(nameOf) }));
  });
}

function nameOf({ schema, name }: ObjectName): string {
  return schema === undefined ? name : `${schema}.${name}`;
}

function after(created: NewObjects, effects: readonly Effect[]): NewObjects {
  return effects
    .filter((effect) => effect.effect !== 'creates' || !effect.mayExist)
    .reduce((objects, effect) => followEffect(objects, effect, undefined), created);
}

/** The conflicts on relations that are not new. */
function onOthers(
  conflicts: readonly FileConflict[],
  created: NewObjects,
): readonly FileConflict[] {
  return conflicts.flatMap((conflict) => {
    const on = conflict.on.filter((object) => !isNew(object, created));
    return on.length === 0 && conflict.on.length > 0 ? [] : [{ ...conflict, on }];
  });
}

/** An index is locked with its table. */
function isNew(object: ObjectName, created: NewObjects): boolean {
  return created.some(
    ({ object: known, table }) => isSame(known, object) && (!table || isNew(table, created)),
  );
}

/** The effects leave temporary tables out, and a file may alter and drop its own. */
function createsTemporaryTable({ body }: StatementNode): readonly Effect[] {
  const { relname, relpersistence } = asNode(body.relation ?? asNode(body.into).rel);
  if (relpersistence !== 't') return [];
  const object = { kind: 'table', schema: undefined, name: String(relname) } as const;
  return [{ effect: 'creates', object, mayExist: false }];
}

const everything: readonly ObjectName[] = [];

/** The ACCESS EXCLUSIVE locks of a statement on relations that may have been there before. */
function lockOf({ type, body }: StatementNode, path: string | undefined): Lock | undefined {
  const lock = (statement: string, on: readonly (ObjectName | undefined)[]): Lock | undefined => {
    const names = on.filter((name) => name !== undefined);
    return names.length === 0 && on.length > 0 ? undefined : { statement, on: names };
  };
  const relations = (list: unknown) =>
    nodes(list).map(({ RangeVar }) => ofRelation('table', RangeVar, path));
  const relation = ofRelation('table', body.relation, path);
  switch (type) {
    case 'AlterTableStmt':
      return alterTable(body, path);
    case 'AlterTableMoveAllStmt':
      return lock('ALTER TABLE ALL', everything);
    case 'RenameStmt': {
      const isWeak = ['OBJECT_INDEX', 'OBJECT_ATTRIBUTE'].includes(String(body.renameType));
      if (isWeak || body.relation === undefined) return undefined;
      const kind = body.renameType === 'OBJECT_SEQUENCE' ? 'sequence' : 'table';
      return lock('RENAME', [ofRelation(kind, body.relation, path)]);
    }
    case 'AlterObjectSchemaStmt': {
      const kind = kindOf(body.objectType) ?? 'table';
      return body.relation
        ? lock('SET SCHEMA', [ofRelation(kind, body.relation, path)])
        : undefined;
    }
    case 'DropStmt':
      return drop(body, path);
    case 'DropdbStmt':
      return lock('DROP DATABASE', everything);
    case 'DropTableSpaceStmt':
      return lock('DROP TABLESPACE', everything);
    case 'DropOwnedStmt':
      return lock('DROP OWNED', everything);
    case 'TruncateStmt':
      return lock('TRUNCATE', relations(body.relations));
    case 'LockStmt':
      return body.mode === accessExclusive
        ? lock('LOCK TABLE', relations(body.relations))
        : undefined;
    case 'ClusterStmt':
      return lock('CLUSTER', body.relation ? [relation] : everything);
    case 'VacuumStmt': {
      const tables = nodes(body.rels).map(({ VacuumRelation }) =>
        ofRelation('table', asNode(VacuumRelation).relation, path),
      );
      return hasOption(body.options, 'full') ? lock('VACUUM FULL', tables) : undefined;
    }
    case 'ReindexStmt': {
      if (hasOption(body.params, 'concurrently')) return undefined;
      const kind = body.kind === 'REINDEX_OBJECT_INDEX' ? 'index' : 'table';
      return lock('REINDEX', body.relation ? [ofRelation(kind, body.relation, path)] : everything);
    }
    case 'RefreshMatViewStmt':
      return body.concurrent === true ? undefined : lock('REFRESH MATERIALIZED VIEW', [relation]);
    case 'RuleStmt':
      return lock('CREATE RULE', [relation]);
    case 'CreatePolicyStmt':
      return lock('CREATE POLICY', [ofRelation('table', body.table, path)]);
    case 'AlterPolicyStmt':
      return lock('ALTER POLICY', [ofRelation('table', body.table, path)]);
    case 'CreateStmt':
      return body.partbound
        ? lock('CREATE TABLE … PARTITION OF', relations(body.inhRelations))
        : undefined;
    case 'ViewStmt':
      return body.replace === true
        ? lock('CREATE OR REPLACE VIEW', [ofRelation('table', body.view, path)])
        : undefined;
    default:
      return undefined;
  }
}

/** AccessExclusiveLock in the server's source. */
const accessExclusive = 8;

/** VACUUM (FULL) and VACUUM (FULL true); not VACUUM (FULL false). */
function hasOption(options: unknown, name: string): boolean {
  return nodes(options).some((option) => {
    const { defname, arg } = asNode(option.DefElem);
    const value = typed(arg).body;
    const text = String(value.sval ?? value.ival ?? value.boolval ?? 'true');
    return defname === name && !/^(false|off|0)$/i.test(text);
  });
}

/** The changes that take a weaker lock: AlterTableGetLockLevel() in the server's source. */
const weakChanges: ReadonlySet<string> = new Set([
  ...['AT_SetStatistics', 'AT_SetOptions', 'AT_ResetOptions'],
  ...['AT_ClusterOn', 'AT_DropCluster', 'AT_ValidateConstraint'],
  ...['AT_EnableTrig', 'AT_EnableAlwaysTrig', 'AT_EnableReplicaTrig', 'AT_EnableTrigAll'],
  ...['AT_EnableTrigUser', 'AT_DisableTrig', 'AT_DisableTrigAll', 'AT_DisableTrigUser'],
]);

function alterTable(body: SyntaxNode, path: string | undefined): Lock | undefined {
  const { objtype } = body;
  const kind = kindOf(objtype);
  if (kind === undefined || kind === 'type') return undefined;
  const own = ofRelation(kind, body.relation, path);
  const on = nodes(body.cmds).flatMap((command): readonly (ObjectName | undefined)[] => {
    const { subtype, def } = asNode(command.AlterTableCmd);
    const { type, body: definition } = typed(def);
    switch (subtype) {
      case 'AT_AddConstraint':
        return definition.contype === 'CONSTR_FOREIGN' ? [] : [own];
      case 'AT_SetRelOptions':
      case 'AT_ResetRelOptions':
        return isStrongOption(nodes(definition.items), objtype) ? [own] : [];
      case 'AT_AttachPartition':
      case 'AT_DetachPartitionFinalize':
        return [ofRelation(kind, definition.name, path)];
      case 'AT_DetachPartition': {
        const part = ofRelation(kind, definition.name, path);
        return type === 'PartitionCmd' && definition.concurrent === true ? [part] : [own, part];
      }
      default:
        return weakChanges.has(String(subtype)) ? [] : [own];
    }
  });
  const names = on.filter((name) => name !== undefined);
  const unique = names.filter((name, at) => names.findIndex((each) => isSame(each, name)) === at);
  if (unique.length === 0) return undefined;
  return { statement: labels[String(objtype)] ?? 'ALTER TABLE', on: unique };
}

const labels: Readonly<Record<string, string>> = {
  OBJECT_INDEX: 'ALTER INDEX',
  OBJECT_SEQUENCE: 'ALTER SEQUENCE',
  OBJECT_VIEW: 'ALTER VIEW',
  OBJECT_MATVIEW: 'ALTER MATERIALIZED VIEW',
  OBJECT_FOREIGN_TABLE: 'ALTER FOREIGN TABLE',
};

/** Most storage parameters take a weaker lock: the tables of src/backend/access/common/reloptions.c. */
function isStrongOption(options: readonly SyntaxNode[], objtype: unknown): boolean {
  if (objtype === 'OBJECT_VIEW') return true;
  const weak = objtype === 'OBJECT_INDEX' ? ['fillfactor', 'deduplicate_items'] : undefined;
  return options.some((option) => {
    const { defname, defnamespace = 'toast' } = asNode(option.DefElem);
    if (defnamespace !== 'toast' || defname === 'user_catalog_table') return true;
    return weak ? !weak.includes(String(defname)) : false;
  });
}

const relationKinds: Readonly<Record<string, string>> = {
  OBJECT_TABLE: 'DROP TABLE',
  OBJECT_VIEW: 'DROP VIEW',
  OBJECT_MATVIEW: 'DROP MATERIALIZED VIEW',
  OBJECT_FOREIGN_TABLE: 'DROP FOREIGN TABLE',
  OBJECT_SEQUENCE: 'DROP SEQUENCE',
  OBJECT_INDEX: 'DROP INDEX',
};

/** Objects that belong to a table, whose lock they take. */
const partKinds: Readonly<Record<string, string>> = {
  OBJECT_TRIGGER: 'DROP TRIGGER',
  OBJECT_POLICY: 'DROP POLICY',
  OBJECT_RULE: 'DROP RULE',
};

function drop(body: SyntaxNode, path: string | undefined): Lock | undefined {
  const removed = String(body.removeType);
  const names = nodes(body.objects).map((object) => textsOf(asNode(object.List).items));
  const kind = kindOf(removed);
  const [whole, part] = [relationKinds[removed], partKinds[removed]];
  if (whole && kind) {
    const on = names
      .map((name) => objectNamed(kind, name, path))
      .filter((name) => name !== undefined);
    return body.concurrent === true || on.length === 0 ? undefined : { statement: whole, on };
  }
  if (part) {
    const on = names.map((name) => objectNamed('table', name.slice(0, -1), path));
    return { statement: part, on: on.filter((name) => name !== undefined) };
  }
  if (removed === 'OBJECT_EXTENSION') return { statement: 'DROP EXTENSION', on: everything };
  if (body.behavior !== 'DROP_CASCADE') return undefined;
  if (removed !== 'OBJECT_SCHEMA') return { statement: 'DROP … CASCADE', on: everything };
  const schemas = nodes(body.objects).map((object) =>
    objectNamed('schema', textsOf([object]), undefined),
  );
  return { statement: 'DROP SCHEMA … CASCADE', on: schemas.filter((name) => name !== undefined) };
}
