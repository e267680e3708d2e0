import { createRequire } from 'node:module';
import type * as Codegen from 'kysely-codegen';
import { CryptosenseDbError, isError, messageOf } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import type { Column, Relation, ValueType } from '../schema/catalog.ts';
import { textTypes } from './check-words.ts';
import type { ColumnKnowledge } from './knowledge.ts';
import { chooseNames } from './names.ts';

/**
 * The shapes of JSONB columns that the specification gives (4.4, 4.7, 4.9). The server does not
 * enforce them; the programs that write these columns have to.
 */
const jsonShapes: Readonly<Record<string, { readonly name: string; readonly shape: string }>> = {
  'alerts.notification_channels': {
    name: 'NotificationChannels',
    shape: '("email" | "push" | "sms")[]',
  },
  'exchange_connections.permissions': {
    name: 'ExchangePermissions',
    shape: '{\n  read: boolean;\n  trade: boolean;\n  withdraw: boolean;\n}',
  },
  'predictions.factors': {
    name: 'PredictionFactors',
    shape: 'JsonObject & {\n  macd?: number;\n  rsi?: number;\n  volume_trend?: string;\n}',
  },
};

/** Types that postgres.js returns as text. kysely-codegen assumes node-postgres, which does not. */
const typeMapping: Record<string, string> = {
  circle: 'string',
  interval: 'string',
  point: 'string',
};

/**
 * The text of the types: kysely-codegen transforms and serializes the relations with what `learn`
 * found. The text does not depend on the locale of this process. kysely-codegen gets no name of the
 * database: it would take some for its own, such as a table called constructor or text.
 * Throws `package-missing` when kysely-codegen, or TypeScript, which it needs, is not installed, and
 * `unusable-name`.
 */
export async function renderTypes(
  relations: readonly Relation[],
  knowledge: ReadonlyMap<string, ColumnKnowledge>,
): Promise<string> {
  refuseUnusable(relations);
  const codegen = await loadCodegen();
  const dialect = new codegen.PostgresDialect({ numericParser: 'string', dateParser: 'timestamp' });
  const definitions: Codegen.Definitions = dialect.adapter.definitions;
  for (const { name, shape } of Object.values(jsonShapes)) {
    definitions[name] = new codegen.RawExpressionNode(shape);
  }
  const enums = enumsOf(relations);
  const names = chooseNames([...relations.map(({ name }) => name), ...enums.keys()], {
    convert: codegen.toKyselyPascalCase,
    taken: [
      ...Object.keys(definitions),
      ...Object.keys(codegen.GLOBAL_DEFINITIONS),
      ...importedNames,
      ...hiddenGlobals,
    ],
  });
  const nameOf = (id: string) => names.get(id) ?? id;
  for (const [id, words] of enums) {
    const union = words.toSorted(compareText).map((word) => JSON.stringify(word));
    definitions[nameOf(id)] = new codegen.RawExpressionNode(union.join(' | ') || 'never');
  }
  const overrides: Record<string, string> = {};
  const tables = relations.map(({ name: table, columns }) => {
    const symbol = nameOf(table);
    const described = columns.map((column) => {
      const known = knowledge.get(`${table}.${column.name}`);
      const metadata = columnOf(column, { known, scalars: dialect.adapter.scalars });
      const enumId = enumIdOf(column.valueType);
      const override = overrideOf(new codegen.ColumnMetadata(metadata), dialect, {
        source: known?.source ?? `${table}.${column.name}`,
        isReadOnly: known?.isReadOnly === true,
        arrayDepth: column.valueType.arrayDepth,
        enumName: enumId === undefined ? undefined : nameOf(enumId),
      });
      if (override !== undefined) overrides[`${symbol}.${column.name}`] = override;
      return metadata;
    });
    return { name: symbol, schema: 'public', columns: described };
  });
  return codegen.serializeFromMetadata({
    metadata: new codegen.DatabaseMetadata({ tables }),
    dialect,
    overrides: { columns: overrides },
    typeMapping,
    customImports: { GeneratedAlways: 'kysely', SelectType: 'kysely' },
    serializer: new (stableSerializer(codegen, relations, nameOf))({ typeOnlyImports: true }),
  });
}

/** Names that the file imports, and that of its last interface. */
const importedNames =
  'ColumnType DB GeneratedAlways IPostgresInterval JSONColumnType SelectType'.split(' ');

