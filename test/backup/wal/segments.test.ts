import { describe, expect, it } from 'vitest';
import {
  type ArchivedSegment,
  defaultSegmentBytes,
  findGaps,
  segmentBytesOf,
  windowsOf,
} from '../../../src/backup/wal/segments.ts';

const start = Date.UTC(2026, 0, 1);

/** `1/2` is the segment 2 of timeline 1. Its minute is its number. */
function name(text: string): string {
  const [timeline = '', position = ''] = text.split('/');
  const number = Number(position);
  return [Number(timeline), Math.floor(number / 256), number % 256]
    .map((part) => part.toString(16).toUpperCase().padStart(8, '0'))
    .join('');
}

function minute(count: number): Date {
  return new Date(start + count * 60_000);
}

function archive(text: string): readonly ArchivedSegment[] {
  return text.split(' ').map((each) => ({
    name: name(each),
    at: minute(Number(each.split('/')[1])),
    bytes: 1,
  }));
}

describe('gaps in the WAL', () => {
  it.each<[wal: string, from: string, to: string | undefined, gaps: readonly string[]]>([
    ['1/2 1/3 1/4', '1/2', undefined, []],
    ['1/2 1/4', '1/2', undefined, ['1/3 1/3']],
    ['1/2 1/5 1/7', '1/2', undefined, ['1/3 1/4', '1/6 1/6']],
    // Before the range, and across the end of the second part of a name.
    ['1/1 1/3 1/4', '1/3', undefined, []],
    ['1/254 1/257', '1/254', undefined, ['1/255 1/256']],
    // The first one, the last one of a backup, and all of them.
    ['1/3 1/4', '1/2', undefined, ['1/2 1/2']],
    ['1/2', '1/2', '1/3', ['1/3 1/3']],
    ['1/9', '1/2', '1/3', ['1/2 1/3']],
    ['2/9', '1/9', undefined, ['1/9 1/9']],
    // A new timeline begins in the segment in which the old one was left, or behind it.
    ['1/2 1/3 2/3 2/4', '1/2', undefined, []],
    ['1/2 1/3 2/4 2/5', '1/2', undefined, []],
    ['1/2 1/3 1/4 1/5 2/4 2/5', '1/2', undefined, []],
    ['1/2 2/3 3/4', '1/2', undefined, []],
    // Between two timelines, and within the second one.
    ['1/2 2/4', '1/2', undefined, ['1/3 1/3']],
    ['1/2 1/3 2/3 2/5', '1/2', undefined, ['2/4 2/4']],
    // An older timeline is of no interest to a backup of the second one.
    ['1/2 1/9 2/5 2/6', '2/5', undefined, []],
  ])('of %s from %s to %s', (wal, from, to, gaps) => {
    const needed = [{ from: name(from), to: to === undefined ? undefined : name(to) }];
    const found = findGaps(archive(wal), { needed, segmentBytes: defaultSegmentBytes });
    expect(found.map(({ first, last }) => `${first} ${last}`)).toEqual(
      gaps.map((gap) => gap.split(' ').map(name).join(' ')),
    );
  });

  it('say how many segments are missing, and when the WAL before them was archived', () => {
    const needed = [{ from: name('1/2'), to: undefined }];
    const wal = archive('1/2 1/6');
    expect(findGaps(wal, { needed, segmentBytes: defaultSegmentBytes })).toEqual([
      { first: name('1/3'), last: name('1/5'), segments: 3, after: minute(2) },
    ]);
  });

  it('count positions by the size of a segment', () => {
    const needed = [{ from: '0000000100000000000000FF', to: undefined }];
    const wal = ['0000000100000000000000FF', '000000010000000100000000'].map((each) => ({
      name: each,
      at: minute(0),
      bytes: 1,
    }));
    expect(findGaps(wal, { needed, segmentBytes: defaultSegmentBytes })).toEqual([]);
    const found = findGaps(wal, { needed, segmentBytes: defaultSegmentBytes / 2 });
    expect(found).toMatchObject([{ first: '000000010000000000000100', segments: 256 }]);
  });
});

describe('what can be restored', () => {
  const backup = (range: string, stopped: number) => {
    const [from = '', to = ''] = range.split(' ').map(name);
    return { start: from, stop: to, stoppedAt: minute(stopped) };
  };

  it.each<[wal: string, ranges: readonly [string, number][], windows: readonly number[][]]>([
    ['1/2 1/3 1/4', [['1/2 1/2', 2]], [[2, 4]]],
    ['1/2 1/4', [['1/2 1/2', 2]], [[2, 2]]],
    ['1/2', [['1/2 1/3', 3]], []],
    [
      '1/2 1/3 1/4 1/5',
      [
        ['1/2 1/2', 2],
        ['1/4 1/4', 4],
      ],
      [[2, 5]],
    ],
    [
      '1/2 1/4 1/5',
      [
        ['1/2 1/2', 2],
        ['1/4 1/4', 4],
      ],
      [
        [2, 2],
        [4, 5],
      ],
    ],
    ['1/2 1/3 2/3 2/4', [['1/2 1/2', 2]], [[2, 4]]],
  ])('with the WAL %s and the backups %j', (wal, ranges, windows) => {
    const backups = ranges.map(([range, stopped]) => backup(range, stopped));
    const given = { segments: archive(wal), segmentBytes: defaultSegmentBytes };
    expect(windowsOf(backups, given)).toEqual(
      windows.map(([from = 0, to = 0]) => ({ from: minute(from), to: minute(to) })),
    );
  });
});

it.each([
  ['000000010000000000000002', '0/2000028', 16],
  ['000000010000000000000020', '0/2000028', 1],
  ['00000001000000050000000F', '5/3C000028', 64],
  ['000000010000000500000000', '5/28', 16],
])('a segment %s with the position %s has %i MiB', (segment, position, mebibytes) => {
  expect(segmentBytesOf([{ segment, position }])).toBe(mebibytes * 1024 * 1024);
});
