import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/**
 * The folders and files at the top of `src/`, highest layer first. A module imports from its own folder and from
 * lower layers. Within a layer only `neighbours` may be imported.
 */
const layers: readonly (readonly string[])[] = [
  ['cli.ts', 'index.ts', 'client.ts', 'cache.ts', 'testing.ts'],
  ['typed-database.ts', 'commands', 'ui'],
  [
    'backup',
    'benchmark',
    'cache',
    'databases',
    'doctor',
    'inspect',
    'market',
    'migrations',
    'prices',
    'schema',
    'seeding',
    'test-databases',
    'types',
  ],
  ['config.ts', 'ledger'],
  ['database', 'sql'],
  ['runtime'],
];

/** The imports within a layer, as docs/architecture.md draws them. */
const neighbours: Readonly<Record<string, readonly string[]>> = {
  'index.ts': ['typed-database.ts'],
  commands: ['ui'],
  backup: ['benchmark'],
  databases: ['migrations'],
  doctor: ['backup', 'cache', 'inspect', 'migrations', 'schema'],
  inspect: ['prices'],
  prices: ['market'],
  schema: ['inspect', 'migrations', 'seeding', 'test-databases'],
  seeding: ['cache', 'market', 'migrations', 'prices'],
  'test-databases': ['cache', 'migrations', 'seeding'],
  types: ['migrations', 'schema'],
};

/** The modules that one feature offers to the others. */
const publicModules = [
  'src/inspect/inspect.ts',
  'src/inspect/invalid-indexes.ts',
  'src/inspect/questions/chunks.ts',
  'src/inspect/questions/jobs.ts',
  'src/inspect/sight.ts',
  'src/backup/backup.ts',
  'src/benchmark/service-queries.ts',
  'src/cache/cache.ts',
  'src/cache/connection.ts',
  'src/cache/facts.ts',
  'src/cache/fill.ts',
  'src/cache/keyspace.ts',
  'src/cache/scan.ts',
  'src/cache/target.ts',
  'src/market/access.ts',
  'src/market/market.ts',
  'src/market/obtain.ts',
  'src/market/price-files.ts',
  'src/market/prices.ts',
  'src/market/sources.ts',
  'src/migrations/effects.ts',
  'src/migrations/elsewhere.ts',
  'src/migrations/migrate.ts',
  'src/migrations/pending.ts',
  'src/migrations/scripts.ts',
  'src/migrations/source.ts',
  'src/prices/presence.ts',
  'src/prices/sink.ts',
  'src/prices/status.ts',
  'src/schema/catalog.ts',
  'src/schema/schema.ts',
  'src/seeding/seed.ts',
  'src/test-databases/empty.ts',
  'src/test-databases/test-database.ts',
];

/** Packages, and what Node offers, with the modules or folders that alone may use them. */
const users: Readonly<Record<string, readonly string[]>> = {
  postgres: ['src/database/client.ts'],
  'libpg-query': ['src/sql/parse.ts'],
  '@aws-sdk/client-s3': ['src/backup/s3-'],
  '@redis/client': ['src/cache/connection.ts'],
  'age-encryption': ['src/backup/encryption.ts'],
  'elkjs/lib/elk.bundled.js': ['src/schema/diagram/layout.ts'],
  ora: ['src/ui/output.ts'],
  chalk: ['src/ui/'],
  commander: ['src/cli.ts', 'src/commands/program.ts'],
  '@bomb.sh/tab': ['src/commands/completion.ts'],
  'node:child_process': ['src/runtime/child-process.ts'],
  'process.env': ['src/config.ts', 'src/cli.ts', 'src/runtime/child-process.ts'],
};

interface Import {
  readonly from: string;
  /** A path from the repository's root, the name of a package, or `process.env`. */
  readonly to: string;
  readonly isType: boolean;
}

