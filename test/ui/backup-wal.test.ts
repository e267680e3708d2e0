import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { WalConfig } from '../../src/backup/wal/config.ts';
import type { WalList } from '../../src/backup/wal/list.ts';
import type { WalRestore } from '../../src/backup/wal/restore.ts';
import type { WalProblem } from '../../src/backup/wal/state.ts';
import {
  describeWalProblem,
  renderWalConfig,
  renderWalList,
  renderWalRestore,
  renderWalRun,
} from '../../src/ui/backup-wal.ts';

const plain = { chalk: new Chalk({ level: 0 }), columns: 80 };
const at = (text: string) => new Date(`2026-01-31T${text}Z`);

const backup = {
  label: '20260131-020000F',
  type: 'full',
  startedAt: at('02:00:00'),
  stoppedAt: at('02:00:04'),
  prior: undefined,
  bytes: 624_000_000,
  storedBytes: 47_000_000,
  hasDamagedPages: false,
  wal: { start: '000000010000000000000002', stop: '000000010000000000000002' },
  archive: '15-1',
} as const;

const configured: WalConfig = {
  stanza: 'main',
  config: '[global]\nrepo1-path=/backups\n\n[main]\npg1-path=/data\n',
  secrets: [],
  file: undefined,
  settings: [{ name: 'archive_mode', value: 'on', current: undefined, needsRestart: true }],
  sql: "ALTER SYSTEM SET archive_mode = 'on';\n",
  commands: ['cryptosense-db backup wal run full'],
};

describe('a configuration', () => {
  it('is printed with the statements and what comes after them', () => {
    expect(renderWalConfig(configured, plain)).toBe(
      [
        configured.config,
        '-- then on the server, as a superuser',
        "ALTER SYSTEM SET archive_mode = 'on';",
        '-- then restart the server, for archive_mode',
        "-- then the first backup, as the server's user",
        'cryptosense-db backup wal run full',
        '',
      ].join('\n'),
    );
  });

  it('is named where a file has it, and a command of another tool is named before it is replaced', () => {
    const settings = [
      { name: 'archive_command', value: 'b', current: 'cp %p /x/%f', needsRestart: false },
    ];
    const text = renderWalConfig({ ...configured, file: '/etc/x.conf', settings }, plain);
    expect(text.split('\n').slice(0, 1)).toEqual(['wrote /etc/x.conf']);
    expect(text).toContain('-- this replaces the archive_command: cp %p /x/%f\n');
    expect(text).toContain('SELECT pg_reload_conf();\n');
  });

  it('says where its secrets are', () => {
    const text = renderWalConfig({ ...configured, secrets: ['repo1-cipher-pass'] }, plain);
    expect(text).toContain('# repo1-cipher-pass: --out FILE writes them\n');
  });
});

it('a run names the backup and what it has dropped', () => {
  const run = {
    stanza: 'main',
    repository: '/backups',
    backup,
    expired: ['20251201-020000F'],
    kept: 1,
    durationMs: 4_600,
  };
  expect(renderWalRun(run, plain)).toBe(
    [
      'expired 20251201-020000F: no rule keeps it',
      'full backup 20260131-020000F in /backups: 47.0 MB stored of 624 MB, 4.6 s',
      '1 backup kept',
      '',
    ].join('\n'),
  );
});

