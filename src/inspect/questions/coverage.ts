import { type AssetStatus, type PriceStatus, readPriceStatus } from '../../prices/status.ts';
import { plural } from '../../runtime/amounts.ts';
import { dayMs, isoDay } from '../../runtime/days.ts';
import { isError } from '../../runtime/errors.ts';
import { defineQuestion } from '../question.ts';

/** The prices of an asset, of those that come daily or of those that come hourly. */
export type AssetCoverage = {
  readonly asset: string;
  readonly interval: 'daily' | 'hourly';
  readonly first: Date;
  readonly last: Date;
  readonly prices: number;
  /** Hours or days without a price between the first and the last one. */
  readonly gaps: number;
  /** Those of them that no import has asked a source for. */
  readonly openGaps: number;
  /** Complete days with prices and without a daily candle. */
  readonly candlesMissing: number;
  /** No price has come for two days, while there are newer ones of no other interval. */
  readonly isStale: boolean;
};

const staleMs = 2 * dayMs;

/** Pure: the rows for what `prices status` knows. */
export function coverageOf(
  { assets }: Pick<PriceStatus, 'assets'>,
  now: Date,
): readonly AssetCoverage[] {
  return assets.map((asset) => {
    const newest = Math.max(
      ...assets.filter(({ symbol }) => symbol === asset.symbol).map(({ last }) => last.getTime()),
    );
    return {
      asset: asset.symbol,
      interval: asset.interval,
      first: asset.first,
      last: asset.last,
      prices: asset.rows,
      gaps: asset.gaps,
      openGaps: openGapsOf(asset),
      candlesMissing: asset.candlesMissing,
      isStale: asset.last.getTime() === newest && now.getTime() - newest > staleMs,
    };
  });
}

function openGapsOf({ months }: AssetStatus): number {
  return months.reduce(
    (sum, { present, expected, isRead }) => sum + (isRead ? 0 : Math.max(0, expected - present)),
    0,
  );
}

export function adviseCoverage(rows: readonly AssetCoverage[], now: Date): readonly string[] {
  const gappy = rows.filter(({ openGaps }) => openGaps > 0);
  const stale = rows.filter(({ isStale }) => isStale);
  const bare = rows.filter(({ candlesMissing }) => candlesMissing > 0);
  return [
    ...(['daily', 'hourly'] as const).flatMap((interval) => {
      const own = gappy.filter((row) => row.interval === interval);
      if (own.length === 0) return [];
      const gaps = own.reduce((sum, { openGaps }) => sum + openGaps, 0);
      const what = plural(gaps, interval === 'daily' ? 'day' : 'hour');
      return [
        `${listOf(own)}: no price for ${what}. Import what is missing: ` +
          `\`cryptosense-db prices import --coins ${coinsOf(own)} --interval ${interval} --from ${firstDay(own)}\`.`,
      ];
    }),
    ...(stale.length > 0
      ? [
          `${listOf(stale)}: no price for ${oldestOf(stale, now)}. Import the rest: ` +
            `\`cryptosense-db prices import --coins ${coinsOf(stale)} --from ${isoDay(
              new Date(Math.min(...stale.map(({ last }) => last.getTime()))),
            )}\`; if a service writes prices, look why it stopped.`,
        ]
      : []),
    ...(bare.length > 0
      ? [
          `${listOf(bare)}: no daily candle for ${plural(totalOf(bare), 'day')} with prices. Refresh them: ` +
            `\`call refresh_continuous_aggregate('price_history_daily', '${firstDay(bare)}', date_trunc('day', now(), 'UTC'))\`.`,
        ]
      : []),
  ];
}

function totalOf(rows: readonly AssetCoverage[]): number {
  return rows.reduce((sum, { candlesMissing }) => sum + candlesMissing, 0);
}

function coinsOf(rows: readonly AssetCoverage[]): string {
  return [...new Set(rows.map(({ asset }) => asset))].join(',');
}

function listOf(rows: readonly AssetCoverage[]): string {
  const names = [...new Set(rows.map(({ asset }) => asset))];
  return names.length <= 5
    ? names.join(', ')
    : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more assets`;
}

function firstDay(rows: readonly AssetCoverage[]): string {
  return isoDay(new Date(Math.min(...rows.map(({ first }) => first.getTime()))));
}

function oldestOf(rows: readonly AssetCoverage[], now: Date): string {
  const oldest = Math.min(...rows.map(({ last }) => last.getTime()));
  const days = plural(Math.floor((now.getTime() - oldest) / dayMs), 'day');
  return rows.length > 1 ? `up to ${days}` : days;
}

export const coverage = defineQuestion<AssetCoverage>({
  name: 'coverage',
  columns: [
    { key: 'asset', label: 'asset', kind: 'text' },
    { key: 'interval', label: 'interval', kind: 'text', isOptional: true },
    { key: 'first', label: 'first (UTC)', kind: 'moment' },
    { key: 'last', label: 'last (UTC)', kind: 'moment' },
    { key: 'prices', label: 'prices', kind: 'count' },
    { key: 'gaps', label: 'gaps', kind: 'count' },
    { key: 'candlesMissing', label: 'candles missing', kind: 'count', isOptional: true },
    { key: 'isStale', label: 'stale', kind: 'flag' },
  ],
  empty: 'There is no price.',
  // It reads all prices.
  timeoutMs: 60_000,
  ask: async (session, { hasTimescale }) => {
    const nothing = { rows: [], advice: [] };
    if (!hasTimescale)
      return { ...nothing, empty: 'There is no price history: the database has no TimescaleDB.' };
    try {
      const now = new Date();
      const rows = coverageOf(await readPriceStatus(session), now);
      return { rows, advice: adviseCoverage(rows, now) };
    } catch (error) {
      if (!isError(error, 'no-price-tables')) throw error;
      return { ...nothing, empty: 'There is no price history: the migrations are not applied.' };
    }
  },
});
