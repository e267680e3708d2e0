import type { Sql } from '../database/connection.ts';
import { toolVersion } from '../runtime/package.ts';

/** A range within a month that a source was asked for: a row of `cryptosense_db.price_imports`. */
export interface PriceImport {
  /** As `price_history.data_source` names it. */
  readonly source: string;
  readonly symbol: string;
  readonly interval: string;
  /** The first moment, in milliseconds since 1970. */
  readonly from: number;
  /** The moment after the last one. */
  readonly to: number;
  /** Prices that the source gave for the range when it was asked last. */
  readonly rows: number;
  /** Hours or days of the range that had a price, of any source, after the import. */
  readonly slots: number;
}

/** Records parts of an import, instead of the parts within them. Call it in the transaction that writes their rows. */
export async function recordPriceImports(sql: Sql, parts: readonly PriceImport[]): Promise<void> {
  const rows = JSON.stringify(
    parts.map((part) => ({
      ...part,
      from: new Date(part.from).toISOString(),
      to: new Date(part.to).toISOString(),
    })),
  );
  await sql`
    delete from cryptosense_db.price_imports old
    using json_to_recordset(${rows}::text::json) as part (
      source text, symbol text, "interval" text, "from" timestamptz, "to" timestamptz
    )
    where old.source = part.source and old.symbol = part.symbol and old."interval" = part."interval"
      and old.range_from >= part."from" and old.range_to <= part."to"`;
  await sql`
    insert into cryptosense_db.price_imports
      (source, symbol, "interval", range_from, range_to, rows, slots, tool_version)
    select source, symbol, "interval", "from", "to", rows, slots, ${toolVersion()}
    from json_to_recordset(${rows}::text::json) as part (
      source text, symbol text, "interval" text, "from" timestamptz, "to" timestamptz, rows integer, slots integer
    )`;
}

/** The records of each asset, in order of time. */
export async function readPriceImports(
  sql: Sql,
  { source, interval }: Pick<PriceImport, 'source' | 'interval'>,
): Promise<readonly PriceImport[]> {
  if (!(await hasPriceImports(sql))) return [];
  return sql<PriceImport[]>`
    select
      source, symbol, "interval", rows, slots,
      extract(epoch from range_from)::float8 * 1000 as "from",
      extract(epoch from range_to)::float8 * 1000 as "to"
    from cryptosense_db.price_imports
    where source = ${source} and "interval" = ${interval}
    order by symbol, range_from, id`;
}

/** Which asset the imported prices of a symbol are of: a row of `cryptosense_db.price_assets`. */
export interface SymbolOwner {
  readonly symbol: string;
  /** The id of the asset. */
  readonly id: string;
}

/**
 * Records whose prices are written under their symbols. What sources were asked for an asset that had the symbol before
 * is forgotten. Call it in the transaction that writes the rows, before `recordPriceImports`.
 */
export async function recordSymbolOwners(sql: Sql, owners: readonly SymbolOwner[]): Promise<void> {
  if (owners.length === 0) return;
  const rows = JSON.stringify(owners.map(({ symbol, id }) => ({ symbol, id })));
  await sql`
    delete from cryptosense_db.price_imports old
    using cryptosense_db.price_assets owner, json_to_recordset(${rows}::text::json) as new (symbol text, id text)
    where old.symbol = new.symbol and owner.symbol = new.symbol and owner.asset_id <> new.id`;
  await sql`
    insert into cryptosense_db.price_assets (symbol, asset_id)
    select symbol, id from json_to_recordset(${rows}::text::json) as new (symbol text, id text)
    on conflict (symbol) do update set asset_id = excluded.asset_id, at = clock_timestamp()
      where price_assets.asset_id <> excluded.asset_id`;
}

/** By symbol. The rows of a symbol may have been deleted since. */
export async function readSymbolOwners(sql: Sql): Promise<ReadonlyMap<string, string>> {
  if (!(await hasPriceImports(sql))) return new Map();
  const rows = await sql<SymbolOwner[]>`
    select symbol, asset_id as id from cryptosense_db.price_assets`;
  return new Map(rows.map(({ symbol, id }) => [symbol, id]));
}

/** A file whose rows are imported, in whole or up to a row. */
export interface PriceFile {
  /** SHA-256 of its bytes. */
  readonly checksum: string;
  readonly name: string;
  /** How many of its lines are written, or left out for good. */
  readonly lines: number;
  readonly isFinished: boolean;
}

/** Records how far a file is imported. Call it in the transaction that writes the rows. */
export async function recordPriceFile(sql: Sql, file: PriceFile): Promise<void> {
  await sql`
    insert into cryptosense_db.price_files (checksum, name, lines, is_finished)
    values (${file.checksum}, ${file.name}, ${file.lines}, ${file.isFinished})
    on conflict (checksum, name) do update set
      lines = excluded.lines, is_finished = excluded.is_finished, at = clock_timestamp()`;
}

export async function readPriceFiles(sql: Sql): Promise<readonly PriceFile[]> {
  if (!(await hasPriceImports(sql))) return [];
  return sql<PriceFile[]>`
    select checksum, name, lines::float8, is_finished as "isFinished"
    from cryptosense_db.price_files order by checksum, name`;
}

/** Reading does not upgrade a ledger, and an older one lacks the tables. */
async function hasPriceImports(sql: Sql): Promise<boolean> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regclass('cryptosense_db.price_imports') is not null as "isThere"`;
  return isThere;
}
