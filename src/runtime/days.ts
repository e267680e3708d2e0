export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** The day in UTC, as `2026-01-31`. */
export function isoDay(moment: Date): string {
  return moment.toISOString().slice(0, 10);
}

/** Whether a text such as `2026-01-31` is a day of the calendar. `Date` reads 31 February as 3 March. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  return new Date(text).getUTCDate() === Number(text.slice(-2));
}
