import { quoteShellWord } from '../runtime/shell-words.ts';
import type {
  BrokenStep,
  CheckResult,
  DiffResult,
  DocResult,
  ErdFile,
  ErdResult,
  Fact,
  FactDifference,
  Loss,
  ObjectDifference,
  PartDifference,
  RowCheck,
  VerifyResult,
} from '../schema/schema.ts';
import { plural, printable, renderProblems } from './render.ts';
import { type Look, oneLine } from './table.ts';

/** Renders what differs, object by object: `-` is the first schema, `+` the second one. */
export function renderDiff({ before, after, differences }: DiffResult, look: Look): string {
  const { chalk } = look;
  if (differences.length === 0) {
    return `${chalk.green('the same schema')}: ${before} and ${after}\n`;
  }
  return [
    chalk.red(`--- ${before}`),
    chalk.green(`+++ ${after}`),
    ...differences.flatMap((difference, index) => [
      ...(isApart(difference, differences[index - 1]) ? [''] : []),
      ...linesOf(difference, look),
    ]),
    '',
    `${chalk.bold(plural(differences.length, 'object'))} ${differences.length === 1 ? 'differs' : 'differ'}`,
    '',
  ].join('\n');
}

/** Renders what was changed by hand: `-` is what the migrations make, `+` what the database has. */
export function renderCheck({ target, version, against, drift }: CheckResult, look: Look): string {
  const { chalk } = look;
  const source = against === 'migrations' ? `its migrations up to ${version}` : against;
  if (drift.length === 0) {
    return `${chalk.green('no drift')}: ${target} has the schema of ${source}\n`;
  }
  return [
    ...drift.flatMap(({ difference, definedIn }) => [
      ...linesOf(difference, look),
      ...(definedIn.length === 0
        ? [chalk.dim('  in no migration')]
        : definedIn.map((file) => chalk.dim(`  last named in ${file}`))),
      '',
    ]),
    `${chalk.bold(`${plural(drift.length, 'object')} of ${target}`)} ${drift.length === 1 ? 'differs' : 'differ'} from ${source}`,
    '',
  ].join('\n');
}

/** Objects that are there on one side only take a line each. */
function isApart(difference: ObjectDifference, before: ObjectDifference | undefined): boolean {
  return difference.change === 'changed' || before === undefined || before.change === 'changed';
}

const signs = { added: '+', removed: '-', changed: '~' } as const;

function paintOf(change: keyof typeof signs, { chalk }: Look): (text: string) => string {
  return { added: chalk.green, removed: chalk.red, changed: chalk.yellow }[change];
}

function linesOf(difference: ObjectDifference, look: Look): readonly string[] {
  const { change, kind, name } = difference;
  const head = `${paintOf(change, look)(`${signs[change]} ${kind}`)} ${look.chalk.bold(printable(name))}`;
  if (difference.change !== 'changed') return [head];
  return [
    head,
    ...difference.facts.flatMap((fact) => factLines(fact, { indent: '  ', look })),
    ...difference.parts.flatMap((part) => partLines(part, look)),
  ];
}

function partLines(part: PartDifference, look: Look): readonly string[] {
  const head = `  ${paintOf(part.change, look)(`${signs[part.change]} ${part.kind}`)} ${printable(part.name)}`;
  if (part.change !== 'changed') return [`${head}  ${look.chalk.dim(printable(part.summary))}`];
  return [head, ...part.facts.flatMap((fact) => factLines(fact, { indent: '    ', look }))];
}

function factLines(
  { fact, before, after }: FactDifference,
  { indent, look }: { readonly indent: string; readonly look: Look },
): readonly string[] {
  const { chalk } = look;
  const { start, end, old, now } = withoutCommonEnds(valueLines(before), valueLines(after));
  const others = (count: number) =>
    count === 0 ? [] : [chalk.dim(`${indent}    (${plural(count, 'line')} the same)`)];
  return [
    `${indent}${fact}`,
    ...others(start),
    ...old.map((line) => chalk.red(`${indent}  - ${line}`)),
    ...now.map((line) => chalk.green(`${indent}  + ${line}`)),
    ...others(end),
  ];
}

/** Of a query of many lines, those that differ, with how many are the same before and after them. */
function withoutCommonEnds(before: readonly string[], after: readonly string[]) {
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < most - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  return {
    start,
    end,
    old: before.slice(start, before.length - end),
    now: after.slice(start, after.length - end),
  };
}

/** A value of several lines, such as a query, has a sign on each. */
function valueLines(fact: Fact | undefined): readonly string[] {
  if (fact === undefined) return [];
  if (fact === true) return ['yes'];
  const lines = typeof fact === 'object' ? fact : String(fact).split('\n');
  return lines.map(printable);
}

