/** Compares by code unit, because the order of `localeCompare` depends on the locale of the process. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
