import {
  badgeSize,
  badgeWidth,
  commentSize,
  type Mark,
  markSize,
  nameSize,
  padding,
  shortened,
  titleSize,
  typeSize,
} from './boxes.ts';
import type { Layout, Line, PlacedBox, Point } from './drawing.ts';
import type { TableKind } from './model.ts';
import { textWidth } from './text-width.ts';

const margin = 14;
const leastWidth = 200;
const cornerRadius = 7;

/** One SVG that needs nothing from outside, for light and dark pages. The same layout gives the same bytes. */
export function renderSvg(layout: Layout, { title }: { readonly title: string }): string {
  const { boxes, lines } = layout;
  const inner = Math.max(Math.ceil(layout.width), leastWidth);
  const legend = legendLines(layout, inner);
  const width = inner + 2 * margin;
  const legendY = margin + Math.ceil(layout.height) + 28;
  const height = legendY + Math.max(0, legend.length - 1) * legendLineHeight + 20;
  const described = `${boxes.length} tables and views: ${boxes.map(({ table }) => table.title).join(', ')}`;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title desc">`,
    `<title id="title">${escapeXml(title)}</title>`,
    `<desc id="desc">${escapeXml(described)}</desc>`,
    `<style>${style}</style>`,
    `<rect class="ground" width="${width}" height="${height}" rx="10"/>`,
    `<g transform="translate(${margin} ${margin})">`,
    ...lines.map(renderLine),
    ...boxes.map(renderBox),
    ...lines.map(renderEnds),
    '</g>',
    renderLegend(legend, { x: margin + 4, y: legendY }),
    '</svg>',
  ].join('\n')}\n`;
}

const toneOf: Readonly<Record<TableKind, string>> = {
  table: 'table',
  'partitioned table': 'table',
  'foreign table': 'table',
  hypertable: 'series',
  view: 'view',
  'materialized view': 'view',
  'continuous aggregate': 'view',
};

function renderBox(box: PlacedBox): string {
  const { table, width, height, headHeight, badge, comment, rows, nameX } = box;
  const head = `M0 ${headHeight}V8a8 8 0 0 1 8-8H${width - 8}a8 8 0 0 1 8 8V${headHeight}z`;
  const badgeRoom = badge === undefined ? 0 : badgeWidth(badge);
  const about = table.comment === undefined ? '' : `<title>${escapeXml(table.comment)}</title>`;
  return [
    `<g class="${toneOf[table.kind]}" transform="translate(${round(box.x)} ${round(box.y)})">`,
    `<rect class="card" width="${width}" height="${height}" rx="8"/>`,
    rows.length === 0
      ? `<rect class="head" width="${width}" height="${height}" rx="8"/>`
      : `<path class="head" d="${head}"/>`,
    `<g>${about}<text class="title" x="${padding}" y="21">${escapeXml(shortened(table.title))}</text>`,
    ...(badge === undefined
      ? []
      : [
          `<rect class="badge" x="${width - padding - badgeRoom + 4}" y="8" width="${badgeRoom}" height="17" rx="8.5"/>`,
          `<text class="word" x="${round(width - padding - badgeRoom / 2 + 4)}" y="20">${badge}</text>`,
        ]),
    ...comment.map(
      (line, index) =>
        `<text class="comment" x="${padding}" y="${37 + index * 14}">${escapeXml(line)}</text>`,
    ),
    '</g>',
    ...rows.map(({ column, name, type, marks, y }) => {
      const note =
        column.comment === undefined ? '' : `<title>${escapeXml(column.comment)}</title>`;
      const badges = marks.map(
        (mark, index) =>
          `<text class="mark ${mark.toLowerCase()}" x="${padding + index * 16}" y="${y + 3}">${mark}</text>`,
      );
      return `<g>${note}${badges.join('')}<text class="name" x="${nameX}" y="${y + 4}">${escapeXml(name)}</text><text class="type" x="${width - padding}" y="${y + 4}">${escapeXml(type)}</text></g>`;
    }),
    `<rect class="frame" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="7.5"/>`,
    '</g>',
  ].join('\n');
}

function renderLine({ of, points }: Line): string {
  const described =
    of.kind === 'reference'
      ? `${of.name}: (${of.columns.join(', ')}) references (${of.referencedColumns.join(', ')})`
      : 'reads';
  return `<path class="${of.kind}" d="${roundedPath(points)}"><title>${escapeXml(described)}</title></path>`;
}

function roundedPath(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first) return '';
  const steps = rest.map((point, index) => {
    const next = rest[index + 1];
    const before = points[index] ?? first;
    if (!next) return `L${round(point.x)} ${round(point.y)}`;
    const radius = Math.min(cornerRadius, distance(before, point) / 2, distance(point, next) / 2);
    const start = toward(point, before, radius);
    const end = toward(point, next, radius);
    return `L${round(start.x)} ${round(start.y)}Q${round(point.x)} ${round(point.y)} ${round(end.x)} ${round(end.y)}`;
  });
  return `M${round(first.x)} ${round(first.y)}${steps.join('')}`;
}

function distance(a: Point, b: Point): number {
  return Math.abs(a.x - b.x) + Math.abs(a.y - b.y);
}

function toward(from: Point, to: Point, length: number): Point {
  const whole = distance(from, to) || 1;
  return {
    x: from.x + ((to.x - from.x) * length) / whole,
    y: from.y + ((to.y - from.y) * length) / whole,
  };
}

/** Crow's feet at a reference's ends, and an arrow to a view. */
function renderEnds({ of, points }: Line): string {
  const [first, second] = points;
  const [last, previous] = [points.at(-1), points.at(-2)];
  if (!first || !second || !last || !previous) return '';
  const out = Math.sign(second.x - first.x);
  const back = Math.sign(previous.x - last.x);
  if (of.kind === 'reading') {
    return `<path class="arrow" d="M${round(last.x)} ${round(last.y)}l${7 * back} -4v8z"/>`;
  }
  return [
    of.referenced === 'exactly one' ? exactlyOne(first, out) : zeroOrOne(first, out),
    of.referencing === 'zero or many' ? zeroOrMany(last, back) : zeroOrOne(last, back),
  ].join('');
}

function exactlyOne(at: Point, direction: number): string {
  return bar(at, 6 * direction) + bar(at, 10 * direction);
}

function zeroOrOne(at: Point, direction: number): string {
  return bar(at, 6 * direction) + ring(at, 13 * direction);
}

function zeroOrMany(at: Point, direction: number): string {
  return foot(at, 10 * direction) + ring(at, 14 * direction);
}

function bar({ x, y }: Point, at: number): string {
  return `<path class="end" d="M${round(x + at)} ${round(y - 4)}v8"/>`;
}

function ring({ x, y }: Point, at: number): string {
  return `<circle class="end" cx="${round(x + at)}" cy="${round(y)}" r="3.5"/>`;
}

function foot({ x, y }: Point, at: number): string {
  return `<path class="end" d="M${round(x)} ${round(y - 5)}L${round(x + at)} ${round(y)}L${round(x)} ${round(y + 5)}"/>`;
}

interface LegendItem {
  readonly svg: string;
  readonly width: number;
}

/** What the picture has, explained, in lines of this width. */
function legendLines({ boxes, lines }: Layout, width: number): readonly (readonly LegendItem[])[] {
  const columns = boxes.flatMap(({ table }) => table.columns);
  const references = lines.flatMap(({ of }) => (of.kind === 'reference' ? [of] : []));
  const items: readonly (readonly [isThere: boolean, item: LegendItem])[] = [
    [columns.some(({ isPrimary }) => isPrimary), markItem('PK', 'primary key')],
    [columns.some(({ isForeign }) => isForeign), markItem('FK', 'foreign key')],
    [columns.some(({ isUnique, isPrimary }) => isUnique && !isPrimary), markItem('UK', 'unique')],
    [
      columns.some(({ isNullable }) => isNullable),
      legendItem('<text class="name" y="4">?</text>', { at: 10, text: 'may be NULL' }),
    ],
    [
      references.some(({ referenced }) => referenced === 'exactly one'),
      lineItem(exactlyOne(origin, 1), 'exactly one'),
    ],
    [
      references.some((each) => [each.referenced, each.referencing].includes('zero or one')),
      lineItem(zeroOrOne(origin, 1), 'zero or one'),
    ],
    [
      references.some(({ referencing }) => referencing === 'zero or many'),
      lineItem(zeroOrMany(origin, 1), 'zero or many'),
    ],
    [
      lines.some(({ of }) => of.kind === 'reading'),
      legendItem('<path class="reading" d="M0 0h28"/><path class="arrow" d="M28 0l-7 -4v8z"/>', {
        at: 34,
        text: 'is read by',
      }),
    ],
  ];
  const rows: LegendItem[][] = [];
  let used = 0;
  for (const [isThere, item] of items) {
    if (!isThere) continue;
    if (rows.length === 0 || used + item.width > width) {
      rows.push([]);
      used = 0;
    }
    rows.at(-1)?.push(item);
    used += item.width + legendGap;
  }
  return rows;
}

const origin = { x: 0, y: 0 };
const legendGap = 20;
const legendLineHeight = 20;

function legendItem(
  sign: string,
  { at, text }: { readonly at: number; readonly text: string },
): LegendItem {
  return {
    svg: `${sign}<text class="comment" x="${at}" y="4">${text}</text>`,
    width: Math.ceil(at + textWidth(text, commentSize)),
  };
}

function markItem(mark: Mark, text: string): LegendItem {
  const sign = `<text class="mark ${mark.toLowerCase()}" y="3">${mark}</text>`;
  return legendItem(sign, { at: 18, text });
}

function lineItem(end: string, text: string): LegendItem {
  return legendItem(`<path class="reference" d="M0 0h28"/>${end}`, { at: 34, text });
}

function renderLegend(rows: readonly (readonly LegendItem[])[], { x, y }: Point): string {
  return rows
    .flatMap((row, line) => {
      let at = x;
      return row.map(({ svg, width }) => {
        const item = `<g transform="translate(${at} ${y + line * legendLineHeight})">${svg}</g>`;
        at += width + legendGap;
        return item;
      });
    })
    .join('\n');
}

function round(value: number): number {
  return Math.round(value * 2) / 2;
}

function escapeXml(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot' };
  return text
    .replaceAll(/[&<>"]/g, (character) => `&${names[character]};`)
    .replaceAll(/[^\P{Cc}\n\t]/gu, '\ufffd');
}

const sans =
  "-apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Helvetica, Arial, sans-serif";

const style = `
text { font-family: ${sans}; }
.ground { fill: #ffffff; }
.card { fill: #ffffff; }
.frame { fill: none; stroke: #d0d7e2; }
.head { fill: #eef3fb; } .series .head { fill: #e6f6ee; } .view .head { fill: #f3eefc; }
.title { font-size: ${titleSize}px; font-weight: 650; fill: #14366b; }
.series .title { fill: #0f5132; } .view .title { fill: #4b2a86; }
.comment { font-size: ${commentSize}px; fill: #566174; }
.badge { fill: #14366b; } .series .badge { fill: #1c7a4b; } .view .badge { fill: #6b46b4; }
.word { font-size: ${badgeSize}px; font-weight: 600; fill: #ffffff; text-anchor: middle; }
.name { font-size: ${nameSize}px; fill: #1c2330; }
.type { font-size: ${typeSize}px; fill: #6a7486; text-anchor: end; }
.mark { font-size: ${markSize}px; font-weight: 700; }
.pk { fill: #a35f00; } .fk { fill: #1f5fbf; } .uk { fill: #1c7a4b; }
.reference { fill: none; stroke: #7b8aa3; stroke-width: 1.3; }
.reading { fill: none; stroke: #8d6bd0; stroke-width: 1.3; stroke-dasharray: 4 3; }
.end { fill: #ffffff; stroke: #52617a; stroke-width: 1.3; } path.end { fill: none; }
.arrow { fill: #8d6bd0; }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; }
.card { fill: #151b23; }
.frame { stroke: #323c4b; }
.head { fill: #1b2738; } .series .head { fill: #152c22; } .view .head { fill: #262040; }
.title { fill: #a9ccff; } .series .title { fill: #85dcae; } .view .title { fill: #cdb6ff; }
.comment { fill: #9aa6b8; }
.badge { fill: #2b4f86; } .series .badge { fill: #1f6b45; } .view .badge { fill: #5a3f99; }
.name { fill: #e4e8ef; }
.type { fill: #8f9bb0; }
.pk { fill: #f0b95a; } .fk { fill: #7db0ff; } .uk { fill: #6bd08f; }
.reference { stroke: #66758e; }
.reading, .arrow { stroke: #a68ae0; } .arrow { fill: #a68ae0; }
.end { fill: #0d1117; stroke: #9fb0c9; } path.end { fill: none; }
}
`;
