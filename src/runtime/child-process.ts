import { execFile, execFileSync, spawn } from 'node:child_process';
import { hasCode } from './errors.ts';
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

/** How a program ended. Lines of its standard output that `onLine` took are not in `stdout`. */
export interface ProgramResult {
  /** undefined: a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  /** The end of it, where it is long. */
  readonly stderr: string;
}

export interface ProgramOptions {
  /** Takes each line of the standard output as it comes. Without it, `ProgramResult` has the whole of it. */
  readonly onLine?: ((line: string) => void) | undefined;
  /** When it fires, the program gets SIGTERM. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a program to its end, without a shell and without standard input. Throws an AbortError, once the program has
 * ended, when the signal fires; undefined stands for a program that is not there or may not be executed.
 */
export function runProgram(
  [program = '', ...args]: readonly string[],
  { onLine, signal }: ProgramOptions = {},
): Promise<ProgramResult | undefined> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const stdout: string[] = [];
    let stderr = '';
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (!onLine) return void stdout.push(text);
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-mostOutput);
    });
    const stop = () => void child.kill('SIGTERM');
    signal?.addEventListener('abort', stop, { once: true });
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    child.once('close', (code) => {
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted) return reject(signal.reason);
      if (hasCode(failure, 'ENOENT') || hasCode(failure, 'EACCES')) return resolve(undefined);
      if (failure) return reject(failure);
      resolve({ exitCode: code ?? undefined, stdout: stdout.join(''), stderr });
    });
  });
}
