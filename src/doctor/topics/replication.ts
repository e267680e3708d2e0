import { quoteIdentifier, type Session } from '../../database/connection.ts';
import { type Diagnosis, type Moment, type Reading, reading, type Topic, unseen } from '../rule.ts';

export interface Replication {
  readonly isStandby: boolean;
  /** Of a standby: how old the newest replayed transaction is; null on a primary, or when all WAL is replayed. */
  readonly standbyLagMs: number | null;
  /** Of a standby that names a primary: whether a process receives WAL from it. null on a primary and without the name. */
  readonly isReceiving: boolean | null;
  /** Of a standby: when the newest replayed transaction was committed. */
  readonly replayedAt: Date | null;
  readonly slots: readonly Slot[];
  readonly replicas: readonly Replica[];
  readonly archiver: Archiver;
}

export interface Slot {
  readonly name: string;
  readonly isActive: boolean;
  /** WAL that the server keeps for it. */
  readonly keptBytes: number;
  /** `reserved`, `extended`, `unreserved`, `lost`; null for a slot that was never used. */
  readonly walStatus: string | null;
}

export interface Replica {
  readonly name: string;
  readonly state: string;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
}

export interface Archiver {
  /** archive_mode */
  readonly mode: string;
  readonly archivedAt: Date | null;
  readonly failedAt: Date | null;
  readonly failedWal: string | null;
  readonly failures: number;
}

const gigabyte = 1024 ** 3;

export const replication: Topic<Replication, Session> = {
  name: 'replication',
  read: readReplication,
  rules: [
    { name: 'slot-holds-wal', judge: judgeSlots },
    { name: 'replica-lags', judge: judgeReplicas },
    {
      name: 'standby-lags',
      judge: ({ standbyLagMs }) =>
        standbyLagMs !== null && standbyLagMs > 5 * 60_000
          ? {
              severity: 'warning',
              message: `this standby shows the state of ${Math.round(standbyLagMs / 60_000)} minutes ago`,
              hint: 'see whether replay is paused: select pg_is_wal_replay_paused(); continue it: select pg_wal_replay_resume()',
            }
          : undefined,
    },
    {
      name: 'standby-cut-off',
      judge: ({ isReceiving, replayedAt }) =>
        isReceiving === false
          ? {
              severity: 'critical',
              message: 'this standby receives nothing from its primary, and shows an older state',
              evidence:
                replayedAt === null ? [] : [`its newest commit: ${replayedAt.toISOString()}`],
              hint: 'read its log for the reason, and see whether the primary runs: show primary_conninfo; when the WAL that it needs is gone, make it again with pg_basebackup',
            }
          : undefined,
    },
    { name: 'archiver-fails', judge: judgeArchiver },
  ],
};

async function readReplication({ sql, server: { user } }: Session): Promise<Reading<Replication>> {
  const [{ mayRead }] = await sql<[{ mayRead: boolean }]>`
    select pg_has_role('pg_read_all_stats', 'usage') as "mayRead"`;
  if (!mayRead) {
    return unseen(
      'the role may not see replicas and slots in full',
      `grant pg_monitor to ${quoteIdentifier(user)}`,
    );
  }
  const [state] = await sql<
    [Pick<Replication, 'isStandby' | 'standbyLagMs' | 'isReceiving' | 'replayedAt'>]
  >`
    select pg_is_in_recovery() as "isStandby",
      case when pg_is_in_recovery() and exists (
        select from pg_settings where name = 'primary_conninfo' and setting <> ''
      ) then exists (select from pg_stat_wal_receiver) end as "isReceiving",
      pg_last_xact_replay_timestamp() as "replayedAt",
      case when pg_is_in_recovery() and pg_last_wal_receive_lsn() is distinct from pg_last_wal_replay_lsn()
        then extract(epoch from now() - pg_last_xact_replay_timestamp())::float8 * 1000 end as "standbyLagMs"`;
  const here = state.isStandby
    ? sql`coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())`
    : sql`pg_current_wal_lsn()`;
  const slots = await sql<Slot[]>`
    select slot_name as name, active as "isActive", wal_status as "walStatus",
      coalesce(pg_wal_lsn_diff(${here}, restart_lsn), 0)::float8 as "keptBytes"
    from pg_replication_slots order by 1`;
  const replicas = await sql<Replica[]>`
    select coalesce(nullif(application_name, ''), client_addr::text, pid::text) as name, state,
      pg_wal_lsn_diff(${here}, replay_lsn)::float8 as "lagBytes",
      extract(epoch from replay_lag)::float8 * 1000 as "lagMs"
    from pg_stat_replication
    -- A base backup sends files, and then WAL by a second process.
    where state <> 'backup'
    order by 1`;
  const [archiver] = await sql<[Archiver]>`
    select current_setting('archive_mode') as mode, last_archived_time as "archivedAt",
      last_failed_time as "failedAt", last_failed_wal as "failedWal", failed_count::float8 as failures
    from pg_stat_archiver`;
  return reading({ ...state, slots, replicas, archiver });
}

