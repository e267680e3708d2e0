import type { Replica } from '../database/replicas.ts';
import type { CreateResult, DropResult, MarkResult, WaitResult } from '../databases/lifecycle.ts';
import type { InvalidIndex } from '../migrations/invalid-indexes.ts';
import type {
  BaselineResult,
  RepairResult,
  ReplayConflict,
  RunResult,
  StatusResult,
  WaitedReplica,
} from '../migrations/migrate.ts';
import type { ScaffoldResult } from '../migrations/scaffold.ts';
import type { Interruption, MigrationState } from '../migrations/status.ts';
import { formatBytes, formatDuration, formatMinute, plural } from '../runtime/amounts.ts';
import {
  type CryptosenseDbError,
  findingsOf,
  type Problem,
  type SensitiveWords,
  sensitiveOf,
} from '../runtime/errors.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import type { CheckResult, GenerateResult } from '../types/generate.ts';
import { describeFinding } from './findings.ts';
import { type Look, renderTable } from './table.ts';

export { formatAge, formatDuration, formatMinute, plural } from '../runtime/amounts.ts';

export function renderStatus(result: StatusResult, look: Look): string {
  const { chalk } = look;
  const { target, environment, migrations, invalidIndexes, replicas } = result;
  const mark = environment ? `, ${environment}` : '';
  if (migrations.length === 0) return `${target}${mark}: no migrations\n`;
  const paints: Readonly<Record<MigrationState, (text: string) => string>> = {
    applied: chalk.green,
    pending: chalk.yellow,
    'out of order': chalk.red,
    changed: chalk.red,
    missing: chalk.red,
    interrupted: chalk.red,
  };
  const table = renderTable(
    {
      head: ['version', 'description', 'state', 'applied (UTC)', 'by', 'took'],
      rows: migrations.map(({ version, description, state, ...row }) => [
        version,
        description,
        { text: state, paint: paints[state] },
        { text: row.appliedAt ? formatMinute(row.appliedAt) : '', paint: chalk.dim },
        { text: row.appliedBy ?? '', paint: chalk.dim },
        { text: formatDuration(row.durationMs), paint: chalk.dim },
      ]),
      right: [5],
      flexible: [4, 1],
      optional: [4, 5, 3],
    },
    look,
  );
  const notes = [
    ...migrations.flatMap(({ version, interruption }) =>
      interruption ? [`${version}  ${describeInterruption(interruption)}`] : [],
    ),
    ...invalidIndexes.flatMap(describeInvalidIndex),
  ];
  const states = countEach(migrations.map(({ state }) => state));
  const summary = states.map(([state, count]) => `${count} ${state}`).join(', ');
  const rest = [notes, renderReplicas(replicas, look)].flatMap((lines) =>
    lines.length === 0 ? [] : ['', ...lines],
  );
  return `${[...table, ...rest, '', chalk.bold(`${target}${mark}: ${summary}`)].join('\n')}\n`;
}

function renderReplicas(replicas: readonly Replica[], look: Look): readonly string[] {
  if (replicas.length === 0) return [];
  const isHidden = replicas.some(({ state }) => state === undefined);
  const table = renderTable(
    {
      head: ['replica', 'address', 'state', 'behind'],
      rows: replicas.map((replica) => [
        replica.name,
        replica.address ?? '',
        replica.state ?? '',
        describeLag(replica),
      ]),
      flexible: [0, 3],
      optional: [1],
    },
    look,
  );
  return isHidden ? [...table, `hint: let a superuser run: grant pg_monitor to ROLE`] : table;
}

/** `1.2 MB, 3.4 s` */
export function describeLag({ state, lagBytes, lagMs }: Replica): string {
  if (state === undefined) return 'not visible to this role';
  if (lagBytes === undefined) return 'not known';
  if (lagBytes === 0) return 'nothing';
  return [formatBytes(lagBytes), ...(lagMs === undefined ? [] : [formatDuration(lagMs)])].join(
    ', ',
  );
}

