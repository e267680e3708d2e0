import { setTimeout as sleep } from 'node:timers/promises';
import { type Session, type Sql, withSession } from '../database/connection.ts';
import { timescaleParts } from '../database/timescale-parts.ts';
import { requireCopy } from '../ledger/environment.ts';
import { ofNoExtension } from '../ledger/rows.ts';
import type { MeasuredStep, PlanOptions, PlanResult } from './options.ts';
import { applyPending } from './pending-run.ts';
import { type ObserveStep, withCatalogPath } from './step.ts';
import {
  findRewritten,
  type LockMode,
  locksByTable,
  type Relation,
  rewrittenByTable,
  strongerOf,
} from './table-locks.ts';

/** How often a second session looks at the locks of a statement that runs alone. */
const samplingMs = 5;

/**
 * Applies pending migrations to a copy of a database, as `up` does, and measures each. They stay applied there. When a
 * migration fails, the error is that of `up`.
 *
 * Throws `environment-refused` for a database that is not marked as `dev` or `test`: nothing has run then.
 */
export async function plan(options: PlanOptions): Promise<PlanResult> {
  const steps: MeasuredStep[] = [];
  const { target, database, environment, applied } = await applyPending(options, {
    guard: requireCopy,
    observe: measure((step) => steps.push(step)),
  });
  return { target, database, environment, steps, applied };
}

function measure(add: (step: MeasuredStep) => void): ObserveStep {
  return async ({ session, step }, run) => {
    const { sql } = session;
    const { version, description } = step;
    const { transaction } = step.script;
    const before = await withCatalogPath(sql, () => readRelations(sql));
    const walFrom = await readWalPosition(sql);
    const held = new Map<string, LockMode>();
    const note = (locks: readonly HeldLock[]) => {
      for (const { id, mode } of locks) held.set(id, strongerOf(mode, held.get(id) ?? mode));
    };
    const readOwn = async () => {
      await sql.unsafe('set local search_path = pg_catalog');
      note(await readLocks(sql, session.pid));
    };
    const isSampled = transaction === 'none' && session.target.kind === 'server';
    const durationMs = isSampled
      ? await withSamples(session, note, () => run(readOwn))
      : await run(readOwn);
    const walBytes = await readWalSince(sql, walFrom);
    const rewritten = await withCatalogPath(sql, async () => {
      const found = findRewritten(before, await readRelations(sql));
      return rewrittenByTable(found, await readSizes(sql, found));
    });
    add({
      version,
      description,
      transaction,
      durationMs,
      walBytes,
      lockSight: transaction === 'own' ? 'all' : isSampled ? 'sampled' : 'in part',
      locks: locksByTable(before, held),
      rewritten,
    });
    return durationMs;
  };
}

/**
 * The tables and views of the database without the server's, those of extensions and the ledger's. Chunks, also
 * compressed ones, belong to their hypertable, what a continuous aggregate has stored to its view, and partitions to
 * their root. Run it with pg_catalog as the search path.
 */
async function readRelations(sql: Sql): Promise<readonly Relation[]> {
  const [{ hasTimescale }] = await sql<[{ hasTimescale: boolean }]>`
    select to_regclass('_timescaledb_catalog.chunk') is not null as "hasTimescale"`;
  const rows = await sql<(Omit<Relation, 'estimatedRows'> & { readonly rows: number })[]>`
    with ${timescaleParts(sql, hasTimescale)}
    select
      c.oid::text as id,
      coalesce(p.root_schema, root_space.nspname, n.nspname) as schema,
      coalesce(p.root_name, root.relname, c.relname) as "table",
      case
        when p.part = 'chunk' or p.part = 'self' and p.kind = 'hypertable' then p.part
        when p.part is not null then 'inner'
        when root.oid is null then 'self' else 'partition'
      end as part,
      c.relfilenode::text as file,
      c.reltuples::float8 as rows
    from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      left join parts p on p.schema_name = n.nspname and p.table_name = c.relname
      left join pg_class root on c.relispartition and root.oid = pg_partition_root(c.oid)
      left join pg_namespace root_space on root_space.oid = root.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'cryptosense_db')
      and (p.part is not null or n.nspname !~ '^_timescaledb_' and ${ofNoExtension(sql)})
    order by 2, 3, part <> 'self', c.oid`;
  return rows.map(({ rows: estimate, ...relation }) => ({
    ...relation,
    estimatedRows: estimate < 0 ? undefined : estimate,
  }));
}

interface HeldLock {
  /** The object id of the relation. */
  readonly id: string;
  readonly mode: LockMode;
}

/** The embedded engine has the process id 0, and none in pg_locks. */
async function readLocks(sql: Sql, pid: number): Promise<readonly HeldLock[]> {
  return sql<HeldLock[]>`
    select relation::text as id, mode from pg_locks
    where coalesce(pid, 0) = ${pid} and granted and locktype = 'relation'
      and database = (select oid from pg_database where datname = current_database())`;
}

/** Runs `work`, and looks with a second session again and again at the locks that this one holds. */
async function withSamples<T>(
  { target, pid }: Session,
  note: (locks: readonly HeldLock[]) => void,
  work: () => Promise<T>,
): Promise<T> {
  return withSession(target, { isCatalogOnly: true }, async ({ sql }) => {
    const ended = new AbortController();
    const look = async () => {
      while (!ended.signal.aborted) {
        note(await readLocks(sql, pid));
        await sleep(samplingMs, undefined, { signal: ended.signal }).catch(() => {});
      }
    };
    const looking = look();
    try {
      return await work();
    } finally {
      ended.abort();
      await looking;
    }
  });
}

async function readSizes(
  sql: Sql,
  relations: readonly Relation[],
): Promise<ReadonlyMap<string, number>> {
  const ids = JSON.stringify(relations.map(({ id }) => id));
  const rows = await sql<{ id: string; bytes: number }[]>`
    select id, pg_total_relation_size(id::oid)::float8 as bytes
    from json_array_elements_text(${ids}::text::json) as id`;
  return new Map(rows.map(({ id, bytes }) => [id, bytes]));
}

async function readWalPosition(sql: Sql): Promise<string> {
  const [{ position }] = await sql<[{ position: string }]>`
    select pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text as position`;
  return position;
}

/** What all sessions of the server have written since. */
async function readWalSince(sql: Sql, position: string): Promise<number> {
  const [{ bytes }] = await sql<[{ bytes: number }]>`
    select pg_catalog.pg_wal_lsn_diff(
      pg_catalog.pg_current_wal_insert_lsn(), ${position}::pg_catalog.text::pg_catalog.pg_lsn
    )::pg_catalog.float8 as bytes`;
  return bytes;
}
