import { readText } from '../../runtime/files.ts';
import { skipTrivia } from '../../sql/trivia.ts';
import type { Draft } from './finding.ts';
import { isRuleName, type RuleName } from './rules.ts';

/** A rule that a file breaks on purpose. */
export interface Allowance {
  readonly rule: RuleName;
  /** Where it stands, in UTF-16 units of its text. */
  readonly index: number;
}

export interface Allowances {
  readonly allowed: readonly Allowance[];
  /** What is wrong with the directives. */
  readonly drafts: readonly Draft[];
}

const form = 'write: -- lint: allow RULE <why>';

/** Reads `-- lint: allow RULE <why>` in the comments before the first statement. */
export function readAllowances(text: string): Allowances {
  const allowed: Allowance[] = [];
  const drafts: Draft[] = [];
  skipTrivia(text, 0, (comment, index) => {
    const [, directive] = /^--\s*lint\s*:\s*(.*)$/i.exec(comment) ?? [];
    if (directive === undefined) return;
    const result = parseAllowance(directive);
    if ('fault' in result) {
      drafts.push({ rule: 'lint-directive', index, message: result.fault, hint: form });
    } else allowed.push({ rule: result.rule, index });
  });
  return { allowed, drafts };
}

function parseAllowance(
  directive: string,
): { readonly rule: RuleName } | { readonly fault: string } {
  const [, verb = '', rule = '', why = ''] = /^(\S*)\s*(\S*)\s*(.*)$/.exec(directive) ?? [];
  if (verb.toLowerCase() !== 'allow')
    return { fault: `"-- lint: ${verb}" is not a known directive` };
  if (!isRuleName(rule)) {
    return { fault: rule === '' ? 'no rule is named' : `there is no rule "${rule}"` };
  }
  return why === '' ? { fault: `no reason says why ${rule} may be broken` } : { rule };
}

/** What is allowed to files that have been released, and so cannot change. */
export interface ReleasedAllowances {
  readonly path: string;
  readonly text: string;
  readonly allowances: readonly (Allowance & { readonly file: string })[];
  /** `file`: the one that the line names; undefined for a line that names none. */
  readonly drafts: readonly (Draft & { readonly file: string | undefined })[];
}

/** Its name, in the folder of migrations. */
export const releasedFile = 'lint-allow.txt';

/**
 * Reads the allowances of released files: a line is the name of a migration or rollback, a rule, and why. Lines
 * that start with `#` are comments. Empty without the file.
 */
export function readReleasedAllowances(path: string): ReleasedAllowances {
  const text = (readText(path) ?? '').replaceAll('\r\n', '\n');
  const allowances: ReleasedAllowances['allowances'][number][] = [];
  const drafts: ReleasedAllowances['drafts'][number][] = [];
  let index = 0;
  for (const line of text.split('\n')) {
    const [, file, rest = ''] = /^\s*(\S+\.sql)\s*(.*)$/.exec(line) ?? [];
    const result = parseAllowance(`allow ${rest}`);
    if (file !== undefined && 'rule' in result) allowances.push({ file, rule: result.rule, index });
    else if (!/^\s*(#|$)/.test(line)) {
      const fault = file === undefined ? 'no migration or rollback is named' : undefined;
      const message = fault ?? ('fault' in result ? result.fault : '');
      drafts.push({
        file,
        rule: 'lint-directive',
        index,
        message,
        hint: 'write: FILE.sql RULE <why>',
      });
    }
    index += line.length + 1;
  }
  return { path, text, allowances, drafts };
}
