import type { Answer, Column, InspectResult, Row } from '../inspect/inspect.ts';
import { width } from '../runtime/excerpt.ts';
import { formatBytes, formatCount } from './bar.ts';
import {
  escapeHtml,
  type HtmlCell,
  type PageSection,
  renderHtmlTable,
  renderPage,
} from './page.ts';
import { formatDuration, formatMinute, plural } from './render.ts';
import { type Look, oneLine, renderTable, wrap } from './table.ts';

/** How many rows of a table a terminal shows, when nothing else is said. A page shows all. */
const fewRows = 20;

/** Renders a table for each question, with what to do below it. */
export function renderInspection({ target, at, answers }: InspectResult, look: Look): string {
  const { chalk } = look;
  const parts = answers.map((answer) =>
    renderAnswer(answer, look, { isAlone: answers.length === 1 }),
  );
  const { text, isFine } = verdictOf(answers);
  const verdict = isFine ? chalk.green(text) : chalk.yellow(text);
  const end = `${chalk.dim(`${target}, ${formatMinute(at)} UTC:`)} ${verdict}`;
  return [...parts.flatMap((lines) => [...lines, '']), end, ''].join('\n');
}

/** What is left to do. A question without an answer leaves it open. */
function verdictOf(answers: readonly Answer[]): {
  readonly text: string;
  readonly isFine: boolean;
} {
  const count = answers.reduce((sum, { advice }) => sum + advice.length, 0);
  const open = answers.filter(({ isAnswered }) => !isAnswered).length;
  const text = count === 0 ? 'nothing to do' : `${plural(count, 'thing')} to do`;
  return {
    text: open === 0 ? text : `${text}, ${plural(open, 'question')} without an answer`,
    isFine: count + open === 0,
  };
}

function renderAnswer(
  answer: Answer,
  look: Look,
  { isAlone }: { readonly isAlone: boolean },
): readonly string[] {
  const { chalk } = look;
  const { question, title, empty, advice, unseen } = answer;
  const rows = answer.rows.slice(0, fewRowsOf(answer));
  const left = answer.rows.length - rows.length + answer.rowsLeftOut;
  return [
    ...(isAlone ? [] : headOf({ question, title }, look)),
    ...(rows.length === 0 ? [empty] : tableOf(answer.columns, rows, look)),
    ...(left > 0
      ? [chalk.dim(`… and ${plural(left, 'row')} more: --limit ${rows.length + left}`)]
      : []),
    ...advice.flatMap((text) => item('→', text, { paint: chalk.yellow, look })),
    ...unseen.flatMap((text) => item('unseen:', text, { paint: chalk.magenta, look })),
  ];
}

/** In one line where it fits. */
function headOf(
  { question, title }: Pick<Answer, 'question' | 'title'>,
  { chalk, columns = Number.POSITIVE_INFINITY }: Look,
): readonly string[] {
  const name = chalk.bold(question);
  return question.length + 2 + title.length <= columns
    ? [`${name}  ${chalk.dim(title)}`]
    : [name, ...wrap(title, columns).map((line) => chalk.dim(line))];
}

/** A `limit` that was given has cut the rows already. */
function fewRowsOf({ rows, rowsLeftOut }: Answer): number {
  return rowsLeftOut > 0 ? rows.length : fewRows;
}

function tableOf(all: readonly Column[], rows: readonly Row[], look: Look): readonly string[] {
  const { chalk } = look;
  const columns = fittingColumns(all, rows, look);
  const placed = columns.map((column, at) => ({ column, at }));
  const flexible = placed
    .filter(({ column: { kind } }) => ['text', 'sql', 'tree'].includes(kind))
    // The first column names the row, so it shrinks last; a statement says most at its start.
    .sort((one, other) => firmness(one.column, one.at) - firmness(other.column, other.at));
  return renderTable(
    {
      head: columns.map(({ label }) => label),
      rows: rows.map((row) =>
        columns.map((column) => {
          const text = cutOf(textOf(row, column), column, look);
          return text === '' ? { text: '–', paint: chalk.dim } : text;
        }),
      ),
      right: placed.filter(({ column }) => isNumber(column)).map(({ at }) => at),
      flexible: flexible.map(({ at }) => at),
    },
    look,
  );
}

/** In a pipe nothing cuts a statement, which may have thousands of characters. `--json` has all of it. */
const mostOfStatement = 120;

function cutOf(text: string, { kind }: Column, { columns }: Look): string {
  const isLong = columns === undefined && kind === 'sql' && text.length > mostOfStatement;
  return isLong ? `${text.slice(0, mostOfStatement - 1)}…` : text;
}

function firmness({ kind }: Column, at: number): number {
  if (at === 0) return 2;
  return kind === 'sql' ? 0 : 1;
}

/** What a statement and another text should have of a line at least. */
const fairWidths: Readonly<Partial<Record<Column['kind'], number>>> = {
  sql: 24,
  text: 32,
  tree: 40,
};

