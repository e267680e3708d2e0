import { findPackagedScript } from './packaged-scripts.ts';
import type { ScriptFile } from './source.ts';
import type { Script } from './statements.ts';

/**
 * The scripts of the files, in their order. Those that the build does not know are parsed.
 * Throws `faulty-statements` with every fault of every file.
 */
export async function readScripts(files: readonly ScriptFile[]): Promise<readonly Script[]> {
  const packaged = files.map(findPackagedScript);
  const others = files.filter((_, index) => !packaged[index]);
  const parsed = others.length > 0 ? await parse(others) : [];
  let next = 0;
  return packaged.flatMap((script) => script ?? parsed[next++] ?? []);
}

let prepare = async () => {};

/** What the program does before the grammar, which is WebAssembly, is loaded; the library does nothing. */
export function beforeGrammar(work: () => Promise<void>): void {
  prepare = work;
}

/** Loads PostgreSQL's grammar. */
async function parse(files: readonly ScriptFile[]): Promise<readonly Script[]> {
  await prepare();
  const { parseScripts } = await import('./statements.ts');
  return parseScripts(files);
}
