import { plural } from '../runtime/amounts.ts';
import { excerpt } from '../runtime/excerpt.ts';
import { type Finding, pathOf } from '../runtime/findings.ts';
import type { LintFinding, LintResult } from '../schema/schema.ts';
import { describeFinding } from './findings.ts';
import { printable } from './render.ts';
import type { Look } from './table.ts';

/** Renders each finding with its line and a caret, then what did not run, and a line that counts. */
export function renderLint(result: LintResult, look: Look): string {
  const { chalk } = look;
  const paints = { error: chalk.red, warning: chalk.yellow };
  return [
    ...result.findings.flatMap((finding) => {
      const { file, line, column, severity, rule, message, hint } = finding;
      return [
        `${chalk.bold(printable(`${file}:${line}:${column}`))} ${paints[severity](severity)} ${rule}`,
        `  ${printable(message)}`,
        ...excerpt(finding).map((each) => `  ${printable(each)}`),
        `${chalk.cyan('hint:')} ${printable(hint)}`,
        '',
      ];
    }),
    ...gapsOf(result).map((gap) => `${chalk.yellow('not checked:')} ${printable(gap)}`),
    summaryOf(result, look),
    '',
  ].join('\n');
}

/**
 * Renders the findings as commands of a GitHub workflow, which shows them in the pull request. GitHub reads them from
 * stdout (GitHub documentation, Workflow commands).
 */
export function renderAnnotations(result: LintResult, look: Look): string {
  return [
    ...result.findings.map(annotationOf),
    ...gapsOf(result).map((gap) => `::notice title=migrate lint::${escapeData(gap)}`),
    summaryOf(result, look),
    '',
  ].join('\n');
}

/** Renders the faults of files that lint refuses as commands of a GitHub workflow. */
export function renderFaultAnnotations(findings: readonly Finding[]): string {
  const lines = findings.map((finding) => {
    const { rule, line, column } = finding;
    const { message, hint } = describeFinding(finding);
    const file = pathOf(finding);
    return annotationOf({ severity: 'error', rule, message, hint, file, line, column });
  });
  return lines.map((line) => `${line}\n`).join('');
}

interface Annotation {
  readonly severity: LintFinding['severity'];
  readonly rule: string;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly file: string;
  /** Absent for the whole file. */
  readonly line?: number | undefined;
  readonly column?: number | undefined;
}

function annotationOf({ severity, rule, message, hint, ...place }: Annotation): string {
  const properties = {
    file: place.file.replaceAll('\\', '/'),
    line: place.line,
    col: place.column,
    title: rule,
  };
  const list = Object.entries(properties)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${escapeProperty(String(value))}`);
  const text = hint === undefined ? message : `${message}\nhint: ${hint}`;
  return `::${severity} ${list.join(',')}::${escapeData(text)}`;
}

function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

function gapsOf({ notRun, unseen }: LintResult): readonly string[] {
  const rules = notRun.map(({ rules: names, files, reason }) =>
    files.length === 0 ? `${names.join(', ')}: ${reason}` : `${files.join(', ')}: ${reason}`,
  );
  return [...rules, ...unseen];
}

function summaryOf({ findings, files, allowed, target }: LintResult, { chalk }: Look): string {
  const count = (severity: LintFinding['severity']) =>
    findings.filter((each) => each.severity === severity).length;
  const parts = [
    plural(count('error'), 'error'),
    plural(count('warning'), 'warning'),
    ...(allowed > 0 ? [`${allowed} allowed`] : []),
  ];
  const text = findings.length === 0 ? chalk.green(parts.join(', ')) : parts.join(', ');
  const sizes = target === null ? '' : `, sizes of ${target}`;
  return `${chalk.bold(plural(files, 'file'))}: ${text}${sizes}`;
}
