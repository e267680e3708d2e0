/** By code unit, and so the same whatever the process's locale, which localeCompare is not. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
