import type { Session } from '../database/connection.ts';
import type { Sight } from './question.ts';

export async function readSight({ sql }: Pick<Session, 'sql'>): Promise<Sight> {
  const [facts] = await sql<[Omit<Sight, 'sql'>]>`
    select
      quote_ident(current_user) as role,
      pg_has_role('pg_read_all_stats', 'usage') as "seesOtherSessions",
      not exists (select from pg_stat_activity where pid = pg_backend_pid()) as "isEmbeddedEngine",
      current_setting('track_counts')::bool
        and exists (select from pg_stat_activity where pid = pg_backend_pid()) as "isCounting",
      exists (select from pg_extension where extname = 'timescaledb') as "hasTimescale",
      pg_is_in_recovery() as "isStandby"`;
  return { sql, ...facts };
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

/** Since when the counters of this database run; null: they were never reset. */
export async function readCountingSince({ sql }: Pick<Session, 'sql'>): Promise<Date | null> {
  const [row] = await sql<{ since: Date | null }[]>`
    select stats_reset as since from pg_stat_database where datname = current_database()`;
  return row?.since ?? null;
}