/** Types of TypeScript that the file uses, or that a reader would take for those. */
const hiddenGlobals = (
  'Array ArrayBuffer BigInt Boolean Buffer Date Error Exclude Extract Function Map NonNullable Number ' +
  'Object Omit Partial Pick Promise Readonly ReadonlyArray Record Required Set String Symbol Uint8Array'
).split(' ');

/** The words of each enum, by the id that `enumIdOf` gives it. */
function enumsOf(relations: readonly Relation[]): ReadonlyMap<string, readonly string[]> {
  const types = relations.flatMap(({ columns }) => columns.map(({ valueType }) => valueType));
  return new Map(
    types.flatMap((type) => {
      const id = enumIdOf(type);
      return id === undefined || type.words === null ? [] : [[id, type.words] as const];
    }),
  );
}

/** undefined for a type that is no enum. No table has this id: `refuseUnusable` refuses dots. */
function enumIdOf({ schema, name, words }: ValueType): string | undefined {
  if (words === null) return undefined;
  return schema === 'public' ? name : `${schema}.${name}`;
}

/** Kysely reads `a.b` as a table of schema a, and `a as b` as an alias. A row cannot have `__proto__`. */
function refuseUnusable(relations: readonly Relation[]): void {
  const tables = relations.filter(({ name }) => /\.| as /.test(name));
  const columns = relations.flatMap(({ name: table, columns }) =>
    columns.filter(({ name }) => name === '__proto__').map(({ name }) => `${table}.${name}`),
  );
  const names = [...tables.map(({ name }) => name), ...columns];
  if (names.length === 0) return;
  throw new CryptosenseDbError(
    'unusable-name',
    {
      message: `these names cannot be used through Kysely: ${names.map((name) => JSON.stringify(name)).join(', ')}`,
      hint: 'rename the table or the column',
    },
    { details: { names } },
  );
}

async function loadCodegen(): Promise<typeof Codegen> {
  try {
    // Reads only the version: loading the compiler takes half as long as all other work.
    requireParser(createRequire(import.meta.url)('typescript/package.json'));
    return await import('kysely-codegen');
  } catch (cause) {
    throw isError(cause) ? cause : packageMissing('kysely-codegen', messageOf(cause), cause);
  }
}

/** kysely-codegen uses TypeScript's parser, which TypeScript 7 does not export. */
export function requireParser({ version }: { readonly version: string }): void {
  if (Number.parseInt(version, 10) < 7) return;
  throw packageMissing('typescript', `it needs TypeScript 5 or 6, and ${version} is installed`);
}

function packageMissing(name: string, evidence: string, cause?: unknown) {
  return new CryptosenseDbError(
    'package-missing',
    {
      message: 'kysely-codegen, which generates the types, cannot be loaded',
      evidence: [evidence],
      hint: 'npm install --save-dev kysely-codegen@0.20.0 typescript@5',
    },
    { details: { package: name }, cause },
  );
}

/** A column in the terms of kysely-codegen. */
function columnOf(
  { name, isNullable, identity, comment, valueType, ...column }: Column,
  {
    known,
    scalars,
  }: {
    readonly known: ColumnKnowledge | undefined;
    readonly scalars: Codegen.Adapter['scalars'];
  },
): Codegen.ColumnMetadataOptions {
  const isOwn = valueType.schema === 'pg_catalog' && Object.hasOwn(scalars, valueType.name);
  // A type that kysely-codegen does not know arrives as text, such as a range or a row.
  const dataType = isOwn ? valueType.name : 'text';
  const isArray = valueType.arrayDepth > 0;
  const hasWords = isOwn && textTypes.has(dataType) && !isArray;
  return {
    name,
    dataType,
    dataTypeSchema: 'pg_catalog',
    enumValues: hasWords && known?.words ? [...known.words] : null,
    isArray,
    isNullable: isNullable && known?.isNeverNull !== true,
    isAutoIncrementing: identity !== null,
    hasDefaultValue:
      column.default !== null ||
      column.generated !== null ||
      column.hasTypeDefault ||
      identity !== null,
    ...(comment !== null && { comment: withoutEnd(comment) }),
  };
}

/** Escapes the end of a comment, which would end the comment in the file. */
function withoutEnd(comment: string): string {
  return comment.replaceAll('*/', '*\\/');
}

