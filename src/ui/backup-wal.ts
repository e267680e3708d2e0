import type { WalConfig } from '../backup/wal/config.ts';
import type { ListedBackup, WalList } from '../backup/wal/list.ts';
import type { WalRestore } from '../backup/wal/restore.ts';
import type { PhysicalRule } from '../backup/wal/retention.ts';
import type { WalRun } from '../backup/wal/run.ts';
import type { WalGap, Window } from '../backup/wal/segments.ts';
import type { WalProblem, WalState } from '../backup/wal/state.ts';
import { formatBytes, formatCount } from './bar.ts';
import { formatAge, formatDuration, formatMinute, plural } from './render.ts';
import { type Look, renderTable } from './table.ts';

/** Renders the configuration, unless a file has it, the statements for the server, and what comes then. */
export function renderWalConfig(result: WalConfig, { chalk }: Look): string {
  const { config, file, secrets, settings, sql, commands } = result;
  const note = (text: string) => chalk.dim(`-- ${text}`);
  const restarts = settings.filter(({ needsRestart }) => needsRestart).map(({ name }) => name);
  const replaced = settings.filter(
    ({ name, value, current }) =>
      name === 'archive_command' && current && current !== '(disabled)' && current !== value,
  );
  return [
    ...(file === undefined ? [config] : [`${chalk.green('wrote')} ${file}`]),
    ...(file === undefined && secrets.length > 0
      ? [`# ${secrets.join(', ')}: --out FILE writes them`, '']
      : []),
    ...(sql === ''
      ? [note('the server has these settings already')]
      : [note('then on the server, as a superuser'), sql.trimEnd()]),
    ...replaced.map(({ current }) => note(`this replaces the archive_command: ${current}`)),
    sql === '' || restarts.length > 0 ? '' : 'SELECT pg_reload_conf();',
    ...(restarts.length > 0
      ? [note(`then restart the server, for ${restarts.join(' and ')}`)]
      : []),
    note("then the first backup, as the server's user"),
    ...commands,
    '',
  ]
    .filter((line, index, lines) => line !== '' || index === lines.length - 1)
    .join('\n');
}

export function renderWalRun(result: WalRun, look: Look): string {
  const { chalk } = look;
  const { backup, expired, kept, repository, durationMs } = result;
  const size = `${formatBytes(backup.storedBytes)} stored of ${formatBytes(backup.bytes)}`;
  return [
    ...expired.map((label) => `${chalk.red('expired')} ${label}: no rule keeps it`),
    ...(backup.hasDamagedPages ? [damaged(backup.label, look)] : []),
    `${chalk.bold(`${backup.type} backup ${backup.label}`)} in ${repository}: ${size}, ${formatDuration(durationMs)}`,
    `${plural(kept, 'backup')} kept`,
    '',
  ].join('\n');
}

function damaged(label: string, { chalk }: Look): string {
  return `${chalk.red('damaged')} ${label}: pages with a wrong checksum; see the log of pgBackRest`;
}

/** Renders a line for each backup, the newest first, then the WAL, its gaps, and what can be restored. */
export function renderWalList(result: WalList, look: Look): string {
  const { chalk } = look;
  const { backups, wal, repository, stanza } = result;
  const lines = [
    ...backups
      .filter(({ hasDamagedPages }) => hasDamagedPages)
      .map(({ label }) => damaged(label, look)),
    ...wal.gaps.map((gap) => `${chalk.red('missing')} ${describeGap(gap)}`),
    ...wal.windows.map((window) => `${chalk.green('can be restored')} ${describeWindow(window)}`),
  ];
  const range =
    wal.first && wal.last
      ? `${plural(wal.segments, 'segment')} of WAL, ${formatBytes(wal.bytes)}, ${wal.first.name} to ${wal.last.name}, the newest ${formatAge(Date.now() - wal.last.at.getTime())} old`
      : 'no WAL';
  return [
    ...(backups.length === 0 ? [] : [...backupTable(backups, look), '']),
    ...lines,
    ...(lines.length > 0 ? [''] : []),
    range,
    `${chalk.bold(`${stanza}: ${plural(backups.length, 'physical backup')}`)} in ${repository}`,
    '',
  ].join('\n');
}

