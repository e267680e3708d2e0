import { Chalk } from 'chalk';
import { expect, it } from 'vitest';
import { formatCount, renderBar } from '../../src/ui/bar.ts';

const look = (columns: number) => ({ chalk: new Chalk({ level: 0 }), columns });

it.each([
  [0, '0'],
  [999, '999'],
  [1_000, '1,000'],
  [1_048_576, '1,048,576'],
])('the count %i is shown as %s', (count, text) => {
  expect(formatCount(count)).toBe(text);
});

it.each([
  [{ rows: 0, total: 100, elapsedMs: 0 }, 60, `${'─'.repeat(30)}   0%  0 rows  0/s`],
  [
    { rows: 620_000, total: 1_000_000, elapsedMs: 7_294 },
    80,
    '━━━━━━━━━━━━━━━━━━━───────────  62%  620,000 rows  85,001/s  0:05 left',
  ],
  [
    { rows: 50, total: 100, elapsedMs: 3_723_000 },
    50,
    '━━━━━━━━────────  50%  50 rows  0/s  1:02:03 left',
  ],
  [{ rows: 7, total: 5, elapsedMs: 1_000 }, 30, '━━━━━━━━━━━━━ 100%  0:00 left'],
  [{ rows: 7, total: 5, elapsedMs: 1_000 }, 10, '━━━━━━━━ 100%'],
  [{ rows: 0, total: 0, elapsedMs: 1_000 }, 40, expect.stringContaining(' 100%  0 rows  0/s')],
])('the bar shows %j in %i columns', (loaded, columns, text) => {
  expect(renderBar(loaded, look(columns))).toEqual(text);
});

it.each([24, 40, 60, 80, 120])('the bar fits into %i columns', (columns) => {
  const bar = renderBar({ rows: 12_345, total: 20_000, elapsedMs: 1_000 }, look(columns));
  expect(bar.length).toBeLessThanOrEqual(columns);
});