/** The type of a column that kysely-codegen gets wrong, or does not get to see; undefined otherwise. */
function overrideOf(
  column: Codegen.ColumnMetadata,
  { adapter }: Codegen.PostgresDialect,
  {
    source,
    isReadOnly,
    arrayDepth,
    enumName,
  }: {
    readonly source: string;
    readonly isReadOnly: boolean;
    readonly arrayDepth: number;
    readonly enumName: string | undefined;
  },
): string | undefined {
  const isShaped = /^jsonb?$/.test(column.dataType) && arrayDepth === 0;
  const shape = isShaped && Object.hasOwn(jsonShapes, source) ? jsonShapes[source] : undefined;
  const orNull = (type: string) => (column.isNullable ? `${type} | null` : type);
  if (isReadOnly) {
    const one = enumName ?? shape?.name ?? selectType(column, adapter);
    return `GeneratedAlways<${orNull(`${arrayDepth > 0 ? `(${one})` : one}${'[]'.repeat(arrayDepth)}`)}>`;
  }
  // An array within an array: of a domain that is an array itself.
  const type = arrayDepth > 1 ? `unknown${'[]'.repeat(arrayDepth)}` : (enumName ?? shape?.name);
  if (type === undefined) return undefined;
  const all = orNull(enumName !== undefined && arrayDepth === 1 ? `ArrayType<${type}>` : type);
  return column.hasDefaultValue ? `Generated<${all}>` : all;
}

/** The type of one value of the column, or of an item of its array, when it is read. */
function selectType(
  { dataType, enumValues }: Codegen.ColumnMetadata,
  { scalars, definitions }: Codegen.Adapter,
): string {
  const scalar = scalars[dataType];
  const name = scalar?.type === 'Identifier' ? scalar.name : 'string';
  const mapped = typeMapping[dataType] ?? name;
  const one = definitions[mapped] ? `SelectType<${mapped}>` : mapped;
  return enumValues?.map((word) => JSON.stringify(word)).join(' | ') ?? one;
}

/**
 * kysely-codegen's serializer with an order that does not depend on the locale, the names and comments
 * of tables, and a header that names the tool.
 */
function stableSerializer(
  { PropertyNode, TypeScriptSerializer }: typeof Codegen,
  relations: readonly Relation[],
  nameOf: (table: string) => string,
): typeof Codegen.TypeScriptSerializer {
  const relationOf = new Map(relations.map((relation) => [nameOf(relation.name), relation]));
  return class extends TypeScriptSerializer {
    override serializeFile(...parameters: Parameters<Codegen.Serializer['serializeFile']>) {
      const text = super.serializeFile(...parameters);
      return text.replace(/^\/\*\*.*?\*\/\n/s, header);
    }

    override serializeStatements(nodes: Codegen.StatementNode[]) {
      return super.serializeStatements(
        nodes.toSorted((a, b) => compareText(sortKey(a), sortKey(b))),
      );
    }

    override serializeExportStatement(node: Codegen.ExportStatementNode) {
      const comment = relationOf.get(node.argument.id.name)?.comment;
      return `${comment ? docComment(comment) : ''}${super.serializeExportStatement(node)}`;
    }

    override serializeInterfaceDeclaration(node: Codegen.InterfaceDeclarationNode) {
      if (node.id.name !== 'DB') return super.serializeInterfaceDeclaration(node);
      const properties = node.body.properties.map(
        ({ key, value }) => new PropertyNode(relationOf.get(key)?.name ?? key, value),
      );
      return super.serializeInterfaceDeclaration({ ...node, body: { ...node.body, properties } });
    }

    override serializeObjectExpression({ properties }: Codegen.ObjectExpressionNode) {
      const sorted = properties.toSorted((a, b) => compareText(a.key, b.key));
      const lines = sorted.map((property) => `  ${this.serializeProperty(property)}`);
      return `{\n${lines.join('')}}`;
    }
  };
}

const header = `/**
 * Generated from the database by cryptosense-db types generate, through kysely-codegen.
 * Not for editing by hand.
 */
`;

function docComment(comment: string): string {
  const lines = withoutEnd(comment).split(/\r?\n/);
  return `/**\n${lines.map((line) => ` * ${line}`.trimEnd()).join('\n')}\n */\n`;
}

/** Orders imports first, then aliases and interfaces; the list of tables is last. */
function sortKey(node: Codegen.StatementNode): string {
  if (node.type === 'ImportStatement') return `1 ${node.moduleName}`;
  const { name } = node.argument.id;
  if (node.argument.type !== 'InterfaceDeclaration') return `2 ${name}`;
  return `${name === 'DB' ? 4 : 3} ${name}`;
}
