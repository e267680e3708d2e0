import { type Command, InvalidArgumentError, Option } from 'commander';
import { readTarget, surroundings, type TargetFlags } from '../config.ts';
import type { OutputFlags } from '../ui/output.ts';
import type { Context } from './context.ts';

/** Flags that commands share, by their name in commander. */
export interface CommonFlags extends OutputFlags, TargetFlags {}

export interface FolderFlags {
  readonly migrations?: string;
  readonly rollbacks?: string;
}

export interface LockFlags {
  readonly lockTimeout?: number;
  readonly tableLockTimeout?: number;
  readonly tableLockRetries?: number;
}

export function withOutputOptions(command: Command): Command {
  return command
    .option('--json', 'print the result as one JSON document')
    .option('--quiet', 'print errors only')
    .option('--verbose', 'also print notices, connections and stack traces')
    .option('--no-color', 'plain text');
}

export function withTargetOptions(command: Command): Command {
  return command
    .option('--url <url>', 'the database: postgresql://… or embedded:FOLDER; else DATABASE_URL')
    .option('--embedded [folder]', 'the embedded engine, in FOLDER or .cryptosense/');
}

export function withFolderOptions(command: Command): Command {
  return command
    .option('--migrations <dir>', 'folder of migrations (default: the packaged schema)')
    .option('--rollbacks <dir>', 'folder of rollbacks');
}

export function withLockOptions(command: Command): Command {
  return command
    .addOption(lockTimeoutOption())
    .addOption(
      new Option(
        '--table-lock-timeout <time>',
        'how long a statement waits for a table lock (default: 5s)',
      ).argParser(parseDuration),
    )
    .addOption(
      new Option(
        '--table-lock-retries <n>',
        'how often a step is tried again after that (default: 5)',
      ).argParser(parseCount),
    );
}

export function lockTimeoutOption(): Option {
  return new Option(
    '--lock-timeout <time>',
    'how long to wait for another run to end (default: 60s)',
  ).argParser(parseDuration);
}

export function forceOption(): Option {
  return new Option('--force <database>', "confirms a production database by the database's name");
}

export function runControlOf({ lockTimeout, tableLockTimeout, tableLockRetries }: LockFlags) {
  return {
    lockTimeoutMs: lockTimeout,
    tableLockTimeoutMs: tableLockTimeout,
    tableLockRetries,
  };
}

/**
 * What every command that works on a database begins with: its output, what it hands on, and the
 * modules that do the work.
 */
export async function begin<Modules extends object>(
  { open, signal }: Context,
  flags: CommonFlags,
  load: () => Promise<Modules>,
) {
  const output = await open(flags);
  const { url, embedded } = flags;
  const target = readTarget({ url, embedded }, surroundings());
  const modules = await load();
  const beforeGrammar = target.kind === 'server' ? keepWebAssemblyPlain : undefined;
  const { onProgress } = output;
  return { output, common: { target, signal, onProgress, beforeGrammar }, ...modules };
}

/**
 * Tells V8 not to optimise WebAssembly. The SQL grammar is one huge function: to optimise it takes
 * several times the processor time that parsing a whole schema takes. It is for processes without
 * the embedded engine, and runs right before the grammar is loaded, because Node cannot use its
 * compiled modules after a change of V8's flags.
 */
export async function keepWebAssemblyPlain(): Promise<void> {
  const { setFlagsFromString } = await import('node:v8');
  for (const flag of ['--liftoff-only', '--no-wasm-tier-up', '--no-wasm-dynamic-tiering']) {
    setFlagsFromString(flag);
  }
}

const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `500ms`, `90s`, `2m`, `1h`, `7d`; a number alone is seconds. In milliseconds. */
export function parseDuration(text: string): number {
  const [, digits, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const ms = Number(digits) * (unitsMs[unit] ?? Number.NaN);
  if (!Number.isFinite(ms) || ms > 2 ** 31 - 1) {
    throw new InvalidArgumentError('It is a time such as 500ms, 90s, 2m, 1h or 7d.');
  }
  return Math.round(ms);
}

const isoMoment =
  /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:?\d{2}))?$/;

/** ISO 8601, with its time zone; a date alone is midnight in UTC. */
export function parseMoment(text: string): Date {
  const [whole = '', date = ''] = isoMoment.exec(text) ?? [];
  const moment = new Date(whole);
  // 31 February would be taken for 3 March.
  const day = new Date(date);
  const isReal = !Number.isNaN(day.getTime()) && day.toISOString().startsWith(date);
  if (!isReal || Number.isNaN(moment.getTime())) {
    throw new InvalidArgumentError('It is a moment such as 2026-01-31T12:00:00Z.');
  }
  return moment;
}

/** A whole number, zero or more. */
function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is a whole number.');
  return Number(text);
}

/** A whole number from one. */
export function parseSteps(text: string): number {
  const steps = parseCount(text);
  if (steps === 0) throw new InvalidArgumentError('It is a whole number from 1.');
  return steps;
}

/** `20251007_120000`, or a file's name that starts with it. */
export function parseVersion(text: string): string {
  const version = /^(\d{8}_\d{6})(?:_.*)?$/.exec(text)?.[1];
  if (version === undefined) {
    throw new InvalidArgumentError('It is a version such as 20251007_120000.');
  }
  return version;
}

/** Several versions, one call of the parser each. */
export function collectVersions(text: string, before: readonly string[]): readonly string[] {
  return [...before, parseVersion(text)];
}

/** Command lines that can be copied as they stand, and what each is for. */
export function examples(lines: readonly (readonly [command: string, purpose: string])[]): string {
  const width = Math.max(...lines.map(([command]) => command.length));
  const shown = lines.map(([command, purpose]) => `  ${command.padEnd(width)}  ${purpose}`);
  return `\nExamples:\n${shown.join('\n')}`;
}
