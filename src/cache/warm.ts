import { type Session, type Sql, withSession } from '../database/connection.ts';
import { describeTarget, resolveTarget, type Target } from '../database/target.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { type CacheSettings, defaultPrefix, requirePrefix } from './cache.ts';
import { type CacheConnection, openCache } from './connection.ts';
import { type PriceToStore, pricesOf } from './prices.ts';
import { type CacheTarget, parseCacheUrl } from './target.ts';

export interface WarmOptions extends CacheSettings {
  readonly cache: CacheTarget | string;
  readonly target: Target | string;
  /** How many assets, the largest first. Default 100. */
  readonly top?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface WarmResult {
  readonly cache: string;
  readonly target: string;
  /** How many assets have a price, and of how many prices the cache has no newer one. */
  readonly found: number;
  readonly stored: number;
}

const mostAssets = 10_000;
const defaultTop = 100;

/**
 * Stores the latest prices of the largest assets, from `latest_prices`. Runs on a standby too. Throws
 * `no-price-tables`, `cache-unavailable`, `package-missing`, and what opening a session throws.
 */
export async function warm(options: WarmOptions): Promise<WarmResult> {
  const {
    cache,
    top = defaultTop,
    prefix = defaultPrefix,
    signal,
    onProgress,
    ...settings
  } = options;
  requireWhole({ top }, { from: 1, to: mostAssets });
  requirePrefix(prefix);
  const named = typeof cache === 'string' ? parseCacheUrl(cache) : cache;
  const target = resolveTarget(options.target);
  const connection = openCache(named, settings);
  const opening = { signal, onProgress, isReadOnlyFine: true, isCatalogOnly: true };
  try {
    return await withSession(target, opening, async (session) => ({
      cache: connection.name,
      target: describeTarget(target),
      ...(await warmFrom(session, connection, { prefix, top })),
    }));
  } finally {
    await connection.close();
  }
}

/** Stores the latest prices of the `top` largest assets. Throws `no-price-tables`, `cache-unavailable`. */
export async function warmFrom(
  { sql }: Pick<Session, 'sql'>,
  connection: CacheConnection,
  { prefix, top = defaultTop }: { readonly prefix: string; readonly top?: number | undefined },
): Promise<Pick<WarmResult, 'found' | 'stored'>> {
  await requirePriceTables(sql);
  // Before the query, so that no price counts as newer than it is.
  const [seconds] = await connection.onServers((send) => send('TIME'));
  const asOf = new Date(Number(Array.isArray(seconds) ? seconds[0] : Number.NaN) * 1_000);
  const rows = await sql<WarmRow[]>`
    select asset_symbol as symbol, (extract(epoch from "time") * 1000)::float8 as "timeMs",
      price_usd::text as "priceUsd", market_cap_usd::text as "marketCapUsd",
      volume_24h_usd::text as "volume24hUsd", data_source::text as "dataSource"
    from public.latest_prices(array(
      select symbol::text from public.assets where is_active
      order by market_cap_rank nulls last, symbol limit ${top}
    ))
    where asset_symbol !~ '[[:space:]:{}]'`;
  const prices = rows.map(({ timeMs, ...row }): PriceToStore => {
    return { ...row, time: new Date(Math.floor(timeMs)), asOf };
  });
  return { found: prices.length, stored: await pricesOf(connection, prefix).set(prices) };
}

interface WarmRow {
  readonly symbol: string;
  readonly timeMs: number;
  readonly priceUsd: string;
  readonly marketCapUsd: string | null;
  readonly volume24hUsd: string | null;
  readonly dataSource: string | null;
}

async function requirePriceTables(sql: Sql): Promise<void> {
  const missing = await sql<{ name: string }[]>`
    select name from (values
      ('assets', to_regclass('public.assets') is null),
      ('latest_prices(text[])', to_regprocedure('public.latest_prices(text[])') is null)
    ) as needed (name, "isMissing") where "isMissing"`;
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name);
  throw new CryptosenseDbError(
    'no-price-tables',
    {
      message: `the database lacks ${names.join(' and ')}, which hold the prices for the cache`,
      hint: 'cryptosense-db migrate up',
    },
    { details: { names } },
  );
}
