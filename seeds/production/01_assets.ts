import { sql } from 'kysely';
import type { NewRow, ProductionContext, ProductionSeeder } from '../../src/seeding/seeder.ts';
import { daysOf, foreignOwner, refreshDays, wholeDays } from '../story/daily.ts';

type Db = ProductionContext['db'];
type Asset = ProductionContext['market']['assets'][number];

export const seeder: ProductionSeeder = {
  description: 'the largest assets from CoinGecko, one price each',
  run: async (context) => {
    const { market } = context;
    return market.source === 'snapshot' ? addKnown(context) : renew(context);
  },
  // The view's policy refreshes three days, and an answer may be older.
  afterwards: async ({ db, now }, outcomes) => {
    const days = (outcomes as readonly Partial<Lists>[]).flatMap((outcome) => outcome.days ?? []);
    await refreshDays(db, { days, now });
  },
};

/**
 * The state that this seeder keeps for its next run. It deactivates and reactivates only assets that it
 * listed: an asset that a person entered or deactivated stays as the person left it.
 */
interface Lists {
  /** CoinGecko's ids in the last answer. */
  readonly listed: readonly string[];
  /** Ids that left the list, whose assets this seeder deactivated. */
  readonly left: readonly string[];
  /** The time of the newest answer; null before the first. */
  readonly takenAt: string | null;
  /** The days of its prices for which the view has to be refreshed. */
  readonly days: readonly string[];
}

/** Inserts new assets, updates known ones, and deactivates those that left the list. */
async function renew(context: ProductionContext): Promise<Lists> {
  const { db, market, previous, note, wrote } = context;
  const { assets } = market;
  const before = readLists(previous);
  if (isOlder(market, before.takenAt)) {
    refuseOldFile(context, before.takenAt);
    return before;
  }
  const listed = assets.map(({ id }) => id);
  const isListed = new Set(listed);
  const known = await countKnown(db, listed);

  for (const batch of inBatches(assets)) {
    await db
      .insertInto('assets')
      .values(batch.map(assetRow))
      .onConflict((conflict) =>
        conflict.column('coingecko_id').doUpdateSet(({ ref }) => ({
          symbol: ref('excluded.symbol'),
          name: ref('excluded.name'),
          market_cap_rank: ref('excluded.market_cap_rank'),
          current_price_usd: ref('excluded.current_price_usd'),
          market_cap_usd: ref('excluded.market_cap_usd'),
          volume_24h_usd: ref('excluded.volume_24h_usd'),
          price_updated_at: ref('excluded.price_updated_at'),
          image_url: ref('excluded.image_url'),
        })),
      )
      .execute();
  }
  wrote('assets', assets.length);

  const leaving = before.listed.filter((id) => !isListed.has(id));
  const gone = await switchOff(db, leaving);
  const returning = before.left.filter((id) => isListed.has(id));
  await switchOn(db, returning);
  const { priced, written } = await addPrices(db, market);
  wrote('price_history', written);
  const days = await refreshableDays(context);

  note(`${assets.length - known} new, ${known} updated`);
  if (gone.length > 0) {
    const then =
      before.listed.length === assets.length ? '' : `, of ${before.listed.length} before`;
    note(`left the top ${assets.length}${then}, now inactive: ${some(gone)}`);
  }
  if (returning.length > 0) note(`back, now active: ${some(returning)}`);
  const unpriced = assets.filter((asset) => priced.get(asset.symbol) !== asset);
  if (unpriced.length > 0) {
    note(`without a price: ${some(unpriced.map((asset) => reasonOf(asset, priced)))}`);
  }
  const left = [...before.left.filter((id) => !isListed.has(id)), ...gone];
  return { listed, left: [...new Set(left)], takenAt: market.takenAt.toISOString(), days };
}

function isOlder({ takenAt }: ProductionContext['market'], newest: string | null): boolean {
  return newest !== null && takenAt < new Date(newest);
}

/**
 * An answer that is older than the last one would bring back old prices and deactivate new assets. An old
 * file is an error. Of two runs at once, the second to write may have the older answer, which is not.
 */
function refuseOldFile({ market, note }: ProductionContext, newest: string | null): void {
  const taken = market.takenAt.toISOString();
  if (market.source === 'file') {
    throw new Error(
      `the answer of ${taken} is older than the last seeded one, of ${newest}; save a newer answer`,
    );
  }
  note(`the database has a newer answer, of ${newest}: nothing was changed`);
}

/** The days of the prices for which a refresh of the view deletes no candles. */
async function refreshableDays({
  db,
  market,
  note,
}: ProductionContext): Promise<readonly string[]> {
  const days = daysOf(pricesOf(market).map(({ updatedAt }) => updatedAt ?? market.takenAt));
  const owner = await foreignOwner(db);
  if (owner === undefined) {
    const whole = await wholeDays(db, days);
    if (whole.length < days.length) {
      note('price_history_daily is not refreshed for days whose prices were dropped');
    }
    return whole;
  }
  if (days.length > 1) {
    note(`some prices are from earlier days: ${owner} has to refresh price_history_daily`);
  }
  return [];
}

/** Inserts the assets of a snapshot. Known assets are newer and stay unchanged. */
async function addKnown({ db, market, previous, note, wrote }: ProductionContext): Promise<Lists> {
  const before = readLists(previous);
  const added: string[] = [];
  for (const batch of inBatches(market.assets)) {
    const rows = await db
      .insertInto('assets')
      .values(batch.map(({ id, symbol, name }) => ({ coingecko_id: id, symbol, name })))
      .onConflict((conflict) => conflict.column('coingecko_id').doNothing())
      .returning('coingecko_id')
      .execute();
    added.push(...rows.map((row) => row.coingecko_id));
  }
  wrote('assets', added.length);
  note(`${added.length} new, ${market.assets.length - added.length} known and unchanged`);
  return { ...before, listed: [...new Set([...before.listed, ...added])] };
}

