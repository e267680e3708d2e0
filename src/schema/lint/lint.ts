import { dirname, join, relative } from 'node:path';
import type { Target } from '../../database/target.ts';
import type { Version } from '../../ledger/version.ts';
import { type GrammarOptions, readScripts } from '../../migrations/scripts.ts';
import { type MigrationPair, readMigrations, resolveFolders } from '../../migrations/source.ts';
import { formatBytes, plural } from '../../runtime/amounts.ts';
import { type CryptosenseDbError, faultyFiles, isError } from '../../runtime/errors.ts';
import { compareText } from '../../runtime/order.ts';
import { locate } from '../../sql/location.ts';
import { loadGrammar, type Parse } from '../../sql/parse.ts';
import { versionsSince } from '../since.ts';
import {
  type Allowance,
  type ReleasedAllowances,
  readAllowances,
  readReleasedAllowances,
  releasedFile,
} from './allow.ts';
import type { Draft, LintFile, StatementContext } from './finding.ts';
import { follow } from './follow.ts';
import { commentDrafts, houseDrafts } from './house.ts';
import { emptyModel, type Model } from './model.ts';
import { rollbackDrafts } from './rollback.ts';
import { isSquawkRule, type RuleName, type Severity, severityOf, squawkRules } from './rules.ts';
import { type LiveSizes, readSizes } from './sizes.ts';
import { runSquawk } from './squawk.ts';
import { squawkDrafts } from './squawk-findings.ts';
import { nameOfKey } from './syntax.ts';
import { timescaleDrafts } from './timescale.ts';

export type { Severity } from './rules.ts';

