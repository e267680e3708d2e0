import { type Sql, withSession } from '../database/connection.ts';
import { resolveTarget } from '../database/target.ts';
import type { Version } from '../ledger/version.ts';
import * as migrate from '../migrations/migrate.ts';
import { compareText } from '../runtime/order.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { hasTimescale, withCatalog } from './catalog.ts';
import type { ScratchRun } from './scratch.ts';
import { isNoChunk, isNoMember, isOwnSchema } from './snapshot/own.ts';

/** What a rollback takes from the rows of one table. */
export type Loss =
  | { readonly lost: 'table'; readonly table: string; readonly rows: number }
  | { readonly lost: 'rows'; readonly table: string; readonly rows: number }
  /** `values` counts those that are not null. */
  | {
      readonly lost: 'column';
      readonly table: string;
      readonly column: string;
      readonly values: number;
    }
  /** The column stays, and has other values. */
  | {
      readonly lost: 'values';
      readonly table: string;
      readonly column: string;
      readonly values: number;
    };

/** A migration that is applied. */
export interface AppliedPair {
  readonly version: Version;
  readonly description: string;
  /** Why its rollback cannot be; undefined for one that can. */
  readonly irreversible: string | undefined;
}

export interface RowCheck {
  /** Newest pair first. */
  readonly losses: readonly (Loss & { readonly version: Version; readonly description: string })[];
  /** How many pairs were rolled back with rows in the tables: all, or those newer than one that cannot be undone. */
  readonly rolledBack: number;
}

/**
 * Seeds a database that has all migrations, rolls back the pairs one by one, and compares the rows before and after each.
 * Throws what `seed.dev` and `migrate.down` throw.
 */
export async function findLosses(
  newestFirst: readonly AppliedPair[],
  {
    seeds,
    onProgress,
    ...run
  }: ScratchRun & {
    readonly seeds: string | undefined;
    readonly onProgress: OnProgress | undefined;
  },
): Promise<RowCheck> {
  const seed = await import('../seeding/seed.ts');
  await seed.dev({ ...run, seeds, onProgress });
  const read = () =>
    withSession(
      resolveTarget(run.target),
      { signal: run.signal, isReadOnlyFine: true, isCatalogOnly: true },
      ({ sql }) => readTables(sql),
    );
  const firstToStay = newestFirst.findIndex(({ irreversible }) => irreversible !== undefined);
  const toRollBack = firstToStay < 0 ? newestFirst : newestFirst.slice(0, firstToStay);
  const losses: RowCheck['losses'][number][] = [];
  let before = await read();
  for (const [index, { version, description }] of toRollBack.entries()) {
    const place = { index: index + 1, total: toRollBack.length };
    onProgress?.({ kind: 'rolling-back-rows', pair: { version, description, ...place } });
    await migrate.down({ ...run, steps: 1 });
    const after = await read();
    const found = compareTables(before, after);
    losses.push(...found.map((loss) => ({ version, description, ...loss })));
    before = after;
  }
  return { losses, rolledBack: toRollBack.length };
}

/** The rows of a table, without the rows themselves. */
interface TableRows {
  readonly name: string;
  readonly rows: number;
  readonly columns: readonly ColumnValues[];
}

interface ColumnValues {
  readonly name: string;
  /** Of those that are not null. */
  readonly values: number;
  /** The same for the same values in any order. */
  readonly hash: string;
}

/** What is there before and not after. A table or a column that has only got another name is not lost. */
function compareTables(before: readonly TableRows[], after: readonly TableRows[]): readonly Loss[] {
  const later = new Map(after.map((table) => [table.name, table]));
  const added = after.filter(({ name }) => !before.some((table) => table.name === name));
  return before.flatMap((table): readonly Loss[] => {
    const now = later.get(table.name);
    if (now) return compareColumns(table, now);
    const isEmptyOrRenamed = table.rows === 0 || added.some((each) => hasAll(each, table));
    return isEmptyOrRenamed ? [] : [{ lost: 'table', table: table.name, rows: table.rows }];
  });
}

function hasAll(table: TableRows, wanted: TableRows): boolean {
  return table.rows === wanted.rows && wanted.columns.every((column) => hasValues(table, column));
}

/** In a column of any name. */
function hasValues({ columns }: TableRows, { values, hash }: ColumnValues): boolean {
  return columns.some((column) => column.values === values && column.hash === hash);
}

function compareColumns(before: TableRows, after: TableRows): readonly Loss[] {
  const { name: table } = before;
  const added: TableRows = {
    ...after,
    columns: after.columns.filter(({ name }) => !before.columns.some((each) => each.name === name)),
  };
  const rows = before.rows - after.rows;
  const fewer: readonly Loss[] = rows > 0 ? [{ lost: 'rows', table, rows }] : [];
  const lost = before.columns.flatMap((column): readonly Loss[] => {
    const { name, values, hash } = column;
    const now = after.columns.find((each) => each.name === name);
    const said = { table, column: name, values };
    if (!now) return values === 0 || hasValues(added, column) ? [] : [{ lost: 'column', ...said }];
    // Where rows are gone, so are their values.
    return rows !== 0 || now.hash === hash ? [] : [{ lost: 'values', ...said }];
  });
  return [...fewer, ...lost];
}

/** Every table that can have rows of its own; a hypertable and a partitioned table with all of their parts. */
async function readTables(sql: Sql): Promise<readonly TableRows[]> {
  return withCatalog(sql, async () => {
    const isTimescale = await hasTimescale(sql);
    const found = await sql<{ name: string; columns: readonly string[] }[]>`
      select format('%I.%I', n.nspname, c.relname) as name, array(
        select quote_ident(attname) from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum
      ) as columns
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and not c.relispartition and ${isOwnSchema(sql)}
        and ${isNoMember(sql, { catalog: 'pg_class', oid: 'c.oid' })} and ${isNoChunk(sql, isTimescale)}`;
    const tables: TableRows[] = [];
    for (const table of found.sort((a, b) => compareText(a.name, b.name))) {
      tables.push(await readTable(sql, table));
    }
    return tables;
  });
}

async function readTable(
  sql: Sql,
  { name, columns }: { readonly name: string; readonly columns: readonly string[] },
): Promise<TableRows> {
  const [row] = await sql.unsafe<[{ rows: number; values: number[]; hashes: string[] }]>(`
    select count(*)::float8 as rows,
      array[${columns.map((column) => `count(r.${column})::float8`).join(', ')}]::float8[] as values,
      array[${columns
        .map((column) => `coalesce(sum(hashtextextended(r.${column}::text, 0)), 0)::text`)
        .join(', ')}]::text[] as hashes
    from ${name} as r`);
  return {
    name,
    rows: row.rows,
    columns: columns.map((column, index) => ({
      name: column,
      values: row.values[index] ?? 0,
      hash: row.hashes[index] ?? '0',
    })),
  };
}
