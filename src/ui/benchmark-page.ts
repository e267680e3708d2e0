import type { BenchmarkResult, QueryResult } from '../benchmark/benchmark.ts';
import type { Comparison } from '../benchmark/compare.ts';
import type { Measurement } from '../benchmark/measure.ts';
import { formatCount } from './bar.ts';
import { countMet, describeReason, describeRun, formatMs, noiseSentence } from './benchmark.ts';
import {
  escapeHtml,
  type HtmlCell,
  type PageSection,
  renderHtmlTable,
  renderPage,
} from './page.ts';
import { formatMinute, plural } from './render.ts';

/** The result as one page: a table, the distributions with their targets, and why targets are missed. */
export function renderBenchmarkPage(result: BenchmarkResult): string {
  const { queries, comparison, takenAt } = result;
  const measured = queries.filter(({ measurements }) => measurements.length > 0);
  return renderPage({
    title: 'Query targets',
    subtitle: `${countMet(result)}: ${describeRun(result)}, ${formatMinute(new Date(takenAt))} UTC`,
    sections: [
      tableSection(result),
      ...(measured.length === 0 ? [] : [chartSection(measured)]),
      ...queries.flatMap(reasonSection),
      ...(comparison ? [comparisonSection(comparison)] : []),
    ],
  });
}

const tones = { met: 'good', missed: 'bad', 'not run': 'warning' } as const;
const number = (text: string): HtmlCell => ({ text, isNumber: true });

function tableSection({ queries, leftOutClients }: BenchmarkResult): PageSection {
  const rows = queries.flatMap((query): readonly (readonly HtmlCell[])[] => {
    const { name, outcome, measurements, plan, targetMs, estimate } = query;
    const first = [
      { text: name },
      { text: outcome, tone: tones[outcome] },
      number(`${targetMs} ms`),
    ] as const;
    const estimated = number(estimate === null ? '' : `${estimate.p50Ms} / ${estimate.p95Ms} ms`);
    if (measurements.length === 0 || !plan) {
      const empty = Array.from({ length: 7 }, () => number(''));
      return [[...first, ...empty, estimated]];
    }
    const pages = formatCount(plan.buffers.hit + plan.buffers.read);
    return measurements.map(({ clients, warm, cold, perSecond }, index) => [
      ...(index === 0 ? first : first.map(() => number(''))),
      number(formatCount(clients)),
      ...[warm.p50Ms, warm.p95Ms, warm.p99Ms, cold.p50Ms].map((ms) => number(formatMs(ms))),
      number(formatCount(perSecond)),
      ...(index === 0
        ? [number(`${formatCount(query.rows)} / ${pages}`), estimated]
        : [number(''), number('')]),
    ]);
  });
  const numbers = ['target', 'clients', 'p50', 'p95', 'p99', 'first', 'a second', 'rows / pages'];
  const head = ['query', 'result', ...[...numbers, 'estimate'].map(number)];
  const table = renderHtmlTable(head, rows);
  const notes = [
    ...queries.flatMap(({ name, why }) => (why === null ? [] : [`${name} did not run: ${why}`])),
    ...leftOutClients.map(({ clients, why }) => `${plural(clients, 'client')} left out: ${why}`),
  ].map((note) => `<p>${escapeHtml(note)}</p>`);
  return {
    id: 'results',
    heading: 'Results',
    lead: 'Times in milliseconds, with the round trip. A target (6.1) is met when the p95 with one client is at most the target. First: the median of first executions on new connections. Estimate: p50 / p95 of Appendix A.',
    html: [table, ...notes].join('\n'),
  };
}

