import { describe, expect, it } from 'vitest';
import { defaultKeep, isoWeek, parseKeep, retain } from '../../src/backup/retention.ts';
import { dayMs, isoDay } from '../../src/runtime/days.ts';

const at = (text: string) => ({
  startedAt: new Date(text.includes('T') ? text : `${text}T02:00Z`),
});

/** Each kept moment with its rules: `2026-01-31 newest day week month`. */
function keptOf(moments: readonly { readonly startedAt: Date }[], keep = defaultKeep) {
  return retain(moments, keep).kept.map(({ backup, rules }) =>
    [isoDay(backup.startedAt), ...rules.map(({ rule }) => rule)].join(' '),
  );
}

describe('one backup', () => {
  it('is kept by every rule, and none is kept of none', () => {
    expect(retain([at('2026-01-31')], defaultKeep)).toEqual({
      kept: [
        {
          backup: at('2026-01-31'),
          rules: [
            { rule: 'newest' },
            { rule: 'day', period: '2026-01-31' },
            { rule: 'week', period: '2026-W05' },
            { rule: 'month', period: '2026-01' },
          ],
        },
      ],
      dropped: [],
    });
    expect(retain([], defaultKeep)).toEqual({ kept: [], dropped: [] });
  });

  it('is kept by no rule at all when it is the newest', () => {
    const none = { days: 0, weeks: 0, months: 0 };
    const moments = [at('2026-01-30'), at('2026-01-31')];
    expect(keptOf(moments, none)).toEqual(['2026-01-31 newest']);
    expect(retain(moments, none).dropped).toEqual([at('2026-01-30')]);
  });
});

describe('several backups', () => {
  it('of a day leave the newest of it, and the day is one of UTC', () => {
    const moments = ['2026-03-01T23:59:59Z', '2026-03-02T00:00:00Z', '2026-03-01T02:00Z'].map(at);
    const { kept, dropped } = retain(moments, { days: 7, weeks: 0, months: 0 });
    expect(kept.map(({ backup }) => backup.startedAt.toISOString())).toEqual([
      '2026-03-02T00:00:00.000Z',
      '2026-03-01T23:59:59.000Z',
    ]);
    expect(dropped).toEqual([at('2026-03-01T02:00Z')]);
  });

  it('of one second leave the first in the list', () => {
    const [first, second] = [at('2026-03-01'), at('2026-03-01')];
    expect(retain([first, second], defaultKeep).dropped[0]).toBe(second);
  });

  it('that have stopped stay, however old they are', () => {
    const moments = Array.from({ length: 7 }, (_, day) => at(`2016-03-0${day + 1}`));
    expect(retain(moments, defaultKeep).dropped).toEqual([]);
  });

  it('are given back as they were, each of them once', () => {
    const moments = Array.from({ length: 100 }, (_, day) => ({
      id: day,
      startedAt: new Date(Date.UTC(2026, 0, 1) + ((day * 37) % 100) * dayMs),
    }));
    const { kept, dropped } = retain(moments, defaultKeep);
    const ids = [...kept.map(({ backup }) => backup), ...dropped].map(({ id }) => id);
    expect(ids.sort((a, b) => a - b)).toEqual(moments.map(({ id }) => id));
  });
});

describe('a week of ISO 8601', () => {
  it.each([
    ['2015-12-31', '2015-W53'],
    ['2016-01-03', '2015-W53'],
    ['2016-01-04', '2016-W01'],
    ['2018-12-31', '2019-W01'],
    ['2020-12-31', '2020-W53'],
    ['2021-01-03', '2020-W53'],
    ['2021-01-04', '2021-W01'],
    ['2024-02-29', '2024-W09'],
    ['2024-12-30', '2025-W01'],
    ['2026-12-31', '2026-W53'],
    ['2027-01-03', '2026-W53'],
  ])('has %s in %s, from its first second to its last', (day, week) => {
    expect(isoWeek(new Date(`${day}T00:00:00.000Z`))).toBe(week);
    expect(isoWeek(new Date(`${day}T23:59:59.999Z`))).toBe(week);
  });
});

