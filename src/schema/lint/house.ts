import type { ParsedStatement } from '../../sql/parse.ts';
import { asNode, nodes, stringOf } from '../../sql/tree.ts';
import type { Draft, LocatedFact as Fact, FileContext, StatementContext } from './finding.ts';
import {
  foreignKeyNameFacts,
  indexFacts,
  renameFacts,
  snakeCaseFacts,
  tableNameFacts,
  toSnakeCase,
} from './house-names.ts';
import { foreignKeyTypeFacts, primaryKeyFacts, softDeleteFacts, typeFacts } from './house-types.ts';
import type { Model } from './model.ts';
import {
  bareName,
  type ColumnDefinition,
  type ColumnType,
  type Constraint,
  columnOf,
  commandsOf,
  constraintOf,
  elementsOf,
  indexIn,
  isTemporary,
  keyAfter,
  keyOf,
  keyOfNames,
  nameOfKey,
  newKeyOf,
  sqlNameOfKey,
} from './syntax.ts';

/**
 * Section 3 of the specification: names, types, soft deletes. Of migrations only: a rollback brings back what was there.
 * `end`: the schema after the file.
 */
export function houseDrafts(context: StatementContext, end: Model): readonly Draft[] {
  const { statement, file } = context;
  if (file.direction === 'down') return [];
  return factsOf(context, end).map(({ location, ...fact }) => ({
    ...fact,
    index: indexIn(statement, location),
  }));
}

function factsOf(context: StatementContext, end: Model): readonly Fact[] {
  const { type, body } = context.statement.node;
  switch (type) {
    case 'CreateStmt': {
      if (isTemporary(body.relation) || isPartition(context, end)) return [];
      const table = keyOf(body.relation);
      const { columns, constraints } = elementsOf(context.statement.node);
      const about = { table, context };
      return [
        ...(keepsName(table, context)
          ? tableNameFacts(bareName(table), locationOf(body.relation))
          : []),
        ...columns.flatMap((column) => columnFacts(column, about)),
        ...constraints.flatMap((each) => constraintFacts(each, about)),
      ];
    }
    case 'CreateTableAsStmt': {
      const { rel, colNames } = asNode(body.into);
      const isTable = body.objtype === 'OBJECT_TABLE' && !isTemporary(rel);
      const isNamed = isTable && keepsName(keyOf(rel), context);
      const columns = nodes(colNames).map(stringOf);
      return [
        // The query names what the table is for, such as the rows before a change.
        ...(isNamed ? snakeCaseFacts('table-name', bareName(keyOf(rel)), locationOf(rel)) : []),
        ...columns.flatMap((name) => snakeCaseFacts('column-name', name, locationOf(rel))),
      ];
    }
    case 'ViewStmt':
      return keepsName(keyOf(body.view), context)
        ? snakeCaseFacts('table-name', bareName(keyOf(body.view)), locationOf(body.view))
        : [];
    case 'AlterTableStmt': {
      const table = keyOf(body.relation);
      const about = { table, context };
      return commandsOf(context.statement.node).flatMap(({ kind, name, definition }) => {
        if (kind === 'AddColumn') return columnFacts(columnOf(definition.body), about);
        if (kind === 'AddConstraint') return constraintFacts(constraintOf(definition.body), about);
        if (kind !== 'AlterColumnType') return [];
        const { type: newType, location } = columnOf(definition.body);
        return typeFacts({ name, type: newType, location });
      });
    }
    case 'IndexStmt': {
      const { idxname } = body;
      const table = keyOf(body.relation);
      if (context.before.tables.get(table)?.isTemporary) return [];
      const key = keyOfNames([table.slice(0, table.indexOf('.')), String(idxname)]);
      return indexFacts({
        name: idxname === undefined ? undefined : lastName(key, context),
        table: lastName(table, context),
        isUnique: body.unique === true,
      });
    }
    case 'RenameStmt': {
      const newKey = newKeyOf(body);
      const isPart = end.tables.get(keyAfter(newKey, following(context)))?.parent !== undefined;
      return isPart || !keepsName(newKey, context) ? [] : renameFacts(body);
    }
    default:
      return [];
  }
}

