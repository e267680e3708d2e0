import { describe, expect, it } from 'vitest';
import {
  comparedColumns,
  findReasons,
  hideParameters,
  type Plan,
  type PlanFacts,
  type PlanNode,
  type Reason,
  type RelationFacts,
  readPlan,
} from '../../src/benchmark/plan.ts';

const now = new Date('2026-11-28T12:00:00Z');
const facts: PlanFacts = { relations: [], views: [], now };
const limits = { targetMs: 10, p95Ms: 40 };

function planOf(node: PlanNode, times: { planningMs?: number; executionMs?: number } = {}): Plan {
  const { planningMs = 0.2, executionMs = 40 } = times;
  return { Plan: node, 'Planning Time': planningMs, 'Execution Time': executionMs };
}

function relation(name: string, more: Partial<RelationFacts> = {}): RelationFacts {
  return { name, table: name, rows: 100_000, analyzedAt: now, firstKeys: ['id'], ...more };
}

const seqScan: PlanNode = {
  'Node Type': 'Seq Scan',
  'Relation Name': 'users',
  Filter: "((deleted_at IS NULL) AND (lower((email)::text) = '$1'::text))",
  'Plan Rows': 1,
  'Actual Rows': 1,
  'Actual Loops': 1,
  'Actual Total Time': 38,
  'Rows Removed by Filter': 99_999,
};

const indexScan: PlanNode = {
  'Node Type': 'Index Scan',
  'Relation Name': 'holdings',
  'Index Name': 'idx_holdings_asset',
  'Plan Rows': 20,
  'Actual Rows': 20,
  'Actual Loops': 1,
  'Actual Total Time': 1,
};

const kindsOf = (reasons: readonly Reason[]) => reasons.map(({ kind }) => kind);
const find = (plan: Plan, more: Partial<PlanFacts> = {}) =>
  findReasons(plan, { ...facts, ...more }, limits);

