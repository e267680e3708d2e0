import { formatDuration } from '../runtime/amounts.ts';
import { isoDay } from '../runtime/days.ts';
import type { ManifestTable } from './manifest.ts';
import type { SmokeResult } from './smoke.ts';

/** Of a backup, those of its restore; of a moment, `restore` of the files, `replay` of the WAL, `read` of every row. */
export const drillPhases = [
  'prepare',
  'restore',
  'replay',
  'read',
  'analyze',
  'compare',
  'finish',
] as const;

export interface DrillPhase {
  readonly name: (typeof drillPhases)[number];
  readonly durationMs: number;
}

/** Where a drill of a moment has come to. */
export interface DrilledMoment {
  /** What was asked for. */
  readonly to: Date;
  /** When the newest transaction of the copy was committed; null: none since the physical backup. */
  readonly newestTransactionAt: Date | null;
  /** The newest entry of the ledger's log; null without one. */
  readonly newestEntry: {
    readonly event: string;
    readonly version: string;
    readonly at: Date;
  } | null;
  /** How the copy that was kept is started and stopped; undefined where it was removed. */
  readonly kept: { readonly startCommand: string; readonly stopCommand: string } | undefined;
}

/** What a drill has found. */
export interface DrillResult {
  /** The store; of a moment, the repository of pgBackRest. */
  readonly store: string;
  /** Of the backup; of a moment, the label of the physical backup. */
  readonly id: string;
  /** The database that was backed up. */
  readonly source: string;
  /** When the backup was started; of a moment, when the physical backup had ended. */
  readonly backedUpAt: Date;
  readonly startedAt: Date;
  readonly environment: string | null;
  readonly newestMigration: string | null;
  /** The database that was restored; of a moment, the data directory of the copy. */
  readonly copy: string;
  /** undefined: a backup was restored, and not a moment. */
  readonly moment: DrilledMoment | undefined;
  readonly phases: readonly DrillPhase[];
  /** All phases together: without the smoke tests. */
  readonly restoreMs: number;
  readonly rtoMs: number;
  /** What the manifest says, which the restored tables are compared with; of a moment, what the copy has. */
  readonly tables: readonly ManifestTable[];
  /** From the manifest; of a moment, what cannot be read or is of a later time. */
  readonly differences: readonly string[];
  readonly smokeTests: readonly SmokeResult[];
  readonly hasPassed: boolean;
}

/** What the report of a drill has that ended with an error. */
export interface FailedDrill {
  readonly startedAt: Date;
  /** undefined: a backup was to be restored, and not a moment. */
  readonly moment: Date | undefined;
  /** The last one is where the error was. */
  readonly phases: readonly DrillPhase[];
  readonly error: { readonly code: string; readonly message: string };
  readonly hasPassed: false;
}

/** The report of a drill that ended with an error, as Markdown. */
export function renderFailedDrill({ startedAt, moment, phases, error }: FailedDrill): string {
  return [
    `# Drill${moment ? ` of ${moment.toISOString()}` : ''}, ${isoDay(startedAt)}: FAILED`,
    '',
    'The drill ended with an error, and proves nothing:',
    '',
    ...error.message.split('\n').map((line) => `    ${line}`),
    '',
    ...phaseLines(phases),
    '',
  ].join('\n');
}

function phaseLines(phases: readonly DrillPhase[]): readonly string[] {
  return [
    '## Phases',
    '',
    ...(phases.length === 0
      ? ['None was begun.']
      : [
          '| phase | time |',
          '|---|---:|',
          ...phases.map(({ name, durationMs }) => `| ${name} | ${formatDuration(durationMs)} |`),
        ]),
  ];
}

/** The report of a drill as Markdown, to be kept: what was restored, how long it took, and what was proved. */
export function renderReport(result: DrillResult): string {
  const { smokeTests, phases, moment } = result;
  return [
    `# Drill of ${result.source}, ${isoDay(result.startedAt)}: ${result.hasPassed ? 'passed' : 'FAILED'}`,
    '',
    ...(moment ? momentFacts(result, moment) : backupFacts(result)),
    `- Environment: ${result.environment ?? 'no mark'}; newest migration: ${result.newestMigration ?? 'none'}`,
    `- Time to ${moment ? 'restore, replay and read' : 'restore and compare'}: ${formatDuration(result.restoreMs)} of ${formatDuration(result.rtoMs)} allowed (RTO)${result.restoreMs > result.rtoMs ? ': too slow' : ''}`,
    '',
    ...phaseLines(phases),
    '',
    '## Data',
    '',
    ...dataLines(result),
    '',
    '| table | rows | hash |',
    '|---|---:|---:|',
    ...result.tables.map(({ name, rows, hash }) => `| ${name} | ${rows} | ${hash} |`),
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
              `| ${name} | ${outcome} | ${detail.replaceAll('|', '\\|')} | ${formatDuration(durationMs)} |`,
          ),
        ]),
    '',
  ].join('\n');
}

function backupFacts({ id, store, backedUpAt, copy }: DrillResult): readonly string[] {
  return [
    `- Backup: ${id} in ${store}, made at ${backedUpAt.toISOString()}`,
    `- Restored into: ${copy}, which was dropped`,
  ];
}

function momentFacts(
  { id, store, backedUpAt, copy }: DrillResult,
  { to, newestTransactionAt, newestEntry, kept }: DrilledMoment,
): readonly string[] {
  return [
    `- Moment: ${to.toISOString()}; newest transaction: ${newestTransactionAt?.toISOString() ?? 'none since the physical backup'}`,
    `- Physical backup: ${id} in ${store}, ended at ${backedUpAt.toISOString()}`,
    `- Restored into: ${copy}, which was ${kept ? 'kept' : 'removed'}`,
    ...(kept ? [`- Start it with: \`${kept.startCommand}\``] : []),
    `- Newest entry of the ledger: ${newestEntry ? `${newestEntry.event} ${newestEntry.version} at ${newestEntry.at.toISOString()}` : 'none'}`,
  ];
}

function dataLines({ tables, differences, moment }: DrillResult): readonly string[] {
  const named = ['public.users', 'public.portfolios'].flatMap((name) => {
    const table = tables.find((each) => each.name === name);
    return table ? [`- ${name.replace('public.', '')}: ${table.rows} rows`] : [];
  });
  if (differences.length > 0) {
    const what = moment ? 'These are not as they have to be:' : 'These differ from the manifest:';
    return [what, '', ...differences.map((each) => `- ${each}`)];
  }
  const rows = tables.reduce((sum, each) => sum + each.rows, 0);
  return [
    moment
      ? `Every row of all ${tables.length} tables could be read, ${rows} rows together. A moment has no manifest to compare them with.`
      : `All ${tables.length} tables have the rows and the hash that the manifest says, ${rows} rows together.`,
    '',
    ...named,
  ];
}
