/** A node of `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)`. Without ANALYZE, what was measured is missing. */
export interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Custom Plan Provider'?: string;
  readonly 'Relation Name'?: string;
  readonly 'Function Name'?: string;
  readonly 'CTE Name'?: string;
  readonly 'Index Name'?: string;
  readonly Filter?: string;
  readonly 'Plan Rows'?: number;
  /** Of one loop, in all parallel processes together. */
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  /** Milliseconds of one loop. */
  readonly 'Actual Total Time'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly 'Workers Launched'?: number;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly 'Temp Written Blocks'?: number;
  readonly Plans?: readonly PlanNode[];
}

export interface Plan {
  readonly Plan: PlanNode;
  readonly 'Planning Time'?: number;
  readonly 'Execution Time'?: number;
}

/** What the catalog says of a relation in a plan. */
export interface RelationFacts {
  /** As the plan names it. */
  readonly name: string;
  /** The hypertable of a chunk; else the same as `name`. */
  readonly table: string;
  /** As the last ANALYZE estimated them; negative without one. */
  readonly rows: number;
  readonly analyzedAt: Date | null;
  /** The first key of each index: a column, or an expression such as `lower(email::text)`. */
  readonly firstKeys: readonly string[];
}

/** A continuous aggregate that computes recent rows when it is read. */
export interface RealTimeView {
  readonly view: string;
  readonly hypertable: string;
  /** Rows before it are stored. null: none is. */
  readonly storedUntil: Date | null;
}

export interface PlanFacts {
  readonly relations: readonly RelationFacts[];
  readonly views: readonly RealTimeView[];
  readonly now: Date;
}

/** Why a query takes long. */
export type Reason =
  /** Time within the node, without the nodes below it. */
  | {
      readonly kind: 'slowest-node';
      readonly node: string;
      readonly ms: number;
      readonly ofMs: number;
    }
  | {
      readonly kind: 'sequential-scan';
      readonly table: string;
      readonly rows: number;
      readonly kept: number;
    }
  /** No index begins with a column that the filter compares. */
  | {
      readonly kind: 'missing-index';
      readonly table: string;
      readonly columns: readonly string[];
    }
  | {
      readonly kind: 'wide-index-scan';
      readonly index: string;
      readonly table: string;
      readonly rows: number;
      readonly kept: number;
    }
  | {
      readonly kind: 'real-time-aggregation';
      readonly view: string;
      readonly hypertable: string;
      readonly rows: number;
      readonly storedUntil: Date | null;
    }
  | {
      readonly kind: 'stale-statistics';
      readonly table: string;
      readonly estimated: number;
      readonly actual: number;
      readonly analyzedAt: Date | null;
    }
  | { readonly kind: 'disk-reads'; readonly pages: number; readonly ofPages: number }
  | { readonly kind: 'temporary-files'; readonly pages: number }
  | { readonly kind: 'planning'; readonly planningMs: number; readonly relations: number }
  /** The server answers in time; the network, the client or the wait for a processor takes the rest. */
  | { readonly kind: 'outside-server'; readonly serverMs: number; readonly p95Ms: number }
  | { readonly kind: 'timed-out'; readonly afterMs: number };

export interface PlanFigures {
  /** Rows that scans read, also those that they left out. */
  readonly rowsScanned: number;
  /** Pages that were found in shared buffers, and pages that were read from the system. */
  readonly buffers: { readonly hit: number; readonly read: number };
  readonly planningMs: number;
  readonly executionMs: number;
}

/** From here on a table counts as large, and rows that are read count as many. */
const manyRows = 10_000;

export function readPlan(plan: Plan): PlanFigures {
  const { Plan: top } = plan;
  return {
    rowsScanned: Math.round(scansOf(top).reduce((sum, node) => sum + rowsRead(node), 0)),
    buffers: { hit: top['Shared Hit Blocks'] ?? 0, read: top['Shared Read Blocks'] ?? 0 },
    planningMs: plan['Planning Time'] ?? 0,
    executionMs: plan['Execution Time'] ?? 0,
  };
}

/** The reasons in the order of their weight; the slowest node always comes first. */
export function findReasons(
  plan: Plan,
  facts: PlanFacts,
  { targetMs, p95Ms }: { readonly targetMs: number; readonly p95Ms: number },
): readonly Reason[] {
  const { planningMs, executionMs, buffers } = readPlan(plan);
  const pages = buffers.hit + buffers.read;
  const serverMs = planningMs + executionMs;
  const isMeasured = plan['Execution Time'] !== undefined;
  const temporary = plan.Plan['Temp Written Blocks'] ?? 0;
  return [
    ...(isMeasured ? [slowestNode(plan)] : []),
    ...realTimeAggregation(plan.Plan, facts),
    ...scanReasons(plan.Plan, facts),
    ...staleStatistics(plan.Plan, facts),
    ...(temporary > 0 ? [{ kind: 'temporary-files', pages: temporary } as const] : []),
    ...(buffers.read >= 100 && buffers.read >= pages / 2
      ? [{ kind: 'disk-reads', pages: buffers.read, ofPages: pages } as const]
      : []),
    ...(planningMs >= targetMs / 4 && planningMs >= executionMs
      ? [{ kind: 'planning', planningMs, relations: relationsOf(plan.Plan).size } as const]
      : []),
    ...(isMeasured && serverMs <= targetMs / 2
      ? [{ kind: 'outside-server', serverMs, p95Ms } as const]
      : []),
  ];
}

