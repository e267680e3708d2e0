import { asNode, nodes, type SyntaxNode, stringOf } from '../../sql/tree.ts';
import type { Draft, FileContext, StatementContext } from './finding.ts';
import type { RuleName } from './rules.ts';
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
  keyOf,
  keyOfNames,
  nameOfKey,
} from './syntax.ts';

interface Fact {
  readonly rule: RuleName;
  readonly location: number;
  readonly message: string;
  readonly hint: string;
}

/**
 * Section 3 of the specification: names, types, soft deletes. Of migrations only: a rollback brings back what was there.
 */
export function houseDrafts(context: StatementContext): readonly Draft[] {
  const { statement, file } = context;
  if (file.direction === 'down') return [];
  return factsOf(context).map(({ location, ...fact }) => ({
    ...fact,
    index: indexIn(statement, location),
  }));
}

function factsOf(context: StatementContext): readonly Fact[] {
  const { type, body } = context.statement.node;
  switch (type) {
    case 'CreateStmt': {
      if (isTemporary(body.relation) || body.partbound !== undefined) return [];
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
      return indexFacts(body);
    case 'RenameStmt':
      return renameFacts(body);
    default:
      return [];
  }
}

interface About {
  readonly table: string;
  readonly context: StatementContext;
}

function locationOf(relation: unknown): number {
  return Number(asNode(relation).location ?? 0);
}

function isTemporary(relation: unknown): boolean {
  return asNode(relation).relpersistence === 't';
}

const snakeCase = /^[a-z_][a-z0-9_]*$/;

function snakeCaseFacts(
  rule: 'table-name' | 'column-name' | 'index-name',
  name: string,
  location: number,
): readonly Fact[] {
  if (snakeCase.test(name)) return [];
  const what = { 'table-name': 'table', 'column-name': 'column', 'index-name': 'index' }[rule];
  return [
    {
      rule,
      location,
      message: `the ${what} "${name}" is not named in snake_case`,
      hint: `name it ${toSnakeCase(name)}`,
    },
  ];
}

function toSnakeCase(name: string): string {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .toLowerCase();
}

function tableNameFacts(name: string, location: number): readonly Fact[] {
  const spelling = snakeCaseFacts('table-name', name, location);
  if (spelling.length > 0 || isPlural(name)) return spelling;
  return [
    {
      rule: 'plural-table-name',
      location,
      message: `the table ${name} is not named with a plural noun`,
      hint: `name it for its rows, such as ${name.replace(/y$/, 'ie')}s`,
    },
  ];
}

/** Words that have no plural, or one without an s, and those for what a table is rather than what its rows are. */
const plurals =
  /(s|data|metadata|media|history|info|information|people|children|men|women|criteria|indices|staff|inventory|equipment|feedback|audit|log|cache|queue|archive|backup|old|new|before|after|tmp|temp)$/;

function isPlural(name: string): boolean {
  return plurals.test(name) || /\d$/.test(name);
}

function columnFacts(column: ColumnDefinition, about: About): readonly Fact[] {
  const { name, location, constraints } = column;
  return [
    ...snakeCaseFacts('column-name', name, location),
    ...typeFacts(column),
    ...softDeleteFacts(column),
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

type Typed = Pick<ColumnDefinition, 'name' | 'type' | 'location'>;

const narrowIntegers = ['int2', 'int4', 'serial', 'serial4', 'smallserial', 'serial2'];

function primaryKeyFacts({ name, type, location }: Typed): readonly Fact[] {
  if (!narrowIntegers.includes(type.name)) return [];
  return [
    {
      rule: 'primary-key-type',
      location,
      message: `the primary key ${name} is ${sqlName(type)}, which ends at ${type.name.endsWith('2') || type.name.startsWith('small') ? '32,767' : '2,147,483,647'}`,
      hint: 'use UUID with DEFAULT gen_random_uuid(), or BIGSERIAL',
    },
  ];
}

/** A name that ends so, with a currency or without one, is an amount. */
const amount = /(^|_)(price|amount|quantity|balance|fee|cost)(_(usd|eur|gbp|btc|eth|usdt))?$/;
const inexact = ['float4', 'float8', 'money'];

function typeFacts({ name, type, location }: Typed): readonly Fact[] {
  if (type.name === 'json' && !type.isArray) {
    return [
      {
        rule: 'json-type',
        location,
        message: `the column ${name} is JSON, which no index reads`,
        hint: 'use JSONB',
      },
    ];
  }
  if (!amount.test(name)) return [];
  const [, scale] = type.modifiers;
  const isShort = type.name === 'numeric' && type.modifiers.length > 0 && (scale ?? 0) < 8;
  if (!inexact.includes(type.name) && !isShort) return [];
  return [
    {
      rule: 'price-type',
      location,
      message: isShort
        ? `the column ${name} is ${sqlName(type)}, which rounds prices and amounts below ${scale ?? 0} decimals`
        : `the column ${name} is ${sqlName(type)}, which does not store prices and amounts exactly`,
      hint: 'use NUMERIC(20, 8)',
    },
  ];
}

function softDeleteFacts({ name, type, location, constraints }: ColumnDefinition): readonly Fact[] {
  const has = (kind: string) => constraints.some((each) => each.kind === kind);
  const isFlag = /^(is_)?deleted$/.test(name) && type.name === 'bool';
  const isOdd =
    name === 'deleted_at' &&
    (!['timestamptz', 'timestamp'].includes(type.name) || has('NOTNULL') || has('DEFAULT'));
  if (!isFlag && !isOdd) return [];
  return [
    {
      rule: 'soft-delete',
      location,
      message: isFlag
        ? `the column ${name} does not say when the row was deleted`
        : 'a row that is in use has no deleted_at: the column is a TIMESTAMPTZ that is NULL then',
      hint: 'use deleted_at TIMESTAMPTZ',
    },
  ];
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

/** A table may have several references to another one, with words behind. PostgreSQL cuts names off at 63 bytes. */
function foreignKeyNameFacts({
  name,
  expected,
  location,
}: {
  readonly name: string | undefined;
  readonly expected: string;
  readonly location: number;
}): readonly Fact[] {
  if (name === expected || name?.startsWith(`${expected}_`)) return [];
  if (expected.length > 63) return [];
  return [
    {
      rule: 'foreign-key-name',
      location,
      message:
        name === undefined
          ? 'the foreign key has no name, and gets one of PostgreSQL'
          : `the foreign key ${name} is not named for its two tables`,
      hint: `name it: CONSTRAINT ${expected}`,
    },
  ];
}

/** Types that store the same values. */
const sameTypes: Readonly<Record<string, string>> = {
  serial: 'int4',
  serial4: 'int4',
  bigserial: 'int8',
  serial8: 'int8',
  smallserial: 'int2',
  serial2: 'int2',
};

function foreignKeyTypeFacts(
  {
    column,
    type,
    other,
    body,
    location,
  }: {
    readonly column: string;
    readonly type: ColumnType;
    readonly other: string;
    readonly body: SyntaxNode;
    readonly location: number;
  },
  { after }: StatementContext,
): readonly Fact[] {
  const [referenced = { String: { sval: 'id' } }] = nodes(body.pk_attrs);
  const otherType = after.tables.get(other)?.columns.get(stringOf(referenced));
  if (!otherType) return [];
  const plain = ({ name }: ColumnType) => sameTypes[name] ?? name;
  if (plain(type) === plain(otherType)) return [];
  return [
    {
      rule: 'foreign-key-type',
      location,
      message: `${column} is ${sqlName(type)}, and refers to ${nameOfKey(other)}.${stringOf(referenced)}, which is ${sqlName(otherType)}`,
      hint: `give ${column} the type ${sqlName({ ...otherType, name: plain(otherType) })}`,
    },
  ];
}

const sqlNames: Readonly<Record<string, string>> = {
  int2: 'SMALLINT',
  int4: 'INT',
  int8: 'BIGINT',
  float4: 'REAL',
  float8: 'DOUBLE PRECISION',
  bool: 'BOOLEAN',
  bpchar: 'CHAR',
};

function sqlName({ name, modifiers, isArray }: ColumnType): string {
  const list = modifiers.length > 0 ? `(${modifiers.join(', ')})` : '';
  return `${sqlNames[name] ?? name.toUpperCase()}${list}${isArray ? '[]' : ''}`;
}

/** A unique index is named for its rule, as a constraint is: `one_active_subscription_per_user`. */
function indexFacts(body: SyntaxNode): readonly Fact[] {
  const { idxname, relation, unique } = body;
  if (isTemporary(relation)) return [];
  const table = bareName(keyOf(relation));
  const location = 0;
  if (idxname === undefined) {
    return [
      {
        rule: 'index-name',
        location,
        message: 'the index has no name, and gets one of PostgreSQL',
        hint: `name it: idx_${table}_… with its columns`,
      },
    ];
  }
  const name = String(idxname);
  const spelling = snakeCaseFacts('index-name', name, location);
  if (spelling.length > 0 || unique === true || isNamedFor(name, table)) return spelling;
  return [
    {
      rule: 'index-name',
      location,
      message: `the index ${name} is not named for its table and columns`,
      hint: `name it idx_${table}_… with its columns`,
    },
  ];
}

/** `idx_`, then the table or the words that its name begins with, then more words. */
function isNamedFor(name: string, table: string): boolean {
  const words = table.split('_');
  return words.some((_, count) => name.startsWith(`idx_${words.slice(0, count + 1).join('_')}_`));
}

function renameFacts({ renameType, newname, relationType }: SyntaxNode): readonly Fact[] {
  const name = String(newname);
  switch (renameType) {
    case 'OBJECT_TABLE':
      return tableNameFacts(name, 0);
    case 'OBJECT_COLUMN':
      return relationType === 'OBJECT_TABLE' ? snakeCaseFacts('column-name', name, 0) : [];
    case 'OBJECT_INDEX':
      return snakeCaseFacts('index-name', name, 0);
    default:
      return [];
  }
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
  return file.statements.flatMap(({ node: { type, body }, index }): Draft[] => {
    const relation = type === 'CreateStmt' ? body.relation : asNode(body.into).rel;
    const isTable =
      type === 'CreateStmt' || (type === 'CreateTableAsStmt' && body.objtype === 'OBJECT_TABLE');
    if (!isTable || isTemporary(relation) || body.partbound !== undefined) return [];
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
