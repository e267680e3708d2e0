import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defineConfig, type Options } from 'tsup';
import { encodePackagedScripts } from './src/migrations/packaged-scripts.ts';
import { filesOf, readMigrations, resolveFolders } from './src/migrations/source.ts';
import { parseScripts } from './src/migrations/statements.ts';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

/**
 * Three builds. The library keeps its dependencies outside, so that a program which uses them too
 * has one copy. The command line is one CommonJS file with the packages it always needs inside:
 * Node takes twice as long to load the same code as ECMAScript modules from many files. What only
 * some commands use (the parser, the spinner, the embedded engine) stays outside and is loaded late.
 * What is Node's own stays named so (`node:`): bundlers and Vitest know it by that alone.
 * The packaged schema is parsed here once, so that applying it need not.
 * The seeders are files that are discovered by their names, with what they share, and Faker, beside them.
 */
export default defineConfig([
  {
    entry: { index: 'src/index.ts', testing: 'src/testing.ts' },
    format: 'esm',
    target: 'node20',
    removeNodeProtocol: false,
    clean: ['!cli.cjs', '!packaged-scripts.json', '!THIRD_PARTY_LICENSES.txt', '!seeds'],
    dts: true,
  },
  {
    entry: { cli: 'src/cli.ts' },
    format: 'cjs',
    target: 'node20',
    removeNodeProtocol: false,
    // Not by `shims`, whose URL is wrong for a path with a # or a % in it.
    banner: {
      js: `"use strict";const importMetaUrl=require('node:url').pathToFileURL(__filename).href;`,
    },
    define: { 'import.meta.url': 'importMetaUrl' },
    noExternal: ['chalk', 'commander', 'postgres', 'valibot'],
    esbuildPlugins: [collectLicences('dist/THIRD_PARTY_LICENSES.txt')],
    esbuildOptions: leaveOutBlanks,
    onSuccess: parsePackagedSchema,
  },
  {
    entry: ['seeds/dev/*.ts', 'seeds/production/*.ts'],
    outDir: 'dist/seeds',
    format: 'esm',
    target: 'node20',
    removeNodeProtocol: false,
    clean: true,
    noExternal: ['@faker-js/faker'],
    esbuildPlugins: [collectLicences('dist/seeds/THIRD_PARTY_LICENSES.txt')],
  },
]);

/** Node compiles it a fifth faster; names stay, for what a stack trace says. */
function leaveOutBlanks(options: Parameters<NonNullable<Options['esbuildOptions']>>[0]): void {
  options.minifyWhitespace = true;
  options.minifySyntax = true;
}

/** Throws what is wrong with the files. */
async function parsePackagedSchema(): Promise<void> {
  const files = filesOf(readMigrations(resolveFolders({})));
  writeFileSync(
    'dist/packaged-scripts.json',
    encodePackagedScripts(files, await parseScripts(files)),
  );
}

/** The licences of the packages that went into a bundle, which have to go where it goes. */
function collectLicences(path: string): Plugin {
  return {
    name: 'collect-licences',
    setup: (build) => {
      build.onEnd(({ metafile }) => {
        const inputs = Object.keys(metafile?.inputs ?? {});
        const names = inputs.flatMap(
          (input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? [],
        );
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, [...new Set(names)].sort().map(licenceOf).join('\n'));
      });
    },
  };
}

function licenceOf(name: string): string {
  const folder = join('node_modules', name);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.\w+)?$/i.test(entry));
  const { version, license, homepage }: Readonly<Record<string, string>> = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  );
  const text = file === undefined ? '' : `\n${readFileSync(join(folder, file), 'utf8')}`;
  return `${name} ${version}, ${license}, ${homepage ?? `https://www.npmjs.com/package/${name}`}\n${text}`;
}
