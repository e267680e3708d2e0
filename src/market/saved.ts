import { readFileSync, statSync } from 'node:fs';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';
import { replaceFile } from '../runtime/files.ts';
import { packagedSnapshot } from '../runtime/package.ts';
import { faultyAnswer, readAnswer } from './answer.ts';
import type { Market, MarketAsset } from './market.ts';

/** An answer in a file: with when it was given, or the bare array that the API gives. */
interface SavedAnswer {
  readonly takenAt: Date;
  readonly rows: readonly unknown[];
}

/** Writes an answer to a file, which is replaced in one step. Throws `file-problem`. */
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
    throw faultyAnswer(file, [{ message: 'none of its rows says when it was updated' }]);
  }
  const { rows, takenAt }: { readonly rows?: unknown; readonly takenAt?: unknown } =
    typeof document === 'object' && document !== null ? document : {};
  const moment = new Date(typeof takenAt === 'string' ? takenAt : Number.NaN);
  if (!Array.isArray(rows) || Number.isNaN(moment.getTime())) {
    throw faultyAnswer(file, [
      {
        message: 'it is neither what --save writes nor the array that /coins/markets gives',
        hint: `write it with: cryptosense-db seed --env production --save ${file}`,
      },
    ]);
  }
  if (moment.getTime() > Date.now() + clockSkewMs) {
    throw faultyAnswer(file, [{ message: `its takenAt is ${takenAt}, which is to come` }]);
  }
  return { rows, takenAt: moment };
}

/** What clocks of different machines may differ by. */
const clockSkewMs = 5 * 60_000;

/** A bare answer says no more of its time: the newest of its prices; undefined without any. */
function newestOf(rows: readonly unknown[]): Date | undefined {
  const moments = rows.flatMap((row) => {
    const { last_updated: text }: { readonly last_updated?: unknown } =
      typeof row === 'object' && row !== null ? row : {};
    const moment = typeof text === 'string' ? Date.parse(text) : Number.NaN;
    return Number.isNaN(moment) ? [] : moment;
  });
  return moments.length === 0 ? undefined : new Date(Math.max(...moments));
}

/** Twice all that CoinGecko lists. */
const largestFileBytes = 100 * 1024 * 1024;

function readJson(file: string): unknown {
  try {
    const { size } = statSync(file);
    if (size > largestFileBytes) {
      throw faultyAnswer(file, [{ message: `it is larger than ${largestFileBytes} bytes` }]);
    }
    return JSON.parse(readFileSync(file, 'utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    if (isError(error)) throw error;
    if (error instanceof SyntaxError) {
      throw faultyAnswer(file, [{ message: `it is no JSON: ${error.message}` }]);
    }
    throw new CryptosenseDbError(
      'file-problem',
      { message: `${file} cannot be read`, evidence: [String(error)] },
      { details: { path: file }, cause: error },
    );
  }
}

interface Snapshot {
  readonly takenAt: string;
  readonly assets: readonly (readonly [id: string, symbol: string, name: string])[];
}

/**
 * The snapshot that ships with the package: ids, symbols and names of assets that were the largest
 * then, and no figure. Throws `faulty-answer` for more than it holds.
 */
export function readSnapshot(top: number): Market {
  const { takenAt, assets }: Snapshot = JSON.parse(readFileSync(packagedSnapshot, 'utf8'));
  if (assets.length < top) {
    throw faultyAnswer('the snapshot of this package', [
      {
        message: `it holds ${assets.length} of the ${top} assets that were asked for`,
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
