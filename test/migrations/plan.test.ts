import { describe, expect, it } from 'vitest';
import type { JournalEntry, LedgerEntry } from '../../src/ledger/ledger.ts';
import { describeMismatch } from '../../src/migrations/mismatch.ts';
import { type Extent, planDown, planRedo, planUp } from '../../src/migrations/plan.ts';
import { checksumOf, type MigrationPair } from '../../src/migrations/source.ts';
import {
  compareWithLedger,
  findRenamed,
  type MigrationState,
} from '../../src/migrations/status.ts';
import { isError } from '../../src/runtime/errors.ts';

/*
 * Files and history, one word for each version: `1` is version 1, the same in both; `1+` is only
 * on disk, `1-` only recorded; `1m`, `1r` and `1n` are recorded with another migration, rollback or
 * name; `1^` ran in part up and is only on disk, `1v` ran in part down and is in both.
 */
type Scene = string;

const digit = (version: string) => version.replace(/^\d{8}_\d{5}/, '');
const versionOf = (number: string) => `20250101_00000${number}`;

function pairOf(number: string): MigrationPair {
  const version = versionOf(number);
  const file = (name: string, text: string) => ({ name, text, checksum: checksumOf(text) });
  return {
    version,
    description: `step_${number}`,
    up: file(`${version}_step_${number}.sql`, `up ${number}`),
    down: file(`${version}_step_${number}_rollback.sql`, `down ${number}`),
  };
}

function entryOf(number: string, kind: string): LedgerEntry {
  return {
    version: versionOf(number),
    description: kind === 'n' ? 'former_name' : `step_${number}`,
    checksum: checksumOf(kind === 'm' ? 'former' : `up ${number}`),
    rollbackChecksum: checksumOf(kind === 'r' ? 'former' : `down ${number}`),
    appliedAt: new Date('2026-11-20T14:02:59Z'),
    appliedBy: 'deploy',
    durationMs: 1,
    toolVersion: '1.0.0',
    ranInPublic: true,
  };
}

function read(scene: Scene) {
  const marks = scene
    .split(' ')
    .filter(Boolean)
    .map(([number = '', kind = '']) => ({ number, kind }));
  const pairs = marks.flatMap(({ number, kind }) => (kind === '-' ? [] : [pairOf(number)]));
  const entries = marks.flatMap(({ number, kind }) =>
    '+^'.includes(kind) && kind ? [] : [entryOf(number, kind)],
  );
  const journal = marks.flatMap(({ number, kind }): JournalEntry[] => {
    if (kind !== '^' && kind !== 'v') return [];
    const direction = kind === '^' ? 'up' : 'down';
    return [
      {
        version: versionOf(number),
        direction,
        position: 0,
        checksum: '',
        isFinished: true,
        startedAt: new Date(0),
      },
    ];
  });
  return compareWithLedger(pairs, { entries, journal });
}

/** The versions in a plan; for a refused plan the error's code and the versions that it names. */
function outcome(plan: () => readonly { readonly version: string }[]): string {
  try {
    return plan()
      .map(({ version }) => digit(version))
      .join(' ');
  } catch (error) {
    if (isError(error, 'history-mismatch')) {
      return `history-mismatch ${error.details.versions.map(digit).join(' ')}`;
    }
    if (isError(error, 'unknown-version')) return `unknown-version ${digit(error.details.version)}`;
    throw error;
  }
}

const all: Extent = { kind: 'all' };
const steps = (count: number): Extent => ({ kind: 'steps', count });
const to = (number: string): Extent => ({ kind: 'to', version: versionOf(number) });

describe('compareWithLedger', () => {
  it.each<[Scene, readonly MigrationState[]]>([
    ['', []],
    ['1+ 2+', ['pending', 'pending']],
    ['1 2', ['applied', 'applied']],
    ['1 2+', ['applied', 'pending']],
    ['1+ 2', ['out of order', 'applied']],
    ['1- 2', ['missing', 'applied']],
    ['1 2-', ['applied', 'missing']],
    ['1+ 2- 3+', ['out of order', 'missing', 'pending']],
    ['1m 2r 3n', ['changed', 'changed', 'changed']],
    ['1^', ['interrupted']],
    ['1 2v 3+', ['applied', 'interrupted', 'pending']],
    ['1^ 2', ['interrupted', 'applied']],
    ['1+ 2^ 3+', ['out of order', 'interrupted', 'pending']],
    ['1 2+ 3v', ['applied', 'out of order', 'interrupted']],
  ])('files and history %j give %j', (scene, states) => {
    expect(read(scene).map(({ state }) => state)).toEqual(states);
  });

  it('returns versions in order, from files and history alike', () => {
    expect(read('3+ 1- 2').map(({ version }) => digit(version))).toEqual(['1', '2', '3']);
  });

  it('returns a version that only the journal has', () => {
    const [status] = compareWithLedger([], {
      entries: [],
      journal: [
        {
          version: versionOf('1'),
          direction: 'up',
          position: 0,
          checksum: '',
          isFinished: false,
          startedAt: new Date(0),
        },
      ],
    });
    expect(status).toMatchObject({ state: 'interrupted', interrupted: 'up', description: '' });
  });
});

