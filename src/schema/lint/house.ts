import type { ParsedStatement } from '../../sql/parse.ts';
import { asNode, nodes, stringOf } from '../../sql/tree.ts';
import type {
  Draft,
  LocatedFact as Fact,
  FileContext,
  LintFile,
  StatementContext,
} from './finding.ts';
import {
  foreignKeyNameFacts,
  indexFacts,
  renameFacts,
  snakeCaseFacts,
  tableNameFacts,
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
      if (isTemporary(body.relation) || isPartition(context.statement, context.file, end))
        return [];
      const table = keyOf(body.relation);
      const { columns, constraints } = elementsOf(context.statement.node);
      const about = { table, context };
      return [
        ...tableNameFacts(bareName(table), locationOf(body.relation)),
        ...columns.flatMap((column) => columnFacts(column, about)),
        ...constraints.flatMap((each) => constraintFacts(each, about)),
      ];
    }
    case 'CreateTableAsStmt': {
      const { rel, colNames } = asNode(body.into);
      const isTable = body.objtype === 'OBJECT_TABLE' && !isTemporary(rel);
      const columns = nodes(colNames).map(stringOf);
      return [
        // The query names what the table is for, such as the rows before a change.
        ...(isTable ? snakeCaseFacts('table-name', bareName(keyOf(rel)), locationOf(rel)) : []),
        ...columns.flatMap((name) => snakeCaseFacts('column-name', name, locationOf(rel))),
      ];
    }
    case 'ViewStmt':
      return snakeCaseFacts('table-name', bareName(keyOf(body.view)), locationOf(body.view));
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
    case 'IndexStmt':
      return context.before.tables.get(keyOf(body.relation))?.isTemporary ? [] : indexFacts(body);
    case 'RenameStmt':
      return renameFacts(body);
    default:
      return [];
  }
}

/** A partition has the columns of its parent, and is neither named nor described for itself. */
function isPartition(
  { node: { body }, index }: ParsedStatement,
  { statements }: LintFile,
  end: Model,
): boolean {
  const following = statements.filter((each) => each.index > index);
  const { parent } = end.tables.get(keyAfter(keyOf(body.relation), following)) ?? {};
  return body.partbound !== undefined || parent !== undefined;
}

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
  const expected = `fk_${bareName(table)}_${bareName(other)}`;
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
      .map(({ node }) => {
        const { items } = asNode(asNode(node.body.object).List);
        return keyOfNames(nodes(items).map(stringOf));
      }),
  );
  return file.statements.flatMap((statement): Draft[] => {
    const { type, body } = statement.node;
    const { index } = statement;
    const relation = type === 'CreateStmt' ? body.relation : asNode(body.into).rel;
    const isTable =
      type === 'CreateStmt' || (type === 'CreateTableAsStmt' && body.objtype === 'OBJECT_TABLE');
    if (!isTable || isTemporary(relation) || isPartition(statement, file, after)) return [];
    const key = keyOf(relation);
    // It was dropped or renamed in the same file.
    if (described.has(key) || !after.tables.has(key)) return [];
    return [
      {
        rule: 'table-comment',
        index,
        message: `no comment says what a row of ${nameOfKey(key)} stands for`,
        hint: `add: COMMENT ON TABLE ${nameOfKey(key)} IS '…'`,
      },
    ];
  });
}
