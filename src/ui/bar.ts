import { formatCount } from '../runtime/amounts.ts';
import type { Look } from './table.ts';

export { formatBytes, formatCount } from '../runtime/amounts.ts';

export interface Loaded {
  readonly rows: number;
  readonly total: number;
  readonly elapsedMs: number;
}

const narrowest = 8;
const widest = 30;

/** `━━━━━━━━━─────  62%  620,000 rows  85,000/s  0:04 left`; a narrow terminal gets less of it. */
export function renderBar(
  { rows, total, elapsedMs }: Loaded,
  { chalk, columns = 80 }: Look,
): string {
  const share = total === 0 ? 1 : Math.min(1, rows / total);
  const perSecond = elapsedMs > 0 ? (rows / elapsedMs) * 1_000 : 0;
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const count = `${formatCount(rows)} rows`;
  const rate = `${formatCount(Math.round(perSecond))}/s`;
  const left =
    perSecond > 0 ? [`${formatClock((Math.max(0, total - rows) / perSecond) * 1_000)} left`] : [];
  const room = columns - narrowest - 2;
  const texts = [
    [percent, count, rate, ...left],
    [percent, count, ...left],
    [percent, ...left],
  ].map((words) => words.join('  '));
  const text = texts.find(({ length }) => length <= room) ?? percent;
  const width = Math.max(narrowest, Math.min(widest, columns - text.length - 2));
  const full = Math.round(share * width);
  return `${chalk.cyan('━'.repeat(full))}${chalk.dim('─'.repeat(width - full))} ${text}`;
}

/** `43,012.50` */
export function formatCents(price: number): string {
  const [whole = '', cents = ''] = price.toFixed(2).split('.');
  return `${formatCount(Number(whole))}.${cents}`;
}

/** `0:04`, `12:30`, `1:02:03` */
function formatClock(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  const [hours, ...rest] = parts;
  const shown = hours === 0 ? rest : parts;
  return shown.map((part, index) => (index === 0 ? part : String(part).padStart(2, '0'))).join(':');
}
