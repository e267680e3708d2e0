import { readFileSync } from 'node:fs';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import { readText, replaceFile } from '../runtime/files.ts';
import { packagedSnapshot } from '../runtime/package.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import { faultyAnswer, readAnswer } from './answer.ts';
import type { Market, MarketAsset } from './market.ts';

/** An answer in a file. */
interface SavedAnswer {
  readonly takenAt: Date;
  readonly rows: readonly unknown[];
}

/** Writes an answer to a file, which it replaces in one step. Throws `file-problem`. */
export function saveAnswer(file: string, { takenAt, rows }: SavedAnswer): void {
  const document = {
    source: 'CoinGecko /coins/markets, vs_currency=usd, order=market_cap_desc',
    takenAt,
    rows,
  };
  replaceFile(file, `${JSON.stringify(document, null, 2)}\n`);
}

/** The first `top` assets of a saved answer. Throws `file-problem` and `faulty-answer`. */
export function readSavedAnswer(file: string, top: number): Market {
  const { takenAt, rows } = readSaved(file);
  return { source: 'file', takenAt, assets: readAnswer(rows, { source: file, top }) };
}

function readSaved(file: string): SavedAnswer {
  const document = readJson(file);
  if (Array.isArray(document)) {
    const newest = newestOf(document);
    if (newest) return { rows: document, takenAt: newest };
    throw faultyAnswer(file, [{ message: 'none of its rows has a last_updated' }]);
  }
  const { rows, takenAt }: { readonly rows?: unknown; readonly takenAt?: unknown } =
    typeof document === 'object' && document !== null ? document : {};
  const moment = new Date(typeof takenAt === 'string' ? takenAt : Number.NaN);
  if (!Array.isArray(rows) || Number.isNaN(moment.getTime())) {
    throw faultyAnswer(file, [
      {
        message: 'it is neither a file of --save nor an array of /coins/markets',
        hint: `write it with: cryptosense-db seed --env production --save ${quoteShellWord(file)}`,
      },
    ]);
  }
  if (moment.getTime() > Date.now() + clockSkewMs) {
    throw faultyAnswer(file, [{ message: `its takenAt is ${takenAt}, which is in the future` }]);
  }
  return { rows, takenAt: moment };
}

/** How much the clocks of two machines may differ. */
const clockSkewMs = 5 * 60_000;

/** The time of an array without `takenAt`: that of its newest price; undefined without prices. */
function newestOf(rows: readonly unknown[]): Date | undefined {
  const moments = rows.flatMap((row) => {
    const { last_updated: text }: { readonly last_updated?: unknown } =
      typeof row === 'object' && row !== null ? row : {};
    const moment = typeof text === 'string' ? Date.parse(text) : Number.NaN;
    return Number.isNaN(moment) ? [] : moment;
  });
  return moments.length === 0 ? undefined : new Date(Math.max(...moments));
}

function readJson(file: string): unknown {
  const text = readText(file);
  if (text === undefined) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `there is no file ${file}` },
      { details: { path: file } },
    );
  }
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw faultyAnswer(file, [{ message: `it is not JSON: ${messageOf(error)}` }]);
  }
}

interface Snapshot {
  readonly takenAt: string;
  readonly assets: readonly (readonly [id: string, symbol: string, name: string])[];
}

/**
 * The snapshot in this package: ids, symbols and names of the largest assets of its day, without
 * figures. Throws `faulty-answer` when it has fewer than `top` assets.
 */
export function readSnapshot(top: number): Market {
  const { takenAt, assets }: Snapshot = JSON.parse(readFileSync(packagedSnapshot, 'utf8'));
  if (assets.length < top) {
    throw faultyAnswer('the snapshot of this package', [
      {
        message: `it has ${assets.length} of the ${top} requested assets`,
        hint: `ask for fewer: --top ${assets.length}`,
      },
    ]);
  }
  return {
    source: 'snapshot',
    takenAt: new Date(takenAt),
    assets: assets.slice(0, top).map(([id, symbol, name]) => ({ ...unknown, id, symbol, name })),
  };
}

const unknown: Omit<MarketAsset, 'id' | 'symbol' | 'name'> = {
  imageUrl: null,
  rank: null,
  priceUsd: null,
  marketCapUsd: null,
  volume24hUsd: null,
  change1h: null,
  change24h: null,
  change7d: null,
  updatedAt: null,
};
