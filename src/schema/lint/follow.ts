import { hasOption, optionValue, timescaleNamespaces } from '../../sql/options.ts';
import type { ParsedStatement, StatementNode } from '../../sql/parse.ts';
import { asNode, nodes, type SyntaxNode, typed } from '../../sql/tree.ts';
import type { Compression, Index, Model, Table } from './model.ts';
import {
  argumentOf,
  type Call,
  type ColumnDefinition,
  type Command,
  type Constraint,
  callsOf,
  columnOf,
  commandsOf,
  constantOf,
  constraintOf,
  droppedKeys,
  elementsOf,
  hoursOf,
  isNull,
  isTemporary,
  keyOf,
  keyOfNames,
  keyOfText,
  newKeyOf,
} from './syntax.ts';

/** The model after one more statement of a file. */
export function follow(model: Model, { node }: ParsedStatement, file: string): Model {
  const { type, body } = node;
  switch (type) {
    case 'CreateStmt':
      return created(model, { relation: body.relation, body, table: createdTable(node, file) });
    case 'CreateTableAsStmt':
      return created(model, {
        relation: asNode(body.into).rel,
        body,
        table: tableFromQuery(body, file),
      });
    case 'SelectStmt': {
      const { rel } = asNode(body.intoClause);
      const table: Table = { ...noColumns, kind: 'table', file };
      const calls = callsOf(node).reduce(called, model);
      return rel === undefined ? calls : created(calls, { relation: rel, body, table });
    }
    case 'ViewStmt':
      return withTable(model, keyOf(body.view), { ...noColumns, kind: 'view', file });
    case 'IndexStmt':
      return withIndex(model, body);
    case 'AlterTableStmt':
      return commandsOf(node).reduce(
        (before, command) => withPartition(before, keyOf(body.relation), command),
        changed(model, keyOf(body.relation), (table) =>
          commandsOf(node).reduce((before, command) => altered(before, command, file), table),
        ),
      );
    case 'DropStmt':
      return dropped(model, body);
    case 'RenameStmt':
      return renamed(model, body);
    case 'TruncateStmt':
      return nodes(body.relations).reduce(
        (before, each) => emptied(before, each.RangeVar, file),
        model,
      );
    default:
      return callsOf(node).reduce(called, model);
  }
}

const noColumns = { columns: new Map(), uniqueKeys: [] } as const;

/** With IF NOT EXISTS, a table that is there stays. */
function created(
  model: Model,
  {
    relation,
    body,
    table,
  }: { readonly relation: unknown; readonly body: SyntaxNode; readonly table: Table },
): Model {
  const key = keyOf(relation);
  const stays = body.if_not_exists === true && model.tables.has(key);
  if (stays) return model;
  return withTable(model, key, isTemporary(relation) ? { ...table, isTemporary: true } : table);
}

function withTable(model: Model, key: string, table: Table): Model {
  return { ...model, tables: new Map([...model.tables, [key, table]]) };
}

function changed(model: Model, key: string, change: (table: Table) => Table): Model {
  const table = model.tables.get(key);
  return table ? withTable(model, key, change(table)) : model;
}

function emptied(model: Model, relation: unknown, file: string): Model {
  return changed(model, keyOf(relation), (table) => ({ ...table, emptiedIn: file }));
}

function createdTable(node: StatementNode, file: string): Table {
  const { columns, constraints } = elementsOf(node);
  const { options, partbound, inhRelations } = node.body;
  const [parent] = partbound === undefined ? [] : nodes(inhRelations);
  const table = columns.reduce(withColumn, {
    ...noColumns,
    kind: 'table',
    file,
    parent: parent && keyOf(parent.RangeVar),
    uniqueKeys: constraints.flatMap(uniqueKeysOf),
  } as Table);
  if (node.body.partspec !== undefined) return { ...table, isPartitioned: true };
  if (!hasOption(options, 'hypertable', timescaleNamespaces)) return table;
  const column = optionValue(options, 'partition_column', timescaleNamespaces);
  // Such a hypertable has the columnstore, unless the option says no.
  const compression = compressionAfter({ file, columns: [] }, options, file);
  return { ...table, dimensions: column === undefined ? [] : [column], compression };
}

function withColumn(table: Table, { name, type, constraints }: ColumnDefinition): Table {
  const keys = constraints.filter(isUnique).map(() => [name]);
  return {
    ...table,
    columns: new Map([...table.columns, [name, type]]),
    uniqueKeys: [...table.uniqueKeys, ...keys],
  };
}

