import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ruleNames } from '../../src/doctor/doctor.ts';
import type { Severity, Topic } from '../../src/doctor/rule.ts';
import { backups } from '../../src/doctor/topics/backups.ts';
import { drift } from '../../src/doctor/topics/drift.ts';
import { type History, history } from '../../src/doctor/topics/history.ts';
import {
  type AggregateRefresh,
  type Policies,
  policies,
} from '../../src/doctor/topics/policies.ts';
import { type Replication, replication } from '../../src/doctor/topics/replication.ts';
import { type Roles, roles } from '../../src/doctor/topics/roles.ts';
import { type SchemaState, schema } from '../../src/doctor/topics/schema.ts';
import { type Sessions, sessions } from '../../src/doctor/topics/sessions.ts';
import { type Settings, settings } from '../../src/doctor/topics/settings.ts';
import { type Storage, storage } from '../../src/doctor/topics/storage.ts';
import { type Extension, timescale } from '../../src/doctor/topics/timescale.ts';
import { type Upkeep, upkeep } from '../../src/doctor/topics/upkeep.ts';
import { type Versions, versions } from '../../src/doctor/topics/versions.ts';
import type { HypertableChunks } from '../../src/inspect/questions/chunks.ts';
import type { TimescaleJob } from '../../src/inspect/questions/jobs.ts';

const now = new Date('2026-06-01T12:00:00Z');
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);
const gigabyte = 1024 ** 3;

/** A topic, facts of a sound database, and what each rule says of facts that differ in one thing. */
interface Cases<Facts extends object> {
  readonly topic: Topic<Facts, never>;
  readonly sound: Facts;
  readonly faults: readonly (readonly [
    rule: string,
    change: Partial<Facts>,
    severity: Severity | undefined,
    message?: RegExp | undefined,
    at?: string,
  ])[];
}

function cases<Facts extends object>({ topic, sound, faults }: Cases<Facts>): void {
  it(`${topic.name}: sound facts give no finding`, () => {
    const said = topic.rules.flatMap((rule) => rule.judge(sound, { now }) ?? []);
    expect(said).toEqual([]);
  });

  it(`${topic.name}: each rule has a case that it reports`, () => {
    const reported = new Set(faults.flatMap(([rule, , severity]) => (severity ? [rule] : [])));
    expect([...reported].sort()).toEqual(topic.rules.map(({ name }) => name).sort());
  });

  for (const [name, change, severity, message, at] of faults) {
    it(`${topic.name}: the rule ${name} judges ${JSON.stringify(change)} as ${severity ?? 'sound'}`, () => {
      const rule = topic.rules.find((each) => each.name === name);
      const moment = { now: at === undefined ? now : new Date(at) };
      const said = [rule?.judge({ ...sound, ...change }, moment) ?? []].flat();
      expect(said.map((each) => each.severity)).toEqual(severity === undefined ? [] : [severity]);
      if (message) expect(said[0]?.message).toMatch(message);
      for (const { message: fact, hint } of said) {
        expect(fact).not.toMatch(/undefined|NaN|null/);
        expect(hint).not.toMatch(/undefined|NaN|null/);
      }
    });
  }
}

