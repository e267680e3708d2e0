import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { main } from '../../src/cli.ts';

/** The program that users start. */
export const program = fileURLToPath(new URL('../../bin/cryptosense-db.js', import.meta.url));

/** As in vitest.config.ts: to optimize the code of the embedded engine takes longer than a run. */
export const nodeFlags = ['--liftoff-only'] as const;

export interface CliOptions {
  /** Added to an environment without DATABASE_*, BACKUP_*, PG*, COINGECKO_*, REDIS_URL, CI and NO_COLOR. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Another user, for tests that run as root. Without effect on `callCli`. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

export interface CliResult {
  /** null when a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly process: ChildProcessWithoutNullStreams;
  readonly finished: Promise<CliResult>;
}

/** Runs the built command line as its user does: in a process, without a terminal. */
export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  return startCli(args, options).finished;
}

export function startCli(
  args: readonly string[],
  { env = {}, cwd = tmpdir(), user }: CliOptions = {},
): RunningCli {
  const child = spawn(process.execPath, [...nodeFlags, program, ...args], {
    cwd,
    env: { ...cleanEnvironment(), ...env },
    ...user,
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

/**
 * Runs the command line in the test's own process, some twenty times as fast as `runCli`. It shows
 * what a command writes and its exit code. It does not show that a process starts, ends or obeys a
 * signal. One call at a time.
 */
export async function callCli(
  args: readonly string[],
  { env = {}, cwd = tmpdir() }: CliOptions = {},
): Promise<CliResult> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const written = [text(stdout), text(stderr)] as const;
  const before = { cwd: process.cwd(), env: process.env, exitCode: process.exitCode };
  const streams = Object.getOwnPropertyDescriptors(process);
  Object.defineProperty(process, 'stdout', { value: stdout, configurable: true });
  Object.defineProperty(process, 'stderr', { value: stderr, configurable: true });
  process.env = { ...cleanEnvironment(), ...env };
  process.chdir(cwd);
  process.exitCode = undefined;
  let code: number;
  try {
    await main([process.execPath, program, ...args]);
    code = Number(process.exitCode ?? 0);
  } finally {
    Object.defineProperty(process, 'stdout', streams.stdout);
    Object.defineProperty(process, 'stderr', streams.stderr);
    process.env = before.env;
    process.exitCode = before.exitCode;
    process.chdir(before.cwd);
    stdout.end();
    stderr.end();
  }
  return { code, stdout: await written[0], stderr: await written[1] };
}

/** This process's environment without the variables that name a database or change the output. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) =>
        !/^(DATABASE_|BACKUP_|PG|COINGECKO_|(?:TEST_)?REDIS_URL$|NO_COLOR$|CI$|FORCE_COLOR$|TEST_DATABASE_URL$)/.test(
          name,
        ),
    ),
  );
}
