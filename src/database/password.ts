import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type OutputFailure, readOutput } from '../runtime/child-process.ts';
import { CryptosenseDbError, hasCode, messageOf } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import type { Host, ServerTarget } from './target.ts';

export interface PasswordOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * The password for a new connection to the host: what the target's command prints, else the target's own, else the
 * one of the password file. undefined: none is known. Throws `bad-configuration` when the command gives none.
 */
export async function passwordFor(
  target: ServerTarget,
  host: Host,
  options: PasswordOptions,
): Promise<string | undefined> {
  const { passwordCommand, password, database, user } = target;
  if (passwordCommand) return runPasswordCommand(passwordCommand, options);
  if (password !== undefined) return password;
  const text = readPasswordFile(target.passwordFile, options);
  return text && findPassword(text, { ...host, database, user });
}

const commandTimeoutMs = 60_000;

/** The output is never repeated: a command that fails may have printed a password all the same. */
async function runPasswordCommand(
  command: readonly string[],
  { signal }: PasswordOptions,
): Promise<string> {
  const output = await readOutput(command, { timeoutMs: commandTimeoutMs, signal });
  if (typeof output !== 'string') throw commandFailed(command, failureText(output));
  const password = output.replace(/[\r\n]+$/, '');
  if (password === '') throw commandFailed(command, 'printed nothing to its standard output');
  if (/[\r\n]/.test(password)) throw commandFailed(command, 'printed more than one line');
  return password;
}

function failureText(failure: OutputFailure): string {
  switch (failure.kind) {
    case 'not-found':
      return 'is not there: no program of that name is in the PATH';
    case 'not-executable':
      return 'may not be executed';
    case 'too-slow':
      return `did not end within ${commandTimeoutMs / 1000} s`;
    case 'too-much':
      return 'printed more than 64 KB';
    case 'exit':
      return `ended with exit code ${failure.code}`;
    case 'signal':
      return `was ended by ${failure.signal}`;
    default:
      return failure satisfies never;
  }
}

/** The arguments may hold a secret. Only the program is named. */
function commandFailed([program = '']: readonly string[], what: string) {
  return new CryptosenseDbError('bad-configuration', {
    message: `the program "${program}" of --password-command ${what}`,
    hint: 'run the command by hand: it has to print the password alone, and to need no input',
  });
}

function defaultPasswordFile(): string {
  return process.platform === 'win32'
    ? join(homedir(), 'AppData', 'Roaming', 'postgresql', 'pgpass.conf')
    : join(homedir(), '.pgpass');
}

/**
 * The text of the file; undefined where there is none. As in libpq (PostgreSQL documentation, 34.16), a file that
 * others can read is passed over, with a warning.
 */
function readPasswordFile(
  named: string | undefined,
  { onProgress }: PasswordOptions,
): string | undefined {
  const path = named ?? defaultPasswordFile();
  const passOver = (reason: string) => {
    const message = `the password file ${path} is passed over: ${reason}`;
    onProgress?.({ kind: 'notice', severity: 'WARNING', message });
    return undefined;
  };
  try {
    const state = statSync(path);
    if (!state.isFile()) return passOver('it is not a plain file');
    if (process.platform !== 'win32' && (state.mode & 0o077) !== 0) {
      return passOver(`others than its owner have access to it; run: chmod 600 ${path}`);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (named === undefined && hasCode(error, 'ENOENT')) return undefined;
    return passOver(messageOf(error));
  }
}

export interface PasswordKey extends Host {
  readonly database: string;
  readonly user: string;
}

/** The folders of sockets that libpq looks for under the host "localhost". */
const socketFolders = ['/tmp', '/run/postgresql', '/var/run/postgresql'];

/**
 * The password of the first line `host:port:database:user:password` that fits. `*` fits everything. `\` takes its
 * meaning from a `:` and a `\`.
 */
export function findPassword(text: string, key: PasswordKey): string | undefined {
  const host = socketFolders.includes(key.host) ? 'localhost' : key.host;
  const wanted = [host, String(key.port), key.database, key.user];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue;
    const fields = fieldsOf(line);
    const fits = wanted.every((value, index) => {
      const field = fields[index];
      return field === '*' || (field !== undefined && withoutEscapes(field) === value);
    });
    const password = fields[wanted.length];
    if (fits && password !== undefined && fields.length > wanted.length)
      return withoutEscapes(password);
  }
  return undefined;
}

/** The texts between colons that no backslash escapes. */
function fieldsOf(line: string): readonly string[] {
  const fields: string[] = [];
  for (const [, field = '', end] of line.matchAll(/((?:\\.|[^:\\]|\\$)*)(:|$)/g)) {
    fields.push(field);
    if (end === '') break;
  }
  return fields;
}

function withoutEscapes(field: string): string {
  return field.replace(/\\(.)/g, '$1');
}