const soundSettings = {
  autovacuum: 'on',
  data_checksums: 'on',
  fsync: 'on',
  full_page_writes: 'on',
  idle_in_transaction_session_timeout: '300000',
  max_connections: '100',
  password_encryption: 'scram-sha-256',
  random_page_cost: '1.1',
  shared_buffers: String(gigabyte / 8192),
  track_counts: 'on',
  work_mem: '16384',
};
const withSettings = (changes: Partial<typeof soundSettings>): Pick<Settings, 'values'> => ({
  values: new Map(Object.entries({ ...soundSettings, ...changes })),
});
cases<Settings>({
  topic: settings,
  sound: {
    ...withSettings({}),
    ...{ remedies: new Map(), databaseBytes: 100 * gigabyte, temporaryBytes: 0 },
  },
  faults: [
    ['fsync-off', withSettings({ fsync: 'off' }), 'critical'],
    ['full-page-writes-off', withSettings({ full_page_writes: 'off' }), 'critical'],
    ['autovacuum-off', withSettings({ autovacuum: 'off' }), 'critical'],
    ['track-counts-off', withSettings({ track_counts: 'off' }), 'critical'],
    [
      'idle-in-transaction-timeout',
      withSettings({ idle_in_transaction_session_timeout: '0' }),
      'warning',
    ],
    ['shared-buffers', withSettings({ shared_buffers: '16384' }), 'warning', /128 MB/],
    [
      'shared-buffers',
      { ...withSettings({ shared_buffers: '16384' }), databaseBytes: gigabyte / 2 },
      undefined,
    ],
    [
      'work-mem',
      { ...withSettings({ work_mem: '4096' }), temporaryBytes: 2.5 * gigabyte },
      'warning',
      /2\.5 GB/,
    ],
    ['work-mem', withSettings({ work_mem: '4096' }), undefined],
    ['work-mem', { temporaryBytes: 2 * gigabyte }, undefined],
    [
      'work-mem-too-large',
      withSettings({ work_mem: String(1024 * 1024), max_connections: '500' }),
      'warning',
    ],
    ['random-page-cost', withSettings({ random_page_cost: '4' }), 'note'],
    ['data-checksums-off', withSettings({ data_checksums: 'off' }), 'note'],
    ['password-encryption', withSettings({ password_encryption: 'md5' }), 'warning'],
    ['password-encryption', { values: new Map() }, undefined],
  ],
});

const ids = { sequence: 'public.ids', used: 0.001, isDescending: false, fills: null };
const ages = (age: number) => [{ database: 'shop', age }];
const table = { table: 'public.users', liveRows: 100_000, deadRows: 0, changedRows: 0 };
const users = { ...table, analyzedAt: minutesAgo(60) };
cases<Storage>({
  topic: storage,
  sound: {
    transactionAges: ages(200_000_000),
    multixactAges: ages(0),
    sequences: [ids],
  },
  faults: [
    ['transaction-ids', { transactionAges: ages(1_000_000_000) }, 'warning', /47 %/],
    ['transaction-ids', { transactionAges: ages(1_900_000_000) }, 'critical'],
    ['transaction-ids', { multixactAges: ages(1_900_000_000) }, 'critical', /multixact/],
    ['sequence-runs-out', { sequences: [{ ...ids, used: 0.75 }] }, 'warning', /75 %/],
    ['sequence-runs-out', { sequences: [{ ...ids, used: 0.95 }] }, 'critical'],
    ['sequence-runs-out', { sequences: [{ ...ids, used: 64 }] }, 'critical', /100 %/],
  ],
});

cases<Upkeep>({
  topic: upkeep,
  sound: { tables: [users] },
  faults: [
    ['vacuum-behind', { tables: [{ ...users, deadRows: 50_000 }] }, 'warning', /public\.users$/],
    ['vacuum-behind', { tables: [{ ...users, deadRows: 20_000 }] }, undefined],
    ['vacuum-behind', { tables: [{ ...users, liveRows: 10, deadRows: 900 }] }, undefined],
    ['statistics-behind', { tables: [{ ...users, changedRows: 50_000 }] }, undefined],
    [
      'statistics-behind',
      { tables: [{ ...users, changedRows: 50_000, analyzedAt: minutesAgo(60 * 48) }] },
      'warning',
    ],
    [
      'statistics-behind',
      { tables: [{ ...users, changedRows: 50_000, analyzedAt: null }] },
      'warning',
    ],
  ],
});

