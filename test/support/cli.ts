import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The program that the command line is. */
export const program = fileURLToPath(new URL('../../bin/cryptosense-db.js', import.meta.url));

export interface CliOptions {
  /** Added to an environment without any DATABASE_*, PG*, CI or NO_COLOR. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface CliResult {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line as its user runs it, in a process of its own; not a terminal. */
export interface RunningCli {
  readonly process: ChildProcessWithoutNullStreams;
  readonly finished: Promise<CliResult>;
}

export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  return startCli(args, options).finished;
}

export function startCli(
  args: readonly string[],
  { env = {}, cwd = tmpdir() }: CliOptions = {},
): RunningCli {
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { ...cleanEnvironment(), ...env },
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const finished = once(child, 'close').then(([code]) => ({
    code,
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
  }));
  return { process: child, finished };
}

/** This process's environment without what would name a database or change the output. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) =>
        !/^(DATABASE_|PG|COINGECKO_|NO_COLOR$|CI$|FORCE_COLOR$|TEST_DATABASE_URL$)/.test(name),
    ),
  );
}
