import type { Insertable, Kysely } from 'kysely';
import type { DB } from '../database/types.ts';
import type { Market } from '../market/market.ts';

/**
 * What a file of `seeds/dev` or `seeds/production` exports as `seeder`. These files know the tool by
 * its types alone: what they need at run time they are given.
 */
export interface Seeder<Context> {
  /** One line: what it puts where. */
  readonly description: string;
  /** Runs in a transaction of its own; whatever it throws rolls it back. */
  readonly run: (context: Context) => Promise<unknown>;
  /**
   * Runs once the transaction is committed, outside of any, with what `run` returned; and with what it
   * returned in earlier runs that ended before this was done, oldest first, as JSON gives it back. It
   * may be done twice.
   */
  readonly afterwards?: (context: Context, outcomes: readonly unknown[]) => Promise<void>;
}

export type DevSeeder = Seeder<DevContext>;
export type ProductionSeeder = Seeder<ProductionContext>;

/** A table of schema public, and its rows as they are inserted. */
export type Table = keyof DB & string;
export type NewRow<T extends Table> = Insertable<DB[T]>;

export interface Rows<T extends Table> {
  /** Each with the same columns; drawn one by one, and never all in memory. */
  readonly rows: Iterable<NewRow<T>>;
  /** How many there will be, for the progress bar. */
  readonly total: number;
}

export interface SeedContext {
  /** On the seeder's transaction. */
  readonly db: Kysely<DB>;
  /** The moment that the data is of; no other clock is to be read. */
  readonly now: Date;
  /** Says something of the outcome, in one line. */
  readonly note: (line: string) => void;
  /** Counts rows that were written by other means than `load` and `merge`. */
  readonly wrote: (table: Table, rows: number) => void;
}

export interface DevContext extends SeedContext {
  /** The same number gives the same data. */
  readonly seed: number;
  /** From 1: how many times the users of the specification, with what hangs on them. */
  readonly scale: number;
  /** Copies rows into a table. Returns how many. */
  readonly load: <T extends Table>(table: T, rows: Rows<T>) => Promise<number>;
  /**
   * Makes the rows with ids from `ids.from` to `ids.to`, and any others that are given, what is
   * given: new ones are inserted, those that differ updated, those that are given no more deleted.
   * What hangs on a row that stays, stays. With `others: 'keep'`, a row whose place somebody else's
   * row has taken is left out, and noted; without, that is an error.
   */
  readonly merge: <T extends Table>(
    table: T,
    rows: Rows<T> & {
      readonly ids: { readonly from: string; readonly to: string };
      readonly others?: 'keep';
    },
  ) => Promise<number>;
}

export interface ProductionContext extends SeedContext {
  readonly market: Market;
  /** What this seeder's `run` returned when it ran on this database last, as JSON gives it back. */
  readonly previous: unknown;
}
