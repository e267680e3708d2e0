import type { ImportResult } from '../prices/import.ts';
import type { DailyCandle, ShownCandles } from '../prices/show.ts';
import type { AssetStatus, PriceStatus } from '../prices/status.ts';
import { isoDay } from '../runtime/days.ts';
import { formatCents, formatCount } from './bar.ts';
import { formatDuration, plural } from './render.ts';
import { attribution } from './seeding.ts';
import { type Look, renderTable } from './table.ts';

/** Renders the plan of a dry run, or what an import has written. */
export function renderImport(result: ImportResult, look: Look): string {
  const { chalk } = look;
  const { isDryRun, rows, target, durationMs, candles, source } = result;
  const notes = notesOf(result).map((note) => `${chalk.cyan('note:')} ${note}`);
  const plan = isDryRun ? planOf(result, look) : [];
  const isNothing = result.assets.length === 0 && result.files.unread.length === 0;
  const nothing =
    source === 'files' ? 'nothing to read: all files were imported before' : 'nothing is missing';
  const summary = isNothing
    ? `${chalk.bold(nothing)} in ${target}`
    : isDryRun
      ? `${chalk.bold(planSummary(result))} for ${target}; nothing was requested or changed`
      : `${chalk.bold(`${plural(rows, 'price')} imported`)} in ${target}, ${formatDuration(durationMs)}`;
  return [
    ...plan,
    ...notes,
    summary,
    ...(candles
      ? [
          chalk.dim(
            `candles of ${isoDay(candles.from)} to ${isoDay(new Date(candles.to.getTime() - 1))} refreshed`,
          ),
        ]
      : []),
    ...(source === 'coingecko' ? [chalk.dim(attribution)] : []),
    '',
  ].join('\n');
}

function planOf({ assets, files }: ImportResult, look: Look): readonly string[] {
  if (files.unread.length > 0) return [...files.unread, ''];
  if (assets.length === 0) return [];
  return [
    ...renderTable(
      {
        head: ['asset', 'id', 'months', 'missing', 'requests'],
        rows: assets.map(({ symbol, id, months, missing, requests }) => [
          symbol,
          { text: id, paint: look.chalk.dim },
          nameMonths(months),
          formatCount(missing),
          formatCount(requests),
        ]),
        right: [3, 4],
        flexible: [1],
        optional: [1],
      },
      look,
    ),
    '',
  ];
}

/** `2024-01 (31), 2024-03 (2)`, or `61 from 2021-03 to 2026-03` for more than three. */
function nameMonths(months: ImportResult['assets'][number]['months']): string {
  const [first] = months;
  const last = months.at(-1);
  if (!first || !last) return '';
  return months.length > 3
    ? `${formatCount(months.length)} from ${first.month} to ${last.month}`
    : months.map(({ month, missing }) => `${month} (${formatCount(missing)})`).join(', ');
}

function planSummary({ assets, files, requests, estimatedMs }: ImportResult): string {
  if (files.unread.length > 0) return `${plural(files.unread.length, 'file')} to import`;
  const missing = assets.reduce((sum, asset) => sum + asset.missing, 0);
  return `${plural(missing, 'price')} missing, ${plural(requests, 'request')}, about ${formatDuration(estimatedMs)}`;
}

