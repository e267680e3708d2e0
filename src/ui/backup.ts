import type { ActivateResult } from '../backup/activate.ts';
import type { CheckResult } from '../backup/check.ts';
import type { CreateResult } from '../backup/create.ts';
import type {
  ListedBackup,
  ListResult,
  ShownBackup,
  UnfinishedBackup,
  UnusableBackup,
} from '../backup/list.ts';
import type { KeptRule, PruneResult } from '../backup/prune.ts';
import type { DrilledMoment, DrillResult } from '../backup/report.ts';
import type { RestoreResult } from '../backup/restore.ts';
import type { Keep } from '../backup/retention.ts';
import type { ScheduleResult } from '../backup/schedule.ts';
import type { VerifyResult } from '../backup/verify.ts';
import { dayMs, hourMs } from '../runtime/days.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import { describeWalProblem, describeWalState } from './backup-wal.ts';
import { formatBytes, formatCount } from './bar.ts';
import { formatAge, formatDuration, formatMinute, plural } from './render.ts';
import { type Look, renderTable } from './table.ts';

/** Renders a line for each backup, the newest first, and below them what cannot be used. */
export function renderBackups(result: ListResult, look: Look): string {
  const { chalk } = look;
  const { store, backups, damaged, unfinished } = result;
  const notes = [
    ...damaged.map((each) => describeDamaged(each, look)),
    ...unfinished.map((each) => `${describeUnfinished(each, look)}, or a backup that is running`),
  ];
  const bytes = backups.reduce((sum, backup) => sum + backup.bytes, 0);
  const summary =
    backups.length === 0
      ? `${store}: no backups`
      : `${store}: ${plural(backups.length, 'backup')}, ${formatBytes(bytes)}`;
  return [
    ...(backups.length === 0 ? [] : [...backupTable(backups, look), '']),
    ...notes,
    chalk.bold(summary),
    '',
  ].join('\n');
}

const minuteMs = 60_000;

function backupTable(backups: readonly ListedBackup[], look: Look): readonly string[] {
  const { chalk } = look;
  return renderTable(
    {
      head: ['id', 'database', 'mark', 'age', 'size', 'dump', 'rows', 'migration'],
      rows: backups.map((backup) => [
        backup.id,
        backup.database,
        backup.environment ?? '',
        backup.ageMs > -minuteMs ? formatAge(backup.ageMs) : `in ${formatAge(-backup.ageMs)}`,
        formatBytes(backup.bytes),
        backup.isEncrypted
          ? { text: 'encrypted', paint: chalk.green }
          : { text: 'plain', paint: chalk.yellow },
        formatCount(backup.rows),
        { text: backup.migration ?? '', paint: chalk.dim },
      ]),
      right: [3, 4, 6],
      flexible: [1],
      optional: [7, 2, 6],
    },
    look,
  );
}

function describeDamaged({ id, database, reason }: UnusableBackup, { chalk }: Look): string {
  return `${chalk.red('damaged')} ${id} of ${database}: ${reason}`;
}

function describeUnfinished(
  { id, database, ageMs, bytes }: UnfinishedBackup,
  { chalk }: Look,
): string {
  return `${chalk.yellow('unfinished')} ${id} of ${database}: ${formatAge(ageMs)} old, ${formatBytes(bytes)}`;
}

/** Renders the facts of a manifest, and its tables. */
export function renderBackup({ store, key, manifest }: ShownBackup, look: Look): string {
  const { chalk } = look;
  const { id, database, environment, startedAt, finishedAt, versions, dump, tables } = manifest;
  const tookMs = new Date(finishedAt).getTime() - new Date(startedAt).getTime();
  const chunks = manifest.hypertables.reduce((sum, each) => sum + each.chunks, 0);
  const compressed = manifest.hypertables.reduce((sum, each) => sum + each.compressed, 0);
  const facts: Readonly<Record<string, string>> = {
    database: environment === null ? database : `${database}, ${environment}`,
    taken: `${formatMinute(new Date(startedAt))} UTC, in ${formatDuration(tookMs)}`,
    dump: `${dump.object}, ${formatBytes(dump.stored.bytes)}`,
    'SHA-256': dump.stored.sha256,
    encrypted: dump.recipients.length === 0 ? 'no' : `for ${dump.recipients.join(', ')}`,
    PostgreSQL: `${versions.postgresql}, pg_dump ${versions.pgDump}`,
    TimescaleDB: versions.timescaledb ?? 'none',
    migration: manifest.migration ?? 'none',
    hypertables: `${plural(manifest.hypertables.length, 'hypertable')}, ${plural(chunks, 'chunk')}, ${formatCount(compressed)} compressed`,
    jobs: formatCount(manifest.jobs.length),
    roles: manifest.roles.join(', ') || 'none',
    place: `${store}, ${key}`,
  };
  const width = Math.max(...Object.keys(facts).map(({ length }) => length));
  const rows = tables.reduce((sum, each) => sum + each.rows, 0);
  return [
    chalk.bold(id),
    ...Object.entries(facts).map(([name, text]) => `${chalk.dim(name.padEnd(width))}  ${text}`),
    '',
    ...renderTable(
      {
        head: ['table', 'kind', 'rows'],
        rows: tables.map((table) => [
          table.name,
          { text: table.kind, paint: chalk.dim },
          formatCount(table.rows),
        ]),
        right: [2],
        flexible: [0],
      },
      look,
    ),
    '',
    chalk.bold(`${plural(tables.length, 'table')}, ${plural(rows, 'row')}`),
    '',
  ].join('\n');
}

