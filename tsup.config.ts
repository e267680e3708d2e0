import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defineConfig, type Options } from 'tsup';
import { encodePackagedScripts, readScripts } from './src/migrations/scripts.ts';
import { readMigrations, resolveFolders } from './src/migrations/source.ts';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

/**
 * Three builds. The library imports its dependencies, so that a program that uses them too has one copy.
 * The command line is one CommonJS file that contains the packages it always needs: Node takes twice as long to load
 * the same code as ECMAScript modules from many files. It imports the parser, the spinner and the embedded engine when
 * a command needs them. The build also parses the packaged schema, so that applying it does not.
 * The seeders are one file each, because the tool finds them by their names. Shared code and Faker are beside them.
 * Node's modules keep their prefix `node:`, by which bundlers and Vitest recognise them.
 */
export default defineConfig([
  {
    entry: {
      index: 'src/index.ts',
      client: 'src/client.ts',
      cache: 'src/cache.ts',
      testing: 'src/testing.ts',
    },
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
    // tsup's `shims` would set a wrong URL for a path that contains # or %.
    banner: {
      js: `"use strict";const importMetaUrl=require('node:url').pathToFileURL(__filename).href;`,
    },
    define: { 'import.meta.url': 'importMetaUrl' },
    noExternal: ['@bomb.sh/tab', 'chalk', 'commander', 'postgres', 'valibot'],
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

/** Node compiles the file a fifth faster. The names stay, so that a stack trace can be read. */
function leaveOutBlanks(options: Parameters<NonNullable<Options['esbuildOptions']>>[0]): void {
  options.minifyWhitespace = true;
  options.minifySyntax = true;
}

/** Throws `faulty-folder` and `faulty-statements`. */
async function parsePackagedSchema(): Promise<void> {
  const scripts = await readScripts(readMigrations(resolveFolders({})));
  writeFileSync('dist/packaged-scripts.json', encodePackagedScripts(scripts));
}

/** Writes the licences of the packages in a bundle, which have to be distributed with it. */
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
