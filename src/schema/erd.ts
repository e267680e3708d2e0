import { CryptosenseDbError } from '../runtime/errors.ts';
import { readText, replaceFile, requireWritable } from '../runtime/files.ts';
import { loadGrammar } from '../sql/parse.ts';
import { layOut } from './diagram/layout.ts';
import { renderMermaid } from './diagram/mermaid.ts';
import { type Diagram, diagramOf, selectTables } from './diagram/model.ts';
import { renderSvg } from './diagram/svg.ts';
import { readSource, type SourceOptions } from './source.ts';

export type ErdFormat = 'mermaid' | 'svg';

export interface ErdSettings {
  /** Default: svg for a file whose name ends in .svg, else mermaid. */
  readonly format?: ErdFormat | undefined;
  /** Tables and views, those outside schema public with their schema. Default: all. */
  readonly tables?: readonly string[] | undefined;
  /** The file that the diagram is written to. Default: none. */
  readonly out?: string | undefined;
  /** Compare with the file, and write nothing. */
  readonly check?: boolean | undefined;
}

export type ErdOptions = SourceOptions & ErdSettings;

export interface ErdResult {
  readonly source: string;
  readonly format: ErdFormat;
  /** How many tables and views. */
  readonly tables: number;
  /** How many foreign keys between them. */
  readonly references: number;
  /** The same bytes for equal schemas. */
  readonly text: string;
  /** null without a file. */
  readonly file: ErdFile | null;
}

export interface ErdFile {
  readonly out: string;
  /** The file had this text before. */
  readonly isCurrent: boolean;
  readonly isWritten: boolean;
  /** The first line that differs; null where the file is current or not there. */
  readonly difference: LineDifference | null;
}

export interface LineDifference {
  /** From 1. */
  readonly line: number;
  /** Empty after the last line. */
  readonly before: string;
  readonly after: string;
}

/**
 * Draws the tables and views of a schema with their columns, keys and foreign keys. Chunks, partitions, members of
 * extensions and the ledger are left out. Throws `bad-configuration` for a table that is not there and for `check` without
 * a file, `file-problem`, and what `snapshot` throws.
 */
export async function erd(options: ErdOptions): Promise<ErdResult> {
  const { tables, out, check = false } = options;
  const { format = out?.endsWith('.svg') ? 'svg' : 'mermaid' } = options;
  if (check && out === undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'a check compares with a file, and none is named',
      hint: 'name the file with --out FILE',
    });
  }
  if (out !== undefined && !check) requireWritable(out);
  const { source, snapshot } = await readSource(options);
  const { parse } = await loadGrammar();
  const whole = diagramOf(snapshot, parse);
  const diagram = tables === undefined ? whole : select(whole, tables);
  const text =
    format === 'mermaid'
      ? renderMermaid(diagram)
      : renderSvg(await layOut(diagram), { title: 'Entity relationship diagram' });
  return {
    source,
    format,
    tables: diagram.tables.length,
    references: diagram.references.length,
    text,
    file: out === undefined ? null : writeOrCompare(text, { out, check }),
  };
}

function writeOrCompare(
  text: string,
  { out, check }: { readonly out: string; readonly check: boolean },
): ErdFile {
  const before = readText(out);
  const isCurrent = before === text;
  if (!check && !isCurrent) replaceFile(out, text);
  return {
    out,
    isCurrent,
    isWritten: !check && !isCurrent,
    difference: before === undefined ? null : firstDifference(before, text),
  };
}

function firstDifference(before: string, after: string): LineDifference | null {
  const [old, now] = [before.split('\n'), after.split('\n')];
  const length = Math.max(old.length, now.length);
  for (let index = 0; index < length; index += 1) {
    if (old[index] === now[index]) continue;
    return { line: index + 1, before: old[index] ?? '', after: now[index] ?? '' };
  }
  return null;
}

function select(whole: Diagram, tables: readonly string[]): Diagram {
  const { diagram, unknown } = selectTables(whole, tables);
  if (unknown.length === 0) return diagram;
  throw new CryptosenseDbError('bad-configuration', {
    message: `there is no table or view ${unknown.join(', ')}`,
    evidence: [`tables and views: ${whole.tables.map(({ title }) => title).join(', ')}`],
    hint: 'name tables as they are listed, with commas between them',
  });
}
