import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'seeds/README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
].map((path) => ({ path, text: readFileSync(path, 'utf8') }));

it('README.md has at most 160 lines', () => {
  expect(readFileSync('README.md', 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(160);
});

it('every link names a file and a heading that exist', () => {
  const links = find(/\]\(((?!https?:)[^)\s]+)\)|<img src="([^"]+)"/g);
  expect(links).not.toHaveLength(0);
  expect(links.filter(({ path, found }) => !isLinkable(found, path))).toEqual([]);
});

it('every command exists, with its options', () => {
  const shown = find(/npx cryptosense-db ([^`)#|>\n]+)/g);
  expect(shown).not.toHaveLength(0);
  const helps = readHelps();
  expect(shown.filter(({ found }) => !isCommand(found, helps))).toEqual([]);
});

it('every script of npm exists', () => {
  const shown = find(/npm run ([\w:]+)/g);
  expect(shown).not.toHaveLength(0);
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
  expect(shown.filter(({ found }) => !Object.hasOwn(scripts, found))).toEqual([]);
});

it('every TypeScript example compiles in strict mode', () => {
  const examples = find(/^```ts\n([\s\S]*?)^```$/gm);
  expect(examples).not.toHaveLength(0);
  const sources = examples.map(
    ({ path, found }, index) => [exampleName(path, index), found] as const,
  );
  expect(compile(new Map(sources))).toEqual([]);
});

/** What a pattern's groups match in all pages. */
function find(pattern: RegExp): readonly { readonly path: string; readonly found: string }[] {
  return pages.flatMap(({ path, text }) =>
    [...text.matchAll(pattern)].map(([, ...groups]) => ({
      path,
      found: groups.find((group) => group !== undefined) ?? '',
    })),
  );
}

function isLinkable(link: string, from: string): boolean {
  const [file = '', heading] = link.split('#');
  const target = file === '' ? from : join(dirname(from), file);
  if (!existsSync(target)) return false;
  return heading === undefined || anchorsOf(readFileSync(target, 'utf8')).includes(heading);
}

/** As GitHub names the headings of a page. */
function anchorsOf(text: string): readonly string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  );
}

/** The help of each command, by the command's name. */
function readHelps(): ReadonlyMap<string, string> {
  const sections = readFileSync('docs/commands.md', 'utf8').matchAll(
    /^## cryptosense-db ?(.*)\n\n```text\n([\s\S]*?)^```$/gm,
  );
  return new Map([...sections].map(([, command = '', help = '']) => [command, help]));
}

function isCommand(line: string, helps: ReadonlyMap<string, string>): boolean {
  const words = line.trim().split(/\s+/);
  const help = helps.get(words.slice(0, 2).join(' ')) ?? helps.get(words[0] ?? '');
  const flags = words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]);
  return help !== undefined && flags.every((flag) => new RegExp(`^  ${flag}\\b`, 'm').test(help));
}

/** In the folder of its page, which its relative imports start from. */
function exampleName(path: string, number: number): string {
  // A seeder of the guide for seeders is a file beside the others.
  const folder = path === 'seeds/README.md' ? 'seeds/dev' : dirname(path);
  return resolve(folder, `${path.replaceAll(/\W/g, '-')}-${number}.ts`);
}

/** What the compiler says of the sources, which stand in no folder. They see the package as it was built. */
function compile(sources: ReadonlyMap<string, string>): readonly string[] {
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    skipLibCheck: true,
    allowImportingTsExtensions: true,
  };
  const host = ts.createCompilerHost(options);
  const files: ts.CompilerHost = {
    ...host,
    fileExists: (name) => sources.has(name) || host.fileExists(name),
    readFile: (name) => sources.get(name) ?? host.readFile(name),
    getSourceFile: (name, ...rest) => {
      const text = sources.get(name);
      return text === undefined
        ? host.getSourceFile(name, ...rest)
        : ts.createSourceFile(name, text, ts.ScriptTarget.ES2023);
    },
  };
  const program = ts.createProgram([...sources.keys()], options, files);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) =>
    ts
      .formatDiagnostic(diagnostic, {
        getCanonicalFileName: (name) => name,
        getCurrentDirectory: () => process.cwd(),
        getNewLine: () => '\n',
      })
      .trim(),
  );
}
