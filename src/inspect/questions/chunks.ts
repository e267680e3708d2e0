import { plural } from '../../runtime/amounts.ts';
import { defineQuestion, type Sight } from '../question.ts';
import { type RelationKind, shownRelations } from '../relations.ts';

/** The chunks of a hypertable, or of what a continuous aggregate has stored. */
export type HypertableChunks = {
  readonly table: string;
  readonly kind: RelationKind;
  readonly chunks: number;
  /** The start of the first one; null without a chunk, and where time is a number. */
  readonly from: Date | null;
  /** The end of the last one. */
  readonly to: Date | null;
  readonly compressed: number;
  /** Compressed ones that also hold rows that are not. */
  readonly partial: number;
  /** Those that its policies should have compressed or dropped: two runs have passed since they were due. */
  readonly overdueToCompress: number;
  readonly overdueToDrop: number;
  /** The jobs of these policies; null: it has none. */
  readonly compressionJob: number | null;
  readonly retentionJob: number | null;
  /** Its number in TimescaleDB's catalog. */
  readonly hypertable: number;
};

/** By name. Needs TimescaleDB. */
export async function readChunks(sight: Sight): Promise<readonly HypertableChunks[]> {
  return sight.sql<HypertableChunks[]>`
    with ${shownRelations(sight)},
    policies as (
      select h.id, j.job_id, j.proc_name,
        2 * j.schedule_interval as patience,
        -- A number of seconds where time is a number, and then it is not used.
        (config ->> case j.proc_name when 'policy_retention' then 'drop_after' else 'compress_after' end) as after
      from timescaledb_information.jobs j
      left join timescaledb_information.continuous_aggregates v
        on (j.hypertable_schema, j.hypertable_name) = (v.view_schema, v.view_name)
      join hypertables h on h.schema_name = coalesce(v.materialization_hypertable_schema, j.hypertable_schema)
        and h.table_name = coalesce(v.materialization_hypertable_name, j.hypertable_name)
      where j.proc_name in ('policy_compression', 'policy_retention') and j.scheduled
    ),
    chunks as (
      select c.hypertable_id, i.range_start, i.range_end, c.status & 1 > 0 as compressed, c.status & 8 > 0 as partial,
        -- Releases before 2.13 do not know it.
        coalesce((to_jsonb(c) ->> 'creation_time')::timestamptz, '-infinity') as created
      from _timescaledb_catalog.chunk c
      join timescaledb_information.chunks i on i.chunk_schema = c.schema_name and i.chunk_name = c.table_name
    )
    select
      case h.root_schema when 'public' then '' else quote_ident(h.root_schema) || '.' end || quote_ident(h.root_name)
        as "table",
      h.kind,
      count(c.hypertable_id)::float8 as chunks,
      min(c.range_start) as "from",
      max(c.range_end) as "to",
      count(*) filter (where c.compressed)::float8 as compressed,
      count(*) filter (where c.partial)::float8 as partial,
      count(*) filter (
        where not c.compressed and now() - compression.patience > greatest(
          c.created, case when c.range_end is not null then c.range_end + compression.after::interval end
        ) and c.range_end is not null
      )::float8 as "overdueToCompress",
      count(*) filter (
        where now() - retention.patience > greatest(
          c.created, case when c.range_end is not null then c.range_end + retention.after::interval end
        ) and c.range_end is not null
      )::float8 as "overdueToDrop",
      min(compression.job_id) as "compressionJob",
      min(retention.job_id) as "retentionJob",
      h.id as hypertable
    from hypertables h
    left join chunks c on c.hypertable_id = h.id
    left join policies compression on compression.id = h.id and compression.proc_name = 'policy_compression'
    left join policies retention on retention.id = h.id and retention.proc_name = 'policy_retention'
    group by h.id, h.root_schema, h.root_name, h.kind
    order by 1`;
}

export function adviseChunks(tables: readonly HypertableChunks[]): readonly string[] {
  return tables.flatMap(({ table, partial, overdueToCompress, overdueToDrop, ...row }) => {
    const { compressionJob, retentionJob, hypertable } = row;
    // Without a policy, chunks that were never compressed may stay so on purpose.
    const compress =
      compressionJob === null
        ? "`select compress_chunk(format('%I.%I', schema_name, table_name)::regclass) from " +
          `_timescaledb_catalog.chunk where hypertable_id = ${hypertable} and status & 8 > 0\``
        : `\`call run_job(${compressionJob})\``;
    return [
      ...(partial > 0
        ? [
            `${plural(partial, 'compressed chunk')} of ${table} got rows after compression, which are not compressed. ` +
              `Compress them: ${compress}.`,
          ]
        : []),
      ...(overdueToCompress > 0
        ? [
            `${plural(overdueToCompress, 'chunk')} of ${table} should be compressed by now. Compress them, and see why ` +
              `the policy does not (\`cryptosense-db inspect jobs\`): ${compress}.`,
          ]
        : []),
      ...(overdueToDrop > 0 && retentionJob !== null
        ? [
            `${plural(overdueToDrop, 'chunk')} of ${table} should be dropped by now, by the retention policy. Drop them, ` +
              `and see why the policy does not (\`cryptosense-db inspect jobs\`): \`call run_job(${retentionJob})\`.`,
          ]
        : []),
    ];
  });
}

export const chunks = defineQuestion<HypertableChunks>({
  name: 'chunks',
  columns: [
    { key: 'table', label: 'hypertable', kind: 'text' },
    { key: 'kind', label: 'kind', kind: 'text', isOptional: true },
    { key: 'chunks', label: 'chunks', kind: 'count' },
    { key: 'from', label: 'from (UTC)', kind: 'moment' },
    { key: 'to', label: 'to (UTC)', kind: 'moment' },
    { key: 'compressed', label: 'compressed', kind: 'count' },
    { key: 'partial', label: 'partial', kind: 'count' },
    { key: 'overdueToCompress', label: 'to compress', kind: 'count', isOptional: true },
    { key: 'overdueToDrop', label: 'to drop', kind: 'count', isOptional: true },
  ],
  empty: 'There is no hypertable.',
  ask: async (_, sight) => {
    if (!sight.hasTimescale) {
      return {
        rows: [],
        advice: [],
        empty: 'There is no hypertable: the database has no TimescaleDB.',
      };
    }
    const rows = await readChunks(sight);
    return { rows, advice: adviseChunks(rows) };
  },
});
