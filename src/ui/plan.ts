import type {
  LockMode,
  MeasuredStep,
  PlanResult,
  RewrittenTable,
  TableLock,
  TableParts,
  Waiting,
} from '../migrations/options.ts';
import { formatBytes, formatDuration, plural } from '../runtime/amounts.ts';
import { type Cell, type Look, oneLine, renderTable, wrap } from './table.ts';

/** One table of all locks, with a line before those of each migration; what all of them took at the end. */
export function renderPlan(result: PlanResult, look: Look): string {
  const { chalk } = look;
  const { target, steps, applied } = result;
  if (steps.length === 0) {
    return `${chalk.bold('nothing to measure')}: all ${applied} applied in ${target}\n`;
  }
  const locks = steps.flatMap((step) => step.locks);
  const [head = '', ...rows] = renderTable(
    {
      head: ['  table', 'while it runs', 'lock', locks.some(hasParts) ? 'parts' : ''],
      rows: locks.map((lock) => rowOf(lock, look)),
      flexible: [0],
      optional: [3],
    },
    look,
  );
  const blocks = steps.flatMap((step, index) => {
    const from = steps.slice(0, index).reduce((count, before) => count + before.locks.length, 0);
    return ['', ...renderStep(step, rows.slice(from, from + step.locks.length), look)];
  });
  const sum = (amounts: readonly number[]) => amounts.reduce((total, each) => total + each, 0);
  const took = formatDuration(sum(steps.map(({ durationMs }) => durationMs)));
  const wal = formatBytes(sum(steps.map(({ walBytes }) => walBytes)));
  const notes = notesOn(steps).flatMap((note) => wrap(note, look.columns ?? 100));
  return `${[
    ...(locks.length === 0 ? [] : [head]),
    ...blocks,
    '',
    ...notes.map((line) => chalk.dim(line)),
    chalk.bold(`${plural(steps.length, 'migration')} applied to ${target}, ${took}, ${wal} of WAL`),
  ].join('\n')}\n`;
}

function notesOn(steps: readonly MeasuredStep[]): readonly string[] {
  const blind = {
    sampled: 'Locks without a transaction are those that a look every 5 ms has seen.',
    'in part': 'Locks of statements that refuse a transaction were not measured.',
  };
  const sights = (['sampled', 'in part'] as const).filter((sight) =>
    steps.some(({ lockSight }) => lockSight === sight),
  );
  return [
    ...sights.map((sight) => blind[sight]),
    'WAL is what the whole server wrote meanwhile. The migrations stay applied in this copy: to measure again, make a new copy.',
  ];
}

function renderStep(
  { version, description, durationMs, walBytes, locks, rewritten, transaction }: MeasuredStep,
  rows: readonly string[],
  { chalk }: Look,
): readonly string[] {
  const mode = transaction === 'none' ? ', without a transaction' : '';
  const amounts = `${formatDuration(durationMs)}, ${formatBytes(walBytes)} of WAL${mode}`;
  return [
    `${chalk.bold(`${version}  ${description}`)}  ${amounts}`,
    ...(locks.length === 0 ? ['  no lock on a table that was there before'] : rows),
    ...rewritten.map((table) => chalk.red(`  ${describeRewritten(table)}`)),
  ];
}

/** `rewritten: orders, some 1,000,000 rows, 132 MB` */
function describeRewritten(table: RewrittenTable): string {
  const { estimatedRows, bytes } = table;
  const facts = [
    ...(estimatedRows === undefined ? [] : [`some ${plural(Math.round(estimatedRows), 'row')}`]),
    ...(hasParts(table) ? [partsOf(table)] : []),
    formatBytes(bytes),
  ];
  return `rewritten: ${nameOf(table)}, ${facts.join(', ')}`;
}

function rowOf(lock: TableLock, { chalk }: Look): readonly Cell[] {
  const paints: Readonly<Record<Waiting, (text: string) => string>> = {
    'reads and writes': chalk.red,
    writes: chalk.yellow,
    'writes of locked rows': chalk.yellow,
    nothing: chalk.green,
  };
  const verb = lock.waits === 'nothing' ? 'waits' : 'wait';
  return [
    `  ${nameOf(lock)}`,
    { text: `${lock.waits} ${verb}`, paint: paints[lock.waits] },
    { text: words[lock.mode], paint: chalk.dim },
    { text: partsOf(lock), paint: chalk.dim },
  ];
}

/** As the statement LOCK names them. */
const words: Readonly<Record<LockMode, string>> = {
  AccessShareLock: 'access share',
  RowShareLock: 'row share',
  RowExclusiveLock: 'row exclusive',
  ShareUpdateExclusiveLock: 'share update exclusive',
  ShareLock: 'share',
  ShareRowExclusiveLock: 'share row exclusive',
  ExclusiveLock: 'exclusive',
  AccessExclusiveLock: 'access exclusive',
};

/** Without the schema where that is public. */
function nameOf({ schema, table }: TableParts): string {
  return oneLine(schema === 'public' ? table : `${schema}.${table}`);
}

function hasParts({ chunks, partitions }: TableParts): boolean {
  return chunks + partitions > 0;
}

function partsOf({ chunks, partitions }: TableParts): string {
  if (chunks > 0) return plural(chunks, 'chunk');
  return partitions > 0 ? plural(partitions, 'partition') : '';
}