function isUnique({ kind }: Constraint): boolean {
  return kind === 'PRIMARY' || kind === 'UNIQUE';
}

/** The columns of a unique constraint of a table. One that takes over an index has no columns in its text. */
export function uniqueKeysOf(constraint: Constraint): readonly (readonly string[])[] {
  return isUnique(constraint) && constraint.columns.length > 0 ? [constraint.columns] : [];
}

function tableFromQuery(body: SyntaxNode, file: string): Table {
  const { options } = asNode(body.into);
  if (!hasOption(options, 'continuous', timescaleNamespaces)) {
    return { ...noColumns, kind: body.objtype === 'OBJECT_MATVIEW' ? 'view' : 'table', file };
  }
  const [from] = nodes(asNode(asNode(body.query).SelectStmt).fromClause);
  const source = asNode(from).RangeVar;
  return {
    ...noColumns,
    kind: 'aggregate',
    file,
    source: source === undefined ? undefined : keyOf(source),
  };
}

function withIndex(model: Model, body: SyntaxNode): Model {
  const table = keyOf(body.relation);
  const name = body.idxname;
  const { schemaname } = asNode(body.relation);
  const key = keyOfNames([...(schemaname === undefined ? [] : [String(schemaname)]), String(name)]);
  const columns = nodes(body.indexParams).map((part) => asNode(part.IndexElem).name);
  const isPlain = columns.every((column) => column !== undefined);
  const isKey = body.unique === true && isPlain && body.whereClause === undefined;
  const index: Index = { table };
  const withKey = changed(model, table, (each) =>
    isKey ? { ...each, uniqueKeys: [...each.uniqueKeys, columns.map(String)] } : each,
  );
  return name === undefined
    ? withKey
    : { ...withKey, indexes: new Map([...withKey.indexes, [key, index]]) };
}

function altered(table: Table, { kind, name, definition }: Command, file: string): Table {
  const { body } = definition;
  switch (kind) {
    case 'AddColumn':
      return withColumn(table, columnOf(body));
    case 'DropColumn':
      return {
        ...table,
        columns: new Map([...table.columns].filter(([column]) => column !== name)),
        uniqueKeys: table.uniqueKeys.filter((columns) => !columns.includes(name)),
      };
    case 'AlterColumnType':
      return { ...table, columns: new Map([...table.columns, [name, columnOf(body).type]]) };
    case 'AddConstraint':
      return {
        ...table,
        uniqueKeys: [...table.uniqueKeys, ...uniqueKeysOf(constraintOf(body))],
      };
    // The text does not say which columns the constraint has.
    case 'DropConstraint':
      return { ...table, uniqueKeys: [] };
    case 'SetRelOptions':
      return { ...table, compression: compressionAfter(table.compression, body.items, file) };
    default:
      return table;
  }
}

/** After ATTACH PARTITION or DETACH PARTITION. */
function withPartition(model: Model, parent: string, { kind, definition }: Command): Model {
  const partition = keyOf(definition.body.name);
  switch (kind) {
    case 'AttachPartition':
      return changed(model, partition, (table) => ({ ...table, parent }));
    case 'DetachPartition':
      return changed(model, partition, (table) => ({ ...table, parent: undefined }));
    default:
      return model;
  }
}

function compressionAfter(
  before: Compression | undefined,
  options: unknown,
  file: string,
): Compression | undefined {
  const value = (names: readonly string[]) =>
    names
      .map((name) => optionValue(options, name, timescaleNamespaces))
      .find((each) => each !== undefined);
  const isOn = switches.some((name) => hasOption(options, name, timescaleNamespaces));
  if (!isOn && value(switches) !== undefined) return undefined;
  if (!isOn && !before) return undefined;
  const lists = [
    value(['compress_segmentby', 'segmentby']),
    value(['compress_orderby', 'orderby']),
  ];
  const columns = lists.flatMap((list) => list?.split(',') ?? []);
  return {
    file: before?.file ?? file,
    columns: [
      ...(before?.columns ?? []),
      ...columns.map((each) => each.trim().split(/\s/)[0] ?? ''),
    ],
  };
}

/** The older name and the newer one. */
const switches = ['compress', 'enable_columnstore'] as const;

function dropped(model: Model, body: SyntaxNode): Model {
  const keys = withPartitions(model, droppedKeys(body));
  const isGone = (key: string) => keys.includes(key);
  switch (body.removeType) {
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_MATVIEW':
      return {
        tables: new Map(
          [...model.tables].filter(([key, { source }]) => !isGone(key) && !isGone(source ?? '')),
        ),
        indexes: new Map([...model.indexes].filter(([, { table }]) => !isGone(table))),
      };
    case 'OBJECT_INDEX':
      return { ...model, indexes: new Map([...model.indexes].filter(([key]) => !isGone(key))) };
    default:
      return model;
  }
}

