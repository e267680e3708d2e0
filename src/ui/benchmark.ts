import type { BenchmarkResult, QueryResult } from '../benchmark/benchmark.ts';
import type { ComparedPercentile, Comparison } from '../benchmark/compare.ts';
import type { Reason } from '../benchmark/plan.ts';
import { isoDay } from '../runtime/days.ts';
import { formatCount } from './bar.ts';
import { formatMinute, plural } from './render.ts';
import { type Cell, type Look, renderTable } from './table.ts';

/** Renders a line for each query and number of clients, then why targets are missed, then the comparison. */
export function renderBenchmark(result: BenchmarkResult, look: Look): string {
  const { queries, comparison } = result;
  return [
    ...measurementTable(result, look),
    '',
    ...queries.flatMap((query) => explainQuery(query, look)),
    ...notRunLines(queries, look),
    ...leftOutLines(result),
    ...(comparison ? comparisonLines(comparison, look) : []),
    (result.isMet ? look.chalk.green : look.chalk.red)(countMet(result)),
    describeRun(result),
    look.chalk.dim('times in ms; first: on a new connection; buffers: pages of 8 kB'),
    '',
  ].join('\n');
}

function measurementTable({ queries, clients }: BenchmarkResult, look: Look): readonly string[] {
  const { chalk } = look;
  const paints = { met: chalk.green, missed: chalk.red, 'not run': chalk.yellow } as const;
  const rows = queries.flatMap((query): readonly (readonly Cell[])[] => {
    const { name, outcome, measurements, plan, targetMs } = query;
    const verdict = { text: outcome, paint: paints[outcome] };
    const target = `${targetMs} ms`;
    if (measurements.length === 0 || !plan) {
      return [[name, '', '', '', '', '', '', '', target, verdict]];
    }
    const pages = formatCount(plan.buffers.hit + plan.buffers.read);
    return measurements.map(({ clients: count, warm, cold }, index) => [
      index === 0 ? name : '',
      formatCount(count),
      formatMs(warm.p50Ms),
      { text: formatMs(warm.p95Ms), paint: index === 0 ? chalk.bold : chalk.reset },
      formatMs(warm.p99Ms),
      { text: formatMs(cold.p50Ms), paint: chalk.dim },
      ...(index === 0
        ? [formatCount(query.rows), { text: pages, paint: chalk.dim }, target, verdict]
        : ['', '', '', '']),
    ]);
  });
  return renderTable(
    {
      head: ['query', 'clients', 'p50', 'p95', 'p99', 'first', 'rows', 'buffers', 'target', ''],
      rows,
      right: [1, 2, 3, 4, 5, 6, 7, 8],
      flexible: [],
      optional: clients.length > 1 ? [7, 5] : [7, 5, 1],
    },
    look,
  );
}

/** One sentence for all queries with the same reason. */
function notRunLines(queries: readonly QueryResult[], { chalk }: Look): readonly string[] {
  const reasons = [...new Set(queries.flatMap(({ why }) => why ?? []))];
  return reasons.flatMap((reason) => {
    const names = queries.filter(({ why }) => why === reason).map(({ name }) => name);
    return [`${chalk.yellow(`${names.join(', ')} did not run:`)} ${reason}`, ''];
  });
}

function explainQuery({ name, reasons }: QueryResult, look: Look): readonly string[] {
  const { chalk } = look;
  if (reasons.length === 0) return [];
  const texts = reasons.map(describeReason);
  return [
    chalk.red(`${name} misses its target:`),
    ...texts.flatMap(({ fact, remedy }) => [
      `  ${fact}`,
      ...(remedy === undefined ? [] : [`    ${chalk.cyan('hint:')} ${remedy}`]),
    ]),
    '',
  ];
}

function leftOutLines({ leftOutClients }: BenchmarkResult): readonly string[] {
  const lines = leftOutClients.map(
    ({ clients, why }) => `${plural(clients, 'client')} left out: ${why}`,
  );
  return lines.length === 0 ? [] : [...lines, ''];
}

/** `9 of 9 targets met at p95 with 1 client` */
export function countMet({ queries }: BenchmarkResult): string {
  const run = queries.filter(({ outcome }) => outcome !== 'not run');
  const met = run.filter(({ outcome }) => outcome === 'met').length;
  if (run.length === 0) return 'no query could run';
  return `${met} of ${plural(run.length, 'target')} met at p95 with 1 client`;
}

/** Where, on which versions, and how many executions. */
export function describeRun({ target, server, runs }: BenchmarkResult): string {
  const timescale = server.timescaledb === null ? '' : `, TimescaleDB ${server.timescaledb}`;
  return `${target}, PostgreSQL ${server.postgresql}${timescale}, ${plural(runs, 'run')}`;
}

