import { expect, it } from 'vitest';
import { readMoment } from '../../src/market/klines.ts';

const noon = '2026-06-01T12:00:00.000Z';

it.each([
  ['2026-06-01', '2026-06-01T00:00:00.000Z'],
  ['2026-06-01 14:00+02', noon],
  ['2026-06-01T12:00Z', noon],
  ['1780315200', noon],
  ['1780315200.25', '2026-06-01T12:00:00.250Z'],
  ['1780315200000', noon],
  ['1780315200000001', noon],
])('%s is the moment %s', (text, iso) => {
  expect(new Date(readMoment(text) ?? Number.NaN).toISOString()).toBe(iso);
});

it.each([
  'yesterday',
  '2026-06-01T12:00',
  '2026-06-01T25:00Z',
  '2026-02-30',
  '2026-02-30T12:00Z',
  '20260601',
  '202606011200',
  '20260601120000',
  '',
])('"%s" is not a moment', (text) => {
  expect(readMoment(text)).toBeUndefined();
});
