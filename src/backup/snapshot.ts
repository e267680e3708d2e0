import { type Session, type Sql, withRollback } from '../database/connection.ts';
import { hasTimescale } from './contents.ts';

/**
 * Calls `use` within a transaction that reads one snapshot, with the id under which pg_dump reads the same one. Locks
 * every hypertable first: a chunk that is compressed between the snapshot and pg_dump's own lock is missing from the dump
 * (TimescaleDB issue 6842). Reading and writing goes on meanwhile; compression, retention and changes of tables wait.
 */
export async function withSnapshot<T>(
  { sql }: Session,
  use: (snapshot: string) => Promise<T>,
): Promise<T> {
  for (;;) {
    // Read before the transaction begins, because a query takes the snapshot, and the lock has to come before it.
    const hypertables = await readHypertables(sql);
    const attempt = await withRollback(sql, async () => {
      await sql.unsafe('begin transaction isolation level repeatable read, read only');
      await sql.unsafe(
        'set local statement_timeout = 0; set local lock_timeout = 5000; set local idle_in_transaction_session_timeout = 0; set local row_security = off',
      );
      if (hypertables.length > 0) {
        await sql.unsafe(`lock table ${hypertables.join(', ')} in access share mode`);
      }
      const isSame = (await readHypertables(sql)).join() === hypertables.join();
      const [{ snapshot }] = await sql<[{ snapshot: string }]>`
        select pg_export_snapshot() as snapshot`;
      const result = isSame ? { value: await use(snapshot) } : undefined;
      await sql.unsafe('rollback');
      return result;
    });
    if (attempt) return attempt.value;
    // A hypertable was created or dropped in between.
  }
}

/** The quoted names of all hypertables, with those that store continuous aggregates and compressed chunks. */
async function readHypertables(sql: Sql): Promise<readonly string[]> {
  if (!(await hasTimescale(sql))) return [];
  const rows = await sql<{ name: string }[]>`
    select format('%I.%I', schema_name, table_name) as name
    from _timescaledb_catalog.hypertable order by 1`;
  return rows.map(({ name }) => name);
}
