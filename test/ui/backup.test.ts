import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { CheckResult } from '../../src/backup/check.ts';
import type { DrillResult } from '../../src/backup/report.ts';
import type { WalState } from '../../src/backup/wal/state.ts';
import {
  renderBackup,
  renderBackups,
  renderCheck,
  renderDrill,
  renderPruned,
  renderSchedule,
} from '../../src/ui/backup.ts';
import { formatBytes } from '../../src/ui/bar.ts';
import { manifestFor } from '../support/backups.ts';

const plain = { chalk: new Chalk({ level: 0 }), columns: 100 };
const startedAt = new Date('2026-01-31T02:00:00Z');
const id = '2026-01-31T020000Z-aaaaaa';
const place = { database: 'shop', id, startedAt, bytes: 47_300_000 };
const hourMs = 3_600_000;

it.each([
  [0, '0 B'],
  [999, '999 B'],
  [1_000, '1.0 kB'],
  [47_260_000, '47.3 MB'],
  [624_000_000, '624 MB'],
  [999_999, '1,000 kB'],
  [1_200_000_000_000, '1.2 TB'],
  [5_000_000_000_000_000, '5,000 TB'],
])('%d bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

describe('a list of backups', () => {
  const listed = {
    ...place,
    environment: 'production',
    finishedAt: startedAt,
    ageMs: 30 * hourMs,
    isEncrypted: true,
    tables: 2,
    rows: 1_049_925,
    migration: '20251007_120000',
  };

  it('has a line for each, and the total', () => {
    const other = { ...listed, environment: null, isEncrypted: false, migration: null };
    const result = { store: '/b', backups: [listed, other], damaged: [], unfinished: [] };
    expect(renderBackups(result, plain)).toBe(
      [
        'id                         database  mark        age     size  dump            rows  migration',
        `${id}  shop      production  1 d  47.3 MB  encrypted  1,049,925  20251007_120000`,
        `${id}  shop                  1 d  47.3 MB  plain      1,049,925`,
        '',
        '/b: 2 backups, 94.6 MB',
        '',
      ].join('\n'),
    );
    for (const line of renderBackups(result, { ...plain, columns: 60 }).split('\n')) {
      expect(line.length).toBeLessThanOrEqual(70);
    }
  });

  it('says what cannot be used, and that there is none', () => {
    const result = {
      store: '/b',
      backups: [],
      damaged: [{ ...place, ageMs: hourMs, reason: 'dump is missing' }],
      unfinished: [{ ...place, ageMs: hourMs }],
    };
    expect(renderBackups(result, plain)).toBe(
      [
        `damaged ${id} of shop: dump is missing`,
        `unfinished ${id} of shop: 1 h old, 47.3 MB, or a backup that is running`,
        '/b: no backups',
        '',
      ].join('\n'),
    );
  });
});

it('a backup shows its facts and its tables', () => {
  const manifest = manifestFor({ startedAt, recipients: ['age1x'] });
  const text = renderBackup({ store: '/b', key: `shop/${id}/manifest.json`, manifest }, plain);
  expect(text).toBe(
    [
      id,
      'database     shop, production',
      'taken        2026-01-31 02:00 UTC, in 1 min 30 s',
      `dump         dump.age, 5 B, SHA-256 ${manifest.dump.stored.sha256}`,
      'encrypted    for age1x',
      'PostgreSQL   15.20, pg_dump 15.20',
      'TimescaleDB  2.28.3',
      'migration    20251007_120000',
      'hypertables  1 hypertable, 52 chunks, 50 compressed',
      'jobs         1',
      'roles        app',
      `place        /b, shop/${id}/manifest.json`,
      '',
      'table                 kind             rows',
      'public.users          table           1,000',
      'public.price_history  hypertable  1,048,925',
      '',
      '2 tables, 1,049,925 rows',
      '',
    ].join('\n'),
  );
});

describe('what prune did', () => {
  const result = {
    store: '/b',
    isDryRun: false,
    keep: { days: 7, weeks: 0, months: 12 },
    kept: [
      {
        ...place,
        rules: [
          { rule: 'newest' as const },
          { rule: 'day' as const, period: '2026-01-31' },
          { rule: 'month' as const, period: '2026-01' },
        ],
      },
    ],
    deleted: [{ ...place, id: '2026-01-30T020000Z-aaaaaa' }],
    unfinished: [{ ...place, ageMs: 26 * hourMs, isDeleted: true }],
    uploads: [{ key: `shop/${id}/dump`, startedAt, ageMs: hourMs, isDeleted: false }],
    damaged: [{ ...place, ageMs: hourMs, reason: 'dump is missing' }],
    deletedBytes: 94_600_000,
  };

  it('names what stays and why, and what was deleted', () => {
    expect(renderPruned(result, plain)).toBe(
      [
        'kept                       database     size  by',
        `${id}  shop      47.3 MB  newest, day 2026-01-31, month 2026-01`,
        '',
        'deleted 2026-01-30T020000Z-aaaaaa of shop: 47.3 MB, no rule keeps it',
        `unfinished ${id} of shop: 1 d old, 47.3 MB, deleted`,
        `open upload of shop/${id}/dump: 1 h old, left, because it may be running`,
        `damaged ${id} of shop: dump is missing; left alone`,
        '',
        '1 backup deleted, 94.6 MB, 1 kept in /b by 7d,12m',
        '',
      ].join('\n'),
    );
  });

  it('says of a dry run what would be, and of nothing that there is nothing', () => {
    const text = renderPruned({ ...result, isDryRun: true }, plain);
    expect(text).toContain('would delete 2026-01-30T020000Z-aaaaaa of shop');
    expect(text).toMatch(/1 backup to delete, 94\.6 MB, 1 kept .*; nothing was changed\n$/);
    const nothing = { kept: [], deleted: [], unfinished: [], uploads: [], damaged: [] };
    expect(renderPruned({ ...result, ...nothing, deletedBytes: 0 }, plain)).toBe(
      '0 backups deleted, 0 kept in /b by 7d,12m\n',
    );
  });
});

describe('a check', () => {
  const fine: CheckResult = {
    store: '/b',
    maxAgeMs: 26 * hourMs,
    maxVerifiedAgeMs: 192 * hourMs,
    databases: [
      {
        database: 'shop',
        newest: { id, at: startedAt, ageMs: 25.5 * hourMs },
        verified: { id, at: startedAt, ageMs: 50 * hourMs },
      },
    ],
    problems: [],
    wal: undefined,
    isFine: true,
  };
  const wal: WalState = {
    newest: { name: '000000010000000000000007', at: startedAt, bytes: 1 },
    windows: [],
    gaps: [],
    archiver: undefined,
    unread: undefined,
    lossMs: 185_000,
    problems: [],
  };

  it('that is fine says which limit was kept', () => {
    expect(renderCheck(fine, plain)).toBe(
      'shop: newest 1 d old, verified 2 d ago\n/b: fine, the newest backup is not older than 26 h\n',
    );
  });

  it('names the newest WAL and what would be lost', () => {
    expect(renderCheck({ ...fine, wal }, plain)).toContain(
      'WAL: newest 000000010000000000000007; at most 3 min 5 s would be lost\n',
    );
    const none = { ...wal, newest: undefined, lossMs: undefined };
    expect(renderCheck({ ...fine, wal: none }, plain)).toContain('\nWAL: none\n');
  });

  it('says what is missing, and how old what is too old is', () => {
    const problem = { kind: 'too old', database: 'shop', detail: 'it is too old' } as const;
    const result = {
      ...fine,
      databases: [{ database: 'shop', newest: null, verified: null }],
      problems: [
        { ...problem, ageMs: 26.1 * hourMs },
        { ...problem, ageMs: 80 * hourMs },
        { ...problem, ageMs: undefined },
      ],
      isFine: false,
    };
    expect(renderCheck(result, plain)).toBe(
      [
        'shop: no backup, never verified',
        'problem: it is too old (26 h 6 min)',
        'problem: it is too old (3 d)',
        'problem: it is too old',
        '/b: 3 problems',
        '',
      ].join('\n'),
    );
  });
});

it('a schedule is its files, or their names once they are written', () => {
  const files = [
    { name: 'a', text: '# a\n' },
    { name: 'b', text: '# b\n' },
  ];
  expect(renderSchedule({ for: 'systemd', files, out: undefined }, plain)).toBe('# a\n\n# b\n');
  expect(renderSchedule({ for: 'systemd', files, out: 'units' }, plain)).toBe(
    'wrote a\nwrote b\n2 files in units; the comments at their head say what comes next\n',
  );
});

describe('a drill', () => {
  const result: DrillResult = {
    store: '/b',
    id,
    source: 'shop',
    backedUpAt: startedAt,
    startedAt,
    environment: 'production',
    newestMigration: '20251007_120000',
    copy: 'shop_drill_20260131030000',
    moment: undefined,
    phases: [{ name: 'restore', durationMs: 7_000 }],
    restoreMs: 7_000,
    rtoMs: 60_000,
    tables: [{ name: 'public.users', kind: 'table', rows: 1_000, hash: '1' }],
    differences: [],
    smokeTests: [
      { name: 'login', outcome: 'passed', detail: 'an account was found', durationMs: 4 },
    ],
    hasPassed: true,
  };

  it('has a line for each phase, each test, the data and the time', () => {
    expect(renderDrill(result, plain)).toBe(
      [
        'restore               7.0 s',
        'login                  4 ms  passed: an account was found',
        '',
        'the same: 1,000 rows in 1 table',
        'in time: 7.0 s of 1 min 0 s',
        `drill of ${id} of shop: passed`,
        '',
      ].join('\n'),
    );
  });

  it('names what differs, and a time that is over', () => {
    const failed = {
      ...result,
      differences: ['table public.users: rows 1000 in the backup, 999 restored'],
      smokeTests: [],
      rtoMs: 5_000,
      hasPassed: false,
    };
    expect(renderDrill(failed, plain)).toBe(
      [
        'restore               7.0 s',
        'differs table public.users: rows 1000 in the backup, 999 restored',
        '',
        '1 difference from the manifest',
        'too slow: 7.0 s of 5.0 s',
        `drill of ${id} of shop: failed`,
        '',
      ].join('\n'),
    );
  });

  it('of a moment says how near the copy came, and how a copy that is kept is started', () => {
    const moment = {
      to: new Date('2026-01-31T02:30:00Z'),
      newestTransactionAt: new Date('2026-01-31T02:29:58Z'),
      newestEntry: null,
      kept: { startCommand: 'pg_ctl start', stopCommand: 'pg_ctl stop' },
    };
    const ofMoment = { ...result, id: '20260131-020000F', copy: '/copies/one/data', moment };
    expect(renderDrill(ofMoment, plain)).toBe(
      [
        'restore               7.0 s',
        'login                  4 ms  passed: an account was found',
        '',
        'read: 1,000 rows in 1 table',
        'from 20260131-020000F: the newest transaction 2 s before the moment',
        'kept: /copies/one/data; start it with:',
        'pg_ctl start',
        'in time: 7.0 s of 1 min 0 s',
        'drill of shop at 2026-01-31T02:30:00.000Z: passed',
        '',
      ].join('\n'),
    );
  });
});