describe('planUp', () => {
  it.each<[Scene, Extent, string]>([
    ['', all, ''],
    ['1+ 2+ 3+', all, '1 2 3'],
    ['1 2+ 3+', all, '2 3'],
    ['1 2', all, ''],
    ['1+ 2+ 3+', steps(2), '1 2'],
    ['1+ 2+', steps(9), '1 2'],
    ['1 2+ 3+', to('2'), '2'],
    ['1 2+ 3+', to('3'), '2 3'],
    ['1 2 3+', to('1'), ''],
    ['1 2+', to('7'), 'unknown-version 7'],
    ['', to('1'), 'unknown-version 1'],
    ['1m 2+', all, 'history-mismatch 1'],
    ['1r 2+', all, 'history-mismatch 1'],
    ['1n 2+', all, 'history-mismatch 1'],
    ['1m 2', all, 'history-mismatch 1'],
    ['1m 2+ 3+', to('2'), 'history-mismatch 1'],
    ['1- 2+', all, 'history-mismatch 1'],
    ['1- 2m 3+ 4 5+', all, 'history-mismatch 1 2 3'],
    ['1+ 2', all, 'history-mismatch 1'],
    ['1+ 2 3+', steps(1), 'history-mismatch 1'],
    ['1+ 2 3+ 4+', to('3'), 'history-mismatch 1'],
    ['1 2+ 3 4+', to('1'), ''],
    ['1 2^', all, '2'],
    ['1 2^ 3+', all, '2 3'],
    ['1^ 2', all, '1'],
    ['1+ 2^ 3+', all, 'history-mismatch 1'],
    ['1+ 2^', steps(1), 'history-mismatch 1'],
    ['1 2v', all, 'history-mismatch 2'],
    ['1 2v 3+', all, 'history-mismatch 2'],
  ])('of %j, to the extent %j, is "%s"', (scene, extent, expected) => {
    expect(outcome(() => planUp(read(scene), { extent, outOfOrder: 'refuse' }))).toBe(expected);
  });

  it.each<[Scene, Extent, string]>([
    ['1+ 2', all, '1'],
    ['1+ 2 3+', all, '1 3'],
    ['1+ 2 3+', steps(1), '1'],
    ['1+ 2^ 3+', all, '1 2 3'],
    ['1+ 2m 3+', all, 'history-mismatch 2'],
    ['1+ 2-', all, 'history-mismatch 2'],
  ])('of %j, to the extent %j and out of order, is "%s"', (scene, extent, expected) => {
    expect(outcome(() => planUp(read(scene), { extent, outOfOrder: 'allow' }))).toBe(expected);
  });

  it('refuses to resume an interrupted migration without its file', () => {
    const journal: JournalEntry[] = [
      {
        version: versionOf('1'),
        direction: 'up',
        position: 0,
        checksum: '',
        isFinished: true,
        startedAt: new Date(0),
      },
    ];
    const statuses = compareWithLedger([pairOf('2')], { entries: [], journal });
    expect(outcome(() => planUp(statuses, { extent: all, outOfOrder: 'refuse' }))).toBe(
      'history-mismatch 1',
    );
  });
});

describe('planDown', () => {
  it.each<[Scene, Extent, string]>([
    ['', all, ''],
    ['1+', all, ''],
    ['1 2 3', steps(1), '3'],
    ['1 2 3', steps(2), '3 2'],
    ['1 2', steps(9), '2 1'],
    ['1 2 3', all, '3 2 1'],
    ['1 2 3', to('1'), '3 2'],
    ['1 2 3', to('3'), ''],
    ['1 2 3+', to('2'), ''],
    ['1+ 2 3', to('1'), '3 2'],
    ['1 2', to('7'), 'unknown-version 7'],
    ['1 2-', steps(1), '2'],
    ['1- 2-', all, '2 1'],
    ['1 2- 3', to('2'), '3'],
    ['1 2r', steps(1), 'history-mismatch 2'],
    ['1 2m', steps(1), 'history-mismatch 2'],
    ['1 2n', all, 'history-mismatch 2'],
    ['1m 2', steps(1), '2'],
    ['1m 2m 3', all, 'history-mismatch 1 2'],
    ['1+ 2', steps(1), '2'],
    ['1 2v', steps(1), '2'],
    ['1 2v', all, '2 1'],
    ['1 2^', steps(1), 'history-mismatch 2'],
    ['1 2^', all, 'history-mismatch 2'],
  ])('of %j, to the extent %j, is "%s"', (scene, extent, expected) => {
    expect(outcome(() => planDown(read(scene), extent))).toBe(expected);
  });
});

