import type {
  ListedBackup,
  ListResult,
  ShownBackup,
  UnfinishedBackup,
  UnusableBackup,
} from '../backup/list.ts';
import type { PruneResult } from '../backup/prune.ts';
import type { Keep, RetentionRule } from '../backup/retention.ts';
import type { ScheduleResult } from '../backup/schedule.ts';
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

function backupTable(backups: readonly ListedBackup[], look: Look): readonly string[] {
  const { chalk } = look;
  return renderTable(
    {
      head: ['id', 'database', 'mark', 'age', 'size', 'dump', 'rows', 'migration'],
      rows: backups.map((backup) => [
        backup.id,
        backup.database,
        backup.environment ?? '',
        formatAge(backup.ageMs),
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
    dump: `${dump.object}, ${formatBytes(dump.stored.bytes)}, SHA-256 ${dump.stored.sha256}`,
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
              flexible: [3, 1],
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

function describeRule(rule: RetentionRule): string {
  return rule.rule === 'newest' ? 'newest' : `${rule.rule} ${rule.period}`;
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