it('a list has the backups, the gaps and what can be restored', () => {
  const list: WalList = {
    stanza: 'main',
    repository: 's3://backups/wal',
    backups: [
      { ...backup, rules: [{ rule: 'newest' }, { rule: 'wal' }, { rule: 'needed' }] },
      { ...backup, label: '20260131-040000F', rules: [], hasDamagedPages: true },
    ],
    wal: {
      archive: '15-1',
      segments: 0,
      bytes: 0,
      first: undefined,
      last: undefined,
      gaps: [
        { first: 'A', last: 'A', segments: 1, after: undefined },
        { first: 'C', last: 'E', segments: 3, after: at('03:00:00') },
      ],
      windows: [
        { from: at('02:00:04'), to: at('02:00:04') },
        { from: at('02:00:04'), to: at('03:00:00') },
      ],
    },
  };
  expect(renderWalList(list, { ...plain, columns: undefined })).toBe(
    [
      'label             type  ended (UTC)        stored    size  kept by',
      '20260131-040000F  full  2026-01-31 02:00  47.0 MB  624 MB  no rule',
      '20260131-020000F  full  2026-01-31 02:00  47.0 MB  624 MB  newest, days of WAL, another backup builds on it',
      '',
      'damaged 20260131-040000F: pages with a wrong checksum; see the log of pgBackRest',
      'missing A',
      'missing C, and 2 more up to E; the WAL before it ends 2026-01-31 03:00 UTC',
      'can be restored 2026-01-31 02:00:04 UTC',
      'can be restored 2026-01-31 02:00:04 UTC to 2026-01-31 03:00:00 UTC',
      '',
      'no WAL',
      'main: 2 physical backups in s3://backups/wal',
      '',
    ].join('\n'),
  );
});

describe('a restore', () => {
  const restored: WalRestore = {
    folder: '/copy',
    stanza: 'main',
    repository: 's3://backups/wal',
    backup,
    to: at('02:30:00'),
    gap: undefined,
    action: 'pause',
    startCommand: 'pg_ctl start',
    stopCommand: 'pg_ctl stop',
    settings: ["archive_mode = 'off'"],
    hasOwnConfig: false,
    durationMs: 2_500,
  };

  it('names the commands in the order in which they are typed', () => {
    expect(renderWalRestore(restored, plain)).toBe(
      [
        'restored 20260131-020000F into /copy, 2.5 s',
        '# start it: it replays the WAL up to 2026-01-31T02:30:00.000Z',
        'pg_ctl start',
        '# if start.log says that recovery ended before the target, the archive has no transaction after the moment: choose an earlier one, or let the server archive more: select pg_switch_wal()',
        '# it is there when this answers paused: select pg_get_wal_replay_pause_state()',
        '# it writes nothing; to let it write: select pg_wal_replay_resume()',
        '# stop it',
        'pg_ctl stop',
        "# to have it replace the server, take these out of postgresql.auto.conf: archive_mode = 'off'",
        '',
      ].join('\n'),
    );
  });

  it('says where the WAL ends that a gap follows', () => {
    const gap = { first: 'A', last: 'A', segments: 1, after: at('02:10:00') };
    const text = renderWalRestore({ ...restored, to: 'latest', action: 'promote', gap }, plain);
    expect(text).toContain(
      '# start it: it replays the WAL up to the gap: A; the WAL before it ends 2026-01-31 02:10 UTC\n',
    );
  });

  it('says when a copy that takes writes is there', () => {
    const text = renderWalRestore({ ...restored, to: 'latest', action: 'promote' }, plain);
    expect(text).toContain('up to the end of the WAL\n');
    expect(text).toContain('select pg_is_in_recovery()\n');
  });
});

it.each<[WalProblem, string]>([
  [{ kind: 'no-wal' }, 'no WAL is archived'],
  [
    { kind: 'old-wal', lossMs: 7_200_000, rpoMs: 3_600_000 },
    'WAL of the last 2 h is not archived; 1 h may be lost at most',
  ],
  [
    { kind: 'gap', gap: { first: 'A', last: 'A', segments: 1, after: undefined } },
    'WAL is missing: A',
  ],
  [{ kind: 'archiving-off' }, 'the server archives no WAL: archive_mode is off'],
  [
    { kind: 'archiver-failing', segment: 'A', since: at('02:00:00') },
    "the server cannot archive A: its archive_command fails since 2026-01-31 02:00 UTC; the server's log says why",
  ],
  [
    { kind: 'not-in-repository', segment: 'A' },
    'the server has archived A, and the repository does not have it',
  ],
])('$kind is one line', (problem, line) => {
  expect(describeWalProblem(problem)).toBe(line);
});