/** `up: 2 statements have finished; statement 3 started 2026-11-20 14:02 UTC, and its end is not recorded` */
function describeInterruption({ direction, finished, started }: Interruption): string {
  const before = `${direction}: ${plural(finished, 'statement')} finished`;
  return started === undefined
    ? before
    : `${before}; statement ${started.statement} started ${formatMinute(started.at)} UTC, and its end is not recorded`;
}

function describeInvalidIndex(found: InvalidIndex): readonly string[] {
  const { version, schema, index, table, isPartitioned } = found;
  const name = `${schema}.${index}`;
  const quoted = [schema, index].map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
  const remedy = isPartitioned
    ? `attach the index of each partition with: alter index ${quoted} attach partition …`
    : `rebuild it with: reindex index concurrently ${quoted}`;
  return [
    `${version}  the index ${name} on ${table} is invalid, and no query uses it`,
    `hint: ${remedy}`,
  ];
}

/** How often each text occurs, in the order of the first occurrences. */
function countEach(texts: readonly string[]): readonly (readonly [text: string, count: number])[] {
  return [...new Set(texts)].map((text) => [text, texts.filter((each) => each === text).length]);
}

/** Renders one line for a run. Before it, a dry run has one line for each step. */
export function renderRun(result: RunResult, look: Look): string {
  return renderSteps(result, look) + renderReplicaWait(result, look);
}

function renderSteps(result: RunResult, { chalk }: Look): string {
  const { target, steps, isDryRun, applied, pending, replicas = [] } = result;
  const left = pending.length === 0 ? '' : `, ${pending.length} pending`;
  if (steps.length === 0) {
    return `${chalk.bold('nothing to do')}: ${applied} applied${left} in ${target}\n`;
  }
  const verbs = isDryRun
    ? { up: 'to apply', down: 'to roll back' }
    : { up: 'applied', down: 'rolled back' };
  const done = countEach(steps.map(({ direction }) => verbs[direction]))
    .map(([verb, count]) => `${plural(count, 'migration')} ${verb}`)
    .join(', ');
  if (isDryRun) {
    const hasReplicas = replicas.length > 0;
    const conflicts = steps.flatMap((step) => (hasReplicas ? (step.replayConflicts ?? []) : []));
    const lines = steps.flatMap(({ direction, version, description, irreversible, ...step }) => [
      `${chalk.cyan(direction.padEnd(4))} ${version}  ${description}`,
      ...(irreversible === undefined
        ? []
        : [chalk.yellow(`     cannot be undone: ${irreversible}`)]),
      ...(hasReplicas ? (step.replayConflicts ?? []) : []).map((conflict) =>
        chalk.yellow(`     ${describeConflict(conflict)}`),
      ),
    ]);
    if (conflicts.length > 0) {
      lines.push(
        `on ${plural(replicas.length, 'replica')}, queries on these relations are cancelled after max_standby_streaming_delay`,
      );
    }
    return `${[...lines, chalk.bold(`${done} in ${target}; nothing was changed`)].join('\n')}\n`;
  }
  const took = steps.reduce((sum, { durationMs }) => sum + durationMs, 0);
  return `${chalk.bold(done)} in ${target}${left}, ${formatDuration(took)}\n`;
}

/** `conflicts with queries on replicas: line 3, ALTER TABLE public.users` */
function describeConflict({ statement, line, relations }: ReplayConflict): string {
  const what = [statement, relations.join(', ')].filter((text) => text !== '').join(' ');
  return `conflicts with queries on replicas: line ${line}, ${what}`;
}

