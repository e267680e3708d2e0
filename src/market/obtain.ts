import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireWritable } from '../runtime/files.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { requireAccess } from './access.ts';
import { readAnswer } from './answer.ts';
import type { Market } from './market.ts';
import { type RequestOptions, requestMarkets } from './request.ts';
import { readSavedAnswer, readSnapshot, saveAnswer } from './saved.ts';

/** The source of the assets: CoinGecko, unless `from` or `offline` names another. */
export interface MarketOptions extends Omit<RequestOptions, 'top'> {
  /** How many assets, the largest first. Default 100. */
  readonly top?: number | undefined;
  /** A file that `save` wrote, or an answer of `/coins/markets` that another program saved. */
  readonly from?: string | undefined;
  /** Use the snapshot in this package: ids, symbols and names, no figures. */
  readonly offline?: boolean | undefined;
  /** Also write CoinGecko's answer to this file. */
  readonly save?: string | undefined;
}

const defaultTop = 100;
/** More than CoinGecko lists. */
const mostTop = 50_000;

/**
 * The largest assets, checked. Throws `bad-configuration`, `coingecko-failed`, `faulty-answer`,
 * `file-problem` and `interrupted`.
 */
export async function obtainMarket(options: MarketOptions): Promise<Market> {
  requireSound(options);
  const { top = defaultTop, from, offline = false, save } = options;
  if (offline) return readSnapshot(top);
  if (from !== undefined) return readSavedAnswer(from, top);
  if (save !== undefined) requireWritable(save);
  const rows = await requestMarkets({ ...options, top });
  const takenAt = new Date();
  const assets = readAnswer(rows, { source: "CoinGecko's answer", top });
  if (save !== undefined) saveAnswer(save, { takenAt, rows });
  return { source: 'coingecko', takenAt, assets };
}

/** Throws `bad-configuration` for values out of range and for options that exclude each other. */
export function requireSound(options: MarketOptions): void {
  const { top = defaultTop, from, offline, save } = options;
  const refuse = (message: string) => {
    throw new CryptosenseDbError('bad-configuration', { message });
  };
  requireWhole({ top }, { from: 1, to: mostTop });
  if (from !== undefined && offline)
    refuse('a saved answer and the snapshot are both named; name one of them');
  if (save !== undefined && (from !== undefined || offline)) {
    refuse('an answer to save is named, and CoinGecko is not asked');
  }
  requireAccess(options);
}