function chartSection(queries: readonly QueryResult[]): PageSection {
  const charts = queries.map(
    (query) =>
      `<figure style="margin:0"><figcaption><strong>${escapeHtml(query.name)}</strong> ${escapeHtml(query.title)}</figcaption>\n${renderDistribution(query)}</figure>`,
  );
  return {
    id: 'distributions',
    heading: 'Distributions',
    lead: 'Each bar is the share of executions that took that long, on a logarithmic scale. The solid line is the target, the dashed lines are p50 and p95 of Appendix A, and the mark below the bars is the measured p95.',
    html: `<div style="display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))">\n${charts.join('\n')}\n</div>`,
  };
}

const width = 360;
const margin = 10;
const top = 16;
/** A label, and the bars below it. */
const rowHeight = 54;
const labelHeight = 16;
const binCount = 60;

/** Bars on a logarithmic scale, a row for each number of clients, with the target and the estimates as lines. */
export function renderDistribution({
  name,
  measurements,
  targetMs,
  estimate,
}: Pick<QueryResult, 'name' | 'measurements' | 'targetMs' | 'estimate'>): string {
  const estimates = estimate === null ? [] : [estimate.p50Ms, estimate.p95Ms];
  const times = measurements.flatMap(({ roundsMs }) => roundsMs.flat());
  const scale = scaleOver([...times, ...estimates, targetMs]);
  const axisY = top + measurements.length * rowHeight;
  const rows = measurements.map((measurement, row) =>
    renderRow(measurement, { scale, base: top + (row + 1) * rowHeight - 8 }),
  );
  const line = (ms: number, style: string) =>
    `<line x1="${scale.x(ms)}" x2="${scale.x(ms)}" y1="${top - 2}" y2="${axisY}" style="${style}"/>`;
  const isRight = scale.x(targetMs) > width / 2;
  const targetLabel = `<text x="${scale.x(targetMs) + (isRight ? -4 : 4)}" y="10" text-anchor="${isRight ? 'end' : 'start'}" style="fill:var(--bad)">target ${targetMs} ms</text>`;
  const ticks = ticksBetween(scale).map((ms) => {
    const mark = `<line x1="${scale.x(ms)}" x2="${scale.x(ms)}" y1="${axisY}" y2="${axisY + 4}" style="stroke:var(--dim)"/>`;
    return `${mark}<text x="${scale.x(ms)}" y="${axisY + 16}" text-anchor="middle" style="fill:var(--dim)">${ms}</text>`;
  });
  const described = escapeHtml(`${name}: times, and the target of ${targetMs} ms`);
  return [
    `<svg viewBox="0 0 ${width} ${axisY + 20}" width="${width}" role="img" aria-label="${described}" style="font:11px system-ui,sans-serif;width:100%;max-width:30rem">`,
    ...rows.map(({ bars }) => bars),
    ...estimates.map((ms) =>
      line(ms, 'stroke:var(--warning);stroke-width:1.5;stroke-dasharray:4 3'),
    ),
    line(targetMs, 'stroke:var(--bad);stroke-width:2'),
    targetLabel,
    ...rows.map(({ label }) => label),
    `<line x1="${margin}" x2="${width - margin}" y1="${axisY}" y2="${axisY}" style="stroke:var(--line)"/>`,
    ...ticks,
    '</svg>',
  ].join('\n');
}

interface Scale {
  readonly lowMs: number;
  readonly highMs: number;
  /** From 0 to 1. */
  readonly share: (ms: number) => number;
  readonly x: (ms: number) => number;
}

function scaleOver(times: readonly number[]): Scale {
  const leastMs = 0.01;
  // A call with thousands of arguments could be too large for the stack.
  const shortest = times.reduce((least, ms) => Math.min(least, ms), Number.POSITIVE_INFINITY);
  const longest = times.reduce((most, ms) => Math.max(most, ms), leastMs);
  const [lowMs, highMs] = [Math.max(leastMs, shortest * 0.8), longest * 1.25];
  const share = (ms: number) =>
    Math.log10(Math.max(ms, lowMs) / lowMs) / Math.log10(highMs / lowMs);
  const x = (ms: number) => round(margin + share(ms) * (width - 2 * margin));
  return { lowMs, highMs, share, x };
}

