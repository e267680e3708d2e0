import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { orAborted } from '../runtime/abortable.ts';
import { type OutputFailure, readOutput } from '../runtime/child-process.ts';
import { CryptosenseDbError, hasCode, messageOf } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import {
  describeHost,
  type Host,
  type Login,
  type PasswordFunction,
  type ServerTarget,
} from './target.ts';

export interface PasswordOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * The password for a new connection to the host: what the target's function returns or its command prints, else the
 * target's own, else the one of the password file. undefined: none is known. Throws `bad-configuration` when the
 * command gives none, and `no-password` when the function gives none.
 */
export async function passwordFor(
  target: ServerTarget,
  host: Host,
  options: PasswordOptions,
): Promise<string | undefined> {
  const { passwordFunction, passwordCommand, password, database, user } = target;
  if (passwordFunction) {
    const login = { host: host.host, port: host.port, user, database };
    return callPasswordFunction(passwordFunction, login, options);
  }
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

/** What it returns is never repeated, and what it throws is the `cause` alone: both may hold a password. */
async function callPasswordFunction(
  give: PasswordFunction,
  login: Login,
  { signal }: PasswordOptions,
): Promise<string> {
  const tooLate = `gave none within ${commandTimeoutMs / 1000} s`;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(noPassword(login, tooLate)), commandTimeoutMs);
  });
  const given = Promise.resolve()
    .then(() => give(login))
    .catch((cause: unknown) => {
      throw noPassword(login, 'threw an error, which is the cause of this one', cause);
    });
  const password: unknown = await orAborted(Promise.race([given, late]), signal).finally(() =>
    clearTimeout(timer),
  );
  if (typeof password !== 'string') {
    throw noPassword(login, `returned ${password === null ? 'null' : typeof password}, not a text`);
  }
  if (password === '') throw noPassword(login, 'returned an empty text');
  if (password.includes('\0')) throw noPassword(login, 'returned a text with a zero byte');
  return password;
}

function noPassword({ host, port }: Login, what: string, cause?: unknown) {
  return new CryptosenseDbError(
    'no-password',
    {
      message: `the function "password" of createDatabase ${what}`,
      evidence: [`for a connection to ${describeHost({ host, port })}`],
      hint: 'it has to return the password of one connection, as a text or a promise of one',
    },
    cause === undefined ? {} : { cause },
  );
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