export function renderSnapshotWritten(
  {
    target,
    out,
    objects,
  }: { readonly target: string; readonly out: string; readonly objects: number },
  { chalk }: Look,
): string {
  return `${chalk.bold(plural(objects, 'object'))} of ${target} in ${out}\n`;
}

/** One line for each loss. */
function rowLines({ losses, rolledBack }: RowCheck, { chalk }: Look): readonly string[] {
  const what = `${plural(rolledBack, 'rollback')} with development data`;
  if (losses.length === 0) return [`${chalk.bold(what)}: no row is lost`];
  return [
    `${chalk.bold(what)}; what they lose:`,
    ...losses.map((loss) => `  ${loss.version}  ${chalk.yellow(describeLoss(loss))}`),
  ];
}

function describeLoss(loss: Loss): string {
  switch (loss.lost) {
    case 'table':
      return `table ${loss.table}, ${plural(loss.rows, 'row')}`;
    case 'rows':
      return `${plural(loss.rows, 'row')} of ${loss.table}`;
    case 'column':
      return `column ${loss.table}.${loss.column}, ${plural(loss.values, 'value')}`;
    case 'values':
      return `${loss.table}.${loss.column} has other values`;
    default:
      return loss satisfies never;
  }
}

/** Renders what was written, or the first line that differs. */
export function renderErdFile(
  {
    source,
    format,
    tables,
    references,
    file,
  }: Omit<ErdResult, 'text' | 'file'> & { readonly file: ErdFile },
  { chalk }: Look,
): string {
  const { out, isCurrent, isWritten, difference } = file;
  const what = `${plural(tables, 'table')} and ${plural(references, 'foreign key')} of ${source}`;
  if (isCurrent) return `${out} ${chalk.green('shows')} ${what}\n`;
  if (isWritten) return `${chalk.bold(what)} in ${out}\n`;
  const cut = (line: string) => oneLine(line).trim().slice(0, 100);
  return [
    chalk.red(`${out} ${difference === null ? 'is not there' : `does not show ${source}`}`),
    ...(difference === null
      ? []
      : [
          `  line ${difference.line}`,
          chalk.red(`    - ${cut(difference.before)}`),
          chalk.green(`    + ${cut(difference.after)}`),
        ]),
    `${chalk.cyan('hint:')} write it again without --check, with --format ${format} --out ${quoteShellWord(out)}`,
    '',
  ].join('\n');
}

/** Renders the pages that were written and removed, or that would be. */
export function renderDoc(
  { source, out, pages, changes, isWritten }: DocResult,
  look: Look,
): string {
  const { chalk } = look;
  if (changes.length === 0) return `${out} ${chalk.green('describes')} ${source} already\n`;
  const lines = changes.map(({ page, change }) =>
    paintOf(change, look)(`${signs[change]} ${page}`),
  );
  const head = isWritten
    ? `${chalk.bold(plural(pages, 'page'))} of ${source} in ${out}`
    : chalk.red(`${out} does not describe ${source}`);
  const hint = `${chalk.cyan('hint:')} write it again without --check, with --out ${quoteShellWord(out)}`;
  return `${[...lines, head, ...(isWritten ? [] : [hint])].join('\n')}\n`;
}

function describeFault({ step, problems }: BrokenStep): string {
  if (step === 'rollback') {
    return problems
      ? 'its rollback fails'
      : 'its rollback does not bring back the schema from before';
  }
  return `applied again, it ${problems ? 'fails' : 'makes another schema'}`;
}

function faultLines({ differences, problems }: BrokenStep, look: Look): readonly string[] {
  if (problems) return renderProblems(problems, look).trimEnd().split('\n');
  return differences.flatMap((each) => linesOf(each, look));
}

/** Renders the pairs that were passed over, the first one that is broken with its difference, and a line that counts. */
export function renderVerify(
  { verified, irreversible, broken, chain, rows }: VerifyResult,
  look: Look,
): string {
  const { chalk } = look;
  const fault = broken ?? chain?.broken ?? null;
  const name = broken ? `${broken.version}_${broken.description}` : 'the chain of all pairs';
  return [
    ...irreversible.map(
      ({ version, description, reason }) =>
        `${chalk.dim('irreversible')}  ${version}_${description}: ${reason}`,
    ),
    ...(fault
      ? [
          `${chalk.red(name)}: ${describeFault(fault)}`,
          ...faultLines(fault, look).map((line) => `  ${line}`),
        ]
      : []),
    ...(rows ? rowLines(rows, look) : []),
    `${chalk.bold(`${plural(verified.length, 'pair')} verified`)}${broken ? ' before it' : ''}${irreversible.length > 0 ? `, ${irreversible.length} irreversible` : ''}: ${fault ? chalk.yellow('broken') : chalk.green(chain ? 'each rollback brings back the schema, and so does that of the whole chain' : 'each rollback brings back the schema')}`,
    '',
  ].join('\n');
}