describe('the reasons for a missed target', () => {
  it('name the slowest node by the time within it', () => {
    const plan = planOf({
      'Node Type': 'Sort',
      'Actual Total Time': 39,
      'Actual Loops': 1,
      Plans: [
        {
          'Node Type': 'Nested Loop',
          'Actual Total Time': 38,
          'Actual Loops': 1,
          Plans: [
            { ...indexScan, 'Actual Total Time': 1 },
            {
              ...indexScan,
              'Relation Name': 'portfolios',
              'Actual Total Time': 0.3,
              'Actual Loops': 100,
            },
          ],
        },
      ],
    });
    expect(find(plan)).toEqual([
      {
        kind: 'slowest-node',
        node: 'Index Scan on portfolios by idx_holdings_asset',
        ms: 30,
        ofMs: 40,
      },
    ]);
  });

  it('count processes that work at the same time once', () => {
    const plan = planOf({
      'Node Type': 'Gather',
      'Workers Launched': 2,
      'Actual Total Time': 36,
      'Actual Loops': 1,
      Plans: [{ ...seqScan, 'Actual Loops': 3, 'Actual Total Time': 30 }],
    });
    expect(find(plan)[0]).toMatchObject({
      kind: 'slowest-node',
      node: 'Seq Scan on users',
      ms: 30,
    });
  });

  it('name a sequential scan of a large table, and the index that is missing', () => {
    expect(find(planOf(seqScan), { relations: [relation('users')] })).toMatchObject([
      { kind: 'slowest-node', node: 'Seq Scan on users' },
      { kind: 'sequential-scan', table: 'users', rows: 100_000, kept: 1 },
      { kind: 'missing-index', table: 'users', columns: ['email'] },
    ]);
  });

  it('name no missing index where one begins with the column', () => {
    const relations = [relation('users', { firstKeys: ['id', 'lower(email::text)'] })];
    expect(kindsOf(find(planOf(seqScan), { relations }))).toEqual([
      'slowest-node',
      'sequential-scan',
    ]);
  });

  it('name no sequential scan of a small table', () => {
    const small = { ...seqScan, 'Rows Removed by Filter': 500 };
    expect(kindsOf(find(planOf(small)))).toEqual(['slowest-node']);
  });

  it('add up the chunks of a hypertable', () => {
    const chunk = (name: string) => ({
      ...seqScan,
      'Relation Name': name,
      Filter: "((asset_symbol)::text = 'BTC'::text)",
      'Rows Removed by Filter': 6_000,
    });
    const plan = planOf({
      'Node Type': 'Custom Scan',
      'Custom Plan Provider': 'ChunkAppend',
      'Relation Name': 'price_history',
      'Actual Rows': 2,
      'Actual Loops': 1,
      Plans: [chunk('_hyper_1_1_chunk'), chunk('_hyper_1_2_chunk')],
    });
    const relations = ['_hyper_1_1_chunk', '_hyper_1_2_chunk'].map((name) =>
      relation(name, { table: 'price_history', firstKeys: ['time'] }),
    );
    expect(find(plan, { relations })).toMatchObject([
      { kind: 'slowest-node' },
      { kind: 'sequential-scan', table: 'price_history', rows: 12_002 },
      { kind: 'missing-index', table: 'price_history', columns: ['asset_symbol'] },
    ]);
  });

  it('name an index that reads far more rows than it keeps', () => {
    const wide = { ...indexScan, 'Rows Removed by Filter': 50_000 };
    expect(find(planOf(wide))[1]).toEqual({
      kind: 'wide-index-scan',
      index: 'idx_holdings_asset',
      table: 'holdings',
      rows: 50_020,
      kept: 20,
    });
  });

  const aggregate = (rows: number) =>
    planOf({
      'Node Type': 'Append',
      'Actual Loops': 1,
      Plans: [
        { ...indexScan, 'Relation Name': '_hyper_3_9_chunk' },
        {
          'Node Type': 'Aggregate',
          'Actual Loops': 1,
          Plans: [
            {
              'Node Type': 'Custom Scan',
              'Custom Plan Provider': 'ColumnarScan',
              'Relation Name': '_hyper_1_1_chunk',
              'Actual Rows': rows,
              'Actual Loops': 1,
              Plans: [{ ...indexScan, 'Relation Name': 'compress_hyper_2_8_chunk' }],
            },
          ],
        },
      ],
    });
  const relations = [relation('_hyper_1_1_chunk', { table: 'price_history' })];
  const storedUntil = (moment: Date | null) => ({
    relations,
    views: [{ view: 'price_history_daily', hypertable: 'price_history', storedUntil: moment }],
  });

  it.each([
    { rows: 43_200, until: new Date('2026-10-29T00:00:00Z'), isReason: true },
    { rows: 43_200, until: new Date('2026-11-28T00:00:00Z'), isReason: true },
    { rows: 720, until: new Date('2026-10-29T00:00:00Z'), isReason: true },
    { rows: 720, until: null, isReason: true },
    { rows: 24, until: new Date('2026-11-28T00:00:00Z'), isReason: false },
  ])(
    'name real-time aggregation of $rows rows after $until: $isReason',
    ({ rows, until, isReason }) => {
      const reasons = find(aggregate(rows), storedUntil(until));
      expect(reasons.filter(({ kind }) => kind === 'real-time-aggregation')).toEqual(
        isReason
          ? [
              {
                kind: 'real-time-aggregation',
                view: 'price_history_daily',
                hypertable: 'price_history',
                rows,
                storedUntil: until,
              },
            ]
          : [],
      );
    },
  );

  it('name statistics that expected far fewer rows, with when they were taken', () => {
    const low = { ...indexScan, 'Plan Rows': 3, 'Actual Rows': 5_000 };
    const analyzedAt = new Date('2026-01-01T00:00:00Z');
    const reasons = find(planOf(low), { relations: [relation('holdings', { analyzedAt })] });
    expect(reasons[1]).toEqual({
      kind: 'stale-statistics',
      table: 'holdings',
      estimated: 3,
      actual: 5_000,
      analyzedAt,
    });
  });

  it('name statistics that expected far more rows, but not below a Limit, which ends the scan', () => {
    const high = { ...indexScan, 'Plan Rows': 50_000, 'Actual Rows': 1 };
    expect(kindsOf(find(planOf(high)))).toContain('stale-statistics');
    const limited = planOf({ 'Node Type': 'Limit', 'Actual Loops': 1, Plans: [high] });
    expect(kindsOf(find(limited))).not.toContain('stale-statistics');
  });

  it.each([
    {
      reason: 'disk-reads',
      plan: planOf({ ...indexScan, 'Shared Hit Blocks': 50, 'Shared Read Blocks': 400 }),
    },
    { reason: 'temporary-files', plan: planOf({ ...indexScan, 'Temp Written Blocks': 12 }) },
    { reason: 'planning', plan: planOf(indexScan, { planningMs: 45, executionMs: 2 }) },
    { reason: 'outside-server', plan: planOf(indexScan, { executionMs: 1 }) },
  ])('name $reason, and nothing of it for a plan without', ({ reason, plan }) => {
    expect(kindsOf(find(plan))).toContain(reason);
    expect(kindsOf(find(planOf(indexScan)))).not.toContain(reason);
  });

  it('of a plan that was not executed come from the size of the table', () => {
    const estimated: Plan = {
      Plan: {
        'Node Type': 'Seq Scan',
        'Relation Name': 'users',
        Filter: "(email = 'x')",
        'Plan Rows': 1,
      },
    };
    expect(kindsOf(find(estimated, { relations: [relation('users')] }))).toEqual([
      'sequential-scan',
      'missing-index',
    ]);
  });
});

