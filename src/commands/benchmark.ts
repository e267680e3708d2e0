import type { BenchmarkOptions } from '../benchmark/benchmark.ts';
import { type QueryName, queryTargets } from '../benchmark/targets.ts';
import type { TargetFlags } from '../config.ts';
import { replaceFile, requireWritable } from '../runtime/files.ts';
import { renderBenchmark } from '../ui/benchmark.ts';
import { renderBenchmarkPage } from '../ui/benchmark-page.ts';
import { defineCommand, flag, repeatable } from './command.ts';
import { onDatabase, targetFlags } from './flags.ts';
import { clientCounts, duration, positiveNumber } from './values.ts';

interface BenchmarkFlags extends BenchmarkOptions, TargetFlags {
  readonly check?: true | undefined;
  readonly html?: string | undefined;
}

export const benchmarkCommand = defineCommand<BenchmarkFlags>()({
  name: 'benchmark',
  summary: "run the specification's queries, and compare their times with its targets",
  flags: {
    runs: flag('--runs <n>', 'executions of each query (default: 500)', positiveNumber),
    clients: flag('--clients <list>', 'how many at a time (default: 1,20)', clientCounts),
    only: repeatable(
      flag('--only <name>', 'run only this query', {
        choices: Object.keys(queryTargets) as readonly QueryName[],
      }),
    ),
    check: flag(
      '--check',
      'exit with code 1 when a target is missed, or with --compare when a query got slower',
    ),
    compare: flag('--compare <file>', 'show what got slower since this result of --json'),
    plans: flag('--plans <dir>', 'write the plan of each query, for a viewer of plans'),
    html: flag('--html <file>', 'write the result as one HTML page'),
    statementTimeoutMs: flag(
      '--statement-timeout <time>',
      'when the server cancels an execution (default: 5s)',
      duration,
    ),
    ...targetFlags,
  },
  notes: [
    'It changes nothing: every statement runs in a read-only transaction with a',
    'statement timeout, and the parameters are drawn from rows of the database. It is',
    'safe on production, where it is as much load as its clients are.',
    'The time of an execution includes the round trip. A target is met when the p95 with',
    'one client is at most the target. docs/benchmark.md explains the figures.',
  ],
  examples: [
    ['cryptosense-db benchmark', 'every query, with 1 and with 20 clients'],
    ['cryptosense-db benchmark --check --quiet', 'for a pipeline'],
    ['cryptosense-db benchmark --only risk-score --plans plans/', 'one query, and its plan'],
    ['cryptosense-db benchmark --json > before.json', 'to compare with later'],
    ['cryptosense-db benchmark --compare before.json', 'what got slower since'],
    ['cryptosense-db benchmark --html benchmark.html', 'a page with the distributions'],
  ],
  run: async ({ check, html, ...given }, tools) => {
    if (html !== undefined) requireWritable(html);
    const { benchmark } = await import('../benchmark/benchmark.ts');
    const result = await benchmark(onDatabase(given, tools));
    if (html !== undefined) replaceFile(html, renderBenchmarkPage(result));
    tools.output.result(result, renderBenchmark);
    if (check && (!result.isMet || result.comparison?.isSlower)) tools.answerNo();
  },
});