function backupTable(backups: readonly ListedBackup[], look: Look): readonly string[] {
  const { chalk } = look;
  return renderTable(
    {
      head: ['label', 'type', 'ended (UTC)', 'stored', 'size', 'kept by'],
      rows: backups
        .toReversed()
        .map((backup) => [
          backup.label,
          backup.type,
          { text: formatMinute(backup.stoppedAt), paint: chalk.dim },
          formatBytes(backup.storedBytes),
          formatBytes(backup.bytes),
          backup.rules.length === 0
            ? { text: 'no rule', paint: chalk.yellow }
            : { text: backup.rules.map(describeRule).join(', '), paint: chalk.green },
        ]),
      right: [3, 4],
      flexible: [5],
      optional: [4],
    },
    look,
  );
}

function describeRule(rule: PhysicalRule): string {
  switch (rule.rule) {
    case 'newest':
      return 'newest';
    case 'wal':
      return 'days of WAL';
    case 'needed':
      return 'another backup builds on it';
    default:
      return `${rule.rule} ${rule.period}`;
  }
}

/** `000000010000000000000007, and 2 more up to 000000010000000000000009; the WAL before it ends 2026-11-27 22:27 UTC` */
function describeGap({ first, last, segments, after }: WalGap): string {
  const more = segments > 1 ? `, and ${formatCount(segments - 1)} more up to ${last}` : '';
  const end = after ? `; the WAL before it ends ${formatMinute(after)} UTC` : '';
  return `${first}${more}${end}`;
}

function describeWindow({ from, to }: Window): string {
  const start = `${formatSecond(from)} UTC`;
  return from.getTime() === to.getTime() ? start : `${start} to ${formatSecond(to)} UTC`;
}

function formatSecond(date: Date): string {
  return date.toISOString().slice(0, 19).replace('T', ' ');
}

/** Renders what was restored, and how the copy is started, looked into and used. */
export function renderWalRestore(result: WalRestore, { chalk }: Look): string {
  const { folder, backup, to, action, startCommand, stopCommand, settings, hasOwnConfig } = result;
  const step = (text: string) => chalk.dim(`# ${text}`);
  return [
    `${chalk.bold(`restored ${backup.label}`)} into ${folder}, ${formatDuration(result.durationMs)}`,
    ...(hasOwnConfig
      ? [
          step(
            'it has a postgresql.conf and pg_hba.conf of its own, because the server keeps them elsewhere',
          ),
        ]
      : []),
    step(`start it: it replays the WAL up to ${describeEnd(result)}`),
    startCommand,
    ...(to instanceof Date
      ? [
          step(
            'if start.log says that recovery ended before the target, the archive has no transaction after the moment: choose an earlier one, or let the server archive more: select pg_switch_wal()',
          ),
        ]
      : []),
    ...(action === 'pause'
      ? [
          step('it is there when this answers paused: select pg_get_wal_replay_pause_state()'),
          step('it writes nothing; to let it write: select pg_wal_replay_resume()'),
        ]
      : [step('it is there, and takes writes, when this answers f: select pg_is_in_recovery()')]),
    step('stop it'),
    stopCommand,
    step(
      `to have it replace the server, take these out of postgresql.auto.conf: ${settings.join(', ')}`,
    ),
    '',
  ].join('\n');
}

function describeEnd({ to, gap }: WalRestore): string {
  if (gap) return `the gap: ${describeGap(gap)}`;
  if (to === undefined) return 'the end of the backup';
  return to === 'latest' ? 'the end of the WAL' : to.toISOString();
}

/** One line for the newest WAL, for `backup check`. */
export function describeWalState({ newest, archiver, lossMs }: WalState): string {
  const name = newest?.name ?? archiver?.lastArchived;
  const loss = lossMs === undefined ? '' : `; at most ${formatDuration(lossMs)} would be lost`;
  return `WAL: ${name === undefined ? 'none' : `newest ${name}`}${loss}`;
}

/** One line for a problem of the WAL, for `backup check`. */
export function describeWalProblem(problem: WalProblem): string {
  switch (problem.kind) {
    case 'no-wal':
      return 'no WAL is archived';
    case 'old-wal':
      return `WAL of the last ${formatAge(problem.lossMs)} is not archived; ${formatAge(problem.rpoMs)} may be lost at most`;
    case 'gap':
      return `WAL is missing: ${describeGap(problem.gap)}`;
    case 'archiving-off':
      return 'the server archives no WAL: archive_mode is off';
    case 'archiver-failing':
      return `the server cannot archive ${problem.segment}: its archive_command fails since ${formatMinute(problem.since)} UTC; the server's log says why`;
    case 'not-in-repository':
      return `the server has archived ${problem.segment}, and the repository does not have it`;
    default:
      return problem satisfies never;
  }
}
