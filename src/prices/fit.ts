import type { Price } from '../market/prices.ts';

/** What is said about prices that a column cannot hold as they are. */
export type MisfitKind =
  /** The price has more than the 12 digits before the point that the column has. The row is left out. */
  | 'price too large'
  /** The price is zero, or becomes zero with the column's 8 decimals. The row is left out. */
  | 'price is zero'
  /** The row is left out. */
  | 'price is negative'
  /** The price keeps three digits or fewer of its own. */
  | 'price keeps few digits'
  /** Market capitalization or volume have more than 18 digits before the point, or are negative: the row has NULL. */
  | 'figure out of range';

const mostPrice = 1e12;
const mostFigure = 1e18;
/** The smallest that NUMERIC(20, 8) does not round to zero. */
const leastPrice = 5e-9;
const fewDigitsBelow = 1e-5;

/** The price as its columns can hold it, undefined when they cannot, and what there is to say about it. */
export function fitPrice(price: Price): {
  readonly fitted: Price | undefined;
  readonly misfits: readonly MisfitKind[];
} {
  const value = Number(price.priceUsd);
  if (value >= mostPrice) return { fitted: undefined, misfits: ['price too large'] };
  if (value < 0) return { fitted: undefined, misfits: ['price is negative'] };
  if (!(value >= leastPrice)) return { fitted: undefined, misfits: ['price is zero'] };
  const { marketCapUsd, volume24hUsd } = price;
  const isUnfit = (figure: string | null) =>
    figure !== null && (Number(figure) >= mostFigure || Number(figure) < 0);
  const hasUnfitFigure = isUnfit(marketCapUsd) || isUnfit(volume24hUsd);
  if (value >= fewDigitsBelow && !hasUnfitFigure) return { fitted: price, misfits: [] };
  return {
    fitted: {
      ...price,
      marketCapUsd: isUnfit(marketCapUsd) ? null : marketCapUsd,
      volume24hUsd: isUnfit(volume24hUsd) ? null : volume24hUsd,
    },
    misfits: [
      ...(value < fewDigitsBelow ? (['price keeps few digits'] as const) : []),
      ...(hasUnfitFigure ? (['figure out of range'] as const) : []),
    ],
  };
}

/** What is said about one price. */
export interface PriceMisfit {
  readonly symbol: string;
  readonly kind: MisfitKind;
}

/** How many prices of an asset something is said about. */
export interface Misfit extends PriceMisfit {
  readonly rows: number;
}

/** Adds up what is said about prices. */
export function countMisfits(): {
  readonly add: (misfits: readonly PriceMisfit[]) => void;
  readonly list: () => readonly Misfit[];
} {
  const counts = new Map<string, Misfit>();
  return {
    add: (misfits) => {
      for (const { symbol, kind } of misfits) {
        const key = `${kind} ${symbol}`;
        counts.set(key, { symbol, kind, rows: (counts.get(key)?.rows ?? 0) + 1 });
      }
    },
    list: () => [...counts.values()],
  };
}