const slot = { name: 'reader', isActive: true, keptBytes: 0, walStatus: 'reserved' };
const replica = { name: 'copy', state: 'streaming', lagBytes: 0, lagMs: 10 };
const archiver = {
  mode: 'on',
  archivedAt: minutesAgo(1),
  failedAt: null,
  failedWal: null,
  failures: 0,
};
const failing = {
  ...archiver,
  failedAt: minutesAgo(5),
  failedWal: '0000000100000001',
  failures: 7,
};
cases<Replication>({
  topic: replication,
  sound: {
    isStandby: false,
    standbyLagMs: null,
    isReceiving: null,
    replayedAt: null,
    slots: [slot],
    replicas: [replica],
    archiver,
  },
  faults: [
    ['slot-holds-wal', { slots: [{ ...slot, walStatus: 'lost' }] }, 'critical'],
    ['slot-holds-wal', { slots: [{ ...slot, keptBytes: 20 * gigabyte }] }, 'critical', /20\.0 GB/],
    [
      'slot-holds-wal',
      { slots: [{ ...slot, isActive: false, keptBytes: 2 * gigabyte }] },
      'warning',
    ],
    ['slot-holds-wal', { slots: [{ ...slot, isActive: false }] }, undefined],
    [
      'slot-holds-wal',
      { slots: [{ ...slot, walStatus: 'unreserved', keptBytes: gigabyte / 2 }] },
      'critical',
      /loses WAL at the next checkpoint/,
    ],
    ['replica-lags', { replicas: [{ ...replica, lagMs: 600_000 }] }, 'warning'],
    ['replica-lags', { replicas: [{ ...replica, lagBytes: 2 * gigabyte }] }, 'warning', /2048 MB/],
    ['replica-lags', { replicas: [{ ...replica, state: 'catchup' }] }, 'warning', /catchup/],
    ['standby-lags', { isStandby: true, standbyLagMs: 900_000 }, 'warning', /15 minutes/],
    ['standby-cut-off', { isStandby: true, isReceiving: false }, 'critical'],
    ['standby-cut-off', { isStandby: true, isReceiving: true }, undefined],
    ['standby-cut-off', { isStandby: true, isReceiving: null }, undefined],
    ['archiver-fails', { archiver: failing }, undefined],
    ['archiver-fails', { archiver: { ...failing, archivedAt: null } }, 'critical'],
    ['archiver-fails', { archiver: { ...failing, archivedAt: minutesAgo(9) } }, 'critical'],
    ['archiver-fails', { archiver: { ...failing, archivedAt: null, mode: 'off' } }, undefined],
  ],
});

cases<Extension>({
  topic: timescale,
  sound: {
    license: 'timescale',
    restoring: 'off',
    maxBackgroundWorkers: 16,
    maxWorkerProcesses: 32,
    maxParallelWorkers: 8,
    databases: 3,
    scheduledJobs: 6,
    scheduler: 'running',
    runsJobs: true,
  },
  faults: [
    ['timescaledb-license', { license: 'apache' }, 'critical'],
    ['timescaledb-restoring', { restoring: 'on', scheduler: 'missing' }, 'critical'],
    ['background-workers', { maxBackgroundWorkers: 3 }, 'warning', /3 databases/],
    ['background-workers', { maxBackgroundWorkers: 8 }, 'note'],
    ['background-workers', { maxWorkerProcesses: 8 }, 'warning'],
    ['background-workers', { maxBackgroundWorkers: null }, undefined],
    ['no-scheduler', { scheduler: 'missing' }, 'critical'],
    ['no-scheduler', { scheduler: 'template' }, 'critical'],
    ['no-scheduler', { scheduler: 'missing', scheduledJobs: 0 }, undefined],
    ['no-scheduler', { scheduler: 'missing', runsJobs: false }, undefined],
    ['no-scheduler', { scheduler: 'missing', restoring: 'on' }, undefined],
  ],
});

const daily: AggregateRefresh = {
  view: 'public.price_history_daily',
  job: 1000,
  storedUntil: '2026-11-01 00:00:00+00',
  missedChunks: 0,
};

