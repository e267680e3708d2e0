import { createRequire } from 'node:module';
import type { Kysely } from 'kysely';
import type * as Codegen from 'kysely-codegen';
import { CryptosenseDbError, isError, messageOf } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import type { Column, Relation } from '../schema/catalog.ts';
import { textTypes } from './check-words.ts';
import type { ColumnKnowledge } from './knowledge.ts';

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
 * found. The text does not depend on the locale of this process.
 * Throws `package-missing` when kysely-codegen, or TypeScript, which it needs, is not installed, and
 * `name-taken`.
 */
export async function renderTypes(
  relations: readonly Relation[],
  knowledge: ReadonlyMap<string, ColumnKnowledge>,
  db: Kysely<unknown>,
): Promise<string> {
  const codegen = await loadCodegen();
  const dialect = new codegen.PostgresDialect({ numericParser: 'string', dateParser: 'timestamp' });
  const definitions: Codegen.Definitions = dialect.adapter.definitions;
  for (const { name, shape } of Object.values(jsonShapes)) {
    definitions[name] = new codegen.RawExpressionNode(shape);
  }
  const metadata = await introspect(codegen, relations, db);
  const columns: Record<string, string> = {};
  for (const table of metadata.tables) {
    for (const column of table.columns) {
      const path = `${table.name}.${column.name}`;
      const known = knowledge.get(path);
      if (known?.isNeverNull) column.isNullable = false;
      if (known?.words && textTypes.has(column.dataType) && !column.isArray) {
        column.enumValues = [...known.words];
      }
      const override = overrideOf(column, dialect, {
        source: known?.source ?? path,
        isReadOnly: known?.isReadOnly === true,
      });
      if (override !== undefined) columns[path] = override;
    }
  }
  const text = codegen.serializeFromMetadata({
    metadata,
    dialect,
    overrides: { columns },
    typeMapping,
    customImports: { GeneratedAlways: 'kysely', SelectType: 'kysely' },
    serializer: new (stableSerializer(codegen, relations))({ typeOnlyImports: true }),
  });
  refuseTaken(text, definitions);
  return text;
}

/** Names that the file declares or imports besides the definitions of its dialect. */
const ownNames = 'ArrayType ArrayTypeImpl ColumnType DB Generated GeneratedAlways SelectType'.split(
  ' ',
);

