import { compareText } from '../../runtime/order.ts';

/** A WAL segment that is in the archive. */
export interface ArchivedSegment {
  /** 24 hexadecimal digits: timeline, and two parts of the position. */
  readonly name: string;
  /** When it was written to the archive, rounded up to a second. What it holds was written before. */
  readonly at: Date;
  /** As stored. */
  readonly bytes: number;
}

/** Segments that are not in the archive, although a restore needs them. */
export interface WalGap {
  readonly first: string;
  /** The same as `first` where one segment is missing. */
  readonly last: string;
  readonly segments: number;
  /** When the segment before it was archived; undefined where none is there. A restore reaches this moment. */
  readonly after: Date | undefined;
}

/** A time within which every moment can be restored. A backup without WAL after it gives one moment. */
export interface Window {
  readonly from: Date;
  readonly to: Date;
}

/** The segments that have to be there, by their names: all up to the newest one where `to` is undefined. */
export interface NeededRange {
  readonly from: string;
  readonly to: string | undefined;
}

interface Place {
  readonly timeline: number;
  readonly position: number;
}

const mebibyte = 1024 * 1024;
export const defaultSegmentBytes = 16 * mebibyte;

/** How many segments the second part of a name counts before the first part goes up. */
function segmentsPerPart(segmentBytes: number): number {
  return 2 ** 32 / segmentBytes;
}

function placeOf(name: string, segmentBytes: number): Place {
  const part = (from: number) => Number.parseInt(name.slice(from, from + 8), 16);
  return { timeline: part(0), position: part(8) * segmentsPerPart(segmentBytes) + part(16) };
}

function nameOf({ timeline, position }: Place, segmentBytes: number): string {
  const count = segmentsPerPart(segmentBytes);
  return [timeline, Math.floor(position / count), position % count]
    .map((part) => part.toString(16).toUpperCase().padStart(8, '0'))
    .join('');
}

/** The size of a segment, as positions and the names of their segments show it: initdb can set another than 16 MiB. */
export function segmentBytesOf(
  known: readonly { readonly segment: string; readonly position: string }[],
): number {
  const sizes = [defaultSegmentBytes, ...Array.from({ length: 11 }, (_, at) => 2 ** at * mebibyte)];
  const fits = (bytes: number) =>
    known.every(({ segment, position }) => {
      const [, low = ''] = position.split('/');
      return (
        Math.floor(Number.parseInt(low, 16) / bytes) === Number.parseInt(segment.slice(16), 16)
      );
    });
  return sizes.find(fits) ?? defaultSegmentBytes;
}

/**
 * The gaps in the ranges, in order. A new timeline begins where an older one was left, which is no gap. Segments after
 * the newest one of a timeline are not missed: the server has not archived them yet, or has left that timeline.
 */
export function findGaps(
  segments: readonly ArchivedSegment[],
  {
    needed,
    segmentBytes,
  }: { readonly needed: readonly NeededRange[]; readonly segmentBytes: number },
): readonly WalGap[] {
  const timelines = groupByTimeline(segments, segmentBytes);
  const gaps = needed.flatMap((range) => gapsIn(range, timelines, segmentBytes));
  const unique = new Map(gaps.map((gap) => [gap.first, gap]));
  return [...unique.values()].sort((a, b) => compareText(a.first.slice(8), b.first.slice(8)));
}

type Timelines = ReadonlyMap<number, ReadonlyMap<number, ArchivedSegment>>;

function groupByTimeline(segments: readonly ArchivedSegment[], segmentBytes: number): Timelines {
  const timelines = new Map<number, Map<number, ArchivedSegment>>();
  for (const segment of segments) {
    const { timeline, position } = placeOf(segment.name, segmentBytes);
    const known = timelines.get(timeline) ?? new Map<number, ArchivedSegment>();
    timelines.set(timeline, known.set(position, segment));
  }
  return new Map([...timelines].sort(([one], [other]) => one - other));
}

function gapsIn(range: NeededRange, timelines: Timelines, segmentBytes: number): readonly WalGap[] {
  const start = placeOf(range.from, segmentBytes);
  const end = range.to === undefined ? undefined : placeOf(range.to, segmentBytes).position;
  const gaps: WalGap[] = [];
  /** The position before the range counts as there. */
  const reached = new Map([[start.position - 1, start.timeline]]);
  const followed = new Map([[start.timeline, new Map<number, ArchivedSegment>()], ...timelines]);
  for (const [timeline, known] of followed) {
    const places = [...known.keys()]
      .filter((position) => position >= start.position && (end === undefined || position <= end))
      .sort((one, other) => one - other);
    const isFirst = timeline === start.timeline;
    const [earliest = start.position] = places;
    if (timeline < start.timeline || (!isFirst && places.length === 0)) continue;
    // Where the WAL of this timeline has to begin: after that of an older one, or in the segment in which it left that.
    const anchor = reached.has(earliest)
      ? earliest
      : Math.max(...[...reached.keys()].filter((position) => position < earliest));
    const isEndNeeded = isFirst && (end !== undefined || places.length === 0);
    const after = isEndNeeded ? [(end ?? start.position) + 1] : [];
    let before = anchor;
    let owner = reached.get(anchor) ?? timeline;
    for (const position of [...places, ...after]) {
      if (position - before > 1) {
        gaps.push({
          first: nameOf({ timeline: owner, position: before + 1 }, segmentBytes),
          last: nameOf({ timeline: owner, position: position - 1 }, segmentBytes),
          segments: position - before - 1,
          after: timelines.get(owner)?.get(before)?.at,
        });
      }
      before = position;
      owner = timeline;
    }
    for (const position of places) reached.set(position, timeline);
  }
  return gaps;
}

/** A backup, by the segments between which it was made, and the moment at which it is consistent. */
interface BackupRange {
  readonly start: string;
  readonly stop: string;
  readonly stoppedAt: Date;
}

/** What can be restored from a backup and the WAL after it; undefined where the WAL of the backup itself has a gap. */
export function windowOf(
  { start, stop, stoppedAt }: BackupRange,
  {
    segments,
    segmentBytes,
  }: { readonly segments: readonly ArchivedSegment[]; readonly segmentBytes: number },
): Window | undefined {
  const first = placeOf(start, segmentBytes);
  const times = new Map<number, number>();
  for (const { name, at } of segments) {
    const { timeline, position } = placeOf(name, segmentBytes);
    if (timeline < first.timeline) continue;
    times.set(position, Math.max(times.get(position) ?? 0, at.getTime()));
  }
  let position = first.position;
  let reached = stoppedAt.getTime();
  for (; times.has(position); position += 1) {
    reached = Math.max(reached, times.get(position) ?? 0);
  }
  const isWhole = position > placeOf(stop, segmentBytes).position;
  return isWhole ? { from: stoppedAt, to: new Date(reached) } : undefined;
}

/** The windows of all backups, in order, joined where they meet. */
export function windowsOf(
  backups: readonly BackupRange[],
  wal: { readonly segments: readonly ArchivedSegment[]; readonly segmentBytes: number },
): readonly Window[] {
  const windows: Window[] = [];
  const sorted = [...backups].sort((a, b) => a.stoppedAt.getTime() - b.stoppedAt.getTime());
  for (const backup of sorted) {
    const window = windowOf(backup, wal);
    if (!window) continue;
    const last = windows.at(-1);
    const isJoined = last !== undefined && window.from.getTime() <= last.to.getTime();
    if (!isJoined) windows.push(window);
    else if (window.to.getTime() > last.to.getTime()) {
      windows[windows.length - 1] = { from: last.from, to: window.to };
    }
  }
  return windows;
}
