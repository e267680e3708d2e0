import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { BenchmarkResult, QueryResult } from '../../src/benchmark/benchmark.ts';
import { compareResults } from '../../src/benchmark/compare.ts';
import type { Reason } from '../../src/benchmark/plan.ts';
import { percentilesOf } from '../../src/benchmark/statistics.ts';
import { queryTargets } from '../../src/benchmark/targets.ts';
import { describeReason, formatMs, renderBenchmark } from '../../src/ui/benchmark.ts';
import { renderBenchmarkPage, renderDistribution } from '../../src/ui/benchmark-page.ts';

const look = { chalk: new Chalk({ level: 0 }), columns: undefined };

function measurementOf(clients: number, ms: number): QueryResult['measurements'][number] {
  const roundsMs = Array.from({ length: 10 }, () => [ms, ms * 1.1, ms * 1.2, ms * 1.5, ms * 3]);
  const warm = percentilesOf(roundsMs.flat());
  return { clients, cold: percentilesOf([ms * 9]), warm, perSecond: 1_234, roundsMs };
}

const met: QueryResult = {
  ...queryTargets.holdings,
  name: 'holdings',
  outcome: 'met',
  why: null,
  rows: 20,
  measurements: [measurementOf(1, 0.5), measurementOf(20, 4)],
  plan: { rowsScanned: 20, buffers: { hit: 8, read: 1_000 }, planningMs: 0.1, executionMs: 0.2 },
  reasons: [],
};
const missed: QueryResult = {
  ...met,
  ...queryTargets['user-by-email'],
  name: 'user-by-email',
  outcome: 'missed',
  reasons: [
    { kind: 'slowest-node', node: 'Seq Scan on users', ms: 38.2, ofMs: 38.4 },
    { kind: 'missing-index', table: 'users', columns: ['email'] },
  ],
};
const notRun: QueryResult = {
  ...met,
  ...queryTargets.prediction,
  name: 'prediction',
  outcome: 'not run',
  why: 'the table predictions is empty',
  rows: 0,
  measurements: [],
  plan: null,
};
const result: BenchmarkResult = {
  format: 1,
  takenAt: '2026-11-28T02:00:00.000Z',
  target: 'host/<db>',
  server: { postgresql: '15.20', timescaledb: '2.28.3' },
  runs: 50,
  clients: [1, 20],
  leftOutClients: [{ clients: 300, why: 'the server has 97 free connections' }],
  queries: [met, missed, notRun],
  isMet: false,
  comparison: null,
};

describe('a result in the terminal', () => {
  it('has a line for each number of clients, the reasons, and what did not run', () => {
    expect(renderBenchmark(result, look)).toBe(
      [
        'query          clients   p50   p95   p99  first  rows  buffers  target',
        'holdings             1  0.60  1.50  1.50   4.50    20    1,008   30 ms  met',
        '                    20  4.80  12.0  12.0   36.0',
        'user-by-email        1  0.60  1.50  1.50   4.50    20    1,008   10 ms  missed',
        '                    20  4.80  12.0  12.0   36.0',
        'prediction                                                       50 ms  not run',
        '',
        'user-by-email misses its target:',
        '  slowest node: Seq Scan on users, 38.2 of 38.4 ms',
        '  missing index: none on users begins with email',
        '    hint: compare the indexes of users with the migrations, or create one in a migration with: create index concurrently … on users (…)',
        '',
        'prediction did not run: the table predictions is empty',
        '',
        '300 clients left out: the server has 97 free connections',
        '',
        '1 of 2 targets met at p95 with 1 client',
        'host/<db>, PostgreSQL 15.20, TimescaleDB 2.28.3, 50 runs',
        'times in ms; first: on a new connection; buffers: pages of 8 kB',
        '',
      ].join('\n'),
    );
  });

  it('says once why several queries did not run', () => {
    const queries = [notRun, met, { ...notRun, name: 'risk-score' } as const];
    expect(renderBenchmark({ ...result, queries }, look)).toContain(
      '\nprediction, risk-score did not run: the table predictions is empty\n\n300 clients',
    );
  });

  it('fits into 80 columns', () => {
    const long = { ...missed, name: 'portfolio-values' } as const;
    const text = renderBenchmark({ ...result, queries: [long] }, { ...look, columns: 80 });
    const table = text.split('\n').slice(0, 3);
    for (const line of table) expect(line.length).toBeLessThanOrEqual(80);
    expect(table[1]).toMatch(/^portfolio-values .* missed$/);
  });

  it('says what got slower, and how that is judged', () => {
    const slow = { ...met, measurements: [measurementOf(1, 5), measurementOf(20, 4)] };
    const now = { ...result, queries: [slow] };
    const text = renderBenchmark({ ...now, comparison: compareResults(result, now) }, look);
    expect(text).toMatch(/holdings +1 +0\.60 → 6\.00 +1\.50 → 15\.0 {2}slower\n/);
    expect(text).toMatch(/holdings +20 +4\.80 → 4\.80 +12\.0 → 12\.0 {2}same\n/);
    expect(text).toContain('compared with host/<db>, 2026-11-28 02:00 UTC; something got slower\n');
    expect(text).toContain('by 10 % and 0.1 ms');
  });
});