function notesOf({
  misfits,
  leftOut,
  unknownToSource,
  leftOutPrices,
  filesWithoutPrices,
  beyondRetention,
  files,
}: ImportResult): readonly string[] {
  const texts = {
    'price too large': ['price', 'left out: too large for the column'],
    'price is zero': ['price', 'left out: zero with the 8 decimals of the column'],
    'price is negative': ['price', 'left out: below zero'],
    'price keeps few digits': [
      'price',
      'with few digits: below 0.00001, and the column has 8 decimals',
    ],
    'figure out of range': [
      'row',
      'with NULL for a market capitalization or volume: too large for the column, or below zero',
    ],
  } as const;
  return [
    ...(beyondRetention
      ? [
          `${isoDay(beyondRetention.from)} to ${isoDay(new Date(beyondRetention.to.getTime() - 1))} was left out: the database keeps no prices that old`,
        ]
      : []),
    ...(unknownToSource.length > 0
      ? [
          `left out, because no pair of them is known: ${unknownToSource.map(({ symbol }) => symbol).join(', ')}; name one with --pair`,
        ]
      : []),
    ...leftOut.map(
      ({ id, symbol }) =>
        `${id} was left out: another asset has the symbol ${symbol}, or the symbol cannot be stored`,
    ),
    ...(files.finished.length > 0
      ? [
          `${plural(files.finished.length, 'file')} imported before: ${firstOf(files.finished)}; --overwrite reads them again`,
        ]
      : []),
    ...(files.inOtherCurrency.length > 0
      ? [
          `${plural(files.inOtherCurrency.length, 'file')} left out, of a pair that is not in dollars or not in that of --quote: ${firstOf(files.inOtherCurrency)}`,
        ]
      : []),
    ...(filesWithoutPrices.length > 0
      ? [
          `${plural(filesWithoutPrices.length, 'file')} without a price: ${firstOf(filesWithoutPrices)}`,
        ]
      : []),
    ...(leftOutPrices.tooOld > 0
      ? [`${plural(leftOutPrices.tooOld, 'price')} left out: older than the retention policy keeps`]
      : []),
    ...(leftOutPrices.inFuture > 0
      ? [
          `${plural(leftOutPrices.inFuture, 'price')} left out: of the future; the next import reads the file again`,
        ]
      : []),
    ...(leftOutPrices.ofSameMoment > 0
      ? [
          `${plural(leftOutPrices.ofSameMoment, 'price')} left out: of the same asset and millisecond as the price before`,
        ]
      : []),
    ...misfits.map(({ symbol, kind, rows }) => {
      const [noun, fact] = texts[kind];
      return `${symbol}: ${plural(rows, noun)} ${fact}`;
    }),
  ];
}

function firstOf(names: readonly string[]): string {
  return `${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}`;
}

/** Renders a line for each asset, with a bar of its months. */
export function renderPriceStatus(
  { assets, withoutPrices, target, owed, arePoliciesPaused, isComplete }: PriceStatus,
  look: Look,
): string {
  const { chalk } = look;
  const missing = withoutPrices.length === 0 ? '' : ` of ${withoutPrices.join(', ')}`;
  if (assets.length === 0) return `no prices${missing} in ${target}\n`;
  const table = renderTable(
    {
      head: ['asset', 'interval', 'first', 'last', 'rows', 'gaps', 'candles', 'months'],
      rows: assets.map((asset) => [
        asset.symbol,
        asset.interval,
        isoDay(asset.first),
        isoDay(asset.last),
        formatCount(asset.rows),
        { text: formatCount(asset.gaps), paint: asset.gaps > 0 ? chalk.yellow : chalk.dim },
        {
          text: asset.candlesMissing === 0 ? 'all' : `${formatCount(asset.candlesMissing)} missing`,
          paint: asset.candlesMissing > 0 ? chalk.red : chalk.dim,
        },
        { text: monthBar(asset), paint: chalk.cyan },
      ]),
      right: [4, 5],
      flexible: [7],
      optional: [1],
    },
    look,
  );
  const rows = assets.reduce((sum, asset) => sum + asset.rows, 0);
  // An asset with daily and hourly prices has two lines.
  const symbols = new Set(assets.map(({ symbol }) => symbol)).size;
  const bare = assets.filter(({ candlesMissing }) => candlesMissing > 0);
  const candlesMissing = bare.reduce((sum, asset) => sum + asset.candlesMissing, 0);
  return [
    ...table,
    '',
    ...(missing === '' ? [] : [`${chalk.yellow('no prices')}${missing}`]),
    ...(candlesMissing > 0
      ? [
          `${chalk.yellow(`${plural(candlesMissing, 'candle')} missing`)}; this SQL stores them: ${refreshFrom(bare)};`,
        ]
      : []),
    ...(owed
      ? [
          `${chalk.yellow('candles are owed')} for ${isoDay(owed.from)} to ${isoDay(owed.to)}; the next import of prices refreshes them`,
        ]
      : []),
    ...(arePoliciesPaused
      ? [
          `${chalk.yellow('the policy that refreshes candles is paused')} by an import that did not end; the next import resumes it`,
        ]
      : []),
    `${chalk.bold(`${plural(symbols, 'asset')}, ${plural(rows, 'price')}`)} in ${target}: ${isComplete ? chalk.green('complete') : chalk.yellow('incomplete')}`,
    '',
  ].join('\n');
}

