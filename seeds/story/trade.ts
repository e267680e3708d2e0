import type { NewRow } from '../../src/seeding/seeder.ts';
import type { CatalogueAsset } from './catalogue.ts';

export type TransactionType = NewRow<'transactions'>['transaction_type'];

/** `units` counts an asset's smallest unit, so that sums are exact. */
export interface Trade {
  readonly type: TransactionType;
  readonly asset: CatalogueAsset;
  readonly units: number;
  readonly priceUsd: number;
  readonly at: Date;
  readonly connectionId: string | null;
  readonly notes?: string;
}

export interface Holding {
  readonly asset: CatalogueAsset;
  readonly units: number;
  readonly averagePriceUsd: number;
  readonly source: string;
  readonly wallet: string | null;
  readonly connectionId: string | null;
}

const signs: Readonly<Record<TransactionType, -1 | 0 | 1>> = {
  buy: 1,
  reward: 1,
  sell: -1,
  transfer: 0,
  stake: 0,
  unstake: 0,
};

/** The units that remain after the trades. */
export function sumOf(trades: readonly Trade[]): number {
  return trades.reduce((sum, { type, units }) => sum + signs[type] * units, 0);
}

/** The average price of the buys. A reward was free and does not count. */
export function averagePrice(trades: readonly Trade[]): number {
  const buys = trades.filter(({ type }) => type === 'buy');
  const units = buys.reduce((sum, trade) => sum + trade.units, 0);
  return buys.reduce((sum, trade) => sum + trade.units * trade.priceUsd, 0) / units;
}

/** Whole units, and at least ten, so that they can be split. */
export function unitsFor({ decimals }: CatalogueAsset, quantity: number): number {
  return Math.max(10, Math.floor(quantity * 10 ** decimals));
}

/** The exact decimal number. */
export function quantityOf({ decimals }: CatalogueAsset, units: number): string {
  if (decimals === 0) return String(units);
  const digits = String(units).padStart(decimals + 1, '0');
  return `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}