/** The keys of tables with those of their partitions, which go with them. */
function withPartitions(
  { tables }: Pick<Model, 'tables'>,
  keys: readonly string[],
): readonly string[] {
  const partitions = [...tables]
    .filter(([key, { parent = '' }]) => keys.includes(parent) && !keys.includes(key))
    .map(([key]) => key);
  return partitions.length === 0 ? keys : withPartitions({ tables }, [...keys, ...partitions]);
}

function renamed(model: Model, body: SyntaxNode): Model {
  const { renameType, relation, subname, newname } = body;
  const key = keyOf(relation);
  const newKey = newKeyOf(body);
  const rename = (name: string) => (name === subname ? String(newname) : name);
  switch (renameType) {
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_MATVIEW':
      return {
        tables: new Map(
          [...model.tables].map(([each, table]) => [
            each === key ? newKey : each,
            {
              ...table,
              source: table.source === key ? newKey : table.source,
              parent: table.parent === key ? newKey : table.parent,
            },
          ]),
        ),
        indexes: new Map(
          [...model.indexes].map(([each, index]) => [
            each,
            index.table === key ? { ...index, table: newKey } : index,
          ]),
        ),
      };
    case 'OBJECT_INDEX':
      return {
        ...model,
        indexes: new Map(
          [...model.indexes].map(([each, index]) => [each === key ? newKey : each, index]),
        ),
      };
    case 'OBJECT_COLUMN':
      return changed(model, key, (table) => ({
        ...table,
        columns: new Map([...table.columns].map(([name, type]) => [rename(name), type])),
        uniqueKeys: table.uniqueKeys.map((columns) => columns.map(rename)),
        dimensions: table.dimensions?.map(rename),
        compression: table.compression && {
          ...table.compression,
          columns: table.compression.columns.map(rename),
        },
      }));
    default:
      return model;
  }
}

/** The table that the first argument of a function of TimescaleDB names. */
export function tableArgument(call: Call): string | undefined {
  const name = constantOf(
    argumentOf(call, 0, ['relation', 'hypertable', 'main_table', 'continuous_aggregate']),
  );
  return name === undefined ? undefined : keyOfText(name);
}

function called(model: Model, call: Call): Model {
  const key = tableArgument(call);
  if (key === undefined) return model;
  switch (call.name) {
    case 'create_hypertable':
    case 'create_distributed_hypertable':
      return changed(model, key, (table) => ({ ...table, dimensions: dimensionsOf(call) }));
    case 'add_dimension':
      return changed(model, key, (table) => ({
        ...table,
        dimensions: [...(table.dimensions ?? []), ...dimensionsOf(call)],
      }));
    case 'add_retention_policy':
      return changed(model, key, (table) => ({ ...table, retentionHours: retentionOf(call) }));
    case 'remove_retention_policy':
      return changed(model, key, (table) => ({ ...table, retentionHours: undefined }));
    case 'add_continuous_aggregate_policy':
      return changed(model, key, (table) => ({ ...table, refreshHours: refreshOf(call) }));
    case 'remove_continuous_aggregate_policy':
      return changed(model, key, (table) => ({ ...table, refreshHours: undefined }));
    default:
      return model;
  }
}

/** The columns by which create_hypertable and add_dimension divide a table, in the older and the newer form. */
export function dimensionsOf(call: Call): readonly string[] {
  const first = argumentOf(call, 1, ['time_column_name', 'dimension', 'column_name']);
  const second =
    call.name === 'create_hypertable' ? argumentOf(call, 2, ['partitioning_column']) : undefined;
  return [first, second].flatMap((node) => {
    const builder = typed(node);
    const [inner] = builder.type === 'FuncCall' ? nodes(builder.body.args) : [node];
    const named = asNode(asNode(inner).NamedArgExpr).arg;
    const name = constantOf(named === undefined ? inner : asNode(named));
    return name === undefined ? [] : [name];
  });
}

function retentionOf(call: Call): number | undefined {
  return hoursOf(constantOf(argumentOf(call, 1, ['drop_after'])));
}

/** NULL: from the first row on. */
function refreshOf(call: Call): number | undefined {
  const start = argumentOf(call, 1, ['start_offset']);
  return isNull(start) ? Number.POSITIVE_INFINITY : hoursOf(constantOf(start));
}