const job: TimescaleJob = {
  job: 1000,
  procedure: 'policy_refresh_continuous_aggregate',
  on: 'price_history_daily',
  every: '01:00:00',
  lastRun: minutesAgo(30),
  lastStatus: 'success',
  runs: 9,
  failures: 0,
  failuresInARow: 0,
  lastError: null,
  isErrorSeen: true,
  nextStart: minutesAgo(-30),
  isScheduled: true,
};
const failed = {
  ...job,
  lastStatus: 'failed',
  failuresInARow: 2,
  lastError: 'no room',
} as const;
const hidden = { ...failed, lastError: null, isErrorSeen: false };
const harmless = 'cannot drop portal "" while it is being set up';
const late = { ...job, nextStart: minutesAgo(60 * 5) };
const prices: HypertableChunks = {
  table: 'price_history',
  kind: 'hypertable',
  chunks: 9,
  from: minutesAgo(60 * 24 * 63),
  to: now,
  compressed: 7,
  partial: 0,
  overdueToCompress: 0,
  overdueToDrop: 0,
  compressionJob: 1001,
  retentionJob: 1003,
  hypertable: 1,
};
cases<Policies>({
  topic: policies,
  sound: {
    jobs: [job],
    hypertables: [prices],
    aggregates: [daily],
    pausedByImport: [],
    runsJobs: true,
  },
  faults: [
    ['job-fails', { jobs: [failed] }, 'critical', /2 times in a row/],
    ['job-fails', { jobs: [{ ...failed, failuresInARow: 1 }] }, 'warning', /1 time in a row/],
    ['job-fails', { jobs: [hidden, hidden] }, 'note', /2 jobs failed/],
    ['job-fails', { jobs: [{ ...failed, lastError: harmless }] }, undefined],
    ['job-fails', { jobs: [{ ...failed, procedure: 'policy_telemetry' }] }, undefined],
    ['job-late', { jobs: [late] }, 'critical', /5 h/],
    ['job-late', { jobs: [late], runsJobs: false }, undefined],
    ['job-late', { jobs: [{ ...late, lastStatus: 'running' }] }, undefined],
    [
      'job-late',
      { jobs: [{ ...late, lastStatus: 'running', lastRun: minutesAgo(60 * 30) }] },
      'warning',
      /for 30 h/,
    ],
    ['job-late', { jobs: [{ ...late, isScheduled: false }] }, undefined],
    ['job-late', { jobs: [{ ...job, nextStart: null }] }, undefined],
    ['job-paused', { jobs: [{ ...job, isScheduled: false }] }, 'warning'],
    ['job-paused', { jobs: [{ ...job, isScheduled: false }], pausedByImport: [1000] }, undefined],
    ['import-left-policy-paused', { pausedByImport: [1000] }, 'warning'],
    [
      'compression-behind',
      { hypertables: [{ ...prices, overdueToCompress: 1 }] },
      'warning',
      /^1 chunk of/,
    ],
    [
      'compression-behind',
      { hypertables: [{ ...prices, overdueToCompress: 4, compressionJob: null }] },
      undefined,
    ],
    ['refresh-behind', { aggregates: [{ ...daily, job: null }] }, 'warning', /no policy refreshes/],
    ['refresh-behind', { aggregates: [{ ...daily, missedChunks: 2 }] }, 'warning', /2026-11-01/],
    [
      'refresh-behind',
      { aggregates: [{ ...daily, storedUntil: null, missedChunks: 2 }] },
      'warning',
      /^nothing of public.price_history_daily is stored/,
    ],
    ['retention-behind', { hypertables: [{ ...prices, overdueToDrop: 4 }] }, 'warning'],
    ['partial-chunks', { hypertables: [{ ...prices, partial: 4 }] }, 'note'],
  ],
});

const invalid: SchemaState['invalidIndexes'][number] = {
  ...{ name: '"Odd Name"', table: 'users', tableKind: 'table', isBuilding: false },
};
const uncommented = [
  { kind: 'table', name: 'users' },
  { kind: 'column', name: 'users.email' },
] as const;
cases<SchemaState>({
  topic: schema,
  sound: { invalidIndexes: [], uncommented: [] },
  faults: [
    ['invalid-index', { invalidIndexes: [invalid] }, 'critical', /Odd Name/],
    ['invalid-index', { invalidIndexes: [{ ...invalid, isBuilding: true }] }, undefined],
    ['no-comments', { uncommented }, 'note', /no comment: 2/],
  ],
});