/** All relations of a plan, by their names in it. */
export function relationsOf(top: PlanNode): ReadonlySet<string> {
  return new Set(nodesOf(top).flatMap((node) => node['Relation Name'] ?? []));
}

function nodesOf(top: PlanNode): readonly PlanNode[] {
  return [top, ...(top.Plans ?? []).flatMap(nodesOf)];
}

/**
 * TimescaleDB's nodes for compressed chunks stand above scans of batches, of which each holds up to a thousand rows. So
 * they count in place of those scans.
 */
function isBatchReader(node: PlanNode): boolean {
  return /DecompressChunk|ColumnarScan/.test(node['Custom Plan Provider'] ?? '');
}

/** The nodes that read rows. */
function scansOf(top: PlanNode): readonly PlanNode[] {
  const isScan = isBatchReader(top) || isRelationScan(top) || top['Function Name'] !== undefined;
  return isScan ? [top] : (top.Plans ?? []).flatMap(scansOf);
}

/** TimescaleDB's ChunkAppend has a relation too, the hypertable, and stands above the scans of chunks. */
function isRelationScan(node: PlanNode): boolean {
  const isOwn = node['Custom Plan Provider'] === undefined;
  return isOwn && node['Relation Name'] !== undefined && / Scan$/.test(node['Node Type']);
}

const loopsOf = (node: PlanNode) => node['Actual Loops'] ?? 1;
const rowsKept = (node: PlanNode) => (node['Actual Rows'] ?? 0) * loopsOf(node);

