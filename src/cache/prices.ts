import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { DB } from '../database/types.ts';
import { CryptosenseDbError, isError, type Problem } from '../runtime/errors.ts';
import { backoffMs } from '../runtime/retry.ts';
import type { CacheConnection } from './connection.ts';
import { decode, isDecimal, keysOf, keyspace, type ValueOf } from './keyspace.ts';
import { claimPrices, releaseLocks, storePrices } from './scripts.ts';

/** The columns of `latest_prices`. Amounts are in USD, as PostgreSQL writes NUMERIC. */
export interface Price {
  readonly symbol: string;
  readonly priceUsd: string;
  readonly marketCapUsd: string | null;
  readonly volume24hUsd: string | null;
  readonly dataSource: string | null;
  /** The moment of the price in the market, or in `price_history`. */
  readonly time: Date;
  /** The last moment at which it was known to be the latest. It is served for 30 seconds from then on. */
  readonly asOf: Date;
}

/** What a writer knows of a price. */
export type PriceToStore = Pick<Price, 'symbol' | 'priceUsd' | 'time'> &
  Partial<Pick<Price, 'marketCapUsd' | 'volume24hUsd' | 'dataSource' | 'asOf'>>;

/** Counted since the cache was created, in this process. */
export interface PriceCounters {
  /** Symbols that Redis had, a price or the fact that there is none. */
  readonly hits: number;
  readonly misses: number;
  /** Misses that waited for a load that was running in this process. */
  readonly joined: number;
  /** Queries of PostgreSQL. */
  readonly queries: number;
  /** Those of them that ran because Redis gave no answer, or refused. */
  readonly bypasses: number;
  /** Loads whose prices Redis did not store. */
  readonly unstored: number;
}

export interface Prices {
  /** The prices that Redis has, by symbol, in one command. Throws `cache-unavailable`. */
  readonly get: (symbols: readonly string[]) => Promise<ReadonlyMap<string, Price>>;
  /**
   * Stores prices until 30 seconds after their `asOf`, by the clock of the Redis server; `asOf` is by default `time`.
   * One that is older than that, or whose `time` is before that of the stored price, is not stored. Returns how many
   * were. Throws `cache-unavailable`, and `bad-configuration` for what is no price.
   */
  readonly set: (prices: readonly PriceToStore[]) => Promise<number>;
  /**
   * The latest prices by symbol; those that Redis lacks from `latest_prices`, in one query, which all who ask at the
   * same moment share, in other processes too. Without Redis, PostgreSQL answers. A symbol without a price is left out.
   * `db` is a pool, no transaction. Throws what the query throws.
   */
  readonly readThrough: (
    db: Kysely<DB>,
    symbols: readonly string[],
  ) => Promise<ReadonlyMap<string, Price>>;
  readonly counters: () => PriceCounters;
}

const lifetimeMs = keyspace.price.lifetimeMs;
const lockMs = keyspace.priceLock.lifetimeMs;
/** Who waits longer than this for another process asks PostgreSQL too. */
const patienceMs = 2_000;
const pollBackoff = { firstMs: 10, lastMs: 100 };
/** Redis runs nothing else during a script. */
const mostInScript = 200;

type Found = ReadonlyMap<string, Price | undefined>;

