import { asNode, type SyntaxNode } from '../../sql/tree.ts';
import type { Draft, LintFile, StatementContext } from './finding.ts';
import { isEmpty, isHypertable, isNew, type Model } from './model.ts';
import {
  isRuleName,
  isSquawkRule,
  type SquawkRule,
  type SquawkRuleName,
  squawkRules,
} from './rules.ts';
import type { SquawkFinding } from './squawk.ts';
import {
  type ColumnType,
  type Command,
  type Constraint,
  columnOf,
  commandsOf,
  constraintOf,
  droppedKeys,
  indexIn,
  keyOf,
} from './syntax.ts';
import { volatilityOf } from './volatility.ts';

/**
 * What squawk has found, without what this package knows better: tables that the file has created or truncated, statements that do not
 * rewrite or scan, and hypertables, for which there are rules of their own.
 */
export function squawkDrafts(
  found: readonly SquawkFinding[],
  { file, contexts }: { readonly file: LintFile; readonly contexts: readonly StatementContext[] },
): readonly Draft[] {
  return found.flatMap(({ rule, index, message, help }): Draft[] => {
    if (!isRuleName(rule) || !isSquawkRule(rule)) return [];
    const { files, exempt }: SquawkRule = squawkRules[rule];
    if (files === 'migration' && file.direction === 'down') return [];
    const context = contexts.findLast(({ statement }) => statement.index <= index);
    const tables = context ? tablesOf(context) : [];
    if (context && exempt) {
      const { before } = context;
      const isExempt = exempt === 'new' ? isNew : isEmpty;
      if (tables.length > 0 && tables.every((key) => isExempt(before, key, file.name))) return [];
      if (isFalseAlarm(rule, { context, index, table: tables[0] ?? '' })) return [];
    }
    if (context?.statement.node.type === 'DropStmt' && rule === 'identifier-too-long') return [];
    const own = context && rewritingDefault(rule, { context, index });
    const advice =
      own?.help ?? (context && helpOf(rule, { tables, model: context.before })) ?? help;
    const page = `https://squawkhq.com/docs/${pages[rule] ?? rule}`;
    return [
      {
        rule,
        index,
        message: own?.message ?? message.split('\n')[0] ?? '',
        hint: advice === undefined ? page : `${advice.replace(/\.$/, '')}; ${page}`,
        tables,
      },
    ];
  });
}

/** Where the page of a rule has another name. */
const pages: Partial<Readonly<Record<SquawkRuleName, string>>> = {
  'prefer-timestamp-tz': 'prefer-timestamptz',
};

/** What squawk advises, a hypertable refuses: it builds no index CONCURRENTLY, and no constraint takes over an index. */
const hypertableHelp: Partial<Readonly<Record<SquawkRuleName, string>>> = {
  'disallowed-unique-constraint':
    'A hypertable has no other way: run the migration while no service writes to the table',
  'adding-serial-primary-key-field':
    'A hypertable has no other way: run the migration while no service writes to the table',
  'require-concurrent-reindex': 'Reindex one chunk after the other',
};

function helpOf(
  rule: SquawkRuleName,
  { tables, model }: { readonly tables: readonly string[]; readonly model: Model },
): string | undefined {
  if (tables.some((key) => isHypertable(model, key))) return hypertableHelp[rule];
  return rule === 'require-concurrent-index-creation' &&
    tables.some((key) => model.tables.get(key)?.isPartitioned)
    ? 'A partitioned table refuses CONCURRENTLY: create the index ON ONLY the table, build it CONCURRENTLY on each partition, and attach those'
    : undefined;
}

/** The keys of the tables that a statement changes. */
function tablesOf({ statement: { node }, before }: StatementContext): readonly string[] {
  const { type, body } = node;
  if (type === 'DropStmt') {
    return body.removeType === 'OBJECT_TABLE' ? droppedKeys(body) : [];
  }
  if (body.relation === undefined) return [];
  const key = keyOf(body.relation);
  return type === 'ReindexStmt' && body.kind === 'REINDEX_OBJECT_INDEX'
    ? [before.indexes.get(key)?.table ?? key]
    : [key];
}

interface Place {
  readonly context: StatementContext;
  readonly index: number;
  readonly table: string;
}

function isFalseAlarm(rule: SquawkRuleName, place: Place): boolean {
  const { context, table } = place;
  const { before } = context;
  const command = commandAt(rule, place);
  const column = command?.kind === 'AddColumn' ? columnOf(command.definition.body) : undefined;
  const isCompressed = before.tables.get(table)?.compression !== undefined;
  switch (rule) {
    case 'require-concurrent-index-creation':
      return isHypertable(before, table) || isOnlyOfParent(place);
    case 'adding-field-with-default':
      return isCompressed || (column !== undefined && hasStoredDefault(column.constraints));
    // PostgreSQL does not look for the references of a new column that is NULL in all rows.
    case 'adding-foreign-key-constraint':
      return column !== undefined && !has(column.constraints, 'DEFAULT');
    case 'adding-required-field':
      return isCompressed || (column !== undefined && /serial/.test(column.type.name));
    case 'constraint-missing-not-valid':
      return command?.kind === 'AddConstraint' && !takesNotValid(command);
    case 'changing-column-type':
      return (
        (isCompressed && isHypertable(before, table)) ||
        (command !== undefined && keepsRows(command, { table, before }))
      );
    case 'disallowed-unique-constraint':
    case 'adding-serial-primary-key-field':
      return lacksDimension(command, { table, before });
    default:
      return false;
  }
}

