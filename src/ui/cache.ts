import type { ClearResult } from '../cache/clear.ts';
import type { CacheStatus } from '../cache/status.ts';
import type { WarmResult } from '../cache/warm.ts';
import { formatAge } from '../runtime/amounts.ts';
import { formatBytes, formatCount } from './bar.ts';
import { plural } from './render.ts';
import { type Look, renderTable } from './table.ts';

/** A row for each part and one for each server. */
export function renderCacheStatus(status: CacheStatus, look: Look): string {
  const { chalk } = look;
  const { cache, prefix, parts, servers, hitRatio } = status;
  const age = (ms: number | undefined) => (ms === undefined ? '–' : formatAge(ms));
  const rows = parts.map(({ part, keys, memoryBytes, newestMs, oldestMs }) => [
    part,
    formatCount(keys),
    keys === 0 ? '–' : formatBytes(memoryBytes),
    age(newestMs),
    age(oldestMs),
  ]);
  const head = ['part', 'keys', 'memory', 'newest', 'oldest'];
  const places = servers.map(({ name, version, usedMemory, maxMemory, policy }) => {
    const limit = maxMemory === 0 ? 'no limit' : `of ${formatBytes(maxMemory)}`;
    return `${name}: Redis ${version}, ${formatBytes(usedMemory)} ${limit}, ${policy}`;
  });
  const hits = hitRatio === undefined ? 'no reads yet' : `${Math.floor(hitRatio * 100)}% hits`;
  return [
    ...renderTable({ head, rows, right: [1, 2, 3, 4], flexible: [0] }, look),
    '',
    ...places,
    `${chalk.bold(cache)}, keys ${prefix}:*, ${hits} since its start`,
    '',
  ].join('\n');
}

export function renderWarm({ cache, target, found, stored }: WarmResult, { chalk }: Look): string {
  const newer = found - stored;
  const rest = newer === 0 ? '' : `; of ${plural(newer, 'asset')} it has a newer price`;
  return `${chalk.bold(plural(stored, 'price'))} from ${target} in ${cache}${rest}\n`;
}

export function renderClear({ cache, part, keys }: ClearResult, { chalk }: Look): string {
  return `${chalk.bold(`${plural(keys, 'key')} of ${part}`)} removed from ${cache}\n`;
}
