import { quoteWhereNeeded } from '../../database/quote.ts';
import { hasOption, optionValue, timescaleNamespaces } from '../../sql/options.ts';
import type { StatementNode } from '../../sql/parse.ts';
import { asNode, nodes, type SyntaxNode } from '../../sql/tree.ts';
import type { Draft, StatementContext } from './finding.ts';
import { dimensionsOf, tableArgument, uniqueKeysOf } from './follow.ts';
import { aggregatesOf, isEmpty, isHypertable, type Table } from './model.ts';
import {
  argumentOf,
  type Call,
  type Command,
  callsOf,
  columnOf,
  commandsOf,
  constraintOf,
  droppedKeys,
  indexIn,
  isNull,
  keyOf,
  nameOfKey,
  namesCalled,
} from './syntax.ts';
import { volatilityOf } from './volatility.ts';

type Fact = Omit<Draft, 'index'> & { readonly location?: number };

/** What TimescaleDB refuses, and what it lets pass to the loss of rows. Seen on TimescaleDB 2.28 with PostgreSQL 15. */
export function timescaleDrafts(context: StatementContext): readonly Draft[] {
  const refused = uniqueFacts(context);
  const facts = [
    ...refused,
    ...(refused.length > 0 ? [] : indexFacts(context)),
    ...concurrentFacts(context),
    ...alterFacts(context),
    ...aggregateFacts(context),
  ];
  return facts.map(({ location = 0, ...fact }) => ({
    ...fact,
    index: indexIn(context.statement, location),
  }));
}

/** CREATE INDEX on a hypertable. */
function indexFacts({ statement: { node }, before, file }: StatementContext): readonly Fact[] {
  const { type, body } = node;
  const table = keyOf(body.relation);
  if (type !== 'IndexStmt' || !isHypertable(before, table)) return [];
  const name = nameOfKey(table);
  if (body.concurrent === true) return [concurrently('CREATE INDEX', name, perChunk)];
  if (isEmpty(before, table, file.name)) return [];
  if (hasOption(body.options, 'transaction_per_chunk', timescaleNamespaces)) {
    return body.unique === true
      ? [
          {
            rule: 'hypertable-index',
            message: `a unique index of the hypertable ${name} cannot be built with transaction_per_chunk`,
            hint: 'build it without the option while no service writes to the table',
            tables: [table],
          },
        ]
      : [];
  }
  return [
    {
      rule: 'hypertable-index',
      message: `the index blocks writes to all chunks of the hypertable ${name} until the last one is indexed`,
      hint:
        body.unique === true
          ? 'a unique index has no other way: run the migration while no service writes to the table'
          : `${perChunk}, in a file with "-- Transaction: none"`,
      tables: [table],
    },
  ];
}

const perChunk = 'use CREATE INDEX … WITH (timescaledb.transaction_per_chunk)';

function concurrently(statement: string, table: string, hint: string): Fact {
  return {
    rule: 'hypertable-concurrently',
    message: `TimescaleDB refuses ${statement} CONCURRENTLY on the hypertable ${table}`,
    hint,
  };
}

/** DROP INDEX and REINDEX. */
function concurrentFacts({ statement: { node }, before }: StatementContext): readonly Fact[] {
  const { type, body } = node;
  if (type === 'ReindexStmt' && hasOption(body.params, 'concurrently')) {
    const key = keyOf(body.relation);
    const table =
      body.kind === 'REINDEX_OBJECT_TABLE' ? key : (before.indexes.get(key)?.table ?? '');
    return isHypertable(before, table)
      ? [concurrently('REINDEX', nameOfKey(table), 'reindex one chunk after the other')]
      : [];
  }
  if (type !== 'DropStmt' || body.concurrent !== true) return [];
  return droppedKeys(body).flatMap((key) => {
    const { table = '' } = before.indexes.get(key) ?? {};
    return isHypertable(before, table)
      ? [concurrently('DROP INDEX', nameOfKey(table), 'use DROP INDEX: it only waits for its lock')]
      : [];
  });
}