const files = ['src', 'seeds'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`),
);
const imports = files.flatMap(importsOf);

function importsOf(from: string): readonly Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, isType: boolean) => {
    if (!specifier || !ts.isStringLiteral(specifier)) return;
    const { text } = specifier;
    found.push({ from, to: text.startsWith('.') ? join(from, '..', text) : text, isType });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const { name, namedBindings, isTypeOnly } = node.importClause ?? {};
      const names = namedBindings && ts.isNamedImports(namedBindings) ? namedBindings.elements : [];
      const areTypes = !name && names.length > 0 && names.every((each) => each.isTypeOnly);
      add(node.moduleSpecifier, isTypeOnly || areTypes);
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isCallExpression(node) && isLoading(node.expression)) {
      add(node.arguments[0], false);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, true);
    } else if (isEnvironment(node)) {
      found.push({ from, to: 'process.env', isType: false });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(from, readFileSync(from, 'utf8'), ts.ScriptTarget.ES2023, true));
  return found;
}

/** `import(…)` or `require(…)`. */
function isLoading(callee: ts.Expression): boolean {
  return callee.kind === ts.SyntaxKind.ImportKeyword || callee.getText() === 'require';
}

/** `process.env`, or `const { env } = process`. */
function isEnvironment(node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) return node.getText() === 'process.env';
  return (
    ts.isVariableDeclaration(node) &&
    node.initializer?.getText() === 'process' &&
    /\benv\b/.test(node.name.getText())
  );
}

/** `ledger` for src/ledger/ledger.ts, `cli.ts` for src/cli.ts, `seeds` for all of seeds/. */
function partOf(path: string): string {
  const [folder = '', part = ''] = path.split('/');
  return folder === 'seeds' ? folder : part;
}

function layerOf(path: string): number {
  return layers.findIndex((parts) => parts.includes(partOf(path)));
}

const isOwn = ({ to }: Import) => to.startsWith('src/') || to.startsWith('seeds/');
const isFeature = (path: string) => layerOf(path) === layerOf('src/migrations/migrate.ts');
const between = imports.filter((each) => isOwn(each) && partOf(each.from) !== partOf(each.to));
const ofSource = between.filter(({ from }) => from.startsWith('src/'));

/** The imports as `from → to`, each once. */
function named(found: readonly Import[]): readonly string[] {
  return [...new Set(found.map(({ from, to }) => `${from} → ${to}`))];
}

/** All modules that are loaded with this one, at once or later. */
function loadedWith(path: string, loaded = new Set<string>()): ReadonlySet<string> {
  if (loaded.has(path)) return loaded;
  loaded.add(path);
  for (const each of imports) {
    if (each.from === path && !each.isType && isOwn(each)) loadedWith(each.to, loaded);
  }
  return loaded;
}

/** The modules of the first cycle in the import graph, or none. */
function findCycle(): readonly string[] {
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): readonly string[] => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return [];
    for (const { from, to } of imports) {
      const cycle = from === path ? visit(to, [...way, path]) : [];
      if (cycle.length > 0) return cycle;
    }
    done.add(path);
    return [];
  };
  return files.map((path) => visit(path, [])).find((cycle) => cycle.length > 0) ?? [];
}

describe('the import graph of src/', () => {
  it('assigns a layer to every folder and every file at the top of src/', () => {
    const parts = files.filter((path) => path.startsWith('src/')).map(partOf);
    expect(new Set(parts)).toEqual(new Set(layers.flat()));
  });

  it('has no import from a lower layer to a higher layer', () => {
    const upward = ofSource.filter(({ from, to }) => layerOf(to) < layerOf(from));
    expect(named(upward)).toEqual([]);
  });

  it('has imports within a layer along the arrows only, and uses each arrow', () => {
    const sideward = ofSource.filter(({ from, to }) => layerOf(to) === layerOf(from));
    const undrawn = sideward.filter(({ from, to }) => {
      return !(neighbours[partOf(from)] ?? []).includes(partOf(to));
    });
    expect(named(undrawn)).toEqual([]);
    const drawn = Object.entries(neighbours).flatMap(([from, parts]) =>
      parts.map((to) => `${from} → ${to}`),
    );
    const used = new Set(between.map(({ from, to }) => `${partOf(from)} → ${partOf(to)}`));
    expect(drawn.filter((arrow) => !used.has(arrow))).toEqual([]);
  });

  it('has no cycle', () => {
    expect(findCycle()).toEqual([]);
  });

  it('has imports between features through their public modules only', () => {
    const entering = ofSource.filter(({ from, to }) => isFeature(from) && isFeature(to));
    expect(named(entering.filter(({ to }) => !publicModules.includes(to)))).toEqual([]);
    expect(publicModules.filter((module) => !entering.some(({ to }) => to === module))).toEqual([]);
  });

  it('lets ui/ import only types, and code from runtime/', () => {
    const code = ofSource.filter(({ from, isType }) => partOf(from) === 'ui' && !isType);
    expect(named(code.filter(({ to }) => partOf(to) !== 'runtime'))).toEqual([]);
  });

  it('lets the seeders of seeds/ import only types of seeding/', () => {
    const seeders = between.filter(({ from }) => partOf(from) === 'seeds');
    const others = seeders.filter(({ to, isType }) => !isType || partOf(to) !== 'seeding');
    expect(named(others)).toEqual([]);
  });

  it.each(Object.entries(users))('uses %s only in %j', (name, places) => {
    const uses = imports.filter(
      ({ from, to, isType }) => to === name && !isType && from.startsWith('src/'),
    );
    expect(uses).not.toEqual([]);
    const others = uses.filter(({ from }) => !places.some((place) => from.startsWith(place)));
    expect(named(others)).toEqual([]);
  });

  it('does not lead from the generation of types to the code that applies migrations', () => {
    const loaded = loadedWith('src/types/generate.ts');
    expect(loaded).toContain('src/schema/catalog.ts');
    expect(loaded).not.toContain('src/migrations/migrate.ts');
    expect(loaded).not.toContain('src/migrations/apply.ts');
  });
});

it('docs/architecture.md draws the same layers and arrows', () => {
  const page = readFileSync('docs/architecture.md', 'utf8');
  const drawn = [...page.matchAll(/^ +subgraph .*\n((?: +[\w.-]+\n)+) +end$/gm)];
  expect(drawn.map(([, parts = '']) => parts.trim().split(/\s+/))).toEqual(layers);
  const arrows = Object.entries(neighbours).flatMap(([from, parts]) =>
    parts.map((to) => `${from} --> ${to}`),
  );
  expect([...page.matchAll(/^ +(\S+ --> \S+)$/gm)].map(([, arrow]) => arrow)).toEqual(arrows);
});
