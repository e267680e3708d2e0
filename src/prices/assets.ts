import type { Sql } from '../database/connection.ts';
import { readSymbolOwners } from '../ledger/price-imports.ts';
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
  /** Assets among the largest whose symbol a larger asset or imported prices have, or that cannot be stored. */
  readonly leftOut: readonly PricedAsset[];
}

/**
 * The assets to import prices of, from the table `assets`. Throws `unknown-asset` for coins that are not in the table,
 * share a symbol with others, or have one under which prices of another asset were imported, and for an empty table.
 */
export async function chooseAssets(sql: Sql, { coins, top }: AssetChoice): Promise<ChosenAssets> {
  const all = await readAssets(sql);
  if (!all.some(({ isActive }) => isActive)) {
    throw unknownAssets([
      {
        message: `the table assets ${all.length === 0 ? 'is empty' : 'has no active asset'}, so no asset can be chosen`,
        hint: 'fill it with: cryptosense-db seed --env production',
      },
    ]);
  }
  const owners = await readOwners(sql, all);
  return coins === undefined
    ? chooseLargest(all, { top, owners })
    : chooseNamed(all, { coins, owners });
}

/** The ids of the assets whose imported prices the database has, by symbol. */
type Owners = ReadonlyMap<string, string>;

/** The rows of `price_history` name symbols only, and several assets can share one. */
async function readOwners(sql: Sql, all: readonly PricedAsset[]): Promise<Owners> {
  const owners = new Map(await readSymbolOwners(sql));
  const isContested = ({ id, symbol }: PricedAsset) => (owners.get(symbol) ?? id) !== id;
  const contested = new Set(all.filter(isContested).map(({ symbol }) => symbol));
  // A look into every chunk for each symbol takes long.
  const rows = await sql<{ symbol: string }[]>`
    select symbol from json_array_elements_text(${JSON.stringify([...contested])}::text::json) as symbol
    where not exists (select from price_history where asset_symbol = symbol)`;
  for (const { symbol } of rows) owners.delete(symbol);
  return owners;
}

/** Prices are imported of active assets only. */
interface ListedAsset extends PricedAsset {
  readonly isActive: boolean;
}

interface RankedAsset extends ListedAsset {
  readonly rank: number | null;
}

/** By rank, then by id. */
function readAssets(sql: Sql): Promise<readonly RankedAsset[]> {
  return sql<RankedAsset[]>`
    select coingecko_id as id, upper(symbol) as symbol, name, is_active as "isActive", market_cap_rank as rank
    from assets order by market_cap_rank nulls last, coingecko_id`;
}

/** Whether `price_history.asset_symbol` holds the symbol, and COPY takes it unchanged. */
function isStorable(symbol: string): boolean {
  return symbol.length <= longestSymbol && !/[\\\p{Cc}]/u.test(symbol);
}

function chooseLargest(
  listed: readonly RankedAsset[],
  { top, owners }: { readonly top: number; readonly owners: Owners },
): ChosenAssets {
  const all = listed.filter(({ isActive }) => isActive);
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
  const taken = new Map(owners);
  for (const { id, symbol, name } of all.slice(0, top)) {
    const asset = { id, symbol, name };
    const isFree = (taken.get(symbol) ?? id) === id && isStorable(symbol);
    (isFree ? assets : leftOut).push(asset);
    if (isFree) taken.set(symbol, id);
  }
  return { assets, leftOut };
}