/** The interface of a table called "DB" or array_type would have the name of a type in the file. */
function refuseTaken(text: string, definitions: Codegen.Definitions): void {
  const interfaces = [...text.matchAll(/^export interface (\S+) /gm)].map(([, name = '']) => name);
  const taken = new Set([...Object.keys(definitions), ...ownNames]);
  // The last interface is the list of tables.
  const names = interfaces.slice(0, -1).filter((name) => taken.has(name));
  if (names.length === 0) return;
  throw new CryptosenseDbError(
    'name-taken',
    {
      message: `the type of a table would be named ${names.join(', ')}, which the file of types uses itself`,
      hint: 'rename the table',
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

type Introspector = InstanceType<typeof Codegen.PostgresIntrospector>;

/**
 * kysely-codegen reads domains and enums; this tool reads the tables, because kysely-codegen would read
 * every chunk of TimescaleDB and the tables of extensions.
 */
async function introspect(
  { PostgresIntrospector }: typeof Codegen,
  relations: readonly Relation[],
  db: Kysely<unknown>,
): Promise<Codegen.DatabaseMetadata> {
  class CatalogIntrospector extends PostgresIntrospector {
    protected override getTables() {
      return Promise.resolve(relations.map(tableOf));
    }
    override async introspectEnums(...parameters: Parameters<Introspector['introspectEnums']>) {
      const enums = await super.introspectEnums(...parameters);
      const wordsOf = enums.get.bind(enums);
      // Its own order depends on the locale of the process.
      enums.get = (key) => wordsOf(key)?.toSorted(compareText) ?? null;
      return enums;
    }
    override introspectPartitions() {
      return Promise.resolve([]);
    }
    override introspectMaterializedViews() {
      return Promise.resolve([]);
    }
  }
  // To TypeScript, kysely's declarations for CommonJS and for ECMAScript modules are two types.
  return new CatalogIntrospector().introspect({ db: db as never });
}

function tableOf({ name, kind, columns }: Relation) {
  const isView = kind === 'view' || kind === 'materialized view';
  return { name, schema: 'public', isView, isForeign: false, columns: columns.map(columnOf) };
}

function columnOf(column: Column) {
  const { name, isNullable, identity, comment } = column;
  return {
    name,
    dataType: dataTypeOf(column),
    dataTypeSchema: column.typeSchema,
    isNullable,
    isAutoIncrementing: identity !== null,
    hasDefaultValue:
      column.default !== null ||
      column.generated !== null ||
      column.hasTypeDefault ||
      identity !== null,
    ...(comment !== null && { comment: withoutEnd(comment) }),
  };
}

/** The driver returns a row of a table as text. */
function dataTypeOf({ type, typeName, isComposite }: Column): string {
  if (!isComposite) return typeName;
  return type.endsWith('[]') ? '_text' : 'text';
}

/** Escapes the end of a comment, which would end the comment in the file. */
function withoutEnd(comment: string): string {
  return comment.replaceAll('*/', '*\\/');
}

/** The type of a column that kysely-codegen gets wrong; undefined otherwise. */
function overrideOf(
  column: Codegen.ColumnMetadata,
  { adapter }: Codegen.PostgresDialect,
  { source, isReadOnly }: { readonly source: string; readonly isReadOnly: boolean },
): string | undefined {
  const shape =
    /^jsonb?$/.test(column.dataType) && !column.isArray ? jsonShapes[source] : undefined;
  const orNull = (type: string) => (column.isNullable ? `${type} | null` : type);
  if (isReadOnly) return `GeneratedAlways<${orNull(shape?.name ?? selectType(column, adapter))}>`;
  if (!shape) return undefined;
  return column.hasDefaultValue ? `Generated<${orNull(shape.name)}>` : orNull(shape.name);
}

function selectType(
  { dataType, isArray, enumValues }: Codegen.ColumnMetadata,
  { scalars, definitions }: Codegen.Adapter,
): string {
  const scalar = scalars[dataType];
  const name = scalar?.type === 'Identifier' ? scalar.name : 'string';
  const mapped = typeMapping[dataType] ?? name;
  const one = definitions[mapped] ? `SelectType<${mapped}>` : mapped;
  const words = enumValues?.map((word) => JSON.stringify(word)).join(' | ') ?? one;
  return isArray ? `(${words})[]` : words;
}

/**
 * kysely-codegen's serializer with an order that does not depend on the locale, comments on tables, and
 * a header that names the tool.
 */
function stableSerializer(
  { TypeScriptSerializer }: typeof Codegen,
  relations: readonly Relation[],
): typeof Codegen.TypeScriptSerializer {
  const comments = new Map(relations.map(({ name, comment }) => [name, comment]));
  return class extends TypeScriptSerializer {
    #tableOf: ReadonlyMap<string, string> = new Map();

    override serializeFile(...parameters: Parameters<Codegen.Serializer['serializeFile']>) {
      const text = super.serializeFile(...parameters);
      return text.replace(/^\/\*\*.*?\*\/\n/s, header);
    }

    override serializeStatements(nodes: Codegen.StatementNode[]) {
      const database = nodes.at(-1);
      this.#tableOf = database ? tablesBySymbol(database) : new Map();
      return super.serializeStatements(
        nodes.toSorted((a, b) => compareText(sortKey(a), sortKey(b))),
      );
    }

    override serializeExportStatement(node: Codegen.ExportStatementNode) {
      const table = this.#tableOf.get(node.argument.id.name);
      const comment = table === undefined ? undefined : comments.get(table);
      return `${comment ? docComment(comment) : ''}${super.serializeExportStatement(node)}`;
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

/** Interface → table. In the last interface each property is a table, and its type the interface. */
function tablesBySymbol(database: Codegen.StatementNode): ReadonlyMap<string, string> {
  const body =
    database.type === 'ExportStatement' && database.argument.type === 'InterfaceDeclaration'
      ? database.argument.body.properties
      : [];
  return new Map(
    body.flatMap(({ key, value }) => (value.type === 'Identifier' ? [[value.name, key]] : [])),
  );
}

/** Orders imports first, then aliases and interfaces; the list of tables is last. */
function sortKey(node: Codegen.StatementNode): string {
  if (node.type === 'ImportStatement') return `1 ${node.moduleName}`;
  const { name } = node.argument.id;
  if (node.argument.type !== 'InterfaceDeclaration') return `2 ${name}`;
  return `${name === 'DB' ? 4 : 3} ${name}`;
}