export function pricesOf({ send }: Pick<CacheConnection, 'send'>, prefix: string): Prices {
  const counters = { hits: 0, misses: 0, joined: 0, queries: 0, bypasses: 0, unstored: 0 };
  const loads = new Map<string, Promise<Found>>();
  const keyOfPrice = keysOf('price', prefix);
  const keyOfLock = keysOf('priceLock', prefix);

  /** What Redis knows: a price, or undefined for a symbol that has none. */
  const look = async (symbols: readonly string[]): Promise<Found> => {
    const [first] = symbols;
    if (first === undefined) return new Map();
    const args = ['MGET', ...symbols.map(keyOfPrice)] as const;
    const values = await send(args, { key: keyOfPrice(first), access: 'read' });
    return readValues(symbols, Array.isArray(values) ? values : []);
  };

  const runScript = (script: string, keys: readonly string[], args: readonly string[]) =>
    send(['EVAL', script, String(keys.length), ...keys, ...args], {
      key: keys[0] ?? '',
      access: 'write',
    });

  /** Takes the locks that are free. Throws `cache-unavailable`. */
  const claim = async (symbols: readonly string[], token: string) => {
    const keys = [...symbols.map(keyOfPrice), ...symbols.map(keyOfLock)];
    const reply = await runScript(claimPrices, keys, [token, String(lockMs)]);
    const [now, ...values] = Array.isArray(reply) ? reply : [];
    const found = readValues(symbols, values);
    // A value of another form has no lock, and no other process replaces it.
    const isOpen = (symbol: string, at: number) =>
      values[at] === 1 || (typeof values[at] === 'string' && !found.has(symbol));
    return { now: Number(now), found, owned: symbols.filter(isOpen) };
  };

  const store = async (entries: readonly Entry[]): Promise<number> => {
    let stored = 0;
    for (let from = 0; from < entries.length; from += mostInScript) {
      const some = entries.slice(from, from + mostInScript);
      const keys = some.map(({ symbol }) => keyOfPrice(symbol));
      const args = some.flatMap(({ asOf, time, rest }) => [String(asOf), String(time), rest]);
      stored += Number(await runScript(storePrices, keys, [String(lifetimeMs), ...args]));
    }
    return stored;
  };

  const query = async (db: Kysely<DB>, symbols: readonly string[]): Promise<readonly Row[]> => {
    counters.queries += 1;
    const { rows } = await sql<Row>`
      select * from latest_prices(${symbols}::text[])`.execute(db);
    return rows;
  };

  /** Asks PostgreSQL for what no other process asks for, and waits for the rest. */
  const load = async (db: Kysely<DB>, symbols: readonly string[]): Promise<Found> => {
    const token = randomUUID();
    const result = new Map<string, Price | undefined>();
    const deadline = performance.now() + patienceMs;
    for (let attempt = 1, open = symbols; ; attempt += 1) {
      const claimed = await claim(open, token).catch(onlyCacheFailure);
      for (const [symbol, price] of claimed?.found ?? []) result.set(symbol, price);
      open = open.filter((symbol) => !result.has(symbol));
      const isOver = claimed === undefined || performance.now() >= deadline;
      const asked = isOver ? open : claimed.owned;
      if (asked.length > 0) {
        if (claimed === undefined) counters.bypasses += 1;
        const asOf = claimed?.now ?? Date.now();
        for (const [symbol, price] of await ask(db, asked, { asOf, token, isStored: !!claimed })) {
          result.set(symbol, price);
        }
        open = open.filter((symbol) => !result.has(symbol));
      }
      if (open.length === 0) return result;
      await sleep(backoffMs(attempt, pollBackoff));
    }
  };

  const ask = async (
    db: Kysely<DB>,
    symbols: readonly string[],
    { asOf, token, isStored }: { asOf: number; token: string; isStored: boolean },
  ): Promise<Found> => {
    const release = () =>
      runScript(releaseLocks, symbols.map(keyOfLock), [token]).catch(onlyCacheFailure);
    try {
      const rows = await query(db, symbols);
      const prices = new Map(rows.map((row) => [row.asset_symbol, priceOf(row, asOf)]));
      const found = new Map(symbols.map((symbol) => [symbol, prices.get(symbol)]));
      if (isStored) {
        const entries = symbols.map((symbol) => entryOf(symbol, found.get(symbol), asOf));
        const stored = await store(entries).catch(onlyCacheFailure);
        if (stored === undefined) counters.unstored += 1;
      }
      return found;
    } finally {
      if (isStored) await release();
    }
  };

  /** The loads that bring these symbols: those that run, and one new load for the rest. */
  const shared = async (db: Kysely<DB>, symbols: readonly string[]): Promise<Found> => {
    const fresh = symbols.filter((symbol) => !loads.has(symbol));
    counters.joined += symbols.length - fresh.length;
    if (fresh.length > 0) {
      const loading = load(db, fresh).finally(() => {
        for (const symbol of fresh) loads.delete(symbol);
      });
      for (const symbol of fresh) loads.set(symbol, loading);
    }
    const running = symbols.map((symbol) => loads.get(symbol));
    const found = await Promise.all(running);
    return new Map(symbols.map((symbol, at) => [symbol, found[at]?.get(symbol)]));
  };

  return {
    get: async (symbols) => withPrices(await look(distinct(symbols))),
    set: async (prices) => store(entriesOf(prices)),
    readThrough: async (db, symbols) => {
      if (db.isTransaction) throw notAPool();
      const wanted = distinct(symbols);
      // Who is being loaded is not looked up: the answer would be that it is missing.
      const known = await look(wanted.filter((symbol) => !loads.has(symbol))).catch(
        onlyCacheFailure,
      );
      const missing = wanted.filter((symbol) => known?.has(symbol) !== true);
      counters.hits += wanted.length - missing.length;
      counters.misses += missing.length;
      const found = await shared(db, missing);
      return withPrices(new Map(wanted.map((each) => [each, known?.get(each) ?? found.get(each)])));
    },
    counters: () => ({ ...counters }),
  };
}

interface Row {
  readonly asset_symbol: string;
  readonly time: Date;
  readonly price_usd: string;
  readonly market_cap_usd: string | null;
  readonly volume_24h_usd: string | null;
  readonly data_source: string | null;
}

