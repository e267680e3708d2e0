import type { Sql } from '../database/connection.ts';
import type { PricedAsset } from '../market/prices.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';

/** The longest symbol that `price_history.asset_symbol` holds. */
const longestSymbol = 20;

export interface AssetChoice {
  /** Symbols, or ids of CoinGecko. Undefined: the largest `top` assets. */
  readonly coins: readonly string[] | undefined;
  readonly top: number;
}

export interface ChosenAssets {
  /** One for a symbol. */
  readonly assets: readonly PricedAsset[];
  /** Assets among the largest whose symbol a larger asset has, or that cannot be stored. */
  readonly leftOut: readonly PricedAsset[];
}

/**
 * The assets to import prices of, from the table `assets`. Throws `unknown-asset` for coins that are not in the table
 * or share a symbol with others, and for an empty table.
 */
export async function chooseAssets(sql: Sql, { coins, top }: AssetChoice): Promise<ChosenAssets> {
  const all = await readAssets(sql);
  if (all.length === 0) {
    throw unknownAssets([
      {
        message: 'the table assets is empty, so no asset can be chosen',
        hint: 'fill it with: cryptosense-db seed --env production',
      },
    ]);
  }
  return coins === undefined ? chooseLargest(all, top) : chooseNamed(all, coins);
}

interface RankedAsset extends PricedAsset {
  readonly rank: number | null;
}

/** By rank, then by id. */
function readAssets(sql: Sql): Promise<readonly RankedAsset[]> {
  return sql<RankedAsset[]>`
    select coingecko_id as id, upper(symbol) as symbol, name, market_cap_rank as rank from assets
    where is_active order by market_cap_rank nulls last, coingecko_id`;
}

/** Whether `price_history.asset_symbol` holds the symbol, and COPY takes it unchanged. */
function isStorable(symbol: string): boolean {
  return symbol.length <= longestSymbol && !/[\\\p{Cc}]/u.test(symbol);
}

function chooseLargest(all: readonly RankedAsset[], top: number): ChosenAssets {
  if (all.length > top && all.slice(0, top).some(({ rank }) => rank === null)) {
    throw unknownAssets([
      {
        message: `the ${top} largest assets are not known: the table assets has ${all.filter(({ rank }) => rank !== null).length} with a rank`,
        hint: 'name assets with --coins, or fill the ranks with: cryptosense-db seed --env production',
      },
    ]);
  }
  const assets: PricedAsset[] = [];
  const leftOut: PricedAsset[] = [];
  const taken = new Set<string>();
  for (const { id, symbol, name } of all.slice(0, top)) {
    const asset = { id, symbol, name };
    const isFree = !taken.has(asset.symbol) && isStorable(asset.symbol);
    (isFree ? assets : leftOut).push(asset);
    taken.add(asset.symbol);
  }
  return { assets, leftOut };
}

/** Finds an asset by its id, or else by its symbol; returns a fault for a word that names none or several. */
export function findAsset(
  all: readonly PricedAsset[],
  word: string,
): { readonly asset: PricedAsset } | { readonly fault: Problem } {
  const byId = all.find(({ id }) => id === word);
  const found = byId ? [byId] : all.filter(({ symbol }) => symbol === word.toUpperCase());
  const [asset] = found;
  if (asset === undefined) {
    return {
      fault: {
        message: `${word} is not in the table assets, neither as a symbol nor as an id of CoinGecko`,
        hint: 'add it with a larger: cryptosense-db seed --env production --top 250',
      },
    };
  }
  if (found.length > 1) {
    return {
      fault: {
        message: `${word} is the symbol of ${found.length} assets`,
        evidence: found.map(({ id, name }) => `${id} (${name})`),
        hint: `name one by its id: --coins ${asset.id}`,
      },
    };
  }
  if (!isStorable(asset.symbol)) {
    return {
      fault: {
        message: `the symbol of ${asset.id} has more than ${longestSymbol} characters, a backslash or a control character`,
      },
    };
  }
  return { asset };
}

function chooseNamed(all: readonly PricedAsset[], coins: readonly string[]): ChosenAssets {
  const faults: Problem[] = [];
  const chosen = new Map<string, PricedAsset>();
  for (const word of coins) {
    const found = findAsset(all, word);
    if ('fault' in found) {
      faults.push(found.fault);
      continue;
    }
    const { asset } = found;
    const other = chosen.get(asset.symbol);
    if (other && other.id !== asset.id) {
      faults.push({
        message: `${other.id} and ${asset.id} have the same symbol ${asset.symbol}, which price_history cannot tell apart`,
        hint: 'import one of them',
      });
    }
    chosen.set(asset.symbol, asset);
  }
  if (faults.length > 0) throw unknownAssets(faults);
  return { assets: [...chosen.values()], leftOut: [] };
}

function unknownAssets(problems: readonly Problem[]): CryptosenseDbError<'unknown-asset'> {
  return new CryptosenseDbError('unknown-asset', problems);
}

/**
 * The symbols that words stand for: that of the asset with this id, or else the word itself, which can also be the
 * symbol of several assets or of one that the table `assets` lacks.
 */
export async function symbolsOf(sql: Sql, words: readonly string[]): Promise<readonly string[]> {
  const all = await readAssets(sql);
  const symbolOf = (word: string) =>
    all.find(({ id }) => id === word)?.symbol ?? word.toUpperCase();
  return [...new Set(words.map(symbolOf))];
}

/** The assets that the symbols or ids in files stand for. Throws `unknown-asset` as `chooseAssets` does. */
export async function assetsBySymbol(
  sql: Sql,
  coins: readonly string[] | undefined,
): Promise<(word: string) => PricedAsset | undefined> {
  const all = await readAssets(sql);
  const chosen = coins && chooseNamed(all, coins).assets;
  const known = new Map<string, PricedAsset | undefined>();
  return (word) => {
    if (known.has(word)) return known.get(word);
    const found = findAsset(chosen ?? all, word);
    if ('fault' in found && !chosen) throw unknownAssets([found.fault]);
    const asset = 'asset' in found ? found.asset : undefined;
    known.set(word, asset);
    return asset;
  };
}
