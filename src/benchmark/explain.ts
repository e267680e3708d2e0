import { CompiledQuery, type Kysely } from 'kysely';
import type { Session, Sql } from '../database/connection.ts';
import type { DB } from '../database/types.ts';
import { inReadOnly, isCancelled, type TransactionSettings } from './measure.ts';
import {
  hideParameters,
  type Plan,
  type PlanFacts,
  type RealTimeView,
  type RelationFacts,
  relationsOf,
} from './plan.ts';
import type { BuildQuery } from './queries.ts';

/** What `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)` prints: a list of one plan. */
export type PlanDocument = readonly [Plan];

/** Explains the query, with what was measured, or without where that would take longer than the statement timeout. */
export async function explain(
  db: Kysely<DB>,
  build: BuildQuery,
  settings: TransactionSettings,
): Promise<PlanDocument> {
  const ask = (options: string) =>
    inReadOnly(db, settings, async (transaction) => {
      const { sql, parameters } = build(transaction);
      const { rows } = await transaction.executeQuery(
        CompiledQuery.raw(`explain (${options}, format json) ${sql}`, [...parameters]),
      );
      const [row] = rows as readonly { readonly 'QUERY PLAN': unknown }[];
      const plan = hideParameters(row?.['QUERY PLAN'], parameters);
      if (!isPlanDocument(plan)) throw new Error('EXPLAIN did not answer with a plan');
      return plan;
    });
  try {
    return await ask('analyze, buffers');
  } catch (error) {
    if (!isCancelled(error)) throw error;
    return ask('costs');
  }
}

function isPlanDocument(value: unknown): value is PlanDocument {
  const [first] = Array.isArray(value) ? value : [];
  return typeof first === 'object' && first !== null && 'Plan' in first;
}

/** What the catalog says of the relations of a plan. */
export async function readPlanFacts({ sql }: Session, [plan]: PlanDocument): Promise<PlanFacts> {
  const names = JSON.stringify([...relationsOf(plan.Plan)]);
  const relations = await sql<RelationFacts[]>`
    select c.relname as name, c.relname as table, reltuples::float8 as rows,
      greatest(last_analyze, last_autoanalyze) as "analyzedAt",
      array(
        select pg_get_indexdef(indexrelid, 1, true) from pg_index where indrelid = c.oid
      ) as "firstKeys"
    from pg_class c left join pg_stat_all_tables s on s.relid = c.oid
    where c.relname in (select json_array_elements_text(${names}::text::json))
      and relkind in ('r', 'p', 'm')
      and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`;
  const [{ now, hasTimescale }] = await sql<[{ now: Date; hasTimescale: boolean }]>`
    select now() as now, exists (
      select from pg_extension where extname = 'timescaledb'
    ) as "hasTimescale"`;
  if (!hasTimescale) return { relations, views: [], now };
  const chunks = await sql<{ chunk: string; table: string }[]>`
    select chunk_name as chunk, hypertable_name as table from timescaledb_information.chunks
    where chunk_name in (select json_array_elements_text(${names}::text::json))`;
  const tableOf = new Map(chunks.map(({ chunk, table }) => [chunk, table]));
  return {
    relations: relations.map((each) => ({ ...each, table: tableOf.get(each.name) ?? each.table })),
    views: await readRealTimeViews(sql),
    now,
  };
}

/** A role without rights on TimescaleDB's catalog learns nothing of what is stored. */
async function readRealTimeViews(sql: Sql): Promise<readonly RealTimeView[]> {
  const [{ isReadable }] = await sql<[{ isReadable: boolean }]>`
    select coalesce(has_table_privilege(
      to_regclass('_timescaledb_catalog.continuous_aggs_watermark'), 'select'
    ), false) as "isReadable"`;
  if (!isReadable) return [];
  return sql<RealTimeView[]>`
    select view_name as view, hypertable_name as hypertable,
      case when watermark > 0 then to_timestamp(watermark / 1000000.0) end as "storedUntil"
    from timescaledb_information.continuous_aggregates
    join _timescaledb_catalog.hypertable h
      on (h.schema_name, h.table_name) = (materialization_hypertable_schema, materialization_hypertable_name)
    join _timescaledb_catalog.continuous_aggs_watermark on mat_hypertable_id = h.id
    where not materialized_only`;
}