/** Leaves optional columns out, the last one first, until the others have a fair width each. */
function fittingColumns(
  columns: readonly Column[],
  rows: readonly Row[],
  { columns: room = Number.POSITIVE_INFINITY }: Pick<Look, 'columns'>,
): readonly Column[] {
  const widthOf = (column: Column) => {
    const widest = Math.max(width(column.label), ...rows.map((row) => width(textOf(row, column))));
    return Math.min(widest, fairWidths[column.kind] ?? widest);
  };
  const total = columns.reduce((sum, column) => sum + widthOf(column) + 2, -2);
  const last = columns.findLastIndex(({ isOptional }) => isOptional);
  return total <= room || last < 0
    ? columns
    : fittingColumns(columns.toSpliced(last, 1), rows, { columns: room });
}

function isNumber({ kind }: Column): boolean {
  return kind === 'count' || kind === 'bytes' || kind === 'ms' || kind === 'ratio';
}

/** Empty for what does not apply. */
function textOf(row: Row, { key, kind }: Column): string {
  const value = row[key] ?? null;
  if (value === null) return '';
  switch (kind) {
    case 'count':
      return formatCount(Math.round(Number(value)));
    case 'bytes':
      return formatBytes(Number(value));
    case 'ms':
      return formatDuration(Number(value));
    case 'ratio':
      return formatRatio(Number(value));
    case 'moment':
      return value instanceof Date ? formatMinute(value) : String(value);
    case 'flag':
      return value === true ? 'yes' : 'no';
    case 'tree':
      return `${'  '.repeat(depthOf(row))}${depthOf(row) > 0 ? '└ ' : ''}${String(value)}`;
    case 'text':
    case 'sql':
      return oneLine(value);
    default:
      return kind satisfies never;
  }
}

/** `99.97%`: near 1 the last digits matter. */
function formatRatio(ratio: number): string {
  const percent = ratio * 100;
  const digits = percent > 99 && percent < 100 ? 2 : 0;
  return `${Math.min(percent, percent < 100 ? 99.99 : 100).toFixed(digits)}%`;
}

function depthOf({ depth }: Row): number {
  return typeof depth === 'number' ? depth : 0;
}

/** A sentence behind its mark, wrapped to the terminal. Code is coloured, and keeps its backticks without colours. */
function item(
  mark: string,
  text: string,
  { paint, look }: { readonly paint: (text: string) => string; readonly look: Look },
): readonly string[] {
  const { chalk, columns = Number.POSITIVE_INFINITY } = look;
  let isCode = false;
  return wrap(`${mark} ${oneLine(text)}`, Math.max(20, columns - 2)).map((line, at) => {
    const rest = at === 0 ? line.slice(mark.length) : `  ${line}`;
    const painted = rest.split('`').map((part, index) => {
      if (index > 0) isCode = !isCode;
      return isCode ? chalk.cyan(part) : part;
    });
    return `${at === 0 ? paint(mark) : ''}${painted.join(chalk.level > 0 ? '' : '`')}`;
  });
}

/** What `--html` prints. */
export function renderWritten(
  { html, answers }: InspectResult & { readonly html: string },
  { chalk }: Look,
): string {
  return `${chalk.bold(html)} written: ${plural(answers.length, 'question')}, ${verdictOf(answers).text}\n`;
}

/** One HTML document with a section for each question. */
export function renderInspectionPage({ target, at, answers }: InspectResult): string {
  return renderPage({
    title: 'Inspection',
    subtitle: `${target}, ${formatMinute(at)} UTC: ${verdictOf(answers).text}`,
    sections: answers.map(sectionOf),
  });
}

function sectionOf(answer: Answer): PageSection {
  const { question, title, columns, rows, rowsLeftOut, empty, advice, unseen } = answer;
  const left = rowsLeftOut > 0 ? [`<p>… and ${plural(rowsLeftOut, 'row')} more</p>`] : [];
  const table =
    rows.length === 0
      ? [`<p>${escapeHtml(empty)}</p>`]
      : [
          renderHtmlTable(
            columns.map((column) => ({ text: column.label, isNumber: isNumber(column) })),
            rows.map((row) => columns.map((column) => cellOf(row, column))),
          ),
        ];
  return {
    id: question,
    heading: question,
    lead: title,
    html: [
      ...table,
      ...left,
      ...listOf(advice),
      ...unseen.map((text) => `<p>Unseen: ${markUp(text)}</p>`),
    ].join('\n'),
  };
}

function cellOf(row: Row, column: Column): HtmlCell {
  const text = textOf(row, column);
  // Blanks at the start of a text are not shown in HTML.
  const shown = column.kind === 'tree' ? text.replaceAll('  ', '\u00a0\u00a0') : text;
  return { text: shown === '' ? '–' : shown, isNumber: isNumber(column) };
}

function listOf(sentences: readonly string[]): readonly string[] {
  if (sentences.length === 0) return [];
  return [
    `<ul class="advice">${sentences.map((text) => `<li>${markUp(text)}</li>`).join('')}</ul>`,
  ];
}

function markUp(text: string): string {
  return escapeHtml(text).replaceAll(/`([^`]*)`/g, '<code>$1</code>');
}