/** The call that stores the candles of these assets. An earlier one would delete candles whose prices were dropped. */
function refreshFrom(assets: readonly AssetStatus[]): string {
  const first = isoDay(new Date(Math.min(...assets.map((asset) => asset.first.getTime()))));
  return `call refresh_continuous_aggregate('price_history_daily', '${first}', date_trunc('day', now(), 'UTC'))`;
}

const shades = ['·', '░', '▒', '▓', '█'] as const;
const mostMonths = 60;

/** One character a month, darker the more of its prices are there. The newest months are on the right. */
function monthBar({ months }: AssetStatus): string {
  return months
    .slice(-mostMonths)
    .map(({ present, expected }) => {
      if (present === 0) return shades[0];
      return present >= expected
        ? shades[4]
        : shades[1 + Math.min(2, Math.floor((present / expected) * 3))];
    })
    .join('');
}

const chartRows = 16;

/**
 * Draws candles: a wick from low to high, a body from open to close, green when the price rose. Where a terminal is too
 * narrow for a column a day, each column has the candle of several days.
 */
export function renderCandles({ symbol, candles, target }: ShownCandles, look: Look): string {
  const { chalk, columns = 80 } = look;
  const [first] = candles;
  const last = candles.at(-1);
  if (!first || !last) return `no candles of ${symbol} in that time in ${target}\n`;
  const highest = Math.max(...candles.map(({ high }) => Number(high)));
  const lowest = Math.min(...candles.map(({ low }) => Number(low)));
  // A price that stays the same is in the middle.
  const margin = highest === lowest ? highest / 100 || 1 : 0;
  const bottom = lowest - margin;
  const step = (highest + margin - bottom) / (chartRows - 1);
  const rowOf = (price: string) => (Number(price) - bottom) / step;
  const labels = Array.from({ length: chartRows }, (_, line) =>
    line % 5 === 0 ? formatFigure(bottom + step * (chartRows - 1 - line)) : '',
  );
  const labelWidth = Math.max(...labels.map(({ length }) => length));
  const daysPerColumn = Math.ceil(candles.length / Math.max(1, columns - labelWidth - 2));
  const shown = joinCandles(candles, daysPerColumn);
  const lines = labels.map((label, line) => {
    const level = chartRows - 1 - line;
    const cells = shown.map(({ open, high, low, close }) => {
      const [from, to] = [rowOf(open), rowOf(close)].sort((a, b) => a - b) as [number, number];
      const paint = Number(close) >= Number(open) ? chalk.green : chalk.red;
      if (
        level >= Math.floor(from) &&
        level <= Math.ceil(to) &&
        level >= from - 0.5 &&
        level <= to + 0.5
      )
        return paint('█');
      return level >= rowOf(low) - 0.5 && level <= rowOf(high) + 0.5 ? paint('│') : ' ';
    });
    return `${chalk.dim(label.padStart(labelWidth))}  ${cells.join('')}`.trimEnd();
  });
  const change = (Number(last.close) / Number(first.open) - 1) * 100;
  const sign = change >= 0 ? '+' : '';
  return [
    `${chalk.bold(symbol)} in USD, ${isoDay(first.day)} to ${isoDay(last.day)}: ${formatFigure(Number(last.close))} (${sign}${change.toFixed(1)}%)`,
    ...(daysPerColumn > 1 ? [chalk.dim(`a column is ${daysPerColumn} days`)] : []),
    '',
    ...lines,
    '',
  ].join('\n');
}

/** One candle for each `size` candles. */
function joinCandles(candles: readonly DailyCandle[], size: number): readonly DailyCandle[] {
  const joined: DailyCandle[] = [];
  for (const [index, candle] of candles.entries()) {
    const last = joined.at(-1);
    if (index % size === 0 || !last) {
      joined.push(candle);
      continue;
    }
    joined[joined.length - 1] = {
      ...last,
      high: Number(candle.high) > Number(last.high) ? candle.high : last.high,
      low: Number(candle.low) < Number(last.low) ? candle.low : last.low,
      close: candle.close,
    };
  }
  return joined;
}

/** Five significant digits at least, and eight decimals at most: `43,012.50`, `0.000012345`. */
function formatFigure(price: number): string {
  if (price >= 1_000) return formatCents(price);
  return Number(price.toPrecision(5))
    .toFixed(8)
    .replace(/\.?0+$/, '');
}
