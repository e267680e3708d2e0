import type { Insertable, Kysely } from 'kysely';
import type { DB } from '../database/types.ts';
import type { Market } from '../market/market.ts';
import type { Price } from '../market/prices.ts';

/**
 * What a file of `seeds/dev` or `seeds/production` exports as `seeder`. These files import only types
 * from the tool; the context gives them the rest.
 */
export interface Seeder<Context> {
  /** One line for `seed --list`: which rows it writes. */
  readonly description: string;
  /** Runs in its own transaction, which an exception rolls back. */
  readonly run: (context: Context) => Promise<unknown>;
  /**
   * Runs after the commit, outside a transaction. `outcomes` holds what `run` returned, after what it
   * returned in earlier runs that stopped before `afterwards` ended; the oldest first, read back from
   * JSON. The same outcome may come twice.
   */
  readonly afterwards?: (context: Context, outcomes: readonly unknown[]) => Promise<void>;
}

export type DevSeeder = Seeder<DevContext>;
export type ProductionSeeder = Seeder<ProductionContext>;

/** The name of a table of schema public. */
export type Table = keyof DB & string;
/** A row to insert. */
export type NewRow<T extends Table> = Insertable<DB[T]>;

export interface Rows<T extends Table> {
  /** All with the same columns. Read one by one, so that they need not fit in memory. */
  readonly rows: Iterable<NewRow<T>>;
  /** How many rows there will be, for the progress bar. */
  readonly total: number;
}

export interface SeedContext {
  /** Runs queries in the seeder's transaction. */
  readonly db: Kysely<DB>;
  /** The moment at which the data ends. A seeder reads no other clock. */
  readonly now: Date;
  /** Reports one line about the outcome. */
  readonly note: (line: string) => void;
  /** Counts rows that the seeder wrote without `load` and `merge`. */
  readonly wrote: (table: Table, rows: number) => void;
}

/** A price at the start of an hour, in milliseconds since 1970. Figures are decimal numbers as text. */
export type HistoricPrice = Price;

export interface DevContext extends SeedContext {
  /** The same number gives the same data. */
  readonly seed: number;
  /** How many times the three users of the specification, with their dependants; from 1. */
  readonly scale: number;
  /** Copies rows into a table. Returns how many rows it wrote. */
  readonly load: <T extends Table>(table: T, rows: Rows<T>) => Promise<number>;
  /**
   * Upserts `rows` and deletes rows in the id range `ids` that are not given. Rows that stay keep their
   * dependants. A conflict with a row outside the range is an error; with `others: 'keep'` the given
   * row is left out and a note counts it. Returns how many rows are in the table.
   */
  readonly merge: <T extends Table>(
    table: T,
    rows: Rows<T> & {
      readonly ids: { readonly from: string; readonly to: string };
      readonly others?: 'keep';
    },
  ) => Promise<number>;
  /** The first moment of the history that `--history` asks for; undefined without it. */
  readonly historyFrom: Date | undefined;
  /**
   * Writes prices as `prices import` does: rows that are there stay, and the daily candles are refreshed. Call it in
   * `afterwards`. Returns how many rows are new.
   */
  readonly importPrices: (
    source: string,
    prices: { readonly rows: Iterable<HistoricPrice>; readonly total: number },
  ) => Promise<number>;
}

export interface ProductionContext extends SeedContext {
  readonly market: Market;
  /** What this seeder's `run` returned in its last run on this database, read back from JSON. */
  readonly previous: unknown;
}
