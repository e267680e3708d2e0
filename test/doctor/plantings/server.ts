import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { openStore } from '../../../src/backup/open-store.ts';
import * as migrate from '../../../src/migrations/migrate.ts';
import { printSnapshot, snapshot } from '../../../src/schema/schema.ts';
import { writeBackup } from '../../support/backups.ts';
import { callCli } from '../../support/cli.ts';
import { setClock } from '../../support/clock.ts';
import { connect, createScratchRole, databaseUrl, onServer } from '../../support/databases.ts';
import { type PostgresServer, startEmbeddedPostgres } from '../../support/embedded-postgres.ts';
import { type Folders, folderFlags, type Pairs, writePairs } from '../../support/fixtures.ts';
import { until } from '../../support/recovery.ts';
import { type Place, type Planting, runnerOf } from './planting.ts';

/** A server of PostgreSQL with a migrated database, where every rule that applies is quiet. */
export interface ServerPlace extends Place {
  readonly server: PostgresServer;
  /** A session that stays open until `close`. */
  readonly open: (statement: string) => Promise<void>;
  readonly folders: Folders;
  /** Writes migrations beside those that are applied. */
  readonly write: (pairs: Pairs) => void;
  /** The folder of the database's backups. */
  readonly backups: string;
  readonly close: () => Promise<void>;
  /** Ends the sessions, removes what was planted in the schema `planted`, and sets the clock back. */
  readonly tidy: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const database = 'shop';
/** A moment at which PostgreSQL 15 is maintained. */
const soundClock = `timestamptz '2026-01-01'`;

export async function openServerPlace(): Promise<ServerPlace> {
  const server = await startEmbeddedPostgres(
    [
      'archive_mode=on',
      'autovacuum_naptime=1h',
      'max_connections=20',
      'max_prepared_transactions=2',
    ],
    { defaults: [], initdbFlags: ['--data-checksums'] },
  );
  const { url: admin } = server;
  await onServer(admin, async (sql) => {
    for (const statement of [
      `alter system set archive_command = 'true'`,
      `alter system set idle_in_transaction_session_timeout = '5min'`,
      'alter system set random_page_cost = 1.1',
      'select pg_reload_conf()',
      `create database ${database}`,
    ])
      await sql.unsafe(statement);
  });
  const url = databaseUrl(admin, database);
  const [login, monitor] = [await createScratchRole(admin), await createScratchRole(admin)];
  await onServer(admin, (sql) => sql.unsafe(`grant pg_monitor to ${monitor.name}`));
  const root = mkdtempSync(join(tmpdir(), 'cryptosense-db-planted-'));
  const write = (pairs: Pairs) => writePairs(pairs, root);
  const folders = write({
    '20260101_000000_create_coins': [
      `create table coins (id bigint primary key);
      comment on table coins is 'Coins';
      comment on column coins.id is 'The number of a coin';`,
      'drop table coins;',
    ],
  });
  await migrate.up({ target: url, ...folders });
  const sql = connect(url, 1);
  const run = runnerOf(sql);
  await run('create schema planted');
  const snapshotFile = join(root, 'schema.json');
  const taken = await snapshot({ target: url });
  writeFileSync(snapshotFile, printSnapshot(taken.snapshot));
  const store = join(root, 'store');
  mkdirSync(store);
  const id = await writeBackup(await openStore(store), { database, startedAt: new Date() });
  const backups = join(store, database);
  writeFileSync(join(backups, id, 'verified.json'), JSON.stringify({ verifiedAt: new Date() }));
  let sessions = connect(url, 20);
  const close = () => sessions.end({ timeout: 1 });
  return {
    server,
    url,
    otherUrls: [login, monitor].map((role) => role.urlOf(url)),
    options: { ...folders, snapshot: snapshotFile, store: { store } },
    run,
    open: async (statement) => {
      await (await sessions.reserve()).unsafe(statement);
    },
    folders,
    write,
    backups,
    close,
    tidy: async () => {
      await close();
      sessions = connect(url, 20);
      await run(
        'drop schema planted cascade',
        'create schema planted',
        'drop table if exists "Uncommented"',
      );
      await setClock({ run }, soundClock);
    },
    stop: async () => {
      await sql.end({ timeout: 1 });
      await close();
      await server.stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** A setting that one reload changes. */
function setting(
  rule: string,
  name: string,
  { to, severity = 'critical' }: { to: string } & Partial<Pick<Planting, 'severity'>>,
): Planting {
  return {
    rule,
    fault: `${name} = ${to}`,
    severity,
    plant: ({ run }) => run(`alter system set ${name} = '${to}'`, 'select pg_reload_conf()'),
  };
}

/** Makes the next session see the setting as it was. */
const reset =
  (name: string) =>
  ({ run }: Place) =>
    run(`alter system reset ${name}`, 'select pg_reload_conf()');

async function migrateUp({ url, folders }: ServerPlace): Promise<void> {
  const { code } = await callCli(['migrate', 'up', '--url', url, ...folderFlags(folders)]);
  expect(code).toBe(0);
}

const hoursLater = (hours: number) => `pg_catalog.real_now() + interval '${hours} hours'`;

/** A slot, of which one may exist, and room for one file of WAL. */
const limitSlots = [
  `alter system set max_slot_wal_keep_size = '1MB'`,
  'select pg_reload_conf()',
  `select pg_drop_replication_slot(slot_name) from pg_replication_slots`,
  `select pg_create_physical_replication_slot('planted', true)`,
];
const fillSegments = Array<string>(4).fill(
  `select pg_logical_emit_message(false, 'planted', ''), pg_switch_wal()`,
);

export const serverPlantings: readonly Planting<ServerPlace>[] = [
  setting('fsync-off', 'fsync', { to: 'off' }),
  setting('full-page-writes-off', 'full_page_writes', { to: 'off' }),
  setting('autovacuum-off', 'autovacuum', { to: 'off' }),
  setting('track-counts-off', 'track_counts', { to: 'off' }),
  setting('idle-in-transaction-timeout', 'idle_in_transaction_session_timeout', {
    to: '0',
    severity: 'warning',
  }),
  setting('random-page-cost', 'random_page_cost', { to: '4', severity: 'note' }),
  setting('password-encryption', 'password_encryption', { to: 'md5', severity: 'warning' }),
  {
    rule: 'random-page-cost',
    fault: 'a value that the database sets, which ALTER SYSTEM does not change',
    severity: 'note',
    plant: ({ run }) => run(`alter database ${database} set random_page_cost = 4`),
  },
  {
    ...setting('work-mem-too-large', 'work_mem', { to: '1GB', severity: 'warning' }),
    repair: reset('work_mem'),
  },
  {
    rule: 'work-mem',
    fault: 'statements that write a gigabyte of temporary files',
    severity: 'warning',
    plant: ({ run }) =>
      run(
        ...Array<string>(11).fill(`
          with wide as materialized (select repeat('x', 1000000) from generate_series(1, 110))
          select count(*) from wide`),
      ),
  },
  {
    rule: 'shared-buffers',
    fault: 'a gigabyte that 128 MB of memory serve',
    severity: 'warning',
    plant: async ({ url }) => {
      const sql = connect(url, 1);
      const [{ file }] = await sql<[{ file: string }]>`
        select format('%s/base/%s/planted', current_setting('data_directory'), oid) as file
        from pg_database where datname = current_database()`;
      await sql.end();
      writeFileSync(file, '');
      // The file has holes, and takes no room.
      await truncate(file, 1.25 * 1024 ** 3);
    },
    repair: async ({ run, server }, hint) => {
      const [statement = ''] = hint.split(': ').slice(-1);
      await run(statement.replace('4GB', '256MB'));
      await server.restart();
    },
  },
  {
    rule: 'transaction-ids',
    fault: 'a database whose rows were not frozen for a billion transactions',
    severity: 'warning',
    plant: ({ run }) =>
      run(`update pg_database set datfrozenxid = (
          (datfrozenxid::text::bigint - 1000000000 + 4294967296) % 4294967296)::text::xid
        where datname = current_database()`),
  },
  {
    rule: 'transaction-ids',
    fault: 'a database that keeps two billion multixact ids',
    severity: 'critical',
    plant: ({ run }) =>
      run(`update pg_database set datminmxid = (4294967296 - 2000000000)::text::xid
        where datname = current_database()`),
  },
  {
    rule: 'sequence-runs-out',
    fault: 'a column that has given most of its numbers',
    severity: 'critical',
    plant: ({ run }) =>
      run(
        'create table planted."Orders" ("Id" int generated always as identity)',
        `select setval('planted."Orders_Id_seq"', 2100000000)`,
      ),
  },
  {
    rule: 'vacuum-behind',
    fault: 'dead rows',
    severity: 'warning',
    plant: ({ run }) =>
      run(
        'create table planted."Dead" as select n from generate_series(1, 30000) n',
        'delete from planted."Dead" where n % 3 > 0',
      ),
  },
  {
    rule: 'statistics-behind',
    fault: 'a table that was never analyzed',
    severity: 'warning',
    plant: ({ run }) =>
      run('create table planted."New" as select n from generate_series(1, 30000) n'),
  },
  {
    rule: 'invalid-index',
    fault: 'an index that CREATE INDEX CONCURRENTLY did not finish',
    severity: 'critical',
    plant: async ({ run }) => {
      await run(
        `create table planted."Words" as select 'twice' as "Word" from generate_series(1, 2)`,
      );
      await expect(
        run('create unique index concurrently "Words_Word" on planted."Words" ("Word")'),
      ).rejects.toThrow('could not create unique index');
    },
    repair: async ({ run }, hint) => {
      await run('truncate planted."Words"');
      await run(hint.replace('rebuild it: ', ''));
    },
  },
  {
    rule: 'no-comments',
    fault: 'a table without a comment',
    severity: 'note',
    plant: ({ run }) => run('create table "Uncommented" ()'),
    repair: async ({ run }, hint) => {
      await run(hint.replace('a migration with: ', ''));
    },
  },
  {
    rule: 'connections-run-out',
    fault: 'sessions that leave few connections',
    severity: 'warning',
    plant: ({ open }) => Promise.all(Array.from({ length: 13 }, () => open('select 1'))),
    repair: ({ close }) => close(),
  },
  {
    rule: 'old-transaction',
    fault: 'a session that began its transaction two hours ago',
    severity: 'warning',
    plant: async (place) => {
      await place.open('begin; select 1');
      await setClock(place, hoursLater(2));
    },
  },
  {
    rule: 'prepared-transactions',
    fault: 'a transaction that was prepared two hours ago',
    severity: 'critical',
    plant: async (place) => {
      await place.open(`begin; create table planted.held (); prepare transaction 'o''clock'`);
      await setClock(place, hoursLater(2));
    },
  },
  {
    rule: 'slot-holds-wal',
    fault: 'a gigabyte of WAL that is kept for a slot without a reader',
    severity: 'warning',
    plant: ({ run }) =>
      run(
        `select pg_create_physical_replication_slot('planted', true)`,
        `select pg_logical_emit_message(false, 'planted', repeat('x', 10000000)) from generate_series(1, 110)`,
      ),
    repair: ({ run }, hint) => run(hint.replace('if its reader is gone: ', '').replace(/; .*/, '')),
  },
  {
    rule: 'slot-holds-wal',
    fault: 'a slot that holds more than max_slot_wal_keep_size',
    severity: 'critical',
    plant: ({ run }) => run(...limitSlots, ...fillSegments),
  },
  {
    rule: 'slot-holds-wal',
    fault: 'a slot that has lost WAL',
    severity: 'critical',
    plant: ({ run }) => run(...limitSlots, ...fillSegments, 'checkpoint'),
    repair: ({ run }) => run(`select pg_drop_replication_slot('planted')`),
  },
  {
    rule: 'archiver-fails',
    fault: 'an archive_command that fails',
    severity: 'critical',
    plant: async ({ url, run }) => {
      await run(`alter system set archive_command = 'false'`, 'select pg_reload_conf()');
      await onServer(url, (sql) =>
        // The archiver may take some files with the old command.
        until('a failure', async () => {
          const [archiver] = await sql`
            select pg_logical_emit_message(true, 'planted', ''), pg_switch_wal()
            from pg_stat_archiver where coalesce(last_failed_time > last_archived_time, true)`;
          return archiver;
        }),
      );
    },
    repair: ({ run }) =>
      run(`alter system set archive_command = 'true'`, 'select pg_reload_conf()'),
  },
  {
    rule: 'powerful-roles',
    fault: 'a superuser that can log in, a member of it, and a role with the files of the server',
    severity: 'warning',
    plant: ({ run }) =>
      run(
        'create role "Planted Superuser" login superuser',
        'create role planted_group in role "Planted Superuser"',
        'create role planted_member login in role planted_group',
        'create role planted_writer login in role pg_write_server_files',
      ),
  },
  {
    rule: 'powerful-roles',
    fault: 'a role that can log in and create roles',
    severity: 'note',
    plant: ({ run }) => run('create role planted_creator login createrole bypassrls'),
  },
  {
    rule: 'md5-passwords',
    fault: 'a password that is stored as MD5',
    severity: 'warning',
    plant: ({ run }) => run(`create role planted_old login password 'md5${'0'.repeat(32)}'`),
    repair: ({ run }) => run(`alter role planted_old password 'new'`),
  },
  {
    rule: 'public-schema-open',
    fault: 'CREATE on schema public for every role',
    severity: 'warning',
    plant: ({ run }) => run('grant create on schema public to public'),
  },
  {
    rule: 'end-of-life',
    fault: 'PostgreSQL 15 in the year before its last fixes',
    severity: 'warning',
    plant: (place) => setClock(place, `timestamptz '2027-01-01'`),
    repair: ({ tidy }) => tidy(),
  },
  {
    rule: 'end-of-life',
    fault: 'PostgreSQL 15 after its last fixes',
    severity: 'critical',
    plant: (place) => setClock(place, `timestamptz '2028-01-01'`),
    repair: ({ tidy }) => tidy(),
  },
  {
    rule: 'collation-changed',
    fault: 'a collation that was made with another version of its library',
    severity: 'critical',
    plant: ({ run }) =>
      run(
        `create collation planted."German" (provider = icu, locale = 'de')`,
        'create table planted.texts (text text collate planted."German" unique)',
        `update pg_collation set collversion = '1' where collname = 'German'`,
      ),
  },
  {
    rule: 'timescaledb-not-loaded',
    fault: 'the extension on a server that does not load it',
    severity: 'critical',
    plant: ({ run }) =>
      run(`insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        values (16000, 'timescaledb', 10, 'public'::regnamespace, false, '2.28.3')`),
    repair: ({ run }) => run(`delete from pg_extension where extname = 'timescaledb'`),
  },
  {
    rule: 'schema-drift',
    fault: 'a view that a person made',
    severity: 'warning',
    plant: ({ run }) => run('create view by_hand as select 1 as one'),
    repair: ({ run }) => run('drop view by_hand'),
  },
  {
    rule: 'migrations-pending',
    fault: 'a file that the database lacks',
    severity: 'warning',
    plant: async ({ write }) =>
      write({ '20260102_000000_create_notes': ['create table notes ();', 'drop table notes;'] }),
    repair: migrateUp,
  },
  {
    rule: 'history-mismatch',
    fault: 'a file that changed after it was applied',
    severity: 'critical',
    plant: async ({ write }) =>
      write({ '20260102_000000_create_notes': ['create table memos ();', 'drop table memos;'] }),
    repair: async ({ write }) =>
      write({ '20260102_000000_create_notes': ['create table notes ();', 'drop table notes;'] }),
  },
  {
    rule: 'migration-interrupted',
    fault: 'a file without a transaction that failed in its second statement',
    severity: 'critical',
    plant: async ({ url, write, folders }) => {
      write({ '20260103_000000_fail': [interrupted('1 / 0'), '-- Transaction: none\nselect 1;'] });
      await expect(migrate.up({ target: url, ...folders })).rejects.toThrow('division by zero');
    },
    repair: async (place) => {
      place.write({
        '20260103_000000_fail': [interrupted('1'), '-- Transaction: none\nselect 1;'],
      });
      await migrateUp(place);
    },
  },
  {
    rule: 'backup-stale',
    fault: 'a store without a backup of the database',
    severity: 'critical',
    plant: async ({ backups }) => renameSync(backups, `${backups}.away`),
    repair: async ({ backups }) => {
      expect(existsSync(backups)).toBe(false);
      renameSync(`${backups}.away`, backups);
    },
  },
];

function interrupted(expression: string): string {
  return `-- Transaction: none\ncreate table steps ();\nselect ${expression};`;
}