/** CREATE INDEX ON ONLY of a partitioned table builds nothing. */
function isOnlyOfParent({ context: { statement } }: Place): boolean {
  return asNode(statement.node.body.relation).inh !== true;
}

/** The rules whose findings stand at the word ADD, before what it adds. The others stand at it or inside of it. */
const atAdd: readonly SquawkRuleName[] = ['constraint-missing-not-valid', 'adding-required-field'];

/** The part of ALTER TABLE that a finding is about. */
function commandAt(
  rule: SquawkRuleName,
  { context: { statement }, index }: Omit<Place, 'table'>,
): Command | undefined {
  const placed = commandsOf(statement.node).flatMap((command) => {
    const { location } = command.definition.body;
    return location === undefined ? [] : [{ command, start: indexIn(statement, Number(location)) }];
  });
  return atAdd.includes(rule)
    ? placed.find(({ start }) => start >= index)?.command
    : placed.findLast(({ start }) => start <= index)?.command;
}

function has(constraints: readonly Constraint[], kind: string): boolean {
  return constraints.some((each) => each.kind === kind);
}

/** squawk calls each new column that rewrites the table a generated one. */
function rewritingDefault(
  rule: SquawkRuleName,
  place: Omit<Place, 'table'>,
): { readonly message: string; readonly help: string } | undefined {
  const command = rule === 'adding-field-with-default' ? commandAt(rule, place) : undefined;
  if (command?.kind !== 'AddColumn') return undefined;
  const { name, constraints } = columnOf(command.definition.body);
  const fallback = constraints.find(({ kind }) => kind === 'DEFAULT');
  if (!fallback) return undefined;
  const isKnown = volatilityOf(asNode(fallback.body.raw_expr)) === 'volatile';
  const fact = isKnown ? 'is volatile: PostgreSQL' : 'may be volatile: PostgreSQL then';
  return {
    message: `the default of the new column ${name} ${fact} rewrites the table under an ACCESS EXCLUSIVE lock`,
    help: 'Add the column without the default, set the default with ALTER COLUMN, and fill in the rows that are there',
  };
}

/** A default that is one value for the whole statement is stored in the catalog. */
function hasStoredDefault(constraints: readonly Constraint[]): boolean {
  if (has(constraints, 'GENERATED') || has(constraints, 'IDENTITY')) return false;
  const fallback = constraints.find(({ kind }) => kind === 'DEFAULT');
  const volatility = fallback && volatilityOf(asNode(fallback.body.raw_expr));
  return volatility === 'immutable' || volatility === 'stable';
}

/** Keys have rules of their own, and EXCLUDE takes no NOT VALID. */
function takesNotValid({ definition: { body } }: Command): boolean {
  return constraintOf(body).kind === 'CHECK';
}

function lacksDimension(
  command: Command | undefined,
  { table, before }: { readonly table: string; readonly before: Model },
): boolean {
  const { dimensions = [] } = before.tables.get(table) ?? {};
  if (!command) return false;
  const columns =
    command.kind === 'AddColumn'
      ? [columnOf(command.definition.body).name]
      : constraintOf(command.definition.body).columns;
  return dimensions.some((dimension) => !columns.includes(dimension));
}

/** True for a change of a type that leaves the stored values as they are, by what the files say of the type before. */
function keepsRows(
  { kind, name, definition }: Command,
  { table, before }: { readonly table: string; readonly before: Model },
): boolean {
  const old = before.tables.get(table)?.columns.get(name);
  if (kind !== 'AlterColumnType' || !old) return false;
  const { type, usesExpression } = newType(definition.body);
  return !usesExpression && isWider(old, type);
}

function newType(body: SyntaxNode): {
  readonly type: ColumnType;
  readonly usesExpression: boolean;
} {
  return { type: columnOf(body).type, usesExpression: body.raw_default !== undefined };
}

/** Without a rewrite, as PostgreSQL documents ALTER TABLE: a longer VARCHAR, TEXT, a NUMERIC of more digits. */
function isWider(old: ColumnType, type: ColumnType): boolean {
  if (old.isArray || type.isArray) return false;
  const [length = 0, scale = 0] = old.modifiers;
  const [newLength = Number.POSITIVE_INFINITY, newScale = 0] = type.modifiers;
  const isText = (name: string) => name === 'text' || name === 'varchar';
  if (isText(old.name) && isText(type.name)) {
    return old.modifiers.length === 0 ? type.modifiers.length === 0 : newLength >= length;
  }
  if (old.name !== 'numeric' || type.name !== 'numeric') return false;
  if (type.modifiers.length === 0) return true;
  return old.modifiers.length > 0 && newLength >= length && newScale === scale;
}