function renderReplicaWait({ replicaWait, steps }: RunResult, { chalk }: Look): string {
  if (!replicaWait) return '';
  const { replicas, hasAll, waitedMs } = replicaWait;
  const took = `after ${formatDuration(waitedMs)}`;
  if (replicas.length === 0) return 'no replica streams from the server\n';
  if (hasAll) return `${plural(replicas.length, 'replica')} replayed all ${took}\n`;
  const late = replicas.filter(({ hasReplayed }) => !hasReplayed);
  const count = `${late.length} of ${plural(replicas.length, 'replica')}`;
  const verb = late.length === 1 ? 'has' : 'have';
  // To wait with `up` would apply again what was rolled back.
  const isUp = steps.every(({ direction }) => direction === 'up');
  const stays = isUp ? 'the migrations stay applied' : 'what the run has committed stays';
  const next = isUp
    ? 'wait again with: cryptosense-db migrate up --wait-for-replicas 5m'
    : 'see how far they are with: cryptosense-db migrate status';
  return [
    chalk.red(`${count} ${verb} not replayed all ${took}; ${stays}`),
    ...late.map((replica) => `  ${describeLate(replica)}`),
    `${chalk.cyan('hint:')} where replay is paused, run on the replica: select pg_wal_replay_resume()`,
    `${chalk.cyan('hint:')} ${next}`,
    '',
  ].join('\n');
}

/** `south (10.0.0.7): streaming, 1.2 MB behind` */
function describeLate(replica: WaitedReplica): string {
  const { name, address, state = 'not visible to this role', lagBytes, isConnected } = replica;
  const place = address === undefined ? name : `${name} (${address})`;
  if (!isConnected) return `${place}: its connection to the primary ended`;
  return `${place}: ${state}${lagBytes === undefined ? '' : `, ${formatBytes(lagBytes)} behind`}`;
}

export function renderScaffold(result: ScaffoldResult, { chalk }: Look): string {
  const { migration, rollback, folderFlags } = result;
  return [
    `${chalk.green('created')} ${migration}`,
    `${chalk.green('created')} ${rollback}`,
    `${chalk.cyan('apply it with:')} cryptosense-db migrate up${folderFlags}`,
    '',
  ].join('\n');
}

export function renderRepair(result: RepairResult, { chalk }: Look): string {
  const { repaired, forgotten, toRepeat, finished } = result;
  const lines = [
    ...repaired.map(({ version, description }) => `recorded ${version}  ${description}`),
    ...forgotten.map((version) => `forgot   ${version}`),
    ...toRepeat.map((version) => `the next run repeats the interrupted statement of ${version}`),
    ...finished.map((version) => `the interrupted statement of ${version} counts as finished`),
  ];
  return lines.length === 0
    ? `${chalk.bold('nothing to repair')}: history and files agree\n`
    : `${lines.join('\n')}\n`;
}

export function renderBaseline({ recorded }: BaselineResult, { chalk }: Look): string {
  return `${chalk.bold(`${plural(recorded.length, 'migration')} recorded`)} as applied, none run\n`;
}

export function renderCreate({ target, isCreated }: CreateResult): string {
  return isCreated ? `created ${target}\n` : `${target} exists already\n`;
}

export function renderDrop({ target, isDropped }: DropResult): string {
  return isDropped ? `dropped ${target}\n` : `${target} does not exist\n`;
}

export function renderMark({ target, environment, before, isChanged }: MarkResult): string {
  if (!isChanged) return `${target} is marked as ${environment} already\n`;
  const was = before === undefined ? '' : `, and no longer as ${before}`;
  return `${target} is marked as ${environment}${was}\n`;
}

export function renderWait(result: WaitResult): string {
  const { target, isReady, isDatabaseThere, waitedMs, reason } = result;
  const waited = formatDuration(waitedMs);
  if (!isReady) return `${target} is not ready after ${waited}: ${reason ?? 'no answer'}\n`;
  const note = isDatabaseThere ? '' : '; the database does not exist yet';
  return `${target} is ready after ${waited}${note}\n`;
}

