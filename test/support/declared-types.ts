import { join } from 'node:path';
import ts from 'typescript';

/** The type that a column is declared to have when it is read. */
export interface DeclaredTypes {
  /** Tables and views, each with the names of its columns. */
  readonly tables: ReadonlyMap<string, readonly string[]>;
  /** Why a value is not of the column's declared type; undefined when it is. */
  readonly mismatch: (table: string, column: string, value: unknown) => string | undefined;
}

const root = join(import.meta.dirname, '../..');

const rowsPath = join(root, 'test/support/rows.virtual.ts');
const typesPath = join(root, 'test/support/types.virtual.ts');
const rows = `
  import type { Selectable } from 'kysely';
  import type { DB } from './types.virtual.ts';
  export type Rows = { [Table in keyof DB]: Selectable<DB[Table]> };
`;

/** Asks the TypeScript compiler what `Selectable<DB[table]>[column]` is in a text of types. */
export function readDeclaredTypes(text: string): DeclaredTypes {
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts'],
    types: ['node'],
  };
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists } = host;
  const virtual = new Map([
    [rowsPath, rows],
    [typesPath, text],
  ]);
  host.readFile = (path) => virtual.get(path) ?? readFile.call(host, path);
  host.fileExists = (path) => virtual.has(path) || fileExists.call(host, path);
  const program = ts.createProgram([rowsPath], options, host);
  const faults = ts.getPreEmitDiagnostics(program);
  if (faults.length > 0) throw new Error(ts.formatDiagnostics(faults, { ...host }));
  const checker = program.getTypeChecker();
  const statement = program.getSourceFile(rowsPath)?.statements.find(ts.isTypeAliasDeclaration);
  if (!statement) throw new Error('no type of rows');
  const propertiesOf = (type: ts.Type) =>
    new Map(
      type
        .getProperties()
        .map((symbol) => [symbol.name, checker.getTypeOfSymbolAtLocation(symbol, statement)]),
    );
  const tables = new Map(
    [...propertiesOf(checker.getTypeAtLocation(statement))].map(([table, type]) => [
      table,
      propertiesOf(type),
    ]),
  );

  const accepts = (type: ts.Type, value: unknown): boolean => {
    if (type.isUnion()) return type.types.some((part) => accepts(part, value));
    if (type.isIntersection()) return type.types.every((part) => accepts(part, value));
    if (type.isStringLiteral()) return value === type.value;
    if (type.flags & ts.TypeFlags.BooleanLiteral) {
      return checker.typeToString(type) === String(value) && typeof value === 'boolean';
    }
    if (type.flags & ts.TypeFlags.String) return typeof value === 'string';
    if (type.flags & ts.TypeFlags.Number) return typeof value === 'number';
    if (type.flags & ts.TypeFlags.Null) return value === null;
    if (type.flags & ts.TypeFlags.Undefined) return value === undefined;
    if (type.symbol?.name === 'Buffer') return Buffer.isBuffer(value);
    if (type.symbol?.name === 'Date') return value instanceof Date && !Number.isNaN(+value);
    if (checker.isArrayType(type)) {
      const [element] = checker.getTypeArguments(type as ts.TypeReference);
      return Array.isArray(value) && value.every((item) => element && accepts(element, item));
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    const declared = propertiesOf(type);
    const index = checker.getIndexTypeOfType(type, ts.IndexKind.String);
    const entries = new Map<string, unknown>(Object.entries(value));
    return (
      [...declared].every(([name, property]) => accepts(property, entries.get(name))) &&
      (index === undefined || [...entries.values()].every((item) => accepts(index, item)))
    );
  };

  return {
    tables: new Map([...tables].map(([table, columns]) => [table, [...columns.keys()]])),
    mismatch: (table, column, value) => {
      const type = tables.get(table)?.get(column);
      if (!type) return `${table}.${column} is not declared`;
      if (accepts(type, value)) return undefined;
      const found = value instanceof Date ? 'a Date' : JSON.stringify(value);
      return `${table}.${column} is declared as ${checker.typeToString(type)}, and is ${found}`;
    },
  };
}
