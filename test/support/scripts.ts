import { parseScript, type Script } from '../../src/migrations/parse.ts';
import type { Finding } from '../../src/runtime/findings.ts';
import type { Direction } from '../../src/runtime/progress.ts';
import { loadGrammar } from '../../src/sql/parse.ts';

const grammar = await loadGrammar();

/** The script of a text in a file `f.sql`, and the rules that it breaks. */
export function parseText(
  text: string,
  direction: Direction = 'up',
  { serverVersion }: { readonly serverVersion?: number } = {},
): { readonly script: Script; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const report = (finding: Finding) => findings.push(finding);
  const file = { name: 'f.sql', text, checksum: '' };
  const script = parseScript(file, { grammar, serverVersion, direction, report });
  return { script, findings };
}

/** `f.sql:1:8 syntax-error` */
export function placesOf(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ file, line, column, rule }) => `${file}:${line}:${column} ${rule}`);
}
