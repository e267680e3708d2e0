import type { Parse, StatementNode } from '../../sql/parse.ts';
import { asNode, fieldsBelow, nodes, type SyntaxNode, stringOf } from '../../sql/tree.ts';
import { partsOfName } from '../diagram/definitions.ts';

/** A migration's file and its statements, in their order. */
export interface MigrationFile {
  readonly name: string;
  readonly statements: readonly { readonly text: string }[];
}

interface Name {
  /** Undefined where none is written. */
  readonly schema: string | undefined;
  readonly name: string;
}

/** What a statement changes: relations, and indexes that it drops. */
interface Change {
  readonly relations: readonly Name[];
  readonly index?: Name;
  readonly createsIndex?: Name;
  readonly droppedIndexes?: readonly Name[];
  readonly renamedTo?: string;
  /** The texts of calls such as `add_retention_policy('prices', …)`, and code that names what it changes. */
  readonly words?: readonly string[];
  readonly code?: string;
}

/**
 * For a relation, the names of the files whose statements create, change or comment it, its indexes, triggers or policies,
 * or fill it; in the order of the files. A table that only references it, and a view that only reads it, do not count.
 * Names before a rename count.
 */
export function touchesOf(
  files: readonly MigrationFile[],
  parse: Parse,
): (relation: string) => readonly string[] {
  const changes = files.map(({ name, statements }) => ({
    name,
    changes: statements.flatMap(({ text }) =>
      (parse(text).statements ?? []).map(({ node }) => changeOf(node)),
    ),
  }));
  const indexes = new Map(
    changes.flatMap((file) =>
      file.changes.flatMap(({ createsIndex, relations: [on] }) =>
        createsIndex && on ? [[createsIndex.name, on] as const] : [],
      ),
    ),
  );
  return (relation) => {
    const [schema = 'public', name = ''] = partsOfName(relation);
    let current: Name = { schema, name };
    const found = new Set<string>();
    for (const file of [...changes].reverse()) {
      for (const change of [...file.changes].reverse()) {
        const [old] = change.relations;
        if (
          change.renamedTo === current.name &&
          old &&
          isSame({ ...old, name: current.name }, current)
        ) {
          current = { ...current, name: old.name };
        }
        if (isTouched(change, current, indexes)) found.add(file.name);
      }
    }
    return files.map((file) => file.name).filter((file) => found.has(file));
  };
}

function isTouched(
  { relations, droppedIndexes = [], words = [], code = '' }: Change,
  current: Name,
  indexes: ReadonlyMap<string, Name>,
): boolean {
  const dropped = droppedIndexes.flatMap((index) => indexes.get(index.name) ?? []);
  if ([...relations, ...dropped].some((each) => isSame(each, current))) return true;
  if (words.some((word) => isSame(nameOf(partsOfName(word)), current))) return true;
  const escaped = current.name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\w$])${escaped}(?![\\w$])`, 'i').test(code);
}

function isSame(one: Name, other: Name): boolean {
  return one.name === other.name && (one.schema ?? 'public') === other.schema;
}

function changeOf({ type, body }: StatementNode): Change {
  switch (type) {
    case 'IndexStmt': {
      const relations = relationOf(body.relation);
      const name = typeof body.idxname === 'string' ? body.idxname : undefined;
      return name === undefined
        ? { relations }
        : { relations, createsIndex: { schema: undefined, name } };
    }
    case 'DropStmt': {
      const names = nodes(body.objects).map((object) => partsIn(object));
      if (body.removeType === 'OBJECT_INDEX') {
        return { relations: [], droppedIndexes: names.map(nameOf) };
      }
      // The last part of a trigger's, a rule's or a policy's name is its own.
      const isPart = ['OBJECT_TRIGGER', 'OBJECT_RULE', 'OBJECT_POLICY'].includes(
        String(body.removeType),
      );
      return { relations: names.map((parts) => nameOf(isPart ? parts.slice(0, -1) : parts)) };
    }
    case 'CommentStmt': {
      const parts = partsIn(body.object);
      const isPart = [
        'OBJECT_COLUMN',
        'OBJECT_TABCONSTRAINT',
        'OBJECT_TRIGGER',
        'OBJECT_POLICY',
        'OBJECT_RULE',
      ];
      if (body.objtype === 'OBJECT_INDEX') {
        return { relations: [], droppedIndexes: [nameOf(parts)] };
      }
      return {
        relations: [nameOf(isPart.includes(String(body.objtype)) ? parts.slice(0, -1) : parts)],
      };
    }
    case 'RenameStmt': {
      const isRelation = ['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW', 'OBJECT_FOREIGN_TABLE'];
      const relations = relationOf(body.relation);
      if (body.renameType === 'OBJECT_INDEX') return { relations: [], droppedIndexes: relations };
      return isRelation.includes(String(body.renameType))
        ? { relations, renamedTo: String(body.newname) }
        : { relations };
    }
    case 'CreateStatsStmt':
      return { relations: nodes(body.relations).flatMap((each) => relationOf(each.RangeVar)) };
    case 'GrantStmt':
      return { relations: nodes(body.objects).flatMap((each) => relationOf(each.RangeVar)) };
    case 'SelectStmt':
    case 'CallStmt':
      return { relations: relationOf(asNode(body.intoClause).rel), words: textsIn(body) };
    case 'DoStmt':
      return { relations: [], code: textsIn(body).join('\n') };
    case 'AlterTableStmt':
      return body.objtype === 'OBJECT_INDEX'
        ? { relations: [], droppedIndexes: relationOf(body.relation) }
        : { relations: relationOf(body.relation) };
    default:
      return {
        relations: [body.relation, body.view, body.table, asNode(body.into).rel].flatMap(
          relationOf,
        ),
      };
  }
}

function relationOf(value: unknown): readonly Name[] {
  const { schemaname, relname } = asNode(value);
  if (typeof relname !== 'string') return [];
  return [{ schema: typeof schemaname === 'string' ? schemaname : undefined, name: relname }];
}

function nameOf(parts: readonly string[]): Name {
  return { schema: parts.at(-2), name: parts.at(-1) ?? '' };
}

/** The parts of an object's name, as DROP and COMMENT have it. */
function partsIn(object: unknown): readonly string[] {
  const { List, ObjectWithArgs, TypeName } = asNode(object);
  const items = asNode(List).items ??
    asNode(ObjectWithArgs).objname ??
    asNode(TypeName).names ?? [object];
  return nodes(items).map(stringOf);
}

/** All string constants in a statement. */
function textsIn(node: SyntaxNode): readonly string[] {
  return [...fieldsBelow(node)].flatMap(({ name, body }) => {
    const text = asNode(name === 'A_Const' ? body.sval : asNode(body.arg).String).sval;
    return (name === 'A_Const' || name === 'DefElem') && typeof text === 'string' ? [text] : [];
  });
}
