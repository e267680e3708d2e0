import { describe, expect, it } from 'vitest';
import { adviseActivity, type OpenTransaction } from '../../src/inspect/questions/activity.ts';
import { adviseCache } from '../../src/inspect/questions/cache.ts';
import { type AssetCoverage, adviseCoverage } from '../../src/inspect/questions/coverage.ts';
import { adviseJobs, type JobFacts, type TimescaleJob } from '../../src/inspect/questions/jobs.ts';
import { buildLockTrees, type LockedSession } from '../../src/inspect/questions/locks.ts';
import { adviseSizes, type TableSize } from '../../src/inspect/questions/sizes.ts';
import { withoutTexts } from '../../src/inspect/statement-text.ts';

const minute = 60_000;

describe('advice about open transactions', () => {
  const transaction: OpenTransaction = {
    pid: 7,
    role: 'app',
    application: 'api',
    state: 'active',
    transactionMs: 0,
    stateMs: 0,
    waitsFor: null,
    statement: 'select 1',
  };

  it.each<[Partial<OpenTransaction>, RegExp | undefined]>([
    [{ state: 'active', transactionMs: 4 * minute }, undefined],
    [{ state: 'active', transactionMs: 6 * minute }, /`select pg_cancel_backend\(7\)`/],
    [{ state: 'idle in transaction', transactionMs: 6 * minute, stateMs: 1_000 }, undefined],
    [
      { state: 'idle in transaction', stateMs: 2 * minute },
      /`select pg_terminate_backend\(7\)`.*`alter role app set idle_in_transaction_session_timeout/,
    ],
    [
      { state: 'idle in transaction (aborted)', role: 'My App', stateMs: 2 * minute },
      /alter role "My App" set/,
    ],
    [{ pid: null, state: 'prepared', transactionMs: minute }, undefined],
    [
      { pid: null, state: 'prepared', transactionMs: 9 * minute, statement: "a'b" },
      /`rollback prepared 'a''b'`/,
    ],
  ])('for %j is %s', (given, expected) => {
    const advice = adviseActivity([{ ...transaction, ...given }]);
    expect(advice).toEqual(expected ? [expect.stringMatching(expected)] : []);
  });
});

describe('advice about jobs', () => {
  const now = new Date('2026-06-01T12:00:00Z');
  const job: TimescaleJob = {
    job: 1001,
    procedure: 'policy_compression',
    on: 'price_history',
    every: '12:00:00',
    lastRun: new Date('2026-06-01T06:00:00Z'),
    lastStatus: 'success',
    runs: 10,
    failures: 0,
    failuresInARow: 0,
    lastError: null,
    isErrorSeen: true,
    nextStart: new Date('2026-06-01T18:00:00Z'),
    isScheduled: true,
  };
  const failed = { lastStatus: 'failed', failuresInARow: 3 } as const;
  const late = { nextStart: new Date('2026-06-01T09:00:00Z') };

  it.each<[string, Partial<TimescaleJob>, Partial<JobFacts>, RegExp | undefined]>([
    ['runs', {}, {}, undefined],
    ['failed once', { ...failed, failuresInARow: 1 }, {}, undefined],
    [
      'failed again',
      { ...failed, lastError: 'no space' },
      {},
      /3 times in a row: no space.*`call run_job\(1001\)`/,
    ],
    [
      'reports an error after its work',
      { ...failed, lastError: 'cannot drop portal "" while it is being set up' },
      {},
      undefined,
    ],
    ['failed again, which the role may not see', { ...failed, isErrorSeen: false }, {}, undefined],
    ['reports telemetry', { ...failed, procedure: 'policy_telemetry' }, {}, undefined],
    ['is paused', { isScheduled: false }, {}, /`select alter_job\(1001, scheduled => true\)`/],
    ['is late', late, {}, /is 3 h late/],
    ['is late and runs', { ...late, lastStatus: 'running' }, {}, undefined],
    ['is late on a standby', late, { runsJobs: false }, undefined],
    ['has no scheduler', late, { scheduler: 'missing' }, /^No scheduler.*start_background_workers/],
    ['has no scheduler on a standby', {}, { scheduler: 'missing', runsJobs: false }, undefined],
    ['is of a template', {}, { scheduler: 'template' }, /`cryptosense-db backup activate`/],
  ])('where one %s', (_, given, facts, expected) => {
    const advice = adviseJobs({
      jobs: [{ ...job, ...given }],
      scheduler: 'running',
      runsJobs: true,
      now,
      ...facts,
    });
    expect(advice).toEqual(expected ? [expect.stringMatching(expected)] : []);
  });
});

it('a hypertable whose compression saves little is advised to segment it otherwise', () => {
  const table: TableSize = {
    table: 'prices',
    kind: 'hypertable',
    rows: 1,
    chunks: 3,
    tableBytes: 1e6,
    indexBytes: 30e6,
    toastBytes: 0,
    totalBytes: 31e6,
    beforeBytes: 40e6,
    afterBytes: 10e6,
  };
  expect(adviseSizes([table])).toEqual([]);
  expect(adviseSizes([{ ...table, afterBytes: 30e6 }])).toEqual([
    expect.stringContaining('Compression of prices saves less than half: 40.0 MB became 30.0 MB'),
  ]);
});

it('few reads say nothing about memory', () => {
  const row = {
    table: 'all tables',
    readPages: 9_999,
    hitPages: 1,
    hitRatio: 0,
    indexHitRatio: null,
  };
  expect(adviseCache([row], 1e6)).toEqual([]);
  expect(adviseCache([{ ...row, readPages: 10_001 }], 1e6)).toHaveLength(1);
});

it('names five assets at most, and the number of the others', () => {
  const now = new Date('2026-06-30T00:00:00Z');
  const rows = Array.from(
    { length: 8 },
    (_, index): AssetCoverage => ({
      asset: `A${index}`,
      interval: 'daily',
      first: new Date('2026-01-01T00:00:00Z'),
      last: new Date('2026-06-29T00:00:00Z'),
      prices: 1,
      gaps: 2,
      openGaps: index === 7 ? 0 : 2,
      candlesMissing: 0,
      isStale: false,
    }),
  );
  expect(adviseCoverage(rows, now)).toEqual([
    expect.stringMatching(
      /^A0, A1, A2, A3, A4 and 2 more assets: no price for 14 days\..*--from 2026-01-01`/,
    ),
  ]);
});