describe('ten years of daily backups', () => {
  /** No backup ran on these days. */
  const gaps = [
    ['2019-02-26', '2019-03-04'],
    ['2020-02-29', '2020-02-29'],
    ['2021-05-01', '2021-07-31'],
    ['2023-12-28', '2024-01-02'],
  ] as const;
  const isGap = (day: string) => gaps.some(([from, to]) => day >= from && day <= to);
  const days = Array.from({ length: 3_653 }, (_, index) =>
    isoDay(new Date(Date.UTC(2016, 0, 1) + index * dayMs)),
  ).filter((day) => !isGap(day));
  /** Every tenth day has a second backup, by hand. */
  const moments = days.flatMap((day, index) => [
    at(`${day}T02:00Z`),
    ...(index % 10 === 0 ? [at(`${day}T15:30Z`)] : []),
  ]);

  /** After the prune of each day: what is left, and what is left when the table asks. */
  const expected: readonly (readonly [day: string, what: string, kept: readonly string[]])[] = [
    [
      '2016-01-04',
      'the first Monday',
      [
        '2016-01-04 newest day week month',
        '2016-01-03 day week',
        '2016-01-02 day',
        '2016-01-01 day',
      ],
    ],
    [
      '2017-01-01',
      'the Sunday on which a year begins',
      [
        '2017-01-01 newest day week month',
        '2016-12-31 day month',
        '2016-12-30 day',
        '2016-12-29 day',
        '2016-12-28 day',
        '2016-12-27 day',
        '2016-12-26 day',
        '2016-12-25 week',
        '2016-12-18 week',
        '2016-12-11 week',
        '2016-11-30 month',
        '2016-10-31 month',
        '2016-09-30 month',
        '2016-08-31 month',
        '2016-07-31 month',
        '2016-06-30 month',
        '2016-05-31 month',
        '2016-04-30 month',
        '2016-03-31 month',
        '2016-02-29 month',
      ],
    ],
    [
      '2019-03-06',
      'after a week without backups, at the turn of a month',
      [
        '2019-03-06 newest day week month',
        '2019-03-05 day',
        '2019-02-25 day week month',
        '2019-02-24 day week',
        '2019-02-23 day',
        '2019-02-22 day',
        '2019-02-21 day',
        '2019-02-17 week',
        '2019-01-31 month',
        '2018-12-31 month',
        '2018-11-30 month',
        '2018-10-31 month',
        '2018-09-30 month',
        '2018-08-31 month',
        '2018-07-31 month',
        '2018-06-30 month',
        '2018-05-31 month',
        '2018-04-30 month',
      ],
    ],
    [
      '2020-03-01',
      'in a leap year, without a backup on 29 February',
      [
        '2020-03-01 newest day week month',
        '2020-02-28 day month',
        '2020-02-27 day',
        '2020-02-26 day',
        '2020-02-25 day',
        '2020-02-24 day',
        '2020-02-23 day week',
        '2020-02-16 week',
        '2020-02-09 week',
        '2020-01-31 month',
        '2019-12-31 month',
        '2019-11-30 month',
        '2019-10-31 month',
        '2019-09-30 month',
        '2019-08-31 month',
        '2019-07-31 month',
        '2019-06-30 month',
        '2019-05-31 month',
        '2019-04-30 month',
      ],
    ],
    [
      '2021-01-06',
      'after week 53',
      [
        '2021-01-06 newest day week month',
        '2021-01-05 day',
        '2021-01-04 day',
        '2021-01-03 day week',
        '2021-01-02 day',
        '2021-01-01 day',
        '2020-12-31 day month',
        '2020-12-27 week',
        '2020-12-20 week',
        '2020-11-30 month',
        '2020-10-31 month',
        '2020-09-30 month',
        '2020-08-31 month',
        '2020-07-31 month',
        '2020-06-30 month',
        '2020-05-31 month',
        '2020-04-30 month',
        '2020-03-31 month',
        '2020-02-28 month',
      ],
    ],
    [
      '2021-08-02',
      'after three months without backups, whose months do not count',
      [
        '2021-08-02 newest day week month',
        '2021-08-01 day week',
        '2021-04-30 day week month',
        '2021-04-29 day',
        '2021-04-28 day',
        '2021-04-27 day',
        '2021-04-26 day',
        '2021-04-25 week',
        '2021-03-31 month',
        '2021-02-28 month',
        '2021-01-31 month',
        '2020-12-31 month',
        '2020-11-30 month',
        '2020-10-31 month',
        '2020-09-30 month',
        '2020-08-31 month',
        '2020-07-31 month',
        '2020-06-30 month',
      ],
    ],
    [
      '2024-01-03',
      'after a gap over the new year',
      [
        '2024-01-03 newest day week month',
        '2023-12-27 day week month',
        '2023-12-26 day',
        '2023-12-25 day',
        '2023-12-24 day week',
        '2023-12-23 day',
        '2023-12-22 day',
        '2023-12-17 week',
        '2023-11-30 month',
        '2023-10-31 month',
        '2023-09-30 month',
        '2023-08-31 month',
        '2023-07-31 month',
        '2023-06-30 month',
        '2023-05-31 month',
        '2023-04-30 month',
        '2023-03-31 month',
        '2023-02-28 month',
      ],
    ],
    [
      '2024-03-04',
      'after 29 February',
      [
        '2024-03-04 newest day week month',
        '2024-03-03 day week',
        '2024-03-02 day',
        '2024-03-01 day',
        '2024-02-29 day month',
        '2024-02-28 day',
        '2024-02-27 day',
        '2024-02-25 week',
        '2024-02-18 week',
        '2024-01-31 month',
        '2023-12-27 month',
        '2023-11-30 month',
        '2023-10-31 month',
        '2023-09-30 month',
        '2023-08-31 month',
        '2023-07-31 month',
        '2023-06-30 month',
        '2023-05-31 month',
        '2023-04-30 month',
      ],
    ],
    [
      '2025-12-31',
      'the last day of ten years',
      [
        '2025-12-31 newest day week month',
        '2025-12-30 day',
        '2025-12-29 day',
        '2025-12-28 day week',
        '2025-12-27 day',
        '2025-12-26 day',
        '2025-12-25 day',
        '2025-12-21 week',
        '2025-12-14 week',
        '2025-11-30 month',
        '2025-10-31 month',
        '2025-09-30 month',
        '2025-08-31 month',
        '2025-07-31 month',
        '2025-06-30 month',
        '2025-05-31 month',
        '2025-04-30 month',
        '2025-03-31 month',
        '2025-02-28 month',
        '2025-01-31 month',
      ],
    ],
  ];

  it.each(expected)('leave on %s, %s, these', (day, _, kept) => {
    const until = moments.filter(({ startedAt }) => isoDay(startedAt) <= day);
    expect(keptOf(until)).toEqual(kept);
  });

  it('leave the same whether they are pruned every day or once', () => {
    let left: readonly { readonly startedAt: Date }[] = [];
    let most = 0;
    let isNewestKept = true;
    const seen = new Map<string, typeof left>();
    for (const moment of moments) {
      left = retain([...left, moment], defaultKeep).kept.map(({ backup }) => backup);
      most = Math.max(most, left.length);
      isNewestKept &&= left[0] === moment;
      seen.set(isoDay(moment.startedAt), left);
    }
    expect(isNewestKept).toBe(true);
    for (const [day, , kept] of expected) expect(keptOf(seen.get(day) ?? [])).toEqual(kept);
    // 7 + 4 + 12, where no backup counts for two rules; the newest counts for all three.
    expect(most).toBeLessThanOrEqual(21);
    expect(most).toBeGreaterThanOrEqual(20);
  });

  it('leave the newer of two backups of a day', () => {
    const { kept } = retain(moments, defaultKeep);
    const newest = new Map(moments.map(({ startedAt }) => [isoDay(startedAt), startedAt]));
    for (const { backup } of kept) {
      expect(backup.startedAt).toEqual(newest.get(isoDay(backup.startedAt)));
    }
  });
});

describe('the rules in a text', () => {
  it.each([
    ['7d,4w,12m', { days: 7, weeks: 4, months: 12 }],
    ['30d', { days: 30, weeks: 0, months: 0 }],
    ['12m, 4w', { days: 0, weeks: 4, months: 12 }],
    ['36500d', { days: 36_500, weeks: 0, months: 0 }],
  ])('%s are read', (text, keep) => {
    expect(parseKeep(text)).toEqual(keep);
  });

  it.each([
    '',
    '7',
    'd',
    '0d',
    '-1d',
    '7d,',
    ',7d',
    '7d,3d',
    '7y',
    '7D',
    '1.5d',
    '7 d',
    '7d 4w',
    '36501d',
  ])('"%s" are refused', (text) => {
    expect(parseKeep(text)).toBeUndefined();
  });
});