/** Finds an asset by its id, or else by its symbol; returns a fault for a word that names none or several. */
export function findAsset(
  all: readonly ListedAsset[],
  word: string,
): { readonly asset: PricedAsset } | { readonly fault: Problem } {
  const byId = all.find(({ id }) => id === word);
  const named = byId ? [byId] : all.filter(({ symbol }) => symbol === word.toUpperCase());
  const found = named.filter(({ isActive }) => isActive);
  const [asset] = found;
  if (asset === undefined) {
    const [inactive] = named;
    return { fault: inactive ? notActive(inactive) : notListed(word) };
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

function notListed(word: string): Problem {
  return {
    message: `${word} is not in the table assets, neither as a symbol nor as an id of CoinGecko`,
    hint: 'add it with a larger: cryptosense-db seed --env production --top 250',
  };
}

function notActive({ id, symbol, name }: PricedAsset): Problem {
  return {
    message: `${symbol} (${name}) is not active in the table assets`,
    hint: `leave it out, or let prices of it be imported: update assets set is_active = true where coingecko_id = '${id.replaceAll("'", "''")}'`,
  };
}

/** The fault of an asset whose symbol stands for prices of another one; undefined without such prices. */
function ownerFault({ id, symbol }: PricedAsset, owners: Owners): Problem | undefined {
  const owner = owners.get(symbol);
  if (owner === undefined || owner === id) return undefined;
  return {
    message: `price_history has prices of ${owner} as ${symbol}, and cannot tell those of ${id} apart`,
    hint: `import ${owner}, or first delete its prices: delete from price_history where asset_symbol = '${symbol.replaceAll("'", "''")}'`,
  };
}

function chooseNamed(
  all: readonly ListedAsset[],
  { coins, owners }: { readonly coins: readonly string[]; readonly owners: Owners },
): ChosenAssets {
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
    const taken = ownerFault(asset, owners);
    if (taken) faults.push(taken);
    chosen.set(asset.symbol, asset);
  }
  if (faults.length > 0) throw unknownAssets(faults);
  return { assets: [...chosen.values()], leftOut: [] };
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

/** Finds what a symbol or an id in a file stands for. An asset that is undefined is not asked for. */
export type AssetLookup = (
  word: string,
) => { readonly asset: PricedAsset | undefined } | { readonly fault: Problem };

/** The assets that the symbols or ids in files stand for. Throws `unknown-asset` as `chooseAssets` does. */
export async function assetsBySymbol(
  sql: Sql,
  coins: readonly string[] | undefined,
): Promise<AssetLookup> {
  const listed = await readAssets(sql);
  const owners = await readOwners(sql, listed);
  const chosen = coins && chooseNamed(listed, { coins, owners }).assets;
  const all = chosen ? listed.filter(({ id }) => chosen.some((each) => each.id === id)) : listed;
  const taken = new Map(owners);
  const find: AssetLookup = (word) => {
    const found = findAsset(all, word);
    if ('fault' in found) return chosen ? { asset: undefined } : { fault: forFiles(found.fault) };
    const { asset } = found;
    const fault = ownerFault(asset, taken);
    if (fault) return { fault };
    taken.set(asset.symbol, asset.id);
    return { asset };
  };
  const known = new Map<string, ReturnType<AssetLookup>>();
  return (word) => {
    const found = known.get(word) ?? find(word);
    known.set(word, found);
    return found;
  };
}

/** What helps where the caller has named no asset. */
function forFiles({ hint, ...fault }: Problem): Problem {
  const naming = 'name the wanted assets with --coins, which leaves out all others';
  // Several assets have the symbol, and the evidence lists them.
  if (fault.evidence) return { ...fault, hint: `${naming}; name this one by its id` };
  return { ...fault, hint: hint === undefined ? naming : `${naming}; or ${hint}` };
}

/** How many faults an error lists. */
const mostFaults = 20;

/** The error of faults. A hint that the next fault has too is given once. */
export function unknownAssets(faults: readonly Problem[]): CryptosenseDbError<'unknown-asset'> {
  const more = faults.length - mostFaults;
  const listed = faults.slice(0, mostFaults).map(({ hint, ...fault }, index, shown) => {
    const isRepeated = hint === undefined || shown[index + 1]?.hint === hint;
    return isRepeated ? fault : { ...fault, hint };
  });
  return new CryptosenseDbError('unknown-asset', [
    ...(more > 0 ? [{ message: `${more} more symbols are unknown, besides:` }] : []),
    ...listed,
  ]);
}
