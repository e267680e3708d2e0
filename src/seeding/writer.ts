import { quoteIdentifier, type Session } from '../database/connection.ts';
import { copyFrom } from '../database/copy.ts';
import { isSqlError } from '../database/sql-errors.ts';
import { describe } from '../database/typed-query.ts';
import { text } from '../database/values/value-types.ts';
import { encodeRows, inBatches, type Row, type TargetColumn } from './rows.ts';
import type { DevContext, Table } from './seeder.ts';

/** Rows in one COPY. The embedded engine buffers a whole COPY in memory. */
const batchSize = 5_000;

const stage = 'cryptosense_db_stage';

/** PostgreSQL counts the lines of one COPY. Counts the rows of the batches before it as well. */
function countedFrom(error: unknown, before: number): unknown {
  if (!isSqlError(error) || error.where === undefined) return error;
  const where = error.where.replace(/, line (\d+)/, (_, line) => `, line ${Number(line) + before}`);
  return Object.assign(error, { where });
}

export interface WriterEvents {
  readonly note: (line: string) => void;
  readonly wrote: (table: Table, rows: number) => void;
  /** Called after each COPY: rows written so far, of `total`, and the time since the first row. */
  readonly onRows: (table: string, rows: number, total: number, elapsedMs: number) => void;
}

/** Writes rows into tables with COPY, within the session's transaction. */
export function createWriter(
  session: Session,
  { note, wrote, onRows }: WriterEvents,
): Pick<DevContext, 'load' | 'merge'> {
  const { sql, types } = session;

  const describeColumns = async (table: string, names: readonly string[]) => {
    const columns = await describe(session, `select ${list(names)} from ${table}`);
    return columns.map(({ name, type }) => ({ name, type: types.get(type) ?? text }));
  };

  /** Copies the rows into a table, with the columns of the first row. */
  const copy = async (into: string, { table, rows, total }: Source) => {
    const startedAt = performance.now();
    let count = 0;
    let columns: readonly TargetColumn[] = [];
    for (const batch of inBatches(rows, batchSize)) {
      session.throwIfInterrupted();
      if (count === 0) columns = await describeColumns(into, Object.keys(batch[0] ?? {}));
      const lines = Buffer.from(encodeRows(batch, { columns, before: count }));
      const names = list(columns.map(({ name }) => name));
      await copyFrom(sql, `copy ${into} (${names}) from stdin`, [lines]).catch((error: unknown) => {
        throw countedFrom(error, count);
      });
      count += batch.length;
      onRows(table, count, total, performance.now() - startedAt);
    }
    return { count, columns: columns.map(({ name }) => name) };
  };

  let isBusy = false;
  /** A connection runs one COPY at a time; a second COPY would end the first. */
  const alone = async (write: () => Promise<number>): Promise<number> => {
    if (isBusy) throw new Error('await each load and merge before the next one');
    isBusy = true;
    try {
      return await write();
    } finally {
      isBusy = false;
    }
  };

  return {
    load: (table, { rows, total }) =>
      alone(async () => {
        const { count } = await copy(quoteIdentifier('public', table), { table, rows, total });
        wrote(table, count);
        return count;
      }),
    merge: (table, { rows, total, ids, others }) =>
      alone(async () => {
        const name = quoteIdentifier('public', table);
        if (others !== 'keep' && (await isEmpty(session, name))) {
          const { count } = await copy(name, { table, rows, total });
          wrote(table, count);
          return count;
        }
        await sql.unsafe(
          `create temporary table ${stage} on commit drop as select * from ${name} with no data`,
        );
        const { count, columns } = await copy(`pg_temp.${stage}`, { table, rows, total });
        const { count: removed } = await sql.unsafe(removal(name, { columns, others }), [
          ids.from,
          ids.to,
        ]);
        if (removed > 0 && others !== 'keep') {
          note(`${removed} rows of ${table} deleted, with their dependants`);
        }
        let written = 0;
        if (count > 0) {
          await sql.unsafe(
            others === 'keep'
              ? insertWhereFree(name, columns)
              : upsert(name, { columns, isStamped: await isStamped(session, name) }),
          );
          const [row] = await sql.unsafe(
            `select count(*)::int as count from pg_temp.${stage} join ${name} using (id)`,
          );
          written = Number(row?.count);
        }
        await sql.unsafe(`drop table pg_temp.${stage}`);
        if (written < count) {
          note(`${count - written} rows of ${table} left out: other rows already have their place`);
        }
        wrote(table, written);
        return written;
      }),
  };
}

/** In an empty table there is nothing to compare rows with. */
async function isEmpty({ sql }: Session, table: string): Promise<boolean> {
  const rows = await sql.unsafe(`select from ${table} limit 1`);
  return rows.length === 0;
}

interface Source {
  /** For progress. */
  readonly table: string;
  readonly rows: Iterable<Row>;
  readonly total: number;
}

/**
 * Deletes rows that are no longer given. With `others: 'keep'` it also deletes rows that differ, which
 * are then inserted again unless another row has taken their place.
 */
function removal(
  table: string,
  {
    columns,
    others,
  }: { readonly columns: readonly string[]; readonly others?: 'keep' | undefined },
): string {
  const isSame =
    others === 'keep' && columns.length > 0
      ? `and (${list(columns, 'own')}) is not distinct from (${list(columns, 'given')})`
      : '';
  return `
    delete from ${table} as own where id between $1 and $2 and not exists (
      select from pg_temp.${stage} as given where given.id = own.id ${isSame}
    )`;
}

function insertWhereFree(table: string, columns: readonly string[]): string {
  return `
    insert into ${table} (${list(columns)})
    select ${list(columns)} from pg_temp.${stage}
    on conflict do nothing`;
}

/**
 * Does not touch a row without differences: no trigger fires and updated_at stays. `isStamped`: a trigger sets
 * updated_at, so that another value of it is no difference that an update could remove.
 */
function upsert(
  table: string,
  { columns, isStamped }: { readonly columns: readonly string[]; readonly isStamped: boolean },
): string {
  const others = columns.filter((column) => column !== 'id');
  const compared = others.filter((column) => !(isStamped && column === 'updated_at'));
  return `
    insert into ${table} as own (${list(columns)})
    select ${list(columns)} from pg_temp.${stage}
    on conflict (id) do update set (${list(others)}) = row (${list(others, 'excluded')})
    where (${list(compared, 'own')}) is distinct from (${list(compared, 'excluded')})`;
}

/** True for a table whose updated_at the schema's trigger sets on every update. */
async function isStamped({ sql }: Session, table: string): Promise<boolean> {
  const rows = await sql.unsafe(
    `select from pg_trigger
    where tgrelid = $1::regclass and tgfoid = to_regproc('public.update_updated_at_column')`,
    [table],
  );
  return rows.length > 0;
}

function list(columns: readonly string[], of?: string): string {
  return columns
    .map((column) =>
      of === undefined ? quoteIdentifier(column) : `${of}.${quoteIdentifier(column)}`,
    )
    .join(', ');
}
