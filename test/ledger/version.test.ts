import { describe, expect, it } from 'vitest';
import { compareVersions, formatStamp, isRealStamp, stampDate } from '../../src/ledger/version.ts';

describe('isRealStamp', () => {
  it.each([
    '20251007_120000',
    '20240229_000000',
    '20000229_235959',
    '00010101_000000',
    '99991231_235959',
  ])('accepts %s', (stamp) => {
    expect(isRealStamp(stamp)).toBe(true);
  });

  it.each([
    ['a leap day of a common year', '20250229_120000'],
    ['a leap day of a century that is no leap year', '19000229_120000'],
    ['the 31st of a short month', '20250431_120000'],
    ['the day zero', '20250100_120000'],
    ['the month zero', '20250010_120000'],
    ['the month thirteen', '20251301_120000'],
    ['24:00', '20250101_240000'],
    ['the minute sixty', '20250101_126000'],
    ['a leap second', '20161231_235960'],
    ['too few digits', '2025101_120000'],
    ['too many digits', '20251001_1200000'],
    ['no underscore', '20251001120000'],
    ['digits of another script', '２０２５１００１_120000'],
    ['nothing', ''],
    ['a stamp with a line end', '20251001_120000\n'],
  ])('refuses %s', (_, stamp) => {
    expect(isRealStamp(stamp)).toBe(false);
  });
});

describe('formatStamp and stampDate', () => {
  it.each([
    ['2025-10-07T12:00:00.000Z', '20251007_120000'],
    ['2025-10-07T12:00:00.999Z', '20251007_120000'],
    ['2025-12-31T23:59:59.000Z', '20251231_235959'],
    ['2025-03-30T02:30:00+02:00', '20250330_003000'],
    ['0099-01-01T00:00:00.000Z', '00990101_000000'],
  ])('turn %s into %s and back, in UTC', (moment, stamp) => {
    expect(formatStamp(new Date(moment))).toBe(stamp);
    expect(stampDate(stamp)?.getTime()).toBe(Math.floor(Date.parse(moment) / 1000) * 1000);
  });

  it('return no date for a text that is not a stamp', () => {
    expect(stampDate('yesterday')).toBeUndefined();
  });
});

describe('compareVersions', () => {
  it('orders by code unit, which is the order of time in every locale', () => {
    const ordered = ['00010101_000000', '20251007_115959', '20251007_120000', '99991231_235959'];
    expect([...ordered].reverse().sort(compareVersions)).toEqual(ordered);
    expect(compareVersions('20251007_120000', '20251007_120000')).toBe(0);
    expect(['b', 'Z', 'a'].sort(compareVersions)).toEqual(['Z', 'a', 'b']);
  });
});