function rowsRead(node: PlanNode): number {
  const removed =
    (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
  return rowsKept(node) + removed * loopsOf(node);
}

/** The time of the client, in all loops. Processes below a Gather run at the same time. */
function timeOf(node: PlanNode, processes: number): number {
  return ((node['Actual Total Time'] ?? 0) * loopsOf(node)) / processes;
}

interface OwnTime {
  readonly node: PlanNode;
  readonly ms: number;
}

function ownTimes(node: PlanNode, processes = 1): readonly OwnTime[] {
  const below = processes * (1 + (node['Workers Launched'] ?? 0));
  const children = node.Plans ?? [];
  const childrenMs = children.reduce((sum, child) => sum + timeOf(child, below), 0);
  const ms = Math.max(0, timeOf(node, processes) - childrenMs);
  return [{ node, ms }, ...children.flatMap((child) => ownTimes(child, below))];
}

function slowestNode(plan: Plan): Reason {
  const slowest = ownTimes(plan.Plan).reduce((most, each) => (each.ms > most.ms ? each : most));
  return {
    kind: 'slowest-node',
    node: describeNode(slowest.node),
    ms: slowest.ms,
    ofMs: plan['Execution Time'] ?? 0,
  };
}

/** `Index Scan on holdings by idx_holdings_portfolio`, `Custom Scan (ColumnarScan) on _hyper_1_5_chunk` */
function describeNode(node: PlanNode): string {
  const provider = node['Custom Plan Provider'];
  const of = node['Relation Name'] ?? node['Function Name'] ?? node['CTE Name'];
  const index = node['Index Name'];
  return [
    node['Node Type'],
    ...(provider === undefined ? [] : [`(${provider})`]),
    ...(of === undefined ? [] : [`on ${of}`]),
    ...(index === undefined ? [] : [`by ${index}`]),
  ].join(' ');
}

interface Scanned {
  readonly rows: number;
  readonly kept: number;
  readonly columns: readonly string[];
  readonly firstKeys: readonly string[];
}

/** One finding for a table, whose chunks count together. */
function scanReasons(top: PlanNode, facts: PlanFacts): readonly Reason[] {
  const sequential = new Map<string, Scanned>();
  const byIndex = new Map<string, Scanned & { readonly table: string }>();
  // A scan of batches reads few rows, and its own filter belongs to the compressed form.
  for (const node of scansOf(top).filter((each) => !isBatchReader(each))) {
    const relation = facts.relations.find(({ name }) => name === node['Relation Name']);
    const table = relation?.table ?? node['Relation Name'] ?? '';
    const isSequential = node['Node Type'] === 'Seq Scan';
    const key = isSequential ? table : node['Index Name'];
    if (key === undefined || key === '') continue;
    const before = (isSequential ? sequential : byIndex).get(key);
    const isMeasured = node['Actual Rows'] !== undefined;
    const scanned = {
      table,
      rows: (before?.rows ?? 0) + (isMeasured ? rowsRead(node) : Math.max(0, relation?.rows ?? 0)),
      kept: (before?.kept ?? 0) + (isMeasured ? rowsKept(node) : (node['Plan Rows'] ?? 0)),
      columns: [...new Set([...(before?.columns ?? []), ...comparedColumns(node.Filter ?? '')])],
      firstKeys: [...(before?.firstKeys ?? []), ...(relation?.firstKeys ?? [])],
    };
    if (isSequential) sequential.set(key, scanned);
    else byIndex.set(key, scanned);
  }
  return [
    ...[...sequential].filter(([, { rows }]) => rows >= manyRows).flatMap(sequentialReasons),
    ...[...byIndex]
      .filter(([, { rows, kept }]) => rows >= manyRows && kept <= rows / 10)
      .map(([index, { table, rows, kept }]): Reason => {
        return { kind: 'wide-index-scan', index, table, rows, kept };
      }),
  ];
}

function sequentialReasons([table, scanned]: readonly [string, Scanned]): readonly Reason[] {
  const { rows, kept, columns, firstKeys } = scanned;
  const hasIndex = columns.some((column) =>
    firstKeys.some((key) => new RegExp(`\\b${column}\\b`).test(key)),
  );
  const isSelective = kept <= rows / 10 && columns.length > 0;
  return [
    { kind: 'sequential-scan', table, rows, kept },
    ...(isSelective && !hasIndex ? [{ kind: 'missing-index', table, columns } as const] : []),
  ];
}

/** The columns on the left of `=` in a filter as EXPLAIN writes it: `(lower((email)::text) = 'x'::text)` has `email`. */
export function comparedColumns(filter: string): readonly string[] {
  const left = /(?:\b[a-z_]\w*\()*\(*"?([a-z_]\w*)"?\)*(?:::[\w ]+(?:\(\d+\))?(?:\[\])?)?\)* = /g;
  return [...new Set([...filter.matchAll(left)].map(([, column = '']) => column))];
}

/** A continuous aggregate reads prices below an Aggregate node where it has not stored them. */
function realTimeAggregation(
  top: PlanNode,
  { relations, views, now }: PlanFacts,
): readonly Reason[] {
  const scans = nodesOf(top)
    .filter((node) => node['Node Type'] === 'Aggregate')
    .flatMap(scansOf);
  const unique = [...new Set(scans)];
  return views.flatMap(({ view, hypertable, storedUntil }) => {
    const ofHypertable = unique.filter((node) => {
      const name = nodesOf(node).flatMap((each) => each['Relation Name'] ?? [])[0];
      return relations.some((each) => each.name === name && each.table === hypertable);
    });
    const rows = ofHypertable.reduce((sum, node) => sum + rowsRead(node), 0);
    const twoDaysMs = 2 * 86_400_000;
    const isLate = storedUntil === null || now.getTime() - storedUntil.getTime() > twoDaysMs;
    return rows >= manyRows || (rows > 0 && isLate)
      ? [{ kind: 'real-time-aggregation', view, hypertable, rows, storedUntil } as const]
      : [];
  });
}

/** From here on an estimate counts as wrong. */
const wrongBy = 10;

/**
 * Scans whose estimate is far from what they found. A scan below a Limit or a join may end early, so a high estimate
 * counts only where the scan reads to its end: at the top of the plan or below nodes that read everything.
 */
function staleStatistics(top: PlanNode, { relations }: PlanFacts): readonly Reason[] {
  const found = new Map<string, Reason>();
  const visit = (node: PlanNode, readsAll: boolean): void => {
    const estimated = node['Plan Rows'] ?? 0;
    const actual = node['Actual Rows'];
    if (isRelationScan(node) && actual !== undefined && loopsOf(node) > 0) {
      const isLow = actual >= 1_000 && actual >= wrongBy * Math.max(1, estimated);
      const isHigh = readsAll && estimated >= manyRows && estimated >= wrongBy * actual;
      const relation = relations.find(({ name }) => name === node['Relation Name']);
      const table = relation?.table ?? node['Relation Name'] ?? '';
      if ((isLow || isHigh) && !found.has(table)) {
        const analyzedAt = relation?.analyzedAt ?? null;
        found.set(table, { kind: 'stale-statistics', table, estimated, actual, analyzedAt });
      }
    }
    const mayEnd = /^(?:Limit|Merge Join|Nested Loop|Hash Join)$/.test(node['Node Type']);
    // The rows of a batch reader are others than those of the scan below it.
    if (isBatchReader(node)) return;
    for (const child of node.Plans ?? []) visit(child, readsAll && !mayEnd);
  };
  visit(top, true);
  return [...found.values()];
}

/**
 * The same plan without the texts that were its parameters: each becomes `$1`, `$2` and so on. Addresses and ids of
 * users would otherwise go into files that people hand around.
 */
export function hideParameters(plan: unknown, parameters: readonly unknown[]): unknown {
  const texts = parameters.flatMap((value, index) =>
    typeof value === 'string' && value !== ''
      ? [...new Set([value, value.toLowerCase()])].map((text) => ({
          literal: `'${text.replaceAll("'", "''")}'`,
          name: `$${index + 1}`,
        }))
      : [],
  );
  const hide = (value: unknown): unknown => {
    if (typeof value === 'string') {
      return texts.reduce((text, { literal, name }) => text.replaceAll(literal, name), value);
    }
    if (Array.isArray(value)) return value.map(hide);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, hide(inner)]));
  };
  return hide(plan);
}
