/** Text that PostgreSQL writes for date, timestamp and timestamptz when DateStyle is ISO. */
const timeForm =
  /^(\d{4,})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d+))?)?(?:([+-])(\d\d)(?::(\d\d)(?::(\d\d))?)?)?( BC)?$/;

/**
 * The moment of a date, timestamp or timestamptz in text form. Without a zone the fields are UTC;
 * the zone of the process does not matter. Digits beyond milliseconds are cut off. Throws RangeError for
 * what a Date cannot hold: infinity, and years after 275760.
 */
export function readTime(text: string): Date {
  const [, year, month, day, hour = 0, minute = 0, second = 0, fraction = '', sign, ...rest] =
    timeForm.exec(text) ?? [];
  const [offsetHours = 0, offsetMinutes = 0, offsetSeconds = 0, era] = rest;
  const time = new Date(0);
  time.setUTCFullYear(
    era === undefined ? Number(year) : 1 - Number(year),
    Number(month) - 1,
    Number(day),
  );
  time.setUTCHours(Number(hour), Number(minute), Number(second), milliseconds(fraction));
  if (sign !== undefined) {
    const seconds = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60 + Number(offsetSeconds);
    time.setTime(time.getTime() - (sign === '-' ? -seconds : seconds) * 1_000);
  }
  if (Number.isNaN(time.getTime())) throw new RangeError(`a Date cannot hold ${text}`);
  return time;
}

function milliseconds(fraction: string): number {
  return Number(fraction.slice(0, 3).padEnd(3, '0'));
}

/**
 * The moment as PostgreSQL writes it in UTC, `2026-11-20 12:34:56.789+00`. A date or a timestamp takes
 * its fields and leaves out the zone. Throws TypeError for an invalid Date.
 */
export function writeTime(time: Date): string {
  if (Number.isNaN(time.getTime())) throw new TypeError('an invalid Date');
  const year = time.getUTCFullYear();
  const era = year > 0 ? '' : ' BC';
  const [, rest = ''] = /-(\d\d-\d\dT.*)Z$/.exec(time.toISOString()) ?? [];
  const fields = rest.replace('T', ' ').replace(/\.?0+$/, (end) => (end[0] === '.' ? '' : end));
  return `${String(year > 0 ? year : 1 - year).padStart(4, '0')}-${fields}+00${era}`;
}
