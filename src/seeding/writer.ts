import { quoteIdentifier, type Session } from '../database/connection.ts';
import { copyFrom } from '../database/copy.ts';
import { encodeRows, inBatches, type Row, withColumns } from './rows.ts';
import type { DevContext, Table } from './seeder.ts';

/** Rows in one COPY to the embedded engine, which buffers the whole COPY in memory. */
const embeddedBatch = 5_000;

const stage = 'cryptosense_db_stage';

export interface WriterEvents {
  readonly note: (line: string) => void;
  readonly wrote: (table: Table, rows: number) => void;
  /** Called after each chunk: rows sent so far, of `total`, and the time since the first row. */
  readonly onRows: (table: string, rows: number, total: number, elapsedMs: number) => void;
}

/** Writes rows into tables with COPY, within the session's transaction. */
export function createWriter(
  session: Session,
  { note, wrote, onRows }: WriterEvents,
): Pick<DevContext, 'load' | 'merge'> {
  const { sql } = session;

  const copy = async (
    into: string,
    {
      table,
      rows,
      total,
    }: { readonly table: string; readonly rows: Iterable<Row>; readonly total: number },
  ): Promise<{ readonly count: number; readonly columns: readonly string[] }> => {
    const startedAt = performance.now();
    let count = 0;
    const onChunk = (more: number) => {
      session.throwIfInterrupted();
      count += more;
      onRows(table, count, total, performance.now() - startedAt);
    };
    const known = withColumns(rows);
    if (!known) return { count: 0, columns: [] };
    const { columns } = known;
    const statement = `copy ${into} (${list(columns)}) from stdin`;
    const batches =
      session.target.kind === 'embedded' ? inBatches(known.rows, embeddedBatch) : [known.rows];
    for (const batch of batches) {
      await copyFrom(sql, statement, encodeRows(batch, { columns, onChunk }));
    }
    return { count, columns };
  };

  return inTurn({
    load: async (table, { rows, total }) => {
      const { count } = await copy(quoteIdentifier('public', table), { table, rows, total });
      wrote(table, count);
      return count;
    },
    merge: async (table, { rows, total, ids, others }) => {
      const name = quoteIdentifier('public', table);
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
          others === 'keep' ? insertWhereFree(name, columns) : upsert(name, columns),
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
    },
  });
}

/** A connection runs one COPY at a time; a second COPY would end the first. */
function inTurn({
  load,
  merge,
}: Pick<DevContext, 'load' | 'merge'>): Pick<DevContext, 'load' | 'merge'> {
  let isBusy = false;
  const alone = async <T>(write: () => Promise<T>): Promise<T> => {
    if (isBusy) throw new Error('await each load and merge before the next one');
    isBusy = true;
    try {
      return await write();
    } finally {
      isBusy = false;
    }
  };
  return {
    load: (table, rows) => alone(() => load(table, rows)),
    merge: (table, rows) => alone(() => merge(table, rows)),
  };
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

/** Does not touch a row without differences: no trigger fires and updated_at stays. */
function upsert(table: string, columns: readonly string[]): string {
  const others = columns.filter((column) => column !== 'id');
  const [own, given] = ['own', 'excluded'].map((of) => list(others, of));
  return `
    insert into ${table} as own (${list(columns)})
    select ${list(columns)} from pg_temp.${stage}
    on conflict (id) do update set (${list(others)}) = row (${given})
    where (${own}) is distinct from (${given})`;
}

function list(columns: readonly string[], of?: string): string {
  return columns
    .map((column) =>
      of === undefined ? quoteIdentifier(column) : `${of}.${quoteIdentifier(column)}`,
    )
    .join(', ');
}