describe('the figures of a plan', () => {
  it('count the rows that scans read, and rows in place of compressed batches', () => {
    const plan = planOf({
      'Node Type': 'Append',
      'Shared Hit Blocks': 40,
      'Shared Read Blocks': 3,
      Plans: [
        {
          'Node Type': 'Custom Scan',
          'Custom Plan Provider': 'DecompressChunk',
          'Relation Name': '_hyper_1_1_chunk',
          'Actual Rows': 650,
          'Actual Loops': 1,
          'Rows Removed by Filter': 50,
          Plans: [{ ...indexScan, 'Actual Rows': 1 }],
        },
        { ...indexScan, 'Actual Rows': 10, 'Actual Loops': 2, 'Rows Removed by Index Recheck': 5 },
      ],
    });
    expect(readPlan(plan)).toEqual({
      rowsScanned: 730,
      buffers: { hit: 40, read: 3 },
      planningMs: 0.2,
      executionMs: 40,
    });
  });
});

describe('the columns of a filter', () => {
  it.each([
    ["(lower((email)::text) = 'x'::text)", ['email']],
    ["((deleted_at IS NULL) AND (lower((email)::text) = 'x'::text))", ['email']],
    ["((portfolio_id = '1'::uuid) AND (day > now()))", ['portfolio_id']],
    ["((asset_symbol)::text = ANY ('{BTC,ETH}'::text[]))", ['asset_symbol']],
    [
      "(((asset_symbol)::text = 'BTC'::text) AND ((timeframe)::text = '7d'::text))",
      ['asset_symbol', 'timeframe'],
    ],
    ['("time" = now())', ['time']],
    ['(price_usd > 5)', []],
  ])('of %s are %j', (filter, columns) => {
    expect(comparedColumns(filter)).toEqual(columns);
  });
});

it('texts of parameters are hidden in a plan, in any case, and the rest stays', () => {
  const plan = [
    {
      Plan: {
        Filter: "(lower(email) = 'ada@x.io'::text)",
        'Index Cond': "(name = 'O''Hara')",
        Rows: 3,
      },
    },
  ];
  expect(hideParameters(plan, ['Ada@x.io', 7, "O'Hara"])).toEqual([
    { Plan: { Filter: '(lower(email) = $1::text)', 'Index Cond': '(name = $3)', Rows: 3 } },
  ]);
});
