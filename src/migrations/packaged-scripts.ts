import { readFileSync } from 'node:fs';
import type { ScriptFile } from './source.ts';
import type { Script, Statement } from './statements.ts';

/**
 * What the build has found out about the files of the packaged schema, by what they say: a file that differs in a
 * letter is not among them. So the schema that ships with the package is applied without loading the grammar.
 */
type PackagedScripts = Readonly<Record<string, PackagedScript>>;

interface PackagedScript extends Omit<Script, 'file' | 'statements' | 'irreversible'> {
  readonly irreversible?: string | undefined;
  readonly statements: readonly (Pick<Statement, 'index' | 'run'> & { readonly length: number })[];
}

/** Beside the bundle that this module is in; run from its source there is none. */
const place = new URL('packaged-scripts.json', import.meta.url);

/** For the build: the document that `findPackagedScript` looks into. */
export function encodePackagedScripts(
  files: readonly ScriptFile[],
  scripts: readonly Script[],
): string {
  const entries = files.flatMap((file, index): [string, PackagedScript][] => {
    const script = scripts[index];
    if (!script) return [];
    const { file: _, statements, ...rest } = script;
    const places = statements.map(({ text, ...statement }) => ({
      ...statement,
      length: text.length,
    }));
    return [[keyOf(file), { ...rest, statements: places }]];
  });
  return JSON.stringify(Object.fromEntries(entries));
}

let loaded: PackagedScripts | undefined;

/** The file's script, where the build knows the file; undefined for any other. */
export function findPackagedScript(scriptFile: ScriptFile): Script | undefined {
  loaded ??= load();
  const found = loaded[keyOf(scriptFile)];
  if (!found) return undefined;
  const { file } = scriptFile;
  const statements = found.statements.map(({ index, length, run }) => ({
    text: file.text.slice(index, index + length),
    index,
    run,
  }));
  return { ...found, irreversible: found.irreversible, file, statements };
}

function load(): PackagedScripts {
  try {
    return JSON.parse(readFileSync(place, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw error;
  }
}

function keyOf({ kind, file: { checksum } }: ScriptFile): string {
  return `${kind} ${checksum}`;
}
