import { describe, expect, it } from 'vitest';
import {
  findRewritten,
  type LockMode,
  lockModes,
  locksByTable,
  type Relation,
  rewrittenByTable,
} from '../../src/migrations/table-locks.ts';

function relation(id: string, table: string, of: Partial<Relation> = {}): Relation {
  return { id, schema: 'public', table, part: 'self', file: id, estimatedRows: undefined, ...of };
}

const prices = [
  relation('1', 'prices'),
  relation('2', 'prices', { part: 'chunk', estimatedRows: 100 }),
  relation('3', 'prices', { part: 'chunk', estimatedRows: 20 }),
  relation('4', 'prices', { part: 'inner' }),
];

describe('the locks of a step', () => {
  it('are the strongest of each table and its chunks, the strongest first', () => {
    const before = [relation('9', 'users'), ...prices, relation('8', 'assets')];
    const held = new Map<string, LockMode>([
      ['9', 'RowShareLock'],
      ['1', 'ShareLock'],
      ['2', 'AccessExclusiveLock'],
      ['3', 'ShareLock'],
      ['4', 'AccessShareLock'],
      ['77', 'AccessExclusiveLock'],
    ]);
    expect(locksByTable(before, held)).toEqual([
      {
        schema: 'public',
        table: 'prices',
        chunks: 2,
        partitions: 0,
        mode: 'AccessExclusiveLock',
        waits: 'reads and writes',
      },
      {
        schema: 'public',
        table: 'users',
        chunks: 0,
        partitions: 0,
        mode: 'RowShareLock',
        waits: 'writes of locked rows',
      },
    ]);
  });

  it('say what waits behind each mode', () => {
    const waits = lockModes.map(
      (mode) => locksByTable([relation('1', 'users')], new Map([['1', mode]]))[0]?.waits,
    );
    expect(waits).toEqual([
      'nothing',
      'writes of locked rows',
      'writes of locked rows',
      'nothing',
      'writes',
      'writes',
      'writes',
      'reads and writes',
    ]);
  });
});

describe('a rewritten table', () => {
  it('has other files than before; a new or a dropped one is none', () => {
    const after = [
      relation('1', 'prices'),
      relation('2', 'prices', { file: '12' }),
      relation('5', 'new'),
    ];
    expect(findRewritten(prices, after).map(({ id }) => id)).toEqual(['2']);
  });

  it('has the rows and the size of its rewritten parts', () => {
    const bytes = new Map([
      ['2', 8_192],
      ['3', 16_384],
    ]);
    expect(rewrittenByTable(prices.slice(1, 3), bytes)).toEqual([
      {
        schema: 'public',
        table: 'prices',
        chunks: 2,
        partitions: 0,
        estimatedRows: 120,
        bytes: 24_576,
      },
    ]);
    expect(rewrittenByTable([relation('1', 'users')], bytes)).toMatchObject([
      { estimatedRows: undefined, bytes: 0 },
    ]);
  });
});