export function renderGenerated({ file, tables, isChanged }: GenerateResult): string {
  const what = `the types of ${plural(tables, 'table')}`;
  return isChanged ? `wrote ${what} to ${file}\n` : `${file} holds ${what} already\n`;
}

/** For each difference, what the file has and what the database has. */
export function renderTypesCheck(result: CheckResult, { chalk }: Look): string {
  const { file, target, isCurrent, isFileThere, differences } = result;
  if (isCurrent) return `${file} is what ${target} gives\n`;
  const width = Math.min(40, Math.max(...differences.map(({ where }) => where.length)));
  const lines = differences.map((difference) => {
    const { where, file: before, database: after } = difference;
    const name = `  ${chalk.bold(where.padEnd(width))}`;
    if (before === undefined) return `${name}  ${chalk.green('only in the database:')} ${after}`;
    if (after === undefined) return `${name}  ${chalk.red('only in the file:')} ${before}`;
    const indent = ' '.repeat(width + 4);
    return `${name}  ${chalk.red('file:')}     ${before}\n${indent}${chalk.green('database:')} ${after}`;
  });
  const fact = isFileThere ? `is not what ${target} gives` : 'is not there';
  const head = chalk.red(`${file} ${fact}`);
  const hint = `${chalk.cyan('hint:')} cryptosense-db types generate --out ${quoteShellWord(file)}`;
  return `${[head, ...lines, hint].join('\n')}\n`;
}

/** What an error shows. Words of the server that may hold values of rows are left out unless `isVerbose`. */
export interface Disclosure {
  readonly isVerbose: boolean;
}

/** Everything that an error says, in words: its findings first. */
export function problemsOf(
  { details, problems }: CryptosenseDbError,
  { isVerbose }: Disclosure = { isVerbose: false },
): readonly Problem[] {
  const sensitive = sensitiveOf(details);
  const [first, ...others] = problems;
  if (!sensitive || !first) return [...findingsOf(details).map(describeFinding), ...problems];
  const lines = isVerbose ? describeSensitive(sensitive) : [describeOmission(sensitive)];
  return [{ ...first, evidence: [...(first.evidence ?? []), ...lines] }, ...others];
}

function describeOmission(sensitive: SensitiveWords): string {
  const left = sensitiveParts(sensitive).map(([name]) => name);
  return `left out, as it may hold values of rows: ${left.join(', ')}; --verbose shows it`;
}

function describeSensitive(sensitive: SensitiveWords): readonly string[] {
  return sensitiveParts(sensitive).flatMap(([name, text]) =>
    name === 'context' ? text.split('\n').map((line) => `in: ${line}`) : [`${name}: ${text}`],
  );
}

function sensitiveParts({ message, detail, where, query }: SensitiveWords) {
  const parts = Object.entries({ message, detail, context: where, query });
  return parts.flatMap(([name, text]) => (text ? [[name, text] as const] : []));
}

/** Each fact in red, its evidence indented below it, its hint at the end. */
export function renderProblems(problems: readonly Problem[], { chalk }: Look): string {
  const lines = problems.flatMap(({ message, evidence = [], hint }) => [
    chalk.red(printable(message)),
    ...evidence.map((line) => `  ${printable(line)}`),
    ...(hint === undefined ? [] : [`${chalk.cyan('hint:')} ${printable(hint)}`]),
  ]);
  return `${lines.join('\n')}\n`;
}

/** Without the control characters that a file or an answer may have: a terminal would obey them. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, '�');
}

/** An error as the one JSON document of a command that failed. */
export function errorDocument(
  error: CryptosenseDbError,
  disclosure: Disclosure = { isVerbose: false },
) {
  const { code, message } = error;
  const problems = problemsOf(error, disclosure);
  const sensitive = disclosure.isVerbose ? sensitiveOf(error.details) : undefined;
  const details = sensitive ? { ...error.details, sensitive } : error.details;
  return { error: { code, message, problems, ...(details !== undefined && { details }) } };
}
