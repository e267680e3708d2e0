import { formatBytes, formatCount } from '../../runtime/amounts.ts';
import { defineQuestion, type Sight } from '../question.ts';
import { type RelationKind, shownRelations } from '../relations.ts';
import { describeCounting, describeHeld, describeNoEstimate } from '../sight.ts';

/** Dead rows of a table, those of its partitions or chunks included. */
export type DeadRows = {
  readonly table: string;
  readonly kind: RelationKind;
  readonly liveRows: number;
  readonly deadRows: number;
  /** Of all rows. */
  readonly deadRatio: number;
  readonly bytes: number;
  /** What a rewrite would free, by an estimate from the statistics; null where there is none. */
  readonly freeBytes: number | null;
  /** By a person or by autovacuum; null: never. */
  readonly lastVacuum: Date | null;
  readonly lastAnalyze: Date | null;
  readonly isAutovacuumed: boolean;
};

/** Those with the most dead rows first. */
export async function readDeadRows(sight: Sight): Promise<readonly DeadRows[]> {
  return sight.sql<DeadRows[]>`
    with ${shownRelations(sight)},
    counted as (
      select shown.*, s.n_live_tup as live, s.n_dead_tup as dead, pg_relation_size(c.oid) as bytes,
        greatest(s.last_vacuum, s.last_autovacuum) as vacuumed,
        greatest(s.last_analyze, s.last_autoanalyze) as analyzed,
        not exists (
          select from pg_options_to_table(c.reloptions)
          where option_name = 'autovacuum_enabled' and option_value in ('false', 'off', 'no', '0')
        ) as autovacuumed,
        case when shown.kind in ('table', 'materialized view') and c.reltuples > 0 then (
          -- A row has a head of 24 bytes and is padded to 8; its place on the page takes 4. A page has 8,168 bytes.
          select pg_relation_size(c.oid) - 8192 * ceil(
            c.reltuples * (4 + 8 * ceil((24 + sum(v.width)) / 8)) / (8168 * coalesce(
              (select option_value::int from pg_options_to_table(c.reloptions) where option_name = 'fillfactor'), 100
            ) / 100.0)
          )
          from pg_attribute a
          left join lateral (
            select avg_width * (1 - null_frac) as width from pg_stats
            where schemaname = n.nspname and tablename = c.relname and attname = a.attname and not inherited
          ) v on true
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          having count(v.width) = count(*)
        ) end as free
      from readable shown
      join pg_class c on c.oid = shown.relation
      join pg_namespace n on n.oid = c.relnamespace
      left join pg_stat_all_tables s on s.relid = shown.relation
    )
    select
      "table", min(kind) as kind,
      coalesce(sum(live), 0)::float8 as "liveRows",
      coalesce(sum(dead), 0)::float8 as "deadRows",
      coalesce(sum(dead)::float8 / nullif(sum(live + dead), 0), 0)::float8 as "deadRatio",
      sum(bytes)::float8 as bytes,
      case when sum(free) is not null then greatest(0, sum(free)) end::float8 as "freeBytes",
      max(vacuumed) as "lastVacuum",
      max(analyzed) as "lastAnalyze",
      bool_and(autovacuumed) as "isAutovacuumed"
    from counted
    group by "table"
    order by "deadRows" desc, bytes desc, "table" collate "C"`;
}

/** Autovacuum comes at a fifth of a table; a small one is done in no time. */
const notableRatio = 0.2;
const notableRows = 10_000;
/** A rewrite locks the table, so it has to free much. */
const notableBytes = 10e6;

export function adviseVacuum(tables: readonly DeadRows[]): readonly string[] {
  return tables.flatMap((row) => {
    const { table, liveRows, deadRows, deadRatio, bytes, freeBytes, isAutovacuumed } = row;
    const percent = Math.round(deadRatio * 100);
    const isDead = deadRows >= notableRows && deadRatio >= notableRatio;
    const isLoose = freeBytes !== null && freeBytes >= notableBytes && freeBytes >= bytes / 2;
    return [
      ...(isAutovacuumed
        ? []
        : [
            `Autovacuum is off for ${table}: its dead rows stay, and its statistics grow old. ` +
              `Let it run: \`alter table ${table} reset (autovacuum_enabled)\`.`,
          ]),
      ...(isDead
        ? [
            `${percent}% of the rows of ${table} are dead (${formatCount(deadRows)} beside ${formatCount(liveRows)}). ` +
              `Remove them: \`vacuum (analyze) ${table}\`. If they stay, an old transaction still sees them: ` +
              '`cryptosense-db inspect activity`.',
          ]
        : []),
      ...(isLoose && !isDead
        ? [
            `By an estimate, ${formatBytes(freeBytes)} of the ${formatBytes(bytes)} of ${table} are free space that new ` +
              `rows will use. To give it back, which locks the table: \`vacuum (full, analyze) ${table}\`.`,
          ]
        : []),
    ];
  });
}

export const bloat = defineQuestion<DeadRows>({
  name: 'bloat',
  columns: [
    { key: 'table', label: 'table', kind: 'text' },
    { key: 'kind', label: 'kind', kind: 'text', isOptional: true },
    { key: 'liveRows', label: 'live rows', kind: 'count' },
    { key: 'deadRows', label: 'dead rows', kind: 'count' },
    { key: 'deadRatio', label: 'dead', kind: 'ratio' },
    { key: 'bytes', label: 'size', kind: 'bytes', isOptional: true },
    { key: 'freeBytes', label: 'free (estimate)', kind: 'bytes', isOptional: true },
    { key: 'lastVacuum', label: 'last vacuum (UTC)', kind: 'moment' },
    { key: 'lastAnalyze', label: 'last analyze (UTC)', kind: 'moment', isOptional: true },
    { key: 'isAutovacuumed', label: 'autovacuum', kind: 'flag', isOptional: true },
  ],
  empty: 'The database has no table.',
  ask: async (_, sight) => {
    const rows = await readDeadRows(sight);
    const isHidden = rows.some(
      ({ kind, freeBytes, bytes }) =>
        kind === 'table' && freeBytes === null && bytes >= notableBytes,
    );
    return {
      rows,
      advice: adviseVacuum(rows),
      unseen: [
        ...describeHeld(sight),
        ...describeCounting(sight),
        ...(sight.isStandby
          ? [
              'How many rows are live or dead, and the last VACUUM: a standby does not count them. Ask the primary.',
            ]
          : []),
        ...(isHidden ? [describeNoEstimate(sight, 'How much space is free in some tables')] : []),
      ],
    };
  },
});
