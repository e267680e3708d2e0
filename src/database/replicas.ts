import type { Session, Sql } from './connection.ts';

/** A standby that streams WAL from the server. */
export interface Replica {
  /** The `application_name` of its connection; `walreceiver` where the standby names none. */
  readonly name: string;
  /** Undefined for a local socket, and where the role may not see it. */
  readonly address: string | undefined;
  /** `streaming`, `catchup`, …; undefined where the role may not see it, and all that follows then. */
  readonly state: string | undefined;
  /** How much WAL the server has written that the standby has not replayed. */
  readonly lagBytes: number | undefined;
  /**
   * How long the WAL took until it was replayed, as the server has measured it last. Undefined for a standby that has
   * replayed everything for a while.
   */
  readonly lagMs: number | undefined;
}

/** A replica as a session sees it. */
export interface ObservedReplica extends Replica {
  /** Of the server's process that sends. A standby that connects again has another one. */
  readonly pid: number;
  /** It has replayed the position that was asked for. */
  readonly hasReplayed: boolean;
}

/**
 * The standbys that stream from the session's server itself, in order of their names. Subscribers of logical
 * replication and programs that only receive WAL, such as pg_receivewal, are not among them.
 *
 * A role without the rights of pg_read_all_stats, which pg_monitor has, sees only that a process sends WAL.
 */
export async function observeReplicas(
  { sql, target }: Pick<Session, 'sql' | 'target'>,
  { position = null }: { readonly position?: string | null } = {},
): Promise<readonly ObservedReplica[]> {
  // The engine has no processes that send.
  if (target.kind === 'embedded') return [];
  const rows = await sql<ReplicaRow[]>`
    select
      r.pid,
      r.application_name as name,
      host(r.client_addr) as address,
      r.state,
      pg_wal_lsn_diff(here.position, r.replay_lsn)::float8 as "lagBytes",
      (extract(epoch from r.replay_lag) * 1000)::float8 as "lagMs",
      coalesce(r.replay_lsn >= ${position}::pg_lsn, false) as "hasReplayed"
    from pg_stat_replication r
      left join pg_replication_slots s on s.active_pid = r.pid,
      (
        select case when pg_is_in_recovery()
          then pg_last_wal_replay_lsn()
          else pg_current_wal_lsn() end as position
      ) here
    where s.slot_type is distinct from 'logical'
      and (r.state is null or r.replay_lsn is not null)
    order by r.application_name, r.client_addr, r.pid`;
  return rows.map(({ address, state, lagBytes, lagMs, ...row }) => ({
    ...row,
    address: address ?? undefined,
    state: state ?? undefined,
    // The standby may have got more since the server's position was read.
    lagBytes: lagBytes === null ? undefined : Math.max(0, lagBytes),
    lagMs: lagMs ?? undefined,
  }));
}

interface ReplicaRow {
  readonly pid: number;
  readonly name: string;
  readonly address: string | null;
  readonly state: string | null;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  readonly hasReplayed: boolean;
}

/** The standbys that stream from the session's server. */
export async function readReplicas(
  session: Pick<Session, 'sql' | 'target'>,
): Promise<readonly Replica[]> {
  return (await observeReplicas(session)).map(publicPart);
}

/** What a result says of a replica. */
export function publicPart({ name, address, state, lagBytes, lagMs }: Replica): Replica {
  return { name, address, state, lagBytes, lagMs };
}

/** True where the role may see how far replicas have replayed. */
export async function seesReplication(sql: Sql): Promise<boolean> {
  const [{ isSeen }] = await sql<[{ isSeen: boolean }]>`
    select pg_has_role(current_user, 'pg_read_all_stats', 'usage') as "isSeen"`;
  return isSeen;
}
