export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** The day in UTC, as `2026-01-31`. */
export function isoDay(moment: Date): string {
  return moment.toISOString().slice(0, 10);
}

/** Whether a text such as `2026-01-31` is a day of the calendar. `Date` reads 31 February as 3 March. */
export function isDay(text: string): boolean {
  const day = new Date(text);
  return !Number.isNaN(day.getTime()) && isoDay(day) === text;
}
