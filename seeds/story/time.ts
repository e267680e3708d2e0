export const minuteMs = 60_000;
export const hourMs = 60 * minuteMs;
export const dayMs = 24 * hourMs;

export function before(moment: Date, ms: number): Date {
  return new Date(moment.getTime() - ms);
}

/** Midnight in UTC, when a day of price_history_daily begins. */
export function startOfDay(moment: Date): Date {
  return new Date(Math.floor(moment.getTime() / dayMs) * dayMs);
}