describe('planRedo', () => {
  const redo = (scene: Scene, count: number) =>
    outcome(() => planRedo(read(scene), count).map(({ entry }) => entry));

  it.each<[Scene, number, string]>([
    ['', 1, ''],
    ['1+', 1, ''],
    ['1 2', 1, '2'],
    ['1 2', 2, '2 1'],
    ['1 2', 9, '2 1'],
    ['1 2 3+', 1, '2'],
    ['1 2m', 1, '2'],
    ['1 2r', 1, '2'],
    ['1 2n', 1, '2'],
    ['1 2-', 1, 'history-mismatch 2'],
    ['1- 2', 1, '2'],
    ['1- 2', 2, 'history-mismatch 1'],
    ['1 2v', 1, '2'],
    ['1 2^', 1, 'history-mismatch 2'],
  ])('of %j, for %i steps, is "%s"', (scene, count, expected) => {
    expect(redo(scene, count)).toBe(expected);
  });
});

describe('the text of a mismatch', () => {
  it.each<[Scene, string]>([
    ['1m', 'cryptosense-db migrate repair 20250101_000001'],
    ['1r', 'cryptosense-db migrate repair 20250101_000001'],
    ['1n', 'cryptosense-db migrate repair 20250101_000001'],
    ['1-', 'cryptosense-db migrate repair --forget 20250101_000001'],
    ['1+ 2', '--allow-out-of-order'],
    ['1^', 'cryptosense-db migrate up'],
    ['1v', 'cryptosense-db migrate down'],
  ])('for %j has the hint %s', (scene, remedy) => {
    const statuses = read(scene);
    const [first] = statuses;
    if (!first) throw new Error('the scene has a version');
    expect(describeMismatch(first, statuses).hint).toContain(remedy);
  });

  it.each([
    ['are gone', []],
    ['have another stamp', [pairOf('2')]],
  ])('for an interrupted migration whose files %s asks for the files first', (_what, pairs) => {
    const journal: JournalEntry[] = [
      {
        version: versionOf('1'),
        direction: 'up',
        position: 0,
        checksum: '',
        isFinished: true,
        startedAt: new Date(0),
      },
    ];
    const statuses = compareWithLedger(pairs, { entries: [], journal });
    const [first] = statuses;
    if (!first) throw new Error('the journal has a version');
    const { hint } = describeMismatch(first, statuses);
    expect(hint).toContain('restore its files');
    expect(hint).toContain('migrate repair --forget 20250101_000001');
    expect(hint).not.toContain('migrate up');
  });

  it.each<[direction: 'up' | 'down', remedy: string]>([
    ['up', 'a newer release began it: finish it with the files of that release'],
    ['down', 'resume it with: cryptosense-db migrate down'],
  ])(
    'for an interrupted %s that is newer than all files names who can finish it',
    (direction, remedy) => {
      const entry = { position: 0, checksum: '', isFinished: true, startedAt: new Date(0) };
      const journal: JournalEntry[] = [{ version: versionOf('2'), direction, ...entry }];
      const statuses = compareWithLedger([pairOf('1')], { entries: [], journal });
      const last = statuses.at(-1);
      if (!last) throw new Error('the journal has a version');
      expect(describeMismatch(last, statuses).hint).toContain(remedy);
    },
  );

  it.each<[Scene, string]>([
    ['1m', '20250101_000001_step_1.sql'],
    ['1r', '20250101_000001_step_1_rollback.sql'],
  ])('for %j names the file, both checksums, the time and the role', (scene, file) => {
    const statuses = read(scene);
    const [first] = statuses;
    if (!first) throw new Error('the scene has a version');
    const { message, evidence } = describeMismatch(first, statuses);
    expect(message.split(' ')[0]).toBe(file);
    expect(evidence).toEqual([
      expect.stringMatching(/^recorded [0-9a-f]{6}… {2}at 2026-11-20 14:02 UTC by deploy$/),
      expect.stringMatching(/^on disk {2}[0-9a-f]{6}…$/),
    ]);
  });

  it('finds a migration under another stamp by its text', () => {
    const moved: MigrationPair = { ...pairOf('1'), version: versionOf('5') };
    const entry = entryOf('1', '');
    const statuses = compareWithLedger([moved], { entries: [entry], journal: [] });
    expect(findRenamed(entry, statuses)).toBe(moved);
    expect(findRenamed(entryOf('2', ''), statuses)).toBeUndefined();
    const [missing] = statuses;
    if (!missing) throw new Error('the version is missing');
    expect(describeMismatch(missing, statuses).hint).toContain('migrate repair 20250101_000001');
  });

  it('does not take a migration that was applied twice for one that is gone', () => {
    const twin: MigrationPair = { ...pairOf('1'), version: versionOf('2') };
    const entries = [entryOf('1', ''), { ...entryOf('1', ''), version: versionOf('2') }];
    const statuses = compareWithLedger([twin], { entries, journal: [] });
    expect(findRenamed(entryOf('1', ''), statuses)).toBeUndefined();
  });
});