function judgeSlots({ slots }: Replication): readonly Diagnosis[] {
  return slots.flatMap(({ name, isActive, keptBytes, walStatus }): Diagnosis[] => {
    const hint = `if its reader is gone: select pg_drop_replication_slot('${name.replaceAll("'", "''")}'); a limit for all: alter system set max_slot_wal_keep_size = '50GB'; select pg_reload_conf()`;
    if (walStatus === 'lost') {
      return [
        {
          severity: 'critical',
          message: `the replication slot ${name} has lost WAL that its reader needs`,
          hint: 'make the replica again, and drop the slot',
        },
      ];
    }
    if (walStatus === 'unreserved') {
      return [
        {
          severity: 'critical',
          message: `the replication slot ${name} holds more than max_slot_wal_keep_size, and loses WAL at the next checkpoint`,
          hint: "let its reader catch up, or raise the limit: alter system set max_slot_wal_keep_size = '50GB'; select pg_reload_conf()",
        },
      ];
    }
    if (keptBytes < (isActive ? 10 : 1) * gigabyte) return [];
    return [
      {
        severity: keptBytes > 10 * gigabyte ? 'critical' : 'warning',
        message: `the replication slot ${name} holds ${(keptBytes / gigabyte).toFixed(1)} GB of WAL; a full disk stops the server`,
        evidence: isActive ? [] : ['nothing reads from it'],
        hint,
      },
    ];
  });
}

function judgeReplicas({ replicas }: Replication): readonly Diagnosis[] {
  return replicas.flatMap(({ name, state, lagBytes, lagMs }): Diagnosis[] => {
    const isFar = (lagMs ?? 0) > 5 * 60_000 || (lagBytes ?? 0) > gigabyte;
    if (state === 'streaming' && !isFar) return [];
    return [
      {
        severity: 'warning',
        message:
          state === 'streaming'
            ? `the replica ${name} is ${Math.round((lagBytes ?? 0) / 1024 ** 2)} MB behind`
            : `the replica ${name} does not stream: ${state}`,
        evidence: lagMs === null ? [] : [`${Math.round(lagMs / 1_000)} s behind`],
        hint: 'see on it whether replay is paused or waits for a query: select pg_is_wal_replay_paused(), pg_stat_get_wal_receiver()',
      },
    ];
  });
}

function judgeArchiver(
  { archiver, isStandby }: Replication,
  { now }: Moment,
): Diagnosis | undefined {
  const { mode, failedAt, archivedAt, failures, failedWal } = archiver;
  if (mode === 'off' || failedAt === null || (isStandby && mode !== 'always')) return undefined;
  if (archivedAt !== null && archivedAt > failedAt) return undefined;
  const minutes = Math.round((now.getTime() - failedAt.getTime()) / 60_000);
  return {
    severity: 'critical',
    message: 'WAL is not archived: no moment since then can be restored, and WAL fills the disk',
    evidence: [
      `${failures} failures, the last ${minutes} minutes ago, of ${failedWal}`,
      `last archived: ${archivedAt === null ? 'never' : archivedAt.toISOString()}`,
    ],
    hint: "read the server's log for the output of archive_command; with pgBackRest: cryptosense-db backup check --rpo 1h",
  };
}