/** A fact about a missed target, and what to do about it where one can say. */
export function describeReason(reason: Reason): {
  readonly fact: string;
  readonly remedy?: string;
} {
  switch (reason.kind) {
    case 'timed-out':
      return {
        fact: `an execution took longer than ${formatMs(reason.afterMs)} ms, and the server cancelled it`,
      };
    case 'slowest-node':
      return {
        fact: `slowest node: ${reason.node}, ${formatMs(reason.ms)} of ${formatMs(reason.ofMs)} ms`,
      };
    case 'sequential-scan':
      return {
        fact: `sequential scan of ${reason.table}: ${formatCount(Math.round(reason.rows))} rows read, ${formatCount(Math.round(reason.kept))} kept`,
      };
    case 'missing-index': {
      const { table, columns } = reason;
      return {
        fact: `missing index: none on ${table} begins with ${columns.join(' or ')}`,
        remedy: `compare the indexes of ${table} with the migrations, or create one in a migration with: create index concurrently … on ${table} (…)`,
      };
    }
    case 'wide-index-scan':
      return {
        fact: `the index ${reason.index} does not fit: ${formatCount(Math.round(reason.rows))} rows of ${reason.table} read, ${formatCount(Math.round(reason.kept))} kept`,
        remedy: 'an index that has the columns of the filter too would read fewer rows',
      };
    case 'real-time-aggregation': {
      const { view, hypertable, rows, storedUntil } = reason;
      const until = storedUntil ? `stores days until ${isoDay(storedUntil)}` : 'stores no day';
      return {
        fact: `real-time aggregation: ${view} ${until}, and computes later days from ${formatCount(Math.round(rows))} rows of ${hypertable}`,
        remedy: `see whether its policy runs, or refresh it: call refresh_continuous_aggregate('${view}', null, date_trunc('day', now(), 'UTC'))`,
      };
    }
    case 'stale-statistics': {
      const { table, estimated, actual, analyzedAt } = reason;
      const when = analyzedAt ? `analyzed ${formatMinute(analyzedAt)} UTC` : 'never analyzed';
      return {
        fact: `stale statistics: ${formatCount(Math.round(estimated))} rows of ${table} estimated, ${formatCount(Math.round(actual))} found; ${when}`,
        remedy: `analyze ${table}`,
      };
    }
    case 'disk-reads':
      return {
        fact: `${formatCount(reason.pages)} of ${formatCount(reason.ofPages)} pages were not in shared buffers`,
        remedy: 'see whether shared_buffers is a quarter of the memory',
      };
    case 'temporary-files':
      return {
        fact: `${formatCount(reason.pages)} pages of temporary files: a sort or a hash did not fit into memory`,
        remedy: 'raise work_mem for the role that runs the query',
      };
    case 'planning':
      return {
        fact: `planning takes ${formatMs(reason.planningMs)} ms, over ${plural(reason.relations, 'relation')}`,
        remedy: 'bound the query in time, so that fewer chunks are planned',
      };
    case 'outside-server':
      return {
        fact: `the server takes ${formatMs(reason.serverMs)} ms, and the p95 is ${formatMs(reason.p95Ms)} ms: the rest is the network, the client, or other work on the machine`,
        remedy: 'run the benchmark again, close to the server and while it is quiet',
      };
    default:
      return reason satisfies never;
  }
}

function comparisonLines(comparison: Comparison, look: Look): readonly string[] {
  const { chalk } = look;
  const { queries, with: earlier } = comparison;
  const verdictOf = ({ p50, p95 }: { p50: ComparedPercentile; p95: ComparedPercentile }) => {
    const verdicts = [p50.verdict, p95.verdict];
    return (
      (['slower', 'too few runs', 'faster'] as const).find((each) => verdicts.includes(each)) ??
      'same'
    );
  };
  const paints = {
    slower: chalk.red,
    faster: chalk.green,
    same: chalk.dim,
    'too few runs': chalk.yellow,
  } as const;
  const change = ({ beforeMs, nowMs }: ComparedPercentile) =>
    `${formatMs(beforeMs)} → ${formatMs(nowMs)}`;
  const table = renderTable(
    {
      head: ['query', 'clients', 'p50', 'p95', 'against the earlier result'],
      rows: queries.map((query) => {
        const verdict = verdictOf(query);
        return [
          query.name,
          formatCount(query.clients),
          change(query.p50),
          change(query.p95),
          { text: verdict, paint: paints[verdict] },
        ];
      }),
      right: [1, 2, 3],
      flexible: [0],
    },
    look,
  );
  return [
    ...table,
    '',
    ...notesOfComparison(comparison, { runs: queries.length }),
    `compared with ${earlier.target}, ${formatMinute(new Date(earlier.takenAt))} UTC; ${chalk.bold(comparison.isSlower ? 'something got slower' : 'nothing got slower')}`,
    chalk.dim(noiseSentence),
    '',
  ];
}

export const noiseSentence =
  'slower or faster: by 10 % and 0.1 ms, and chance would give it once in 1,000 times';

function notesOfComparison(
  { queries }: Comparison,
  { runs }: { readonly runs: number },
): readonly string[] {
  const isUnknown = queries.some(({ p50 }) => p50.verdict === 'too few runs');
  return [
    ...(runs === 0 ? ['the results have no query in common'] : []),
    ...(isUnknown ? ['too few runs: give both results --runs 50 or more'] : []),
  ];
}

/** Three digits, and no more than two decimals: `0.42`, `12.3`, `1,234`. */
export function formatMs(ms: number): string {
  if (ms < 9.995) return ms.toFixed(2);
  return ms < 99.95 ? ms.toFixed(1) : formatCount(Math.round(ms));
}