/** Unique keys of hypertables without a column of a dimension. */
function uniqueFacts(context: StatementContext): readonly Fact[] {
  const { statement, before, after } = context;
  const { type, body } = statement.node;
  switch (type) {
    case 'IndexStmt': {
      const columns = nodes(body.indexParams).map((part) => String(asNode(part.IndexElem).name));
      const table = keyOf(body.relation);
      return body.unique === true
        ? missing({ key: table, table: before.tables.get(table), keys: [columns] })
        : [];
    }
    case 'CreateStmt': {
      const table = keyOf(body.relation);
      const known = after.tables.get(table);
      return missing({ key: table, table: known, keys: known?.uniqueKeys ?? [] });
    }
    case 'AlterTableStmt': {
      const table = keyOf(body.relation);
      return commandsOf(statement.node).flatMap((command) => {
        const keys = keysOf(command);
        const { location } = command.definition.body;
        return missing({ key: table, table: before.tables.get(table), keys }).map((fact) => ({
          ...fact,
          location: Number(location ?? 0),
        }));
      });
    }
    default:
      return callsOf(statement.node).flatMap((call) => {
        const key = tableArgument(call) ?? '';
        const table = before.tables.get(key);
        const isDividing = call.name === 'create_hypertable' || call.name === 'add_dimension';
        return isDividing && table
          ? missing({
              key,
              table: { ...table, dimensions: dimensionsOf(call) },
              keys: table.uniqueKeys,
            })
          : [];
      });
  }
}

function keysOf({ kind, definition }: Command): readonly (readonly string[])[] {
  if (kind === 'AddConstraint') return uniqueKeysOf(constraintOf(definition.body));
  if (kind !== 'AddColumn') return [];
  const { name, constraints } = columnOf(definition.body);
  return constraints.some((each) => ['PRIMARY', 'UNIQUE'].includes(each.kind)) ? [[name]] : [];
}

function missing({
  key,
  table,
  keys,
}: {
  readonly key: string;
  readonly table: Table | undefined;
  readonly keys: readonly (readonly string[])[];
}): readonly Fact[] {
  return (table?.dimensions ?? []).flatMap((dimension) =>
    keys
      .filter((columns) => !columns.includes(dimension))
      .map((columns) => ({
        rule: 'hypertable-unique' as const,
        message: `the unique key (${columns.join(', ')}) of the hypertable ${nameOfKey(key)} lacks ${dimension}, by which it is divided: TimescaleDB refuses it`,
        hint: `add ${quoteWhereNeeded(dimension)} to the key, or keep the key in a table that is no hypertable`,
      })),
  );
}

/** ALTER of a hypertable. */
function alterFacts(context: StatementContext): readonly Fact[] {
  const { statement, before } = context;
  if (statement.node.type !== 'AlterTableStmt') return [];
  const key = keyOf(statement.node.body.relation);
  const table = before.tables.get(key);
  if (!table || table.dimensions === undefined) return [];
  return commandsOf(statement.node).flatMap((command) => [
    ...usingIndex(command, key),
    ...(table.compression ? refusedCommand(command, { key, table, context }) : []),
  ]);
}

function usingIndex({ kind, definition }: Command, key: string): readonly Fact[] {
  if (kind !== 'AddConstraint' || definition.body.indexname === undefined) return [];
  return [
    {
      rule: 'hypertable-using-index',
      location: Number(definition.body.location ?? 0),
      message: `TimescaleDB refuses a constraint of the hypertable ${nameOfKey(key)} that takes over an index`,
      hint: 'add the constraint with its columns, or keep the unique index without a constraint',
    },
  ];
}