export interface LintOptions extends GrammarOptions {
  /** Folders of a schema of your own. Default: the packaged schema. */
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
  /** The first pair whose files are linted; those before it say what is there. Default: all. */
  readonly since?: Version | undefined;
  /** A live database whose sizes decide between a warning and an error. Default: none is asked. */
  readonly target?: Target | string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One thing that is risky or against the rules of the house. */
export interface LintFinding {
  /** `docs/lint.md` has a section of this name; rules of squawk have the names of its pages. */
  readonly rule: RuleName;
  readonly severity: Severity;
  /** Its path, from the working folder where the file is below it. */
  readonly file: string;
  /** From 1, the column in characters. */
  readonly line: number;
  readonly column: number;
  /** The whole line, without its end. */
  readonly lineText: string;
  readonly message: string;
  readonly hint: string;
}

/** Rules that could not look at files. */
export interface NotRun {
  readonly rules: readonly RuleName[];
  /** Empty: it is so for all files. */
  readonly files: readonly string[];
  readonly reason: string;
}

export interface LintResult {
  /** By file and place. */
  readonly findings: readonly LintFinding[];
  /** How many files were linted. */
  readonly files: number;
  /** How many findings the files allow. */
  readonly allowed: number;
  readonly notRun: readonly NotRun[];
  /** The database that was asked for sizes; null without one. */
  readonly target: string | null;
  /** Why a size is not known. */
  readonly unseen: readonly string[];
}

/**
 * Looks for what is risky in migrations and rollbacks, without running them. Changes nothing; a database is only asked for
 * sizes, and may be a standby. Throws `unknown-version` for `since`, `faulty-folder`, `faulty-statements`,
 * `program-failed`, and what opening a session throws.
 *
 * @example
 * const { findings } = await lint({ since: '20261127_120000' });
 * if (findings.some(({ severity }) => severity === 'error')) process.exitCode = 1;
 */
export async function lint(options: LintOptions): Promise<LintResult> {
  const { since, target, signal } = options;
  const folders = resolveFolders(options);
  const pairs = readMigrations(folders);
  const isWanted = versionsSince(pairs, since);
  const released = readReleasedAllowances(pathOf(folders.migrations, releasedFile));
  await options.beforeGrammar?.();
  const sizes = target === undefined ? undefined : await readSizes(target, { signal });
  const read = (await readFiles(pairs, folders)).filter(({ version }) => isWanted(version));
  const squawk = await runSquawk(
    read.map(({ file }) => file.text),
    { signal },
  );
  const linted = read.map(({ file, contexts, drafts }, at) => {
    const found = 'reason' in squawk ? [] : (squawk[at] ?? []);
    return {
      file,
      path: pathOf(folders[file.direction === 'up' ? 'migrations' : 'rollbacks'], file.name),
      isUnread: found.some(({ rule }) => rule === 'syntax-error'),
      drafts: [...drafts, ...squawkDrafts(found, { file, contexts })],
    };
  });
  const results = linted.map((each) =>
    withAllowances(each, { released, sizes, hasSquawk: !('reason' in squawk) }),
  );
  const names = { all: namesOf(pairs), linted: linted.map(({ file }) => file.name) };
  return {
    findings: [
      ...faultsOf(released, names).map((draft) => findingOf(draft, { ...released, sizes })),
      ...results.flatMap(({ findings }) => findings),
    ].sort(comparePlaces),
    files: linted.length,
    allowed: results.reduce((sum, { allowed }) => sum + allowed, 0),
    notRun: notRunOf(squawk, linted),
    target: sizes?.target ?? null,
    unseen: sizes?.unseen ?? [],
  };
}

/** The findings of a file without those that it allows, and with the allowances that allow nothing. */
function withAllowances(
  {
    file,
    path,
    drafts,
  }: { readonly file: LintFile; readonly path: string; readonly drafts: readonly Draft[] },
  {
    released,
    sizes,
    hasSquawk,
  }: {
    readonly released: ReleasedAllowances;
    readonly sizes: LiveSizes | undefined;
    readonly hasSquawk: boolean;
  },
): { readonly findings: readonly LintFinding[]; readonly allowed: number } {
  const own = readAllowances(file.text);
  const outside = released.allowances.filter((each) => each.file === file.name);
  const allowed = new Set([...own.allowed, ...outside].map(({ rule }) => rule));
  const kept = drafts.filter(({ rule }) => !allowed.has(rule));
  // Whether a rule that did not run is broken is not known.
  const unused = (allowances: readonly Allowance[]) =>
    allowances
      .filter(({ rule }) => hasSquawk || !isSquawkRule(rule))
      .filter(({ rule }) => !drafts.some((each) => each.rule === rule))
      .map(unusedDraft);
  const inFile = [...own.drafts, ...kept, ...unused(own.allowed)];
  return {
    allowed: drafts.length - kept.length,
    findings: [
      ...inFile.map((draft) => findingOf(draft, { path, text: file.text, sizes })),
      ...unused(outside).map((draft) => findingOf(draft, { ...released, sizes })),
    ],
  };
}

function namesOf(pairs: readonly MigrationPair[]): readonly string[] {
  return pairs.flatMap(({ up, down }) => [up.name, down.name]);
}

/** What is wrong with the allowances of released files, of the linted ones alone. */
function faultsOf(
  { drafts, allowances }: ReleasedAllowances,
  { all, linted }: { readonly all: readonly string[]; readonly linted: readonly string[] },
): readonly Draft[] {
  return [
    ...drafts.filter(({ file }) => file === undefined || linted.includes(file)),
    ...allowances.filter(({ file }) => !all.includes(file)).map(strayDraft),
  ];
}

interface ReadFile {
  readonly version: Version;
  readonly file: LintFile;
  readonly contexts: readonly StatementContext[];
  readonly drafts: readonly Draft[];
}

/** Reads all files in the order of their versions: each rule knows what the files before have made. */
async function readFiles(
  pairs: readonly MigrationPair[],
  folders: ReturnType<typeof resolveFolders>,
): Promise<readonly ReadFile[]> {
  const scripts = await readScripts(pairs).catch((error) => {
    throw isError(error, 'faulty-statements') ? withFolders(error, { pairs, folders }) : error;
  });
  const files: ReadFile[] = [];
  let model = emptyModel;
  for (const [at, { version, up, down }] of pairs.entries()) {
    const { parse } = await loadGrammar();
    const forward = walk({ ...up, direction: 'up', statements: parsed(up.text, parse) }, model);
    model = forward.after;
    const backward = walk(
      { ...down, direction: 'down', statements: parsed(down.text, parse) },
      model,
    );
    const isIrreversible = scripts[at]?.down.irreversible !== undefined;
    const left = isIrreversible
      ? []
      : rollbackDrafts({
          up: forward.file,
          down: backward.file,
          after: { up: forward.after, down: backward.after },
          lineOf: (index) => locate(up.name, up.text, index).line,
        });
    files.push({ version, ...forward });
    files.push({ version, ...backward, drafts: [...backward.drafts, ...left] });
  }
  return files;
}

/** The same faults with the folders of their files: an annotation names the whole path. */
function withFolders(
  { details }: CryptosenseDbError<'faulty-statements'>,
  {
    pairs,
    folders,
  }: {
    readonly pairs: readonly MigrationPair[];
    readonly folders: ReturnType<typeof resolveFolders>;
  },
): CryptosenseDbError {
  const rollbacks = new Set(pairs.map(({ down }) => down.name));
  const findings = details.findings.map((finding) => {
    const folder = folders[rollbacks.has(finding.file) ? 'rollbacks' : 'migrations'];
    return { ...finding, folder: dirname(pathOf(folder, finding.file)) };
  });
  return faultyFiles('faulty-statements', findings);
}

/** Each statement is parsed alone, so that the places in its tree are places in its text. */
function parsed(text: string, parse: Parse): LintFile['statements'] {
  return (parse(text).statements ?? []).flatMap(({ text: own, index }) => {
    const [statement] = parse(own).statements ?? [];
    return statement ? [{ ...statement, index }] : [];
  });
}

function walk(file: LintFile, start: Model) {
  let before = start;
  const contexts = file.statements.map((statement): StatementContext => {
    const after = follow(before, statement, file.name);
    const context = { file, statement, before, after };
    before = after;
    return context;
  });
  const drafts = [
    ...contexts.flatMap(timescaleDrafts),
    ...contexts.flatMap((context) => houseDrafts(context, before)),
    ...commentDrafts({ file, after: before }),
  ];
  return { file, contexts, drafts, after: before };
}

function unusedDraft({ rule, index }: Allowance): Draft {
  return {
    rule: 'unused-allow',
    index,
    message: `nothing in the file breaks the rule ${rule}`,
    hint: 'remove the directive',
  };
}

function strayDraft({ file, index }: { readonly file: string; readonly index: number }): Draft {
  return {
    rule: 'lint-directive',
    index,
    message: `there is no file ${file}`,
    hint: 'remove the line',
  };
}

function findingOf(
  { rule, index, message, hint, tables = [] }: Draft,
  {
    path,
    text,
    sizes,
  }: { readonly path: string; readonly text: string; readonly sizes: LiveSizes | undefined },
): LintFinding {
  const known = sizes && sizeOf(tables, sizes);
  const page = isSquawkRule(rule) ? '' : `; docs/lint.md#${rule}`;
  return {
    rule,
    severity: severityOf(rule, known?.bytes),
    ...locate(path, text, index),
    message: known ? `${message} (${known.text})` : message,
    hint: `${hint}${page}`,
  };
}

/** A table that the database does not have yet is empty when the migration runs. */
function sizeOf(
  keys: readonly string[],
  { tables, unseen }: LiveSizes,
): { readonly bytes: number; readonly text: string } | undefined {
  const sizes = keys.map((key) => ({ name: nameOfKey(key), size: tables.get(nameOfKey(key)) }));
  if (sizes.length === 0 || (unseen.length > 0 && sizes.some(({ size }) => !size)))
    return undefined;
  return {
    bytes: sizes.reduce((sum, { size }) => sum + (size?.bytes ?? 0), 0),
    text: sizes.map(({ name, size }) => `${name}: ${describeSize(size)}`).join(', '),
  };
}

function describeSize(
  size: { readonly bytes: number; readonly rows: number | undefined } | undefined,
) {
  if (!size) return 'not in the database';
  const rows = size.rows === undefined ? [] : [plural(Math.round(size.rows), 'row')];
  return [...rows, formatBytes(size.bytes)].join(', ');
}

function notRunOf(
  squawk: Awaited<ReturnType<typeof runSquawk>>,
  linted: readonly { readonly path: string; readonly isUnread: boolean }[],
): readonly NotRun[] {
  const rules = Object.keys(squawkRules).filter(isSquawkRule);
  if ('reason' in squawk) return [{ rules, files: [], reason: squawk.reason }];
  const files = linted.filter(({ isUnread }) => isUnread).map(({ path }) => path);
  return files.length === 0
    ? []
    : [
        {
          rules,
          files,
          reason: 'squawk cannot read a statement of the file, which PostgreSQL can',
        },
      ];
}

/** From the working folder, as a pipeline names files, where the file is below it. */
function pathOf(folder: string, name: string): string {
  const path = join(folder, name);
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}

function comparePlaces(one: LintFinding, other: LintFinding): number {
  return compareText(one.file, other.file) || one.line - other.line || one.column - other.column;
}
