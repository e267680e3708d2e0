/** `YYYYMMDD_HHMMSS`, in UTC. Fixed width, so that order by code unit is order in time. */
export type Version = string;

/** SHA-256 over a file's normalised text, in hexadecimal. */
export type Checksum = string;

export { compareText as compareVersions } from '../runtime/order.ts';

/** True when the stamp names a day and a second that exist. */
export function isRealStamp(version: Version): boolean {
  const parts = partsOf(version);
  if (!parts) return false;
  const date = dateOf(parts);
  const [, month, day, hour, minute, second] = parts;
  return (
    date.getUTCMonth() + 1 === month &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute &&
    date.getUTCSeconds() === second
  );
}

/** The stamp of a moment, to the second. */
export function formatStamp(date: Date): Version {
  const digits = date.toISOString().replaceAll(/[-:]/g, '');
  return `${digits.slice(0, 8)}_${digits.slice(9, 15)}`;
}

/** The moment of a stamp; undefined for a text of another form. Days past the end of a month roll over. */
export function stampDate(version: Version): Date | undefined {
  const parts = partsOf(version);
  return parts && dateOf(parts);
}

type Parts = readonly [
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
];

function partsOf(version: Version): Parts | undefined {
  const digits = /^(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)$/.exec(version)?.slice(1).map(Number);
  if (!digits) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = digits;
  return [year, month, day, hour, minute, second];
}

function dateOf([year, month, day, hour, minute, second]: Parts): Date {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  return date;
}