/** What a hypertable refuses once compression is on, and what it refuses while a chunk is compressed. */
function refusedCommand(
  command: Command,
  {
    key,
    table,
    context,
  }: { readonly key: string; readonly table: Table; readonly context: StatementContext },
): readonly Fact[] {
  const refusal = refusalOf(command, table, mayHaveCompressedChunks(context, table));
  if (!refusal) return [];
  const { location } = command.definition.body;
  return [
    {
      rule: 'compressed-hypertable',
      ...(location !== undefined && { location: Number(location) }),
      message: `TimescaleDB refuses ${refusal.what} of ${nameOfKey(key)}, which is compressed`,
      hint: refusal.hint,
    },
  ];
}

/** Chunks are compressed by a policy later than the file that switches compression on. */
function mayHaveCompressedChunks({ file, statement }: StatementContext, table: Table): boolean {
  if (table.compression?.file === file.name) return false;
  return !file.statements.some(
    ({ index, node }) => index < statement.index && (node.type === 'DoStmt' || mayDecompress(node)),
  );
}

/** A procedure may decompress chunks, unless it is known not to. */
function mayDecompress(node: StatementNode): boolean {
  if (node.type === 'CallStmt') return callsOf(node).some(({ name }) => !leavesChunks.has(name));
  return namesCalled(node.body).has('decompress_chunk');
}

const leavesChunks: ReadonlySet<string> = new Set([
  'add_columnstore_policy',
  'remove_columnstore_policy',
  'convert_to_columnstore',
  'refresh_continuous_aggregate',
]);

interface Refusal {
  readonly what: string;
  readonly hint: string;
}

const decompress = 'decompress the chunks first, in the same file, with decompress_chunk()';

function refusalOf(
  { kind, name, definition }: Command,
  { compression }: Table,
  hasCompressedChunks: boolean,
): Refusal | undefined {
  switch (kind) {
    case 'AddColumn':
      return refusedColumn(definition.body);
    case 'DropColumn':
      return compression?.columns.includes(name)
        ? {
            what: `DROP COLUMN ${name}, by which rows are segmented or ordered,`,
            hint: 'keep the column',
          }
        : undefined;
    case 'AlterColumnType':
      return hasCompressedChunks
        ? { what: `a new type of the column ${name}`, hint: `${decompress}, or add a new column` }
        : undefined;
    case 'SetRelOptions':
      return hasCompressedChunks && switchesOff(definition.body.items)
        ? { what: 'to switch off the compression', hint: decompress }
        : undefined;
    case 'ValidateConstraint':
      return {
        what: 'VALIDATE CONSTRAINT',
        hint: 'add the constraint without NOT VALID; the scan blocks writes',
      };
    case 'SetStorage':
      return { what: 'SET STORAGE', hint: 'leave the storage unchanged' };
    case 'EnableRowSecurity':
      return { what: 'row security', hint: 'grant access to a view in place of the table' };
    default:
      return undefined;
  }
}

function switchesOff(options: unknown): boolean {
  return ['compress', 'enable_columnstore'].some(
    (name) =>
      optionValue(options, name, timescaleNamespaces) !== undefined &&
      !hasOption(options, name, timescaleNamespaces),
  );
}

const plainColumn =
  'add it without the default and without NOT NULL, and set the values of new rows';

function refusedColumn(body: SyntaxNode): Refusal | undefined {
  const { name, constraints } = columnOf(body);
  const find = (kind: string) => constraints.find((each) => each.kind === kind);
  const fallback = find('DEFAULT');
  const volatility = fallback && volatilityOf(asNode(fallback.body.raw_expr));
  if (volatility === 'stable' || volatility === 'volatile') {
    return { what: `a new column ${name} whose default is no constant`, hint: plainColumn };
  }
  if (find('NOTNULL') && !fallback && !find('IDENTITY') && !find('GENERATED')) {
    return {
      what: `a new column ${name} that is NOT NULL without a default`,
      hint: 'give it a constant default, or leave NOT NULL out',
    };
  }
  const other = ['FOREIGN', 'GENERATED', 'IDENTITY'].find(find);
  if (other === undefined) return undefined;
  const words = { FOREIGN: 'a reference', GENERATED: 'a generated value', IDENTITY: 'an identity' };
  return {
    what: `a new column ${name} with ${words[other as keyof typeof words]}`,
    hint: other === 'FOREIGN' ? 'add the column, then the foreign key' : plainColumn,
  };
}