function renderRow(
  { clients, roundsMs, warm }: Measurement,
  { scale, base }: { readonly scale: Scale; readonly base: number },
): { readonly bars: string; readonly label: string } {
  const counts = Array<number>(binCount).fill(0);
  for (const ms of roundsMs.flat()) {
    const bin = Math.min(binCount - 1, Math.floor(scale.share(ms) * binCount));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  const most = Math.max(...counts);
  const barWidth = (width - 2 * margin) / binCount;
  const rects = counts.flatMap((count, bin) => {
    if (count === 0) return [];
    const height = Math.max(1, (count / most) * (rowHeight - labelHeight - 8));
    return [
      `<rect x="${round(margin + bin * barWidth)}" y="${round(base - height)}" width="${round(barWidth - 0.5)}" height="${round(height)}"/>`,
    ];
  });
  const pointer = `<path d="M${scale.x(warm.p95Ms)} ${base + 1}l-4 6h8z" style="fill:var(--text)"/>`;
  const text = `${plural(clients, 'client')}: p50 ${formatMs(warm.p50Ms)}, p95 ${formatMs(warm.p95Ms)} ms`;
  return {
    bars: `<g style="fill:var(--accent)">${rects.join('')}</g>${pointer}`,
    // The line of a target may cross the text.
    label: `<text x="${margin}" y="${base - rowHeight + labelHeight + 4}" style="fill:var(--text);stroke:var(--ground);stroke-width:3;paint-order:stroke">${text}</text>`,
  };
}

const round = (value: number) => Math.round(value * 10) / 10;

/** 1, 10, 100 and so on; with 3, 30, 300 where the range has few of them. */
function ticksBetween({ lowMs, highMs }: Pick<Scale, 'lowMs' | 'highMs'>): readonly number[] {
  const powers = Array.from({ length: 9 }, (_, power) => power - 2);
  const of = (steps: readonly number[]) =>
    powers
      .flatMap((power) => steps.map((step) => Number((step * 10 ** power).toPrecision(1))))
      .filter((ms) => ms >= lowMs && ms <= highMs);
  const tens = of([1]);
  return tens.length >= 3 ? tens : of([1, 3]);
}

function reasonSection({ name, reasons }: QueryResult): readonly PageSection[] {
  if (reasons.length === 0) return [];
  const items = reasons.map((reason) => {
    const { fact, remedy } = describeReason(reason);
    const hint = remedy === undefined ? '' : `<br><small>${escapeHtml(remedy)}</small>`;
    return `<li>${escapeHtml(fact)}${hint}</li>`;
  });
  return [
    {
      id: `missed-${name}`,
      heading: `Why ${name} misses its target`,
      html: `<ul class="advice">${items.join('\n')}</ul>`,
    },
  ];
}

function comparisonSection({ queries, with: earlier }: Comparison): PageSection {
  const verdictTones = {
    slower: 'bad',
    faster: 'good',
    same: undefined,
    'too few runs': 'warning',
  } as const;
  const rows = queries.map(({ name, clients, p50, p95 }): readonly HtmlCell[] => [
    { text: name },
    number(formatCount(clients)),
    ...[p50, p95].flatMap(({ beforeMs, nowMs, verdict }): readonly HtmlCell[] => [
      number(formatMs(beforeMs)),
      number(formatMs(nowMs)),
      { text: verdict, tone: verdictTones[verdict] },
    ]),
  ]);
  return {
    id: 'comparison',
    heading: 'Against the earlier result',
    lead: `${earlier.target}, ${formatMinute(new Date(earlier.takenAt))} UTC. ${noiseSentence}.`,
    html: renderHtmlTable(
      ['query', 'clients', 'p50 before', 'p50 now', '', 'p95 before', 'p95 now', ''],
      rows,
    ),
  };
}
