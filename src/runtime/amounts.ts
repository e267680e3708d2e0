/** `1,048,576` */
export function formatCount(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

/** `512 B`, `47.3 MB`, `1.2 TB`: in units of 1,000 */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1_000 ** power;
  const isWhole = power === 0 || value >= 99.95;
  return `${isWhole ? formatCount(Math.round(value)) : value.toFixed(1)} ${units[power]}`;
}

/** `2026-11-20 14:02`, in UTC */
export function formatMinute(date: Date): string {
  return date.toISOString().slice(0, 16).replace('T', ' ');
}

const ages = [
  { unit: 'd', ms: 86_400_000 },
  { unit: 'h', ms: 3_600_000 },
  { unit: 'min', ms: 60_000 },
] as const;

/** `8 s`, `12 min`, `3 h` or `5 d`: in the largest unit that fits. */
export function formatAge(ageMs: number): string {
  const { unit, ms } = ages.find((age) => ageMs >= age.ms) ?? { unit: 's', ms: 1_000 };
  return `${Math.max(0, Math.floor(ageMs / ms))} ${unit}`;
}

/** `1 migration`, `1,000 migrations` */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `12 ms`, `3.4 s`, `2 min 5 s`, `4 h`, `4 h 5 min`; empty for undefined. */
export function formatDuration(ms: number | undefined): string {
  if (ms === undefined) return '';
  if (Math.round(ms) < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  const rest = minutes % 60 === 0 ? '' : ` ${minutes % 60} min`;
  return `${Math.floor(minutes / 60)} h${rest}`;
}