function following({ file, statement }: FilePlace): readonly ParsedStatement[] {
  return file.statements.filter(({ index }) => index > statement.index);
}

/** The name at the end of the file: new tables take the place of others by RENAME. */
function lastName(key: string, place: FilePlace): string {
  return bareName(keyAfter(key, following(place)));
}

/** False for a table that is renamed later in the file: the new name counts. */
function keepsName(key: string, place: FilePlace): boolean {
  return lastName(key, place) === bareName(key);
}

/** A partition has the columns of its parent, and is neither named nor described for itself. */
function isPartition(place: FilePlace, end: Model): boolean {
  const { body } = place.statement.node;
  const { parent } = end.tables.get(keyAfter(keyOf(body.relation), following(place))) ?? {};
  return body.partbound !== undefined || parent !== undefined;
}

type FilePlace = Pick<StatementContext, 'file' | 'statement'>;

interface About {
  readonly table: string;
  readonly context: StatementContext;
}

function locationOf(relation: unknown): number {
  return Number(asNode(relation).location ?? 0);
}

function columnFacts(column: ColumnDefinition, about: About): readonly Fact[] {
  const { name, location, constraints } = column;
  return [
    ...snakeCaseFacts('column-name', name, location),
    ...typeFacts(column),
    // A table of what was deleted has deleted_at in each row.
    ...(about.table.includes('deleted') ? [] : softDeleteFacts(column)),
    ...constraints.flatMap((each) => [
      ...foreignKeyFacts({ ...each, columns: [name] }, about, column.type),
      ...(each.kind === 'PRIMARY' ? primaryKeyFacts(column) : []),
    ]),
  ];
}

function constraintFacts(constraint: Constraint, about: About): readonly Fact[] {
  const { kind, columns } = constraint;
  const [only, ...others] = columns;
  const types = about.context.after.tables.get(about.table)?.columns;
  const type = only === undefined || others.length > 0 ? undefined : types?.get(only);
  if (kind === 'PRIMARY' && only !== undefined && type) {
    return primaryKeyFacts({ name: only, type, location: constraint.location });
  }
  return foreignKeyFacts(constraint, about, type);
}

function foreignKeyFacts(
  { kind, name, columns, location, body }: Constraint,
  { table, context }: About,
  type: ColumnType | undefined,
): readonly Fact[] {
  if (kind !== 'FOREIGN') return [];
  const other = keyOf(body.pktable);
  const expected = `fk_${toSnakeCase(lastName(table, context))}_${toSnakeCase(lastName(other, context))}`;
  return [
    ...foreignKeyNameFacts({ name, expected, location }),
    ...(type && columns.length === 1
      ? foreignKeyTypeFacts({ column: columns[0] ?? '', type, other, body, location }, context)
      : []),
  ];
}

/** Each table that a migration creates has a comment. */
export function commentDrafts({ file, after }: FileContext): readonly Draft[] {
  if (file.direction === 'down') return [];
  const described = new Set(
    file.statements
      .filter(({ node }) => node.type === 'CommentStmt' && node.body.objtype === 'OBJECT_TABLE')
      .map((statement) => {
        const { items } = asNode(asNode(statement.node.body.object).List);
        const key = keyOfNames(nodes(items).map(stringOf));
        return keyAfter(key, following({ file, statement }));
      }),
  );
  return file.statements.flatMap((statement): Draft[] => {
    const { type, body } = statement.node;
    const { index } = statement;
    const relation = type === 'CreateStmt' ? body.relation : asNode(body.into).rel;
    const isTable =
      type === 'CreateStmt' || (type === 'CreateTableAsStmt' && body.objtype === 'OBJECT_TABLE');
    if (!isTable || isTemporary(relation) || isPartition({ statement, file }, after)) return [];
    const key = keyAfter(keyOf(relation), following({ file, statement }));
    // It was dropped in the same file.
    if (described.has(key) || !after.tables.has(key)) return [];
    return [
      {
        rule: 'table-comment',
        index,
        message: `no comment says what a row of ${nameOfKey(key)} stands for`,
        hint: `add: COMMENT ON TABLE ${sqlNameOfKey(key)} IS '…'`,
      },
    ];
  });
}
