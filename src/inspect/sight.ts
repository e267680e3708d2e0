import type { Session } from '../database/connection.ts';
import type { Sight } from './question.ts';

export async function readSight({ sql }: Pick<Session, 'sql'>): Promise<Sight> {
  const [facts] = await sql<[Omit<Sight, 'sql' | 'held'>]>`
    select
      quote_ident(current_user) as role,
      pg_has_role('pg_read_all_stats', 'usage') as "seesOtherSessions",
      pg_has_role('pg_read_all_data', 'usage') as "readsAllTables",
      not exists (select from pg_stat_activity where pid = pg_backend_pid()) as "isEmbeddedEngine",
      current_setting('track_counts')::bool
        and exists (select from pg_stat_activity where pid = pg_backend_pid()) as "isCounting",
      exists (select from pg_extension where extname = 'timescaledb') as "hasTimescale",
      pg_is_in_recovery() as "isStandby"`;
  const held = await sql<Sight['held'][number][]>`
    select distinct c.oid::int8::float8 as relation,
      case n.nspname when 'public' then '' else quote_ident(n.nspname) || '.' end || quote_ident(c.relname) as name
    from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
    where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and c.relkind in ('r', 'm', 'p')
      and l.database = (select oid from pg_database where datname = current_database())
    order by name`;
  return { sql, held, ...facts };
}

/** Which tables a question has left out. */
export function describeHeld({ held }: Sight): readonly string[] {
  if (held.length === 0) return [];
  const names = held.map(({ name }) => name).join(', ');
  return [
    `What is in ${names}: a session holds it exclusively, or waits to. See which one: \`cryptosense-db inspect locks\`.`,
  ];
}

/** Why there is no estimate. `what` is what cannot be estimated. */
export function describeNoEstimate({ role, readsAllTables }: Sight, what: string): string {
  const remedy = readsAllTables
    ? 'Make them: `analyze`.'
    : `Make them (\`analyze\`), or let the role read them (\`grant pg_read_all_data to ${role}\`).`;
  return `${what}: there are no statistics of the columns${readsAllTables ? '' : ' that the role may read'}. ${remedy}`;
}

/** Why counters are zero; empty where the server counts. */
export function describeCounting({ isCounting, isEmbeddedEngine }: Sight): readonly string[] {
  if (isCounting) return [];
  return isEmbeddedEngine
    ? ['What sessions read and write: the embedded engine does not count it.']
    : [
        'What sessions read and write: the server does not count it. Let it: ' +
          '`alter system set track_counts = on`, then `select pg_reload_conf()`.',
      ];
}

/** How the role gets to see the statements of other roles. */
export function describeHiding({ role }: Sight, what: string): string {
  return `${what}. A superuser can let the role "${role.replaceAll('"', '')}" see them: \`grant pg_read_all_stats to ${role}\`.`;
}

/**
 * Since when the counters of this database run at most: their last reset, or else the first migration, where the role
 * may read it. null: neither is known.
 */
export async function readCountingSince({ sql }: Pick<Session, 'sql'>): Promise<Date | null> {
  const [row] = await sql<{ reset: Date | null; hasHistory: boolean | null }[]>`
    select
      stats_reset as reset,
      (
        select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'cryptosense_db' and c.relname = 'migrations'
      ) as "hasHistory"
    from pg_stat_database where datname = current_database()`;
  if (row?.reset) return row.reset;
  if (!row?.hasHistory) return null;
  const [first] = await sql<{ at: Date | null }[]>`
    select min(applied_at) as at from cryptosense_db.migrations`;
  return first?.at ?? null;
}
