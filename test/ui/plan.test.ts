import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { MeasuredStep, PlanResult } from '../../src/migrations/options.ts';
import { renderPlan } from '../../src/ui/plan.ts';
import type { Look } from '../../src/ui/table.ts';

const plain: Look = { chalk: new Chalk({ level: 0 }), columns: 80 };

function step(of: Partial<MeasuredStep>): MeasuredStep {
  return {
    version: '20260201_000100',
    description: 'change',
    transaction: 'own',
    durationMs: 12,
    walBytes: 848,
    lockSight: 'all',
    locks: [],
    rewritten: [],
    ...of,
  };
}

function result(steps: readonly MeasuredStep[]): PlanResult {
  return { target: 'db:5432/copy', database: 'copy', environment: 'test', steps, applied: 27 };
}

const whole = { schema: 'public', chunks: 0, partitions: 0 };

describe('renderPlan', () => {
  it('shows what waits behind each lock, and what was rewritten', () => {
    const shown = renderPlan(
      result([
        step({
          description: 'add_token',
          durationMs: 12_400,
          walBytes: 149_000_000,
          locks: [
            { ...whole, table: 'orders', mode: 'AccessExclusiveLock', waits: 'reads and writes' },
            {
              ...whole,
              table: 'prices',
              mode: 'ShareRowExclusiveLock',
              waits: 'writes',
              chunks: 1_120,
            },
          ],
          rewritten: [
            { ...whole, table: 'orders', estimatedRows: 1_000_000, bytes: 132_000_000 },
            {
              ...whole,
              schema: 'app',
              table: 'b',
              partitions: 1,
              estimatedRows: undefined,
              bytes: 9,
            },
          ],
        }),
        step({
          version: '20260201_000200',
          description: 'index',
          transaction: 'none',
          lockSight: 'sampled',
          locks: [
            { ...whole, table: 'orders', mode: 'ShareUpdateExclusiveLock', waits: 'nothing' },
          ],
        }),
        step({ version: '20260201_000300', description: 'new_table' }),
      ]),
      plain,
    );
    expect(shown).toBe(`\
  table   while it runs          lock                    parts

20260201_000100  add_token  12.4 s, 149 MB of WAL
  orders  reads and writes wait  access exclusive
  prices  writes wait            share row exclusive     1,120 chunks
  rewritten: orders, some 1,000,000 rows, 132 MB
  rewritten: app.b, 1 partition, 9 B

20260201_000200  index  12 ms, 848 B of WAL, without a transaction
  orders  nothing waits          share update exclusive

20260201_000300  new_table  12 ms, 848 B of WAL
  no lock on a table that was there before

Locks without a transaction are those that a look every 5 ms has seen.
WAL is what the whole server wrote meanwhile. The migrations stay applied in
this copy: to measure again, make a new copy.
3 migrations applied to db:5432/copy, 12.4 s, 149 MB of WAL
`);
  });

  it('says which locks were not measured on the embedded engine', () => {
    const alone = step({ transaction: 'none', lockSight: 'in part' });
    expect(renderPlan(result([alone]), plain)).toContain(
      'Locks of statements that refuse a transaction were not measured.',
    );
  });

  it('says when nothing was to measure', () => {
    expect(renderPlan(result([]), plain)).toBe(
      'nothing to measure: all 27 applied in db:5432/copy\n',
    );
  });
});