/** Continuous aggregates that lose what they have kept longer than the rows that they are computed from. */
function aggregateFacts(context: StatementContext): readonly Fact[] {
  const { statement, file } = context;
  const { type, body } = statement.node;
  if (type === 'DropStmt' && file.direction === 'up') return droppedAggregates(body, context);
  return callsOf(statement.node).flatMap((call): readonly Fact[] => {
    const key = tableArgument(call) ?? '';
    if (call.name === 'refresh_continuous_aggregate') return refreshFacts(call, key, context);
    if (call.name === 'add_continuous_aggregate_policy') return policyFacts([key], context);
    if (call.name === 'add_retention_policy') {
      return policyFacts(
        aggregatesOf(context.after, key).map(([name]) => name),
        context,
      );
    }
    return [];
  });
}

/** A refresh computes the whole window: where the rows have been dropped, it removes what they had become. */
function policyFacts(keys: readonly string[], { after }: StatementContext): readonly Fact[] {
  return keys.flatMap((key) => {
    const { refreshHours, source = '' } = after.tables.get(key) ?? {};
    const kept = after.tables.get(source)?.retentionHours;
    if (refreshHours === undefined || kept === undefined || refreshHours <= kept) return [];
    return [
      {
        rule: 'aggregate-loses-rows' as const,
        message: `the refresh policy of ${nameOfKey(key)} reaches back further than ${nameOfKey(source)} keeps its rows: the refresh deletes the older rows of ${nameOfKey(key)}`,
        hint: 'set start_offset to less than drop_after of the retention policy',
      },
    ];
  });
}

function refreshFacts(call: Call, key: string, { before }: StatementContext): readonly Fact[] {
  const start = argumentOf(call, 1, ['window_start']);
  const end = argumentOf(call, 2, ['window_end']);
  const name = nameOfKey(key);
  const { source = '' } = before.tables.get(key) ?? {};
  const kept = before.tables.get(source)?.retentionHours;
  if (isNull(start) && kept !== undefined) {
    return [
      {
        rule: 'aggregate-loses-rows',
        message: `a refresh without a start deletes the rows of ${name} that are older than those that ${nameOfKey(source)} keeps`,
        hint: 'name a start later than the oldest row',
      },
    ];
  }
  if (!isNull(end)) return [];
  return [
    {
      rule: 'unbounded-refresh',
      message: `a refresh without an end stores the unfinished bucket of ${name}: a real-time aggregate shows no newer rows of it until the next refresh`,
      hint: 'name an end no later than the start of the current bucket',
    },
  ];
}

function droppedAggregates(
  { removeType, objects }: SyntaxNode,
  { before, file }: StatementContext,
): readonly Fact[] {
  if (removeType !== 'OBJECT_MATVIEW') return [];
  const dropped = file.statements.flatMap(({ node: { type, body } }) =>
    type === 'DropStmt' && body.removeType === 'OBJECT_TABLE' ? droppedKeys(body) : [],
  );
  return droppedKeys({ objects }).flatMap((key) => {
    const { source = '' } = before.tables.get(key) ?? {};
    const isOver = dropped.includes(source);
    if (isOver || before.tables.get(source)?.retentionHours === undefined) return [];
    return [
      {
        rule: 'aggregate-loses-rows' as const,
        message: `${nameOfKey(key)} may hold rows that are older than those that ${nameOfKey(source)} keeps: no other aggregate can be computed from them`,
        hint: 'create the new aggregate under another name, and copy what it cannot compute into a table',
      },
    ];
  });
}
