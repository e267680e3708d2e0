import type { Sql } from '../database/connection.ts';

/** In milliseconds since 1970. */
interface ImportedRange {
  readonly from: number;
  /** The moment after the last one. */
  readonly to: number;
}

/** What is to be done for imported prices once they are written: rows of `cryptosense_db.price_upkeep`. */
export interface OwedUpkeep {
  /** The range whose chunks are to be compressed again. */
  readonly range: ImportedRange;
  /** The part of it whose candles are to be refreshed; undefined when they are. */
  readonly candles: ImportedRange | undefined;
  /** The newest record of `candles`, for `recordRefreshed`. */
  readonly newest: string | undefined;
  /** Policies that are off until the candles are refreshed, by the number of their job. */
  readonly pausedJobs: readonly number[];
}

/**
 * Records a range, and the jobs that are paused until its candles are refreshed. Call it in the transaction that writes
 * the rows, or pauses the jobs.
 */
export async function oweUpkeep(
  sql: Sql,
  { from, to }: ImportedRange,
  pausedJobs: readonly number[] = [],
): Promise<void> {
  await sql`
    insert into cryptosense_db.price_upkeep (range_from, range_to, is_refreshed, paused_jobs)
    values (
      ${new Date(from).toISOString()}, ${new Date(to).toISOString()}, false,
      array(select json_array_elements_text(${JSON.stringify(pausedJobs)}::text::json)::integer)
    )`;
}

/** Undefined when nothing is owed. */
export async function readUpkeep(sql: Sql): Promise<OwedUpkeep | undefined> {
  // Reading does not upgrade a ledger, and an older one lacks the table.
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regclass('cryptosense_db.price_upkeep') is not null as "isThere"`;
  if (!isThere) return undefined;
  const [owed] = await sql<
    {
      from: number | null;
      to: number;
      candlesFrom: number | null;
      candlesTo: number;
      newest: string;
      pausedJobs: readonly number[];
    }[]
  >`
    select
      extract(epoch from min(range_from))::float8 * 1000 as "from",
      extract(epoch from max(range_to))::float8 * 1000 as "to",
      extract(epoch from min(range_from) filter (where not is_refreshed))::float8 * 1000 as "candlesFrom",
      extract(epoch from max(range_to) filter (where not is_refreshed))::float8 * 1000 as "candlesTo",
      (max(id) filter (where not is_refreshed))::text as newest,
      array(
        select distinct job from cryptosense_db.price_upkeep, unnest(paused_jobs) as job order by job
      ) as "pausedJobs"
    from cryptosense_db.price_upkeep`;
  if (!owed || owed.from === null) return undefined;
  const { from, to, candlesFrom, candlesTo, newest, pausedJobs } = owed;
  const range = { from, to };
  return candlesFrom === null
    ? { range, candles: undefined, newest: undefined, pausedJobs }
    : { range, candles: { from: candlesFrom, to: candlesTo }, newest, pausedJobs };
}

/** Records that candles are refreshed, up to the record `newest`. */
export async function recordRefreshed(sql: Sql, newest: string): Promise<void> {
  await sql`update cryptosense_db.price_upkeep set is_refreshed = true where id <= ${newest}`;
}

/** Records that every paused job runs again. Call it in the transaction that lets them. */
export async function recordResumed(sql: Sql): Promise<void> {
  await sql`update cryptosense_db.price_upkeep set paused_jobs = '{}' where paused_jobs <> '{}'`;
}

/** Removes the records of ranges whose candles are refreshed, once nothing else is owed for them. */
export async function settleUpkeep(sql: Sql): Promise<void> {
  await sql`delete from cryptosense_db.price_upkeep where is_refreshed`;
}
