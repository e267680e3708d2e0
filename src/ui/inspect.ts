import type { Answer, Column, InspectResult, Row, Value } from '../inspect/inspect.ts';
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
import { type Look, renderTable } from './table.ts';

/** How many rows of a table a terminal or a page shows, when nothing else is said. */
const fewRows = 20;

/** Renders a table for each question, with what to do below it. */
export function renderInspection({ target, at, answers }: InspectResult, look: Look): string {
  const { chalk } = look;
  const parts = answers.map((answer) =>
    renderAnswer(answer, look, { isAlone: answers.length === 1 }),
  );
  const count = answers.reduce((sum, { advice }) => sum + advice.length, 0);
  const verdict =
    count === 0 ? chalk.green('nothing to do') : chalk.yellow(`${plural(count, 'thing')} to do`);
  const end = `${chalk.dim(`${target}, ${formatMinute(at)} UTC:`)} ${verdict}`;
  return [...parts.flatMap((lines) => [...lines, '']), end, ''].join('\n');
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
    ...(isAlone ? [] : [`${chalk.bold(question)}  ${chalk.dim(title)}`]),
    ...(rows.length === 0 ? [empty] : tableOf(answer.columns, rows, look)),
    ...(left > 0
      ? [chalk.dim(`… and ${plural(left, 'row')} more: --limit ${rows.length + left}`)]
      : []),
    ...advice.flatMap((text) => item(chalk.yellow('→'), text, look)),
    ...unseen.flatMap((text) => item(chalk.cyan('unseen:'), text, look)),
  ];
}

/** A `limit` that was given has cut the rows already. */
function fewRowsOf({ rows, rowsLeftOut }: Answer): number {
  return rowsLeftOut > 0 ? rows.length : fewRows;
}

function tableOf(columns: readonly Column[], rows: readonly Row[], look: Look): readonly string[] {
  const { chalk } = look;
  const all = columns.map((column, at) => ({ column, at }));
  const flexible = all
    .filter(({ column: { kind } }) => ['text', 'sql', 'tree'].includes(kind))
    // The first column names the row, so it shrinks last.
    .sort((one, other) => Number(one.at === 0) - Number(other.at === 0));
  const optional = all.filter(({ column }) => column.isOptional).reverse();
  return renderTable(
    {
      head: columns.map(({ label }) => label),
      rows: rows.map((row) =>
        columns.map((column) => {
          const text = textOf(row, column);
          return text === '' ? { text: '–', paint: chalk.dim } : text;
        }),
      ),
      right: all.filter(({ column }) => isNumber(column)).map(({ at }) => at),
      flexible: flexible.map(({ at }) => at),
      optional: optional.map(({ at }) => at),
    },
    look,
  );
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

/** A name or a statement may hold line ends and other characters that would move the cursor. */
function oneLine(value: Exclude<Value, null>): string {
  return String(value).replaceAll(/[\p{Cc}\s]+/gu, ' ');
}

/** A sentence behind its mark, wrapped to the terminal. Code is coloured, and keeps its backticks without colours. */
function item(mark: string, text: string, { chalk, columns = Number.POSITIVE_INFINITY }: Look) {
  const lines = wrap(oneLine(text), Math.max(20, columns - 2));
  let isCode = false;
  const painted = lines.map((line) =>
    line
      .split(/(`)/)
      .map((part) => {
        if (part === '`') isCode = !isCode;
        if (part === '`') return chalk.level > 0 ? '' : part;
        return isCode ? chalk.cyan(part) : part;
      })
      .join(''),
  );
  return mark.includes('→')
    ? painted.map((line, at) => `${at === 0 ? mark : ' '} ${line}`)
    : [`${mark} ${painted[0] ?? ''}`, ...painted.slice(1).map((line) => `  ${line}`)];
}

function wrap(text: string, room: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && width(`${line} ${word}`) > room) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** What `--html` prints. */
export function renderWritten(
  { html, answers }: InspectResult & { readonly html: string },
  { chalk }: Look,
): string {
  const count = answers.reduce((sum, { advice }) => sum + advice.length, 0);
  return `${chalk.bold(html)} written: ${plural(answers.length, 'question')}, ${plural(count, 'thing')} to do\n`;
}

/** One HTML document with a section for each question. */
export function renderInspectionPage({ target, at, answers }: InspectResult): string {
  const count = answers.reduce((sum, { advice }) => sum + advice.length, 0);
  return renderPage({
    title: 'Inspection',
    subtitle: `${target}, ${formatMinute(at)} UTC: ${count === 0 ? 'nothing to do' : `${plural(count, 'thing')} to do`}`,
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
            columns.map(({ label }) => label),
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
      ...listOf(unseen.map((text) => `Unseen: ${text}`)),
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
  const items = sentences.map((text) => {
    return `<li>${escapeHtml(text).replaceAll(/`([^`]*)`/g, '<code>$1</code>')}</li>`;
  });
  return [`<ul class="advice">${items.join('')}</ul>`];
}