/** Renders what stays and why, and what was deleted; of a dry run, what would be. */
export function renderPruned(result: PruneResult, look: Look): string {
  const { chalk } = look;
  const { store, isDryRun, keep, kept, deleted, unfinished, uploads, damaged } = result;
  const verb = isDryRun ? 'would delete' : 'deleted';
  const fate = (isDeleted: boolean) => (isDeleted ? verb : 'left, because it may be running');
  const lines = [
    ...deleted.map(
      ({ id, database, bytes }) =>
        `${chalk.red(verb)} ${id} of ${database}: ${formatBytes(bytes)}, no rule keeps it`,
    ),
    ...unfinished.map((each) => `${describeUnfinished(each, look)}, ${fate(each.isDeleted)}`),
    ...uploads.map(
      ({ key, ageMs, isDeleted }) =>
        `${chalk.yellow('open upload')} of ${key}: ${formatAge(ageMs)} old, ${fate(isDeleted)}`,
    ),
    ...damaged.map((each) => `${describeDamaged(each, look)}; left alone`),
  ];
  const count = plural(deleted.length, 'backup');
  const freed = result.deletedBytes === 0 ? '' : `, ${formatBytes(result.deletedBytes)}`;
  const done = isDryRun ? `${count} to delete${freed}` : `${count} deleted${freed}`;
  return [
    ...(kept.length === 0
      ? []
      : [
          ...renderTable(
            {
              head: ['kept', 'database', 'size', 'by'],
              rows: kept.map(({ id, database, bytes, rules }) => [
                id,
                database,
                formatBytes(bytes),
                { text: rules.map(describeRule).join(', '), paint: chalk.green },
              ]),
              right: [2],
              flexible: [1],
              optional: [2],
            },
            look,
          ),
          '',
        ]),
    ...lines,
    ...(lines.length > 0 ? [''] : []),
    `${chalk.bold(`${done}, ${formatCount(kept.length)} kept`)} in ${store} by ${describeKeep(keep)}${isDryRun ? '; nothing was changed' : ''}`,
    '',
  ].join('\n');
}

function describeRule(rule: KeptRule): string {
  switch (rule.rule) {
    case 'future':
      return 'it is from the future';
    case 'failed verification':
      return 'its verification failed';
    default:
      // The id has the day; each period with it would not fit into 80 columns.
      return rule.rule;
  }
}

/** `7d,4w,12m` */
function describeKeep({ days, weeks, months }: Keep): string {
  const parts = [`${days}d`, `${weeks}w`, `${months}m`].filter((part) => !/^0/.test(part));
  return parts.join(',') || 'the newest alone';
}

/** Renders the files themselves, one below the other, or the names of those that were written. */
export function renderSchedule({ files, out }: ScheduleResult, { chalk }: Look): string {
  if (out === undefined) return files.map(({ text }) => text).join('\n');
  return [
    ...files.map(({ name }) => `${chalk.green('wrote')} ${name}`),
    `${chalk.bold(plural(files.length, 'file'))} in ${out}; the comments at their head say what comes next`,
    '',
  ].join('\n');
}

/** Renders what was backed up. */
export function renderCreated(
  { target, store, id, manifest, durationMs }: CreateResult,
  { chalk }: Look,
): string {
  const { dump, tables } = manifest;
  const rows = tables.reduce((sum, each) => sum + each.rows, 0);
  const isEncrypted = dump.recipients.length > 0;
  return [
    ...(isEncrypted ? [] : [`${chalk.yellow('not encrypted:')} no --recipient was named`]),
    `${chalk.bold(`backed up ${target}`)}: ${plural(rows, 'row')} in ${plural(tables.length, 'table')}, ${formatBytes(dump.stored.bytes)}, ${formatDuration(durationMs)}`,
    chalk.dim(`${id} in ${store}`),
    '',
  ].join('\n');
}

export function renderVerified(
  { id, database, bytes, durationMs }: VerifyResult,
  { chalk }: Look,
): string {
  return `${chalk.bold(chalk.green('whole'))}: ${id} of ${database}, ${formatBytes(bytes)}, ${formatDuration(durationMs)}\n`;
}

