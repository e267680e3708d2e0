import { readFileSync } from 'node:fs';
import { faultyFiles, hasCode } from '../runtime/errors.ts';
import type { Finding } from '../runtime/findings.ts';
import type { Direction } from '../runtime/progress.ts';
import { loadGrammar } from '../sql/parse.ts';
import { parseScript, type Script, type Statement } from './parse.ts';
import type { MigrationPair, SqlFile } from './source.ts';

/** Both files of a pair, parsed. */
export interface ScriptPair {
  readonly up: Script;
  readonly down: Script;
}

export interface GrammarOptions {
  /**
   * Runs before the SQL grammar, a WebAssembly module, is loaded: the moment for a program to set
   * V8's flags. It does not run where the build has parsed every file, as it has for the packaged schema.
   */
  readonly beforeGrammar?: (() => Promise<void>) | undefined;
}

export interface ReadingOptions extends GrammarOptions {
  /** The major version of the server that the files are for. Default: that of the grammar in this package. */
  readonly serverVersion?: number | undefined;
}

/**
 * The scripts of pairs, in their order. Files that the build has not parsed are parsed here.
 * Throws `faulty-statements` with every finding in every file.
 */
export function readScripts(
  pairs: readonly Pick<MigrationPair, 'up' | 'down'>[],
  options: ReadingOptions = {},
): Promise<readonly ScriptPair[]> {
  return withReader(options, async (read) => {
    const scripts: ScriptPair[] = [];
    for (const { up, down } of pairs) {
      scripts.push({ up: await read(up, 'up'), down: await read(down, 'down') });
    }
    return scripts;
  });
}

/** The scripts of rollbacks alone, as the ledger records them. Throws `faulty-statements`. */
export function readRollbackScripts(
  files: readonly SqlFile[],
  options: ReadingOptions = {},
): Promise<readonly Script[]> {
  return withReader(options, async (read) => {
    const scripts: Script[] = [];
    for (const file of files) scripts.push(await read(file, 'down'));
    return scripts;
  });
}

type ReadScript = (file: SqlFile, direction: Direction) => Promise<Script>;

/** Loads the grammar for the first file that needs it. */
async function withReader<T>(
  { beforeGrammar, serverVersion }: ReadingOptions,
  work: (read: ReadScript) => Promise<T>,
): Promise<T> {
  const packaged = loadPackagedScripts();
  const findings: Finding[] = [];
  let isPrepared = false;
  const scripts = await work(async (file, direction) => {
    const known = packaged[keyOf(file, direction)];
    if (known) return decode(known, file);
    if (!isPrepared) await beforeGrammar?.();
    isPrepared = true;
    // For each file: a parser that ran out of memory is not used again.
    const grammar = await loadGrammar({ serverVersion });
    const report = (finding: Finding) => findings.push(finding);
    return parseScript(file, { grammar, serverVersion, direction, report });
  });
  if (findings.length > 0) throw faultyFiles('faulty-statements', findings);
  return scripts;
}

/**
 * The scripts of the packaged schema, which the build has parsed, by direction and checksum. A file
 * that differs in one character is not among them.
 */
type PackagedScripts = Readonly<Record<string, PackagedScript>>;

/** A script without its texts, which are in its file. */
interface PackagedScript extends Omit<Script, 'file' | 'statements' | 'irreversible'> {
  readonly irreversible?: string | undefined;
  readonly statements: readonly (Omit<Statement, 'text'> & { readonly length: number })[];
}

/** The document that the build writes beside the bundle, as `packaged-scripts.json`. */
export function encodePackagedScripts(pairs: readonly ScriptPair[]): string {
  const entries = pairs.flatMap(({ up, down }) => [
    [keyOf(up.file, 'up'), encode(up)],
    [keyOf(down.file, 'down'), encode(down)],
  ]);
  return JSON.stringify(Object.fromEntries(entries));
}

/** Empty where no build wrote the document: in the sources. */
function loadPackagedScripts(): PackagedScripts {
  try {
    return JSON.parse(readFileSync(new URL('packaged-scripts.json', import.meta.url), 'utf8'));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return {};
    throw error;
  }
}

function encode({ file: _, statements, ...script }: Script): PackagedScript {
  const places = statements.map(({ text, ...place }) => ({ ...place, length: text.length }));
  return { ...script, statements: places };
}

function decode({ statements, irreversible, ...script }: PackagedScript, file: SqlFile): Script {
  const texts = statements.map(({ length, ...place }) => ({
    ...place,
    text: file.text.slice(place.index, place.index + length),
  }));
  return { ...script, irreversible, file, statements: texts };
}

function keyOf({ checksum }: SqlFile, direction: Direction): string {
  return `${direction} ${checksum}`;
}
