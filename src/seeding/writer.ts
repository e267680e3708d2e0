import { quoteIdentifier, type Session } from '../database/connection.ts';
import { copyFrom } from '../database/copy.ts';
import { encodeRows, inBatches, type Row, withColumns } from './rows.ts';
import type { DevContext, Table } from './seeder.ts';

/** The embedded engine takes a COPY as one buffer: so many rows at once at most. */
const embeddedBatch = 5_000;

const stage = 'cryptosense_db_stage';

export interface WriterEvents {
  readonly wrote: (table: Table, rows: number) => void;
  /** So many rows of the table are on their way, since its first. */
  readonly onRows: (table: string, rows: number, total: number, elapsedMs: number) => void;
}

/** Writes rows into tables, by COPY, on the transaction that the session is in. */
export function createWriter(
  session: Session,
  { wrote, onRows }: WriterEvents,
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

  return {
    load: async (table, { rows, total }) => {
      const { count } = await copy(quoteIdentifier('public', table), { table, rows, total });
      wrote(table, count);
      return count;
    },
    merge: async (table, { rows, total, ids }) => {
      const name = quoteIdentifier('public', table);
      await sql.unsafe(
        `create temporary table ${stage} on commit drop as select * from ${name} with no data`,
      );
      const { count, columns } = await copy(`pg_temp.${stage}`, { table, rows, total });
      await sql.unsafe(
        `delete from ${name} as own where id between $1 and $2
          and not exists (select from pg_temp.${stage} as given where given.id = own.id)`,
        [ids.from, ids.to],
      );
      if (count > 0) await sql.unsafe(upsert(name, columns));
      await sql.unsafe(`drop table pg_temp.${stage}`);
      wrote(table, count);
      return count;
    },
  };
}

/** A row that is as it is given is left alone: nothing fires, and updated_at stays. */
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