/** Renders what was restored, and how to start its jobs. */
export function renderRestored(result: RestoreResult, { chalk }: Look): string {
  const { target, id, source, database, mark, isActive, tables, rows, phases } = result;
  const times = phases.map(({ name, durationMs }) => `${name} ${formatDuration(durationMs)}`);
  const marked = mark === undefined ? 'it has no mark' : `marked as ${mark}`;
  return [
    `${chalk.bold(`restored ${id} of ${source} into ${target}`)}, ${formatDuration(result.durationMs)}`,
    `${chalk.green('the same')}: ${plural(rows, 'row')} in ${plural(tables, 'table')}; ${marked}`,
    chalk.dim(times.join(', ')),
    isActive
      ? 'its jobs run'
      : `its jobs are off; start them with: cryptosense-db backup activate ${quoteShellWord(database)}`,
    '',
  ].join('\n');
}

export function renderActivated({ target, jobs }: ActivateResult, { chalk }: Look): string {
  return `${chalk.bold(target)} is active: ${plural(jobs, 'job')} will run\n`;
}

/** Renders the outcome of a drill. */
export function renderDrill(result: DrillResult, look: Look): string {
  const { chalk } = look;
  const { id, source, phases, restoreMs, rtoMs, differences, smokeTests, hasPassed, moment } =
    result;
  const isInTime = restoreMs <= rtoMs;
  const paint = { passed: chalk.green, failed: chalk.red, 'not run': chalk.yellow };
  const of = moment ? `${source} at ${moment.to.toISOString()}` : `${id} of ${source}`;
  return [
    ...phases.map(
      ({ name, durationMs }) => `${name.padEnd(18)} ${formatDuration(durationMs).padStart(8)}`,
    ),
    ...smokeTests.map(
      ({ name, outcome, detail, durationMs }) =>
        `${name.padEnd(18)} ${formatDuration(durationMs).padStart(8)}  ${paint[outcome](outcome)}: ${detail}`,
    ),
    ...differences.map((each) => `${chalk.red(moment ? 'wrong' : 'differs')} ${each}`),
    '',
    describeData(result, look),
    ...(moment ? momentLines(result, moment) : []),
    `${isInTime ? chalk.green('in time') : chalk.red('too slow')}: ${formatDuration(restoreMs)} of ${formatDuration(rtoMs)}`,
    `${chalk.bold(`drill of ${of}`)}: ${hasPassed ? chalk.green('passed') : chalk.red('failed')}`,
    '',
  ].join('\n');
}

function describeData({ tables, differences, moment }: DrillResult, { chalk }: Look): string {
  const rows = tables.reduce((sum, each) => sum + each.rows, 0);
  const data = `${plural(rows, 'row')} in ${plural(tables.length, 'table')}`;
  if (moment) return `${chalk.green('read')}: ${data}`;
  return differences.length === 0
    ? `${chalk.green('the same')}: ${data}`
    : chalk.red(`${plural(differences.length, 'difference')} from the manifest`);
}

function momentLines(
  { id, copy }: DrillResult,
  { to, newestTransactionAt, kept }: DrilledMoment,
): readonly string[] {
  const newest =
    newestTransactionAt === null
      ? 'no transaction since the physical backup'
      : `the newest transaction ${formatAge(to.getTime() - newestTransactionAt.getTime())} before the moment`;
  return [
    `from ${id}: ${newest}`,
    ...(kept ? [`kept: ${copy}; start it with:`, kept.startCommand] : []),
  ];
}

/** Renders the newest backup of each database, the WAL, and what is wrong. */
export function renderCheck(
  { store, databases, problems, wal, maxAgeMs, isFine }: CheckResult,
  look: Look,
): string {
  const { chalk } = look;
  return [
    ...databases.map(({ database, newest, verified }) => {
      const backup = newest ? `newest ${formatAge(newest.ageMs)} old` : 'no backup';
      const proof = verified ? `verified ${formatAge(verified.ageMs)} ago` : 'never verified';
      return `${database}: ${backup}, ${proof}`;
    }),
    ...(wal ? [describeWalState(wal)] : []),
    ...problems.map(({ detail, ageMs }) => {
      const old = ageMs === undefined ? '' : ` (${describeAge(ageMs)})`;
      return `${chalk.red('problem:')} ${detail}${old}`;
    }),
    ...(wal?.problems ?? []).map((each) => `${chalk.red('problem:')} ${describeWalProblem(each)}`),
    isFine
      ? `${chalk.bold(store)}: ${chalk.green('fine')}, ${databases.length === 1 ? 'the newest backup is' : 'the newest backups are'} not older than ${formatDuration(maxAgeMs)}`
      : `${chalk.bold(store)}: ${chalk.red(plural(problems.length + (wal?.problems.length ?? 0), 'problem'))}`,
    '',
  ].join('\n');
}

/** Hours with their minutes up to two days: a limit of 26 h is passed within the second one. */
function describeAge(ageMs: number): string {
  return ageMs < hourMs || ageMs >= 2 * dayMs ? formatAge(ageMs) : formatDuration(ageMs);
}
