import { execFile, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { loginName } from './login-name.ts';

/** The author of files in the folder: git's user.name, else the login name. */
export function authorName(folder: string): string {
  try {
    const name = execFileSync('git', ['config', 'user.name'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return name.trim() || loginName();
  } catch {
    return loginName();
  }
}

/**
 * Starts this program again with other arguments and the same environment. The new process prints nothing, and goes on
 * when this one has ended.
 */
export function startInBackground(args: readonly string[]): void {
  const [, program = ''] = process.argv;
  const child = spawn(process.execPath, [program, ...args], { detached: true, stdio: 'ignore' });
  // Without a listener the error would end this process, which does not need the other one.
  child.once('error', () => {});
  child.unref();
}

/** How a program that was to print something ended without it. */
export type OutputFailure =
  | { readonly kind: 'not-found' | 'not-executable' | 'too-slow' | 'too-much' }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: string };

export interface ReadOutputOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const mostOutput = 64 * 1024;

/**
 * What the program prints to its standard output, or how it failed. It runs without a shell, and has no standard input.
 * What it prints to its standard error is dropped. Throws an AbortError when the signal fires.
 */
export function readOutput(
  [program = '', ...args]: readonly string[],
  { timeoutMs, signal }: ReadOutputOptions,
): Promise<string | OutputFailure> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, maxBuffer: mostOutput, killSignal: 'SIGKILL' } as const;
    const child = execFile(program, args, { ...options, signal }, (error, output) => {
      if (error === null) return resolve(output);
      if (signal?.aborted) return reject(error);
      if (error.code === 'ENOENT') return resolve({ kind: 'not-found' });
      if (error.code === 'EACCES') return resolve({ kind: 'not-executable' });
      if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return resolve({ kind: 'too-much' });
      if (typeof error.code === 'number') return resolve({ kind: 'exit', code: error.code });
      if (error.killed) return resolve({ kind: 'too-slow' });
      if (error.signal) return resolve({ kind: 'signal', signal: error.signal });
      reject(error);
    });
    child.stdin?.end();
  });
}

export interface StartOptions {
  /** Changes the environment of this process; undefined unsets. The place for passwords: every user sees arguments. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** The program gets SIGTERM when it fires. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each line of its standard error. */
  readonly onErrorLine?: ((line: string) => void) | undefined;
}

/** A program that is running. */
export interface RunningProgram {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** How it ended. Rejects when it could not be started. */
  readonly ended: Promise<ProgramEnd>;
  /** Default: SIGTERM. */
  readonly kill: (signal?: 'SIGTERM' | 'SIGINT' | 'SIGQUIT') => void;
}

export interface ProgramEnd {
  /** undefined: a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** The last lines that it wrote to its standard error. */
  readonly lastLines: readonly string[];
}

const mostErrorText = 16 * 1024;
const mostLines = 20;

/** Starts a program without a shell. Its standard output has to be read, or it stands still. */
export function startProgram(
  [program = '', ...args]: readonly string[],
  { environment = {}, signal, onErrorLine }: StartOptions = {},
): RunningProgram {
  const child = spawn(program, args, { env: { ...process.env, ...environment }, signal });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-mostErrorText);
  });
  if (onErrorLine) createInterface({ input: child.stderr }).on('line', onErrorLine);
  const ended = new Promise<ProgramEnd>((resolve, reject) => {
    child.once('error', (error) => {
      // After the signal the program has ended, and says so below.
      if (!signal?.aborted) reject(error);
    });
    child.once('close', (code, name) => {
      const lastLines = errors
        .split('\n')
        .filter((line) => line.trim() !== '')
        .slice(-mostLines);
      resolve({ code: code ?? undefined, signal: name ?? undefined, lastLines });
    });
  });
  // It is awaited by the caller; until then a failure is not unhandled.
  ended.catch(() => {});
  return { stdin: child.stdin, stdout: child.stdout, ended, kill: (name) => void child.kill(name) };
}