describe('buildLockTrees', () => {
  const session = (pid: number, blockers: readonly number[]): LockedSession => ({
    pid,
    role: '',
    application: '',
    state: null,
    transactionMs: null,
    waitMs: null,
    waitsFor: null,
    statement: null,
    blockers,
  });
  interface Pids {
    readonly pid: number;
    readonly below: readonly Pids[];
  }
  const pidsOf = (trees: ReturnType<typeof buildLockTrees>): readonly Pids[] =>
    trees.map(({ session: { pid }, below }) => ({ pid, below: pidsOf(below) }));

  it.each<[string, readonly LockedSession[], readonly Pids[]]>([
    ['no session', [], []],
    [
      'a queue below the session that holds the lock',
      [session(1, []), session(2, [1]), session(3, [2, 1])],
      [
        {
          pid: 1,
          below: [
            { pid: 2, below: [] },
            { pid: 3, below: [] },
          ],
        },
      ],
    ],
    [
      'a chain',
      [session(3, [2]), session(2, [1]), session(1, [])],
      [{ pid: 1, below: [{ pid: 2, below: [{ pid: 3, below: [] }] }] }],
    ],
    [
      'a deadlock, each session once',
      [session(1, [2]), session(2, [1])],
      [{ pid: 1, below: [{ pid: 2, below: [] }] }],
    ],
    ['a session whose blocker has gone', [session(2, [1])], [{ pid: 2, below: [] }]],
  ])('places %s', (_, sessions, expected) => {
    expect(pidsOf(buildLockTrees(sessions))).toEqual(expected);
  });
});

it.each([
  ["select * from users where email = 'a@b.c'", "select * from users where email = '…'"],
  ["select 'it''s', E'a\\'b', 1", "select '…', '…', 1"],
  ["create role x password 'cut of", "create role x password '…'"],
  ['do $body$ secret $body$; select $1', "do '…'; select $1"],
  ['select $$cut', "select '…'"],
  ['select\n  1', 'select 1'],
])('withoutTexts(%j) is %j', (statement, expected) => {
  expect(withoutTexts(statement)).toBe(expected);
});
