import { expect, it } from 'vitest';
import { isDay } from '../../src/runtime/days.ts';

it.each([
  ['2026-01-31', true],
  ['2028-02-29', true],
  ['2026-02-29', false],
  ['2026-02-30', false],
  ['2026-13-01', false],
  ['', false],
])('"%s" is a day of the calendar: %s', (text, isReal) => {
  expect(isDay(text)).toBe(isReal);
});