describe('a result as a page', () => {
  const page = renderBenchmarkPage({ ...result, comparison: compareResults(result, result) });

  it('needs nothing from outside, and escapes names', () => {
    expect(page).not.toMatch(/<script|https?:|src=|url\(|@import/);
    expect(page).toContain('host/&lt;db&gt;');
    expect(page).not.toContain('<db>');
  });

  it('draws each measured query, and links to each section', () => {
    expect(page.match(/<svg /g)).toHaveLength(2);
    for (const id of ['results', 'distributions', 'missed-user-by-email', 'comparison']) {
      expect(page).toContain(`<section id="${id}">`);
      expect(page).toContain(`href="#${id}"`);
    }
  });

  it('draws the target, both estimates, and all bars within the picture', () => {
    const svg = renderDistribution(met);
    expect(svg.match(/stroke-dasharray/g)).toHaveLength(2);
    expect(svg.match(/stroke:var\(--bad\)/g)).toHaveLength(1);
    expect(svg).toContain('>target 30 ms</text>');
    expect(svg).toContain('1 client: p50 0.60, p95 1.50 ms');
    const places = [...svg.matchAll(/\bx[12]?="([\d.]+)"/g)].map(([, x]) => Number(x));
    expect(Math.min(...places)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...places)).toBeLessThanOrEqual(360);
    expect(svg).not.toContain('NaN');
  });
});

it.each<[Reason, string]>([
  [{ kind: 'timed-out', afterMs: 5_000 }, 'an execution took longer than 5,000 ms'],
  [
    { kind: 'sequential-scan', table: 'users', rows: 99_999, kept: 1 },
    'sequential scan of users: 99,999 rows read, 1 kept',
  ],
  [
    { kind: 'wide-index-scan', index: 'i', table: 't', rows: 50_000, kept: 2 },
    'the index i does not fit: 50,000 rows of t read, 2 kept',
  ],
  [
    {
      kind: 'real-time-aggregation',
      view: 'v',
      hypertable: 'h',
      rows: 43_200,
      storedUntil: new Date('2026-10-01T00:00:00Z'),
    },
    'real-time aggregation: v stores days until 2026-10-01, and computes later days from 43,200 rows of h',
  ],
  [
    { kind: 'real-time-aggregation', view: 'v', hypertable: 'h', rows: 9, storedUntil: null },
    'real-time aggregation: v stores no day',
  ],
  [
    { kind: 'stale-statistics', table: 't', estimated: 3, actual: 5_000, analyzedAt: null },
    'stale statistics: 3 rows of t estimated, 5,000 found; never analyzed',
  ],
  [{ kind: 'disk-reads', pages: 400, ofPages: 450 }, '400 of 450 pages were not in shared buffers'],
  [{ kind: 'temporary-files', pages: 12 }, '12 pages of temporary files'],
  [
    { kind: 'planning', planningMs: 45, relations: 262 },
    'planning takes 45.0 ms, over 262 relations',
  ],
  [
    { kind: 'outside-server', serverMs: 0.33, p95Ms: 10.4 },
    'the server takes 0.33 ms, and the p95 is 10.4 ms',
  ],
])('a reason is a sentence: %j', (reason, text) => {
  expect(describeReason(reason).fact).toContain(text);
});

it.each([
  [0.004, '0.00'],
  [0.42, '0.42'],
  [9.99, '9.99'],
  [9.996, '10.0'],
  [99.94, '99.9'],
  [99.96, '100'],
  [1_234.5, '1,235'],
])('%d milliseconds are %s', (ms, text) => {
  expect(formatMs(ms)).toBe(text);
});
