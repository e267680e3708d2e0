import type { Socket } from 'node:net';
import { setClock } from '../../support/clock.ts';
import { connect, createScratchRole, databaseUrl, onServer } from '../../support/databases.ts';
import { until } from '../../support/recovery.ts';
import {
  type Replication,
  receiveWal,
  type Standby,
  startReplication,
} from '../../support/replication.ts';
import { type Place, type Planting, runnerOf, type Sighting, statementsOf } from './planting.ts';

/** A primary, a standby that streams from it, and one that is cut off from it. */
export interface ReplicationPlace {
  readonly primary: PrimaryPlace;
  readonly standby: StandbyPlace;
  readonly apart: Standby;
  readonly stop: () => Promise<void>;
}

export interface PrimaryPlace extends Place {
  /** Starts a replica that gets WAL from the first byte of the server on, and does not read it until `read`. */
  readonly addSlowReplica: () => Promise<void>;
  readonly read: () => void;
}

export interface StandbyPlace extends Place {
  /** Its primary. */
  readonly primary: Place;
}

const database = 'shop';

export async function openReplicationPlace(): Promise<ReplicationPlace> {
  const servers: Replication = await startReplication();
  const north = await servers.addStandby('north');
  const apart = await servers.addStandby('apart', ['primary_conninfo=host=127.0.0.1 port=1']);
  const [{ start }] = await servers.sql<[{ start: string }]>`select pg_current_wal_lsn() as start`;
  await onServer(servers.url, (sql) => sql.unsafe(`create database ${database}`));
  const login = await createScratchRole(servers.url);
  const urlsOn = (server: string) => {
    const url = databaseUrl(server, database);
    return { url, otherUrls: [login.urlOf(url)] };
  };
  const [sql, onNorth] = [
    connect(databaseUrl(servers.url, database), 1),
    connect(databaseUrl(north.url, database), 1),
  ];
  let slow: Socket | undefined;
  const primary: PrimaryPlace = {
    ...urlsOn(servers.url),
    options: {},
    run: runnerOf(sql),
    addSlowReplica: async () => {
      slow = await receiveWal(servers, start);
      slow.pause();
    },
    read: () => slow?.resume(),
  };
  const standby: StandbyPlace = {
    ...urlsOn(north.url),
    options: {},
    run: async (...statements) => {
      for (const statement of statements) await onNorth.unsafe(statement);
    },
    primary,
  };
  const [{ end }] = await sql<[{ end: string }]>`select pg_current_wal_lsn() as end`;
  await until('the standby has the database', async () => {
    const [row] = await north.sql<{ isThere: boolean }[]>`
      select pg_last_wal_replay_lsn() >= ${end}::pg_lsn as "isThere"`;
    return row?.isThere;
  });
  return {
    primary,
    standby,
    apart,
    stop: async () => {
      slow?.destroy();
      await sql.end({ timeout: 1 });
      await onNorth.end({ timeout: 1 });
      await servers.stop();
    },
  };
}

export const primaryPlantings: readonly Planting<PrimaryPlace>[] = [
  {
    rule: 'replica-lags',
    fault: 'a replica that has not caught up',
    severity: 'warning',
    plant: async ({ run, addSlowReplica }) => {
      await run(
        `select pg_logical_emit_message(false, 'planted', repeat('x', 10000000)) from generate_series(1, 5)`,
      );
      await addSlowReplica();
    },
    repair: async ({ read }) => read(),
  },
];

export const standbyPlantings: readonly Planting<StandbyPlace>[] = [
  {
    rule: 'standby-lags',
    fault: 'a standby whose replay was paused ten minutes ago',
    severity: 'warning',
    plant: async ({ run, primary }) => {
      await setClock(primary, `pg_catalog.real_now() + interval '10 minutes'`);
      const clock = connect(primary.url, 1);
      await until('the standby has that clock', async () => {
        const [row] = await clock<{ isThere: boolean }[]>`
          select bool_and(replay_lsn >= pg_current_wal_lsn()) as "isThere" from pg_stat_replication
          where application_name = 'north'`;
        return row?.isThere;
      });
      await clock.end();
      await run('select pg_wal_replay_pause()');
      await primary.run('create table unseen ()');
    },
    repair: async ({ run }, hint) => run(...statementsOf(hint)),
  },
];

export const replicationSightings: readonly Sighting<ReplicationPlace>[] = [
  {
    rule: 'standby-cut-off',
    fault: 'a standby whose primary does not answer',
    severity: 'critical',
    show: async ({ apart }) => apart.url,
  },
  {
    rule: 'data-checksums-off',
    fault: 'a server that was made without checksums',
    severity: 'note',
    show: async ({ primary }) => primary.url,
  },
];