/** A query takes at most 65,535 parameters, and a row needs ten. */
function* inBatches(assets: readonly Asset[]): Generator<readonly Asset[]> {
  for (let from = 0; from < assets.length; from += 1_000) yield assets.slice(from, from + 1_000);
}

/** Lists at most ten words. */
function some(words: readonly string[]): string {
  const more = words.length - 10;
  return [...words.slice(0, 10), ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
}

function readLists(previous: unknown): Lists {
  const { listed = [], left = [], takenAt = null } = (previous ?? {}) as Partial<Lists>;
  return { listed, left, takenAt, days: [] };
}

async function countKnown(db: Db, ids: readonly string[]): Promise<number> {
  const { count } = await db
    .selectFrom('assets')
    .where('coingecko_id', '=', anyOf(ids))
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Returns the assets that were active. All of them lose their rank, which comes from the list. */
async function switchOff(db: Db, ids: readonly string[]): Promise<readonly string[]> {
  const rows = await db
    .updateTable('assets')
    .set({ is_active: false })
    .where('coingecko_id', '=', anyOf(ids))
    .where('is_active', '=', true)
    .returning('coingecko_id')
    .execute();
  await db
    .updateTable('assets')
    .set({ market_cap_rank: null })
    .where('coingecko_id', '=', anyOf(ids))
    .where('market_cap_rank', 'is not', null)
    .execute();
  return rows.map((row) => row.coingecko_id);
}

async function switchOn(db: Db, ids: readonly string[]): Promise<void> {
  await db
    .updateTable('assets')
    .set({ is_active: true })
    .where('coingecko_id', '=', anyOf(ids))
    .execute();
}

/** Passes any number of ids as one parameter. */
function anyOf(ids: readonly string[]) {
  return sql<string>`any(array(select jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb)))`;
}

function assetRow(asset: Asset): NewRow<'assets'> {
  return {
    coingecko_id: asset.id,
    symbol: asset.symbol,
    name: asset.name,
    market_cap_rank: asset.rank,
    current_price_usd: asset.priceUsd,
    market_cap_usd: asset.marketCapUsd,
    volume_24h_usd: asset.volume24hUsd,
    price_updated_at: asset.updatedAt,
    image_url: asset.imageUrl,
  };
}

/** The length of the column asset_symbol. */
const symbolLength = 20;
/** price_history keeps eight decimals, and a smaller price rounds to zero. */
const smallestPrice = 0.5e-8;

/**
 * The assets that get a row in price_history, which knows assets by symbol. When several share a symbol,
 * the largest gets the row.
 */
function pricesOf({ assets }: ProductionContext['market']): readonly Asset[] {
  const priced = new Map<string, Asset>();
  for (const asset of assets) {
    const { symbol } = asset;
    const isFit = hasPrice(asset) && symbol.length <= symbolLength;
    if (isFit && !priced.has(symbol)) priced.set(symbol, asset);
  }
  return [...priced.values()];
}

/** Writes the prices. Returns the assets with a price, by symbol, and the number of rows written. */
async function addPrices(
  db: Db,
  market: ProductionContext['market'],
): Promise<{ readonly priced: ReadonlyMap<string, Asset>; readonly written: number }> {
  const { takenAt } = market;
  let written = 0;
  const priced = new Map(pricesOf(market).map((asset) => [asset.symbol, asset]));
  for (const batch of inBatches([...priced.values()])) {
    const rows = await db
      .insertInto('price_history')
      .values(batch.map((asset) => priceRow(asset, takenAt)))
      // The same answer may be seeded twice. A price from another source stays.
      .onConflict((conflict) =>
        conflict
          .columns(['time', 'asset_symbol'])
          .doUpdateSet(({ ref }) => ({
            price_usd: ref('excluded.price_usd'),
            market_cap_usd: ref('excluded.market_cap_usd'),
            volume_24h_usd: ref('excluded.volume_24h_usd'),
            percent_change_1h: ref('excluded.percent_change_1h'),
            percent_change_24h: ref('excluded.percent_change_24h'),
            percent_change_7d: ref('excluded.percent_change_7d'),
          }))
          .where('price_history.data_source', '=', 'coingecko'),
      )
      .returning('asset_symbol')
      .execute();
    written += rows.length;
  }
  return { priced, written };
}

function hasPrice({ priceUsd }: Asset): boolean {
  return priceUsd !== null && priceUsd >= smallestPrice;
}

function priceRow(asset: Asset, takenAt: Date): NewRow<'price_history'> {
  return {
    time: asset.updatedAt ?? takenAt,
    asset_symbol: asset.symbol,
    price_usd: asset.priceUsd ?? 0,
    market_cap_usd: asset.marketCapUsd,
    volume_24h_usd: asset.volume24hUsd,
    percent_change_1h: asset.change1h,
    percent_change_24h: asset.change24h,
    percent_change_7d: asset.change7d,
    data_source: 'coingecko',
  };
}

function reasonOf(asset: Asset, priced: ReadonlyMap<string, Asset>): string {
  const { id, symbol, priceUsd } = asset;
  if (priceUsd === null) return `${id} (CoinGecko has none)`;
  if (!hasPrice(asset)) return `${id} (too small for price_history)`;
  if (symbol.length > symbolLength) return `${id} (its symbol is too long for price_history)`;
  return `${id} (${symbol} is used by ${priced.get(symbol)?.id})`;
}
