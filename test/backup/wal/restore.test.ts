import { describe, expect, it } from 'vitest';
import type { RepositoryState } from '../../../src/backup/wal/list.ts';
import { chooseBackup } from '../../../src/backup/wal/restore.ts';
import { defaultSegmentBytes, findGaps, windowsOf } from '../../../src/backup/wal/segments.ts';
import { errorOf, wordsOf } from '../../support/errors.ts';

const minute = (count: number) => new Date(Date.UTC(2026, 0, 1, 0, count));

/** `1/2` is the segment 2 of timeline 1. It was archived in the minute of its number. */
function name(text: string): string {
  const [timeline = 0, position = 0] = text.split('/').map(Number);
  return [timeline, 0, position].map((part) => part.toString(16).padStart(8, '0')).join('');
}

/** A repository with one backup, which was made in the segments 2 and 3, and this WAL. */
function repository(wal: string): RepositoryState {
  const segments = wal
    .split(' ')
    .map((text) => ({ name: name(text), at: minute(Number(text.split('/')[1])), bytes: 1 }));
  const range = { start: name('1/2'), stop: name('1/3') };
  const wholeRange = { segments, segmentBytes: defaultSegmentBytes };
  return {
    info: {
      isCreated: true,
      backups: [
        {
          label: 'F',
          type: 'full',
          startedAt: minute(2),
          stoppedAt: minute(3),
          prior: undefined,
          bytes: 1,
          storedBytes: 1,
          hasDamagedPages: false,
          wal: range,
          archive: '15-1',
        },
      ],
      archive: '15-1',
      segmentBytes: defaultSegmentBytes,
      version: '15',
    },
    segments,
    wal: {
      archive: '15-1',
      segments: segments.length,
      bytes: segments.length,
      first: segments[0],
      last: segments.at(-1),
      gaps: findGaps(segments, {
        needed: [{ from: range.start, to: undefined }],
        segmentBytes: defaultSegmentBytes,
      }),
      windows: windowsOf([{ ...range, stoppedAt: minute(3) }], wholeRange),
    },
  };
}

describe('a restore to the end of the WAL', () => {
  it.each([
    ['1/2 1/3 1/4', undefined],
    ['1/2 1/3', undefined],
    // A later timeline has what the older one lacks behind the place where it was left.
    ['1/2 1/3 1/5 2/4 2/5', undefined],
    // The gap is on a later timeline than the one that is followed.
    ['1/2 1/3 1/4 2/4 2/6', 1],
  ])('takes the WAL %s (timeline %s)', (wal, timeline) => {
    const choice = { to: 'latest', timeline, stanza: 'main' } as const;
    expect(chooseBackup(repository(wal), choice)).toMatchObject({
      backup: { label: 'F' },
      gap: undefined,
    });
  });

  it.each([
    ['1/2 1/3 1/5', '1/4', undefined],
    ['1/2 1/3 1/4 1/5 2/4 2/6', '2/5', undefined],
    ['1/2 1/3 2/5', '1/4', undefined],
    // A later timeline does not fill the gap in the one that is followed.
    ['1/2 1/3 1/5 2/4', '1/4', 1],
  ])('refuses the gap in %s, unless it is allowed', async (wal, missing, timeline) => {
    const choice = { to: 'latest', timeline, stanza: 'main' } as const;
    const error = await errorOf('moment-unreachable', () => chooseBackup(repository(wal), choice));
    expect(wordsOf(error)).toContain(`the segment ${name(missing)} is missing`);
    expect(wordsOf(error)).toMatch(/can be restored: 2026-01-01T00:03:00.000Z/);
    expect(chooseBackup(repository(wal), { ...choice, allowGap: true }).gap).toMatchObject({
      first: name(missing),
    });
  });
});

it.each([
  ['the end of the WAL', { to: 'latest' }],
  ['the end of the WAL with a gap', { to: 'latest', allowGap: true }],
  ['a backup', { backup: 'F' }],
] as const)('a restore to %s refuses a backup that lacks its own WAL', async (_, choice) => {
  for (const wal of ['1/2', '1/2 1/4']) {
    const error = await errorOf('moment-unreachable', () =>
      chooseBackup(repository(wal), { ...choice, stanza: 'main' }),
    );
    expect(wordsOf(error)).toContain(`the segment ${name('1/3')} of WAL`);
  }
});