const oldest = { pid: 7, role: 'api', state: 'idle in transaction', ageMs: 60_000 };
cases<Sessions>({
  topic: sessions,
  sound: { used: 20, most: 97, oldest, prepared: [] },
  faults: [
    ['connections-run-out', { used: 85 }, 'warning'],
    ['connections-run-out', { used: 96 }, 'critical'],
    ['old-transaction', { oldest: { ...oldest, ageMs: 2 * 3_600_000 } }, 'warning', /2 h/],
    ['old-transaction', { oldest: { ...oldest, ageMs: 30 * 3_600_000 } }, 'critical'],
    ['old-transaction', { oldest: null }, undefined],
    ['prepared-transactions', { prepared: [{ name: "o'k", ageMs: 2 * 3_600_000 }] }, 'critical'],
    ['prepared-transactions', { prepared: [{ name: 'new', ageMs: 1_000 }] }, undefined],
  ],
});

const api = { role: 'api', powers: [], groups: [] };
cases<Roles>({
  topic: roles,
  sound: { powerful: [], md5: [], isPublicOpen: false },
  faults: [
    ['powerful-roles', { powerful: [{ ...api, powers: ['SUPERUSER'] }] }, 'warning', /api/],
    ['powerful-roles', { powerful: [{ ...api, groups: ['postgres'] }] }, 'warning', /api/],
    ['powerful-roles', { powerful: [{ ...api, powers: ['CREATEROLE'] }] }, 'note'],
    ['md5-passwords', { md5: ['api'] }, 'warning', /api/],
    ['md5-passwords', { md5: undefined }, undefined],
    ['public-schema-open', { isPublicOpen: true }, 'warning'],
  ],
});

const collation = { what: 'de_DE', refresh: 'alter collation public."de_DE" refresh version' };
cases<Versions>({
  topic: versions,
  sound: {
    database: 'shop',
    major: 15,
    timescale: '2.28.3',
    timescaleFiles: '2.28.3',
    isTimescaleLoaded: true,
    changedCollations: [],
  },
  faults: [
    ['end-of-life', { major: 15 }, 'warning', /2027-11-11/, '2027-01-01'],
    ['end-of-life', { major: 15 }, 'critical', undefined, '2028-01-01'],
    ['end-of-life', { major: 16 }, undefined],
    ['timescaledb-not-loaded', { isTimescaleLoaded: false }, 'critical'],
    ['timescaledb-not-loaded', { isTimescaleLoaded: false, timescale: null }, undefined],
    ['timescaledb-update-due', { timescaleFiles: '2.28.4' }, 'warning', /2\.28\.4/],
    ['collation-changed', { changedCollations: [collation] }, 'critical'],
  ],
});

const migration = (state: History['migrations'][number]['state']) => ({
  migrations: [
    {
      version: '20260101_000000',
      description: 'create_users',
      state,
    } as History['migrations'][number],
  ],
});
cases<History>({
  topic: history,
  sound: migration('applied'),
  faults: [
    ['migrations-pending', migration('pending'), 'warning', /^1 migration is pending/],
    ['history-mismatch', migration('changed'), 'critical'],
    ['history-mismatch', migration('missing'), 'critical'],
    ['history-mismatch', migration('out of order'), 'critical'],
    ['migration-interrupted', migration('interrupted'), 'critical'],
  ],
});

cases({
  topic: backups,
  sound: { problems: [], failure: null },
  faults: [
    ['backup-stale', { failure: { message: 'the store is away' } }, 'warning', /the store is away/],
    [
      'backup-stale',
      {
        problems: [
          { kind: 'too old', database: 'shop', ageMs: 1, detail: 'the newest is too old' },
        ],
      },
      'critical',
    ],
    [
      'backup-stale',
      { problems: [{ kind: 'not verified', database: 'shop', ageMs: 1, detail: 'none was' }] },
      'warning',
    ],
  ],
});

