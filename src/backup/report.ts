import type { ManifestTable } from './manifest.ts';
import type { RestorePhase } from './restore.ts';
import type { SmokeResult } from './smoke.ts';

/** What a drill has found. */
export interface DrillResult {
  readonly store: string;
  readonly id: string;
  readonly source: string;
  readonly backedUpAt: Date;
  readonly startedAt: Date;
  readonly environment: string | null;
  readonly newestMigration: string | null;
  /** The database that was restored and dropped. */
  readonly copy: string;
  readonly phases: readonly RestorePhase[];
  /** Restore and comparison, without the smoke tests. */
  readonly restoreMs: number;
  readonly rtoMs: number;
  /** What the manifest says, which the restored tables are compared with. */
  readonly tables: readonly ManifestTable[];
  readonly differences: readonly string[];
  readonly smokeTests: readonly SmokeResult[];
  readonly hasPassed: boolean;
}

/** The report of a drill as Markdown, to be kept: what was restored, how long it took, and what was proved. */
export function renderReport(result: DrillResult): string {
  const { tables, smokeTests, differences, phases } = result;
  const named = ['public.users', 'public.portfolios'].flatMap((name) => {
    const table = tables.find((each) => each.name === name);
    return table ? [`- ${name.replace('public.', '')}: ${table.rows} rows`] : [];
  });
  return [
    `# Drill of ${result.source}, ${result.startedAt.toISOString().slice(0, 10)}: ${result.hasPassed ? 'passed' : 'FAILED'}`,
    '',
    `- Backup: ${result.id} in ${result.store}, made at ${result.backedUpAt.toISOString()}`,
    `- Environment: ${result.environment ?? 'no mark'}; newest migration: ${result.newestMigration ?? 'none'}`,
    `- Restored into: ${result.copy}, which was dropped`,
    `- Time to restore and compare: ${seconds(result.restoreMs)} of ${seconds(result.rtoMs)} allowed (RTO)`,
    '',
    '## Phases',
    '',
    '| phase | time |',
    '|---|---:|',
    ...phases.map(({ name, durationMs }) => `| ${name} | ${seconds(durationMs)} |`),
    '',
    '## Data',
    '',
    ...(differences.length > 0
      ? ['These differ from the manifest:', '', ...differences.map((each) => `- ${each}`)]
      : [
          `All ${tables.length} tables have the rows and the hash that the manifest says, ${tables.reduce((sum, { rows }) => sum + rows, 0)} rows together.`,
          '',
          ...named,
        ]),
    '',
    '| table | rows | hash |',
    '|---|---:|---:|',
    ...tables.map(({ name, rows, hash }) => `| ${name} | ${rows} | ${hash} |`),
    '',
    '## Smoke tests',
    '',
    ...(smokeTests.length === 0
      ? ['They were not run, because the data differs.']
      : [
          '| test | outcome | detail | time |',
          '|---|---|---|---:|',
          ...smokeTests.map(
            ({ name, outcome, detail, durationMs }) =>
              `| ${name} | ${outcome} | ${detail.replaceAll('|', '\\|')} | ${seconds(durationMs)} |`,
          ),
        ]),
    '',
  ].join('\n');
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
