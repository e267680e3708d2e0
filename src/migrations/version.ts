/** `YYYYMMDD_HHMMSS`, in UTC. Fixed width, so that order by code unit is order in time. */
export type Version = string;

export { compareText as compareVersions } from '../order.ts';

/** True when the stamp names a day and a second that exist. */
export function isRealStamp(version: Version): boolean {
  const date = stampDate(version);
  return date !== undefined && formatStamp(date) === version;
}

/** The stamp of a moment. */
export function formatStamp(date: Date): Version {
  const digits = date.toISOString().replaceAll(/[-:]/g, '');
  return `${digits.slice(0, 8)}_${digits.slice(9, 15)}`;
}

/** The moment of a stamp, undefined when it has none. Days past the end of a month roll over. */
export function stampDate(version: Version): Date | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)$/.exec(version)?.slice(1).map(Number);
  if (!parts) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  return date;
}