cases({
  topic: drift,
  sound: { against: 'schema.json', drift: [] },
  faults: [
    [
      'schema-drift',
      {
        drift: [
          {
            difference: {
              change: 'changed',
              kind: 'table',
              name: 'public.users',
              facts: [],
              parts: [],
            },
            definedIn: ['20251007_120000_create_users_table.sql'],
          },
        ],
      },
      'warning',
      /1 object of the schema is not as in schema.json/,
    ],
  ],
});

describe('what a rule says to do', () => {
  const hintsOf = <Facts extends object>(topic: Topic<Facts, never>, facts: Facts) =>
    topic.rules
      .flatMap((rule) => [rule.judge(facts, { now }) ?? []].flat())
      .map(({ hint }) => hint);
  const quiet = { transactionAges: [], multixactAges: [], sequences: [] };

  it('changes the column that a sequence fills, and lifts the bound at its end', () => {
    const full = { ...ids, used: 0.9 };
    expect(
      hintsOf(storage, {
        ...quiet,
        sequences: [
          { ...full, fills: { table: '"Orders"', column: '"Id"' } },
          { ...full, isDescending: true },
        ],
      }),
    ).toEqual([
      'a migration with: alter table "Orders" alter column "Id" type bigint; alter sequence public.ids as bigint no maxvalue',
      'a migration with: alter sequence public.ids as bigint no minvalue',
    ]);
  });

  it('names the tables to analyze, or none where they are many', () => {
    const old = { ...users, changedRows: 50_000, analyzedAt: null };
    expect(hintsOf(upkeep, { tables: [old, { ...old, table: '"My"."Logs"' }] })).toEqual([
      'analyze public.users, "My"."Logs"',
    ]);
    expect(hintsOf(upkeep, { tables: Array(6).fill(old) })).toEqual(['analyze']);
  });

  it('drops what REINDEX left behind, and the index of a hypertable, which cannot be rebuilt', () => {
    const of = (change: Partial<SchemaState['invalidIndexes'][number]>) =>
      hintsOf(schema, { invalidIndexes: [{ ...invalid, ...change }], uncommented: [] });
    expect(of({})).toEqual(['rebuild it: reindex index concurrently "Odd Name"']);
    expect(of({ name: 'users_email_ccnew1' })).toEqual([
      'it is what a REINDEX left behind: drop index concurrently users_email_ccnew1',
    ]);
    expect(of({ tableKind: 'hypertable' })).toEqual([
      'drop it, and create it again: drop index "Odd Name"',
    ]);
  });

  it('takes away each power and each membership of a role', () => {
    const facts = { md5: [], isPublicOpen: false };
    const powerful = [
      { role: 'Weak "One', powers: ['SUPERUSER'] as const, groups: ['pg_write_server_files'] },
    ];
    expect(hintsOf(roles, { ...facts, powerful })).toEqual([
      'a service needs rights on its tables only: alter role "Weak ""One" nosuperuser; revoke "pg_write_server_files" from "Weak ""One"',
    ]);
  });

  it('records the new version of each collation after its indexes are rebuilt', () => {
    expect(
      hintsOf(versions, {
        ...{ database: 'shop', major: 17, timescale: null, timescaleFiles: null },
        ...{ isTimescaleLoaded: false, changedCollations: [collation] },
      }),
    ).toEqual([
      'rebuild them, then record the version: reindex database "shop"; alter collation public."de_DE" refresh version',
    ]);
  });
});

it('docs/doctor.md has a heading for each rule, and for no other name', () => {
  const page = readFileSync('docs/doctor.md', 'utf8');
  const headings = [...page.matchAll(/^### (.+)$/gm)].map(([, name]) => name);
  expect([...headings].sort()).toEqual([...ruleNames].sort());
});
