import { describe, expect, it } from 'vitest';
import type { ArchiverState } from '../../../src/backup/wal/server.ts';
import { findProblems, lossOf } from '../../../src/backup/wal/state.ts';

const now = Date.UTC(2026, 0, 1, 12);
const minuteMs = 60_000;
const ago = (minutes: number) => new Date(now - minutes * minuteMs);

const archiver: ArchiverState = {
  mode: 'on',
  command: 'pgbackrest …',
  timeoutMs: 5 * minuteMs,
  lastArchived: '000000010000000000000007',
  lastArchivedAt: ago(90),
  lastFailed: undefined,
  lastFailedAt: undefined,
  isFailing: false,
  isCaughtUp: true,
};

describe('what would be lost', () => {
  it.each<[expected: number, given: Partial<ArchiverState> | undefined]>([
    // Without the server only the age is known.
    [90, undefined],
    // The server writes nothing, and would archive within its time.
    [5, {}],
    [90, { timeoutMs: 0 }],
    [90, { isCaughtUp: false }],
    [90, { isFailing: true }],
  ])('is WAL of %i minutes with %j', (expected, given) => {
    const facts = { archiver: given && { ...archiver, ...given }, now };
    expect(lossOf(ago(90), facts)).toBe(expected * minuteMs);
  });

  it('is nothing for a segment of this second', () => {
    expect(lossOf(new Date(now + 400), { archiver: undefined, now })).toBe(0);
  });
});

describe('the problems of WAL', () => {
  const newest = { name: '000000010000000000000007', at: ago(1), bytes: 1 };
  const facts = { newest, windows: [], gaps: [], archiver, unread: undefined, lossMs: minuteMs };
  const limits = { rpoMs: 60 * minuteMs, isRead: true };

  it.each<[kinds: readonly string[], given: Partial<typeof facts> | object]>([
    [[], {}],
    [[], { lossMs: 60 * minuteMs }],
    [['old-wal'], { lossMs: 61 * minuteMs }],
    [['no-wal'], { newest: undefined, archiver: undefined, lossMs: undefined }],
    [['archiving-off'], { archiver: { ...archiver, mode: 'off' } }],
    [['archiver-failing'], { archiver: { ...archiver, isFailing: true, lastFailedAt: ago(0) } }],
    [['not-in-repository'], { newest: { ...newest, name: '000000010000000000000006' } }],
    // The newest that the server has archived can also be a file of a backup.
    [[], { archiver: { ...archiver, lastArchived: '000000010000000000000007.00000028.backup' } }],
    [[], { archiver: { ...archiver, lastArchived: '00000002.history' } }],
    [['gap'], { gaps: [{ first: 'a', last: 'a', segments: 1, after: undefined }] }],
  ])('%j', (kinds, given) => {
    expect(findProblems({ ...facts, ...given }, limits).map(({ kind }) => kind)).toEqual(kinds);
  });

  it('of a repository that was not read are those of the server', () => {
    const unread = { ...facts, newest: undefined, unread: 'pgBackRest is not installed' };
    expect(findProblems(unread, { ...limits, isRead: false })).toEqual([]);
  });
});
