import { stripVTControlCharacters } from 'node:util';
import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { Replica } from '../../src/database/replicas.ts';
import type { ReplicaWait, RunResult, StatusResult } from '../../src/migrations/migrate.ts';
import { CryptosenseDbError } from '../../src/runtime/errors.ts';
import { width } from '../../src/runtime/excerpt.ts';
import {
  errorDocument,
  formatDuration,
  renderBaseline,
  renderProblems,
  renderRepair,
  renderRun,
  renderScaffold,
  renderStatus,
} from '../../src/ui/render.ts';
import type { Look } from '../../src/ui/table.ts';

const plain: Look = { chalk: new Chalk({ level: 0 }), columns: undefined };
const coloured: Look = { chalk: new Chalk({ level: 1 }), columns: undefined };

describe('formatDuration', () => {
  it.each([
    [undefined, ''],
    [0, '0 ms'],
    [0.4, '0 ms'],
    [999.4, '999 ms'],
    [999.6, '1.0 s'],
    [1_000, '1.0 s'],
    [3_449, '3.4 s'],
    [59_949, '59.9 s'],
    [59_960, '1 min 0 s'],
    [60_000, '1 min 0 s'],
    [119_600, '2 min 0 s'],
    [125_000, '2 min 5 s'],
    [3_599_400, '59 min 59 s'],
    [3_599_600, '1 h'],
    [3_600_000, '1 h'],
    [3_929_000, '1 h 5 min'],
    [7_199_000, '2 h'],
    [4 * 3_600_000, '4 h'],
    [26 * 3_600_000, '26 h'],
  ])('%s is %j', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

function replica(of: Partial<Replica>): Replica {
  return {
    name: 'walreceiver',
    address: undefined,
    state: 'streaming',
    lagBytes: 0,
    lagMs: undefined,
    ...of,
  };
}

const status: StatusResult = {
  target: 'db.example:5432/cryptosense',
  database: 'cryptosense',
  environment: 'production',
  isCurrent: false,
  invalidIndexes: [],
  replicas: [],
  migrations: [
    {
      version: '20251007_120000',
      description: 'create_users_table',
      state: 'applied',
      appliedAt: new Date('2026-11-20T14:02:59.999Z'),
      appliedBy: 'deploy',
      durationMs: 12,
      interruption: undefined,
    },
    {
      version: '20251007_121100',
      description: 'create_social_sentiment_history_table',
      state: 'changed',
      appliedAt: new Date('2026-11-20T14:03:00Z'),
      appliedBy: 'cryptosense_migrations',
      durationMs: 3_599_000,
      interruption: undefined,
    },
    ...(['out of order', 'missing', 'interrupted', 'pending'] as const).map((state, index) => ({
      version: `20251008_12000${index}`,
      description: 'add_holdings_exchange_connection',
      state,
      appliedAt: undefined,
      appliedBy: undefined,
      durationMs: undefined,
      interruption: undefined,
    })),
  ],
};

describe('renderStatus', () => {
  it('returns a table and a line with the number of migrations in each state', () => {
    expect(renderStatus({ ...status, migrations: status.migrations.slice(0, 1) }, plain)).toBe(
      [
        'version          description         state    applied (UTC)     by       took',
        '20251007_120000  create_users_table  applied  2026-11-20 14:02  deploy  12 ms',
        '',
        'db.example:5432/cryptosense, production: 1 applied',
        '',
      ].join('\n'),
    );
  });

  it('names each invalid index with its remedy', () => {
    const found = { version: '20251007_120000', schema: 'public', index: 'I x', table: 'users' };
    const invalidIndexes = [true, false].map((isPartitioned) => ({ ...found, isPartitioned }));
    const lines = renderStatus({ ...status, invalidIndexes }, plain).split('\n');
    expect(lines).toContain(
      '20251007_120000  the index public.I x on users is invalid, and no query uses it',
    );
    expect(lines).toContain('hint: rebuild it with: reindex index concurrently "public"."I x"');
    expect(lines).toContain(
      'hint: attach the index of each partition with: alter index "public"."I x" attach partition …',
    );
  });

  it('shows how far each replica is behind, and what a role has to be granted to see it', () => {
    const lines = renderStatus(
      {
        ...status,
        migrations: status.migrations.slice(0, 1),
        replicas: [
          replica({ name: 'north' }),
          replica({ name: 'south', address: '10.0.0.7', lagBytes: 1_200_000, lagMs: 3_449 }),
          replica({ name: 'west', state: 'catchup', lagBytes: undefined }),
          replica({ name: 'east', state: undefined, lagBytes: undefined }),
        ],
      },
      plain,
    ).split('\n');
    expect(lines.slice(2, -2)).toEqual([
      '',
      'replica  address   state      behind',
      'north              streaming  nothing',
      'south    10.0.0.7  streaming  1.2 MB, 3.4 s',
      'west               catchup    not known',
      'east                          not visible to this role',
      'hint: let a superuser run: grant pg_monitor to ROLE',
      '',
    ]);
  });

  it('says how far an interrupted migration has run', () => {
    const at = new Date('2026-11-20T14:02:59.999Z');
    const interrupted = status.migrations.filter(({ state }) => state === 'interrupted');
    const lines = (started: { readonly statement: number; readonly at: Date } | undefined) =>
      renderStatus(
        {
          ...status,
          migrations: interrupted.map((migration) => ({
            ...migration,
            interruption: { direction: 'up', finished: 2, started },
          })),
        },
        plain,
      ).split('\n');
    expect(lines(undefined)).toContain('20251008_120002  up: 2 statements finished');
    expect(lines({ statement: 3, at })).toContain(
      '20251008_120002  up: 2 statements finished; statement 3 started 2026-11-20 14:02 UTC, and its end is not recorded',
    );
  });

  it.each([80, 60])('fits long names and durations into %i columns', (columns) => {
    const lines = renderStatus(status, { ...plain, columns }).split('\n');
    const table = lines.slice(0, lines.indexOf(''));
    expect(Math.max(...table.map(width))).toBeLessThanOrEqual(columns);
    expect(lines).toHaveLength(status.migrations.length + 4);
    for (const { version, state } of status.migrations)
      expect(lines).toContainEqual(expect.stringMatching(new RegExp(`^${version} .* ${state}\\b`)));
    expect(lines.at(-2)).toBe(
      'db.example:5432/cryptosense, production: 1 applied, 1 changed, 1 out of order, 1 missing, 1 interrupted, 1 pending',
    );
  });

  it('cuts no text without a terminal', () => {
    expect(renderStatus(status, plain)).toContain('create_social_sentiment_history_table');
  });

  it('returns the same text in colour', () => {
    const text = renderStatus(status, coloured);
    expect(text).not.toBe(renderStatus(status, plain));
    expect(stripVTControlCharacters(text)).toBe(renderStatus(status, plain));
  });

  it('reports that there are no migrations', () => {
    expect(renderStatus({ ...status, environment: undefined, migrations: [] }, plain)).toBe(
      'db.example:5432/cryptosense: no migrations\n',
    );
  });
});

describe('renderRun', () => {
  const step = (direction: 'up' | 'down', durationMs: number) => ({
    direction,
    version: '20251007_120000',
    description: 'create_users_table',
    durationMs,
  });
  const idle: RunResult = {
    target: 'localhost:5432/cryptosense',
    database: 'cryptosense',
    environment: undefined,
    steps: [],
    isDryRun: false,
    applied: 20,
    pending: [],
  };
  const pending = [{ version: '20251008_120000', description: 'later' }];
  const up = step('up', 12);
  const down = step('down', 1_000);

  it.each<[string, Partial<RunResult>, string]>([
    ['a run without steps', {}, 'nothing to do: 20 applied in localhost:5432/cryptosense'],
    [
      'a run without steps and with a pending migration',
      { pending },
      'nothing to do: 20 applied, 1 pending in localhost:5432/cryptosense',
    ],
    [
      'a run with one migration',
      { steps: [up] },
      '1 migration applied in localhost:5432/cryptosense, 12 ms',
    ],
    [
      'a run with two of three migrations',
      { steps: [up, up], pending },
      '2 migrations applied in localhost:5432/cryptosense, 1 pending, 24 ms',
    ],
    [
      'a rollback',
      { steps: [down] },
      '1 migration rolled back in localhost:5432/cryptosense, 1.0 s',
    ],
    [
      'a redo',
      { steps: [down, up] },
      '1 migration rolled back, 1 migration applied in localhost:5432/cryptosense, 1.0 s',
    ],
    [
      'a dry run',
      { steps: [down, up], isDryRun: true },
      [
        'down 20251007_120000  create_users_table',
        'up   20251007_120000  create_users_table',
        '1 migration to roll back, 1 migration to apply in localhost:5432/cryptosense; nothing was changed',
      ].join('\n'),
    ],
  ])('returns the line of %s', (_, result, text) => {
    expect(renderRun({ ...idle, ...result }, plain)).toBe(`${text}\n`);
  });

  it('names conflicts with queries on replicas in a dry run, where there are replicas', () => {
    const lock = {
      line: 3,
      statement: 'ALTER TABLE',
      relations: ['public.users', 'public.orders'],
    };
    const all = { line: 9, statement: 'DROP OWNED', relations: [] };
    const steps = [{ ...up, replayConflicts: [lock, all] }];
    const planned = { ...idle, steps, isDryRun: true };
    const lines = (replicas: readonly Replica[]) =>
      renderRun({ ...planned, replicas }, plain)
        .split('\n')
        .slice(1, -2);
    expect(lines([])).toEqual([]);
    expect(lines([replica({}), replica({})])).toEqual([
      '     conflicts with queries on replicas: line 3, ALTER TABLE public.users, public.orders',
      '     conflicts with queries on replicas: line 9, DROP OWNED',
      'on 2 replicas, queries on these relations are cancelled after max_standby_streaming_delay',
    ]);
    expect(
      renderRun(
        { ...planned, steps: [{ ...up, replayConflicts: [] }], replicas: [replica({})] },
        plain,
      ),
    ).not.toContain('replica');
  });

  it('says how many replicas have replayed all', () => {
    const wait = (of: Partial<ReplicaWait>) =>
      renderRun(
        { ...idle, replicaWait: { replicas: [], hasAll: true, waitedMs: 1_234, ...of } },
        plain,
      )
        .split('\n')
        .slice(1);
    const late = { ...replica({ name: 'south' }), hasReplayed: false, isConnected: true };
    const done = { ...late, name: 'north', hasReplayed: true };
    expect(wait({})).toEqual(['no replica streams from the server', '']);
    expect(wait({ replicas: [done] })).toEqual(['1 replica replayed all after 1.2 s', '']);
    const replicas = [
      done,
      { ...late, address: '10.0.0.7', lagBytes: 1_200_000 },
      { ...late, name: 'west', isConnected: false },
      { ...late, name: 'east', state: undefined, lagBytes: undefined },
    ];
    expect(wait({ replicas, hasAll: false })).toEqual([
      '3 of 4 replicas have not replayed all after 1.2 s; the migrations stay applied',
      '  south (10.0.0.7): streaming, 1.2 MB behind',
      '  west: its connection to the primary ended',
      '  east: not visible to this role',
      'hint: where replay is paused, run on the replica: select pg_wal_replay_resume()',
      'hint: wait again with: cryptosense-db migrate up --wait-for-replicas 5m',
      '',
    ]);
  });
});

describe('the results of other commands', () => {
  it('have one line for each fact', () => {
    const named = { version: '20251007_120000', description: 'create_users_table' };
    expect(
      [
        renderScaffold(
          {
            version: 'v',
            migration: 'm/v_a.sql',
            rollback: 'r/v_a.sql',
            folderFlags: ' --migrations m --rollbacks r',
          },
          plain,
        ),
        renderRepair(
          {
            repaired: [named],
            forgotten: ['20251007_120100'],
            toRepeat: ['20251007_120200'],
            finished: ['20251007_120300'],
          },
          plain,
        ),
        renderRepair({ repaired: [], forgotten: [], toRepeat: [], finished: [] }, plain),
        renderBaseline({ recorded: [named, named] }, plain),
      ].join(''),
    ).toBe(
      [
        'created m/v_a.sql',
        'created r/v_a.sql',
        'apply it with: cryptosense-db migrate up --migrations m --rollbacks r',
        'recorded 20251007_120000  create_users_table',
        'forgot   20251007_120100',
        'the next run repeats the interrupted statement of 20251007_120200',
        'the interrupted statement of 20251007_120300 counts as finished',
        'nothing to repair: history and files agree',
        '2 migrations recorded as applied, none run',
        '',
      ].join('\n'),
    );
  });
});

describe('rendered errors', () => {
  const problems = [
    {
      message: 'a.sql changed',
      evidence: ['recorded 4f1c09…', 'on disk  9ab27e…'],
      hint: 'restore it',
    },
    { message: 'b.sql is empty' },
  ];
  const error = new CryptosenseDbError('history-mismatch', problems, {
    details: { versions: ['20251007_120000'] },
    cause: new Error('the cause'),
  });

  it('show each fact, its indented evidence and its hint', () => {
    expect(renderProblems(problems, plain)).toBe(
      'a.sql changed\n  recorded 4f1c09…\n  on disk  9ab27e…\nhint: restore it\nb.sql is empty\n',
    );
    expect(stripVTControlCharacters(renderProblems(problems, coloured))).toBe(
      renderProblems(problems, plain),
    );
  });

  it('do not send the control characters of a file to the terminal', () => {
    const message = 'a.csv:2: "\u001b[31m" is not a price';
    expect(renderProblems([{ message, evidence: ['a\tb\u009b2J'] }], plain)).toBe(
      'a.csv:2: "�[31m" is not a price\n  a\tb�2J\n',
    );
  });

  it('are one JSON document with the code, the problems and the details, without the cause', () => {
    expect(JSON.parse(JSON.stringify(errorDocument(error)))).toEqual({
      error: {
        code: 'history-mismatch',
        message: 'a.sql changed\nrecorded 4f1c09…\non disk  9ab27e…\nb.sql is empty',
        problems,
        details: { versions: ['20251007_120000'] },
      },
    });
  });

  it('have no details in the JSON document when the code has none', () => {
    const { error: document } = errorDocument(
      new CryptosenseDbError('no-target', { message: 'no database is named' }),
    );
    expect(document).not.toHaveProperty('details');
  });
});