interface Entry {
  readonly symbol: string;
  readonly asOf: number;
  readonly time: number;
  /** The JSON object behind its first field, `as_of`; empty where there is no price. */
  readonly rest: string;
}

function onlyCacheFailure(error: unknown): undefined {
  if (!isError(error, 'cache-unavailable')) throw error;
}

function readValues(symbols: readonly string[], values: readonly unknown[]): Found {
  const found = new Map<string, Price | undefined>();
  for (const [at, symbol] of symbols.entries()) {
    const text = values[at];
    if (typeof text !== 'string') continue;
    const value = text === 'null' ? undefined : decode('price', text);
    if (text === 'null') found.set(symbol, undefined);
    else if (value !== undefined) found.set(symbol, priceOfValue(symbol, value));
  }
  return found;
}

function priceOfValue(symbol: string, value: ValueOf<'price'>): Price {
  return {
    symbol,
    priceUsd: value.price_usd,
    marketCapUsd: value.market_cap_usd,
    volume24hUsd: value.volume_24h_usd,
    dataSource: value.data_source,
    time: new Date(value.time),
    asOf: new Date(value.as_of),
  };
}

function priceOf(row: Row, asOf: number): Price {
  return {
    symbol: row.asset_symbol,
    priceUsd: row.price_usd,
    marketCapUsd: row.market_cap_usd,
    volume24hUsd: row.volume_24h_usd,
    dataSource: row.data_source,
    time: row.time,
    asOf: new Date(asOf),
  };
}

function entryOf(symbol: string, price: Price | undefined, asOf: number): Entry {
  if (price === undefined) return { symbol, asOf, time: 0, rest: '' };
  const time = price.time.getTime();
  const value: Omit<ValueOf<'price'>, 'as_of'> = {
    time,
    price_usd: price.priceUsd,
    market_cap_usd: price.marketCapUsd,
    volume_24h_usd: price.volume24hUsd,
    data_source: price.dataSource,
  };
  return { symbol, asOf, time, rest: JSON.stringify(value).slice(1) };
}

/** Throws `bad-configuration`, with a problem for each that is no price. */
function entriesOf(prices: readonly PriceToStore[]): readonly Entry[] {
  const problems: Problem[] = [];
  const entries = prices.map((given) => {
    const { symbol, time, asOf = time } = given;
    const { marketCapUsd = null, volume24hUsd = null, dataSource = null } = given;
    const price = { ...given, marketCapUsd, volume24hUsd, dataSource, asOf };
    const fault = faultOf(price);
    if (fault !== undefined) problems.push({ message: `${JSON.stringify(symbol)}: ${fault}` });
    return fault === undefined ? entryOf(symbol, price, asOf.getTime()) : undefined;
  });
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
  return entries.filter((entry) => entry !== undefined);
}

function faultOf({
  symbol,
  priceUsd,
  marketCapUsd,
  volume24hUsd,
  time,
  asOf,
}: Price): string | undefined {
  if (!isSymbol(symbol)) return `it is no symbol: ${symbolForm}`;
  const amounts = { priceUsd, marketCapUsd, volume24hUsd };
  for (const [name, amount] of Object.entries(amounts)) {
    const isFine = isDecimal(amount) || (amount === null && name !== 'priceUsd');
    if (!isFine)
      return `${name} is ${JSON.stringify(amount)}; it can be digits in a string: "43012.5"`;
  }
  for (const [name, moment] of Object.entries({ time, asOf })) {
    if (!(moment instanceof Date) || Number.isNaN(moment.getTime())) return `${name} is no Date`;
  }
  return undefined;
}

const symbolForm = '1 to 20 characters, without blanks, colons and braces';

function isSymbol(symbol: unknown): symbol is string {
  return typeof symbol === 'string' && /^[^\s:{}]{1,20}$/u.test(symbol);
}

/** Each once. Throws `bad-configuration` for what is no symbol. */
function distinct(symbols: readonly string[]): readonly string[] {
  const wrong = symbols.filter((symbol) => !isSymbol(symbol));
  if (wrong.length === 0) return [...new Set(symbols)];
  throw new CryptosenseDbError('bad-configuration', {
    message: `no symbol: ${wrong.map((each) => JSON.stringify(each)).join(', ')}; it has ${symbolForm}`,
  });
}

function withPrices(found: Found): ReadonlyMap<string, Price> {
  const prices = new Map<string, Price>();
  for (const [symbol, price] of found) if (price !== undefined) prices.set(symbol, price);
  return prices;
}

function notAPool(): CryptosenseDbError<'bad-configuration'> {
  return new CryptosenseDbError('bad-configuration', {
    message: 'readThrough was given a transaction, and other callers would share what it reads',
    hint: 'give it the database that createDatabase() returned',
  });
}
