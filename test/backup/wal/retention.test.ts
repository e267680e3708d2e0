import { describe, expect, it } from 'vitest';
import { defaultKeep } from '../../../src/backup/retention.ts';
import type { PhysicalBackup } from '../../../src/backup/wal/pgbackrest.ts';
import { retainPhysical } from '../../../src/backup/wal/retention.ts';

const dayMs = 86_400_000;
const first = Date.UTC(2026, 0, 4);

/** `F0 I1 I2 F7`: the kind of a backup and its day. An incremental one builds on the one before it. */
function backups(text: string, damaged: readonly string[] = []): readonly PhysicalBackup[] {
  const labels = text.split(' ');
  return labels.map((label, index) => {
    const at = new Date(first + Number(label.slice(1)) * dayMs);
    return {
      label,
      type: label.startsWith('F') ? 'full' : 'incremental',
      startedAt: at,
      stoppedAt: at,
      prior: label.startsWith('F') ? undefined : labels[index - 1],
      bytes: 1,
      storedBytes: 1,
      hasDamagedPages: damaged.includes(label),
      wal: { start: '', stop: '' },
      archive: '15-1',
    };
  });
}

function retention(text: string, day: number, damaged?: readonly string[]) {
  const now = new Date(first + day * dayMs);
  const result = retainPhysical(backups(text, damaged), { keep: defaultKeep, walDays: 7, now });
  return {
    kept: result.kept.map(({ backup }) => backup.label).join(' '),
    toExpire: result.toExpire.join(' '),
    base: result.base?.label,
    withWal: result.withWal,
  };
}

describe('of physical backups', () => {
  it('nothing is dropped while all of them are of the days of WAL', () => {
    const all = 'F0 I1 I2 I3';
    expect(retention(all, 3)).toEqual({ kept: all, toExpire: '', base: 'F0', withWal: 4 });
  });

  it('the backup that the days of WAL begin with stays, and what it builds on', () => {
    expect(retention('F0 I1 I2 I3 I4 I5 I6 F7 I8 I9', 10)).toEqual({
      kept: 'F0 I1 I2 I3 I4 I5 I6 F7 I8 I9',
      toExpire: '',
      base: 'I3',
      withWal: 7,
    });
  });

  it('incremental ones are dropped once their days have no WAL, each with those that build on it', () => {
    expect(retention('F0 I1 I2 I3 F7 I8 I9 F14 I15 I16', 16)).toEqual({
      kept: 'F0 F7 I8 I9 F14 I15 I16',
      toExpire: 'I1',
      base: 'I9',
      withWal: 4,
    });
  });

  it('full ones stay by the rules of days, weeks and months', () => {
    const weekly = Array.from({ length: 80 }, (_, week) => `F${week * 7}`);
    const { kept, toExpire } = retention(weekly.join(' '), 79 * 7);
    const stay = kept.split(' ');
    // Seven days with a backup, four weeks among them, and the newest of each of twelve months, three among them.
    expect(stay.slice(-7)).toEqual(weekly.slice(-7));
    expect(stay).toHaveLength(7 + 12 - 3);
    expect(stay.length + toExpire.split(' ').length).toBe(80);
  });

  it('a backup with damaged pages stands for no day, week or month', () => {
    const { kept, toExpire } = retention('F0 F1 F20 F30', 30, ['F1']);
    expect({ kept, toExpire }).toEqual({ kept: 'F0 F20 F30', toExpire: 'F1' });
    expect(retention('F0 F1', 30, ['F0', 'F1']).kept).toBe('F0 F1');
  });

  it('none is none', () => {
    const now = new Date(first);
    expect(retainPhysical([], { keep: defaultKeep, walDays: 7, now })).toEqual({
      kept: [],
      toExpire: [],
      base: undefined,
      withWal: 0,
    });
  });
});
