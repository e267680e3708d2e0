import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ProgramEnd,
  type RunningProgram,
  readOutput,
  startProgram,
} from '../runtime/child-process.ts';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';

/** Programs of PostgreSQL that backups run, and the packages of Debian that have them. */
const packages = {
  pg_dump: 'postgresql-client',
  pg_restore: 'postgresql-client',
  postgres: 'postgresql',
} as const;
type ProgramName = keyof typeof packages;

export interface Program {
  readonly name: ProgramName;
  readonly path: string;
  /** Such as `15.20`. */
  readonly version: string;
}

/** Where packages put the programs of a major version. */
export const folders = (major: number) => [
  `/usr/lib/postgresql/${major}/bin`,
  `/usr/pgsql-${major}/bin`,
  `/opt/homebrew/opt/postgresql@${major}/bin`,
  `/usr/local/opt/postgresql@${major}/bin`,
];

/**
 * Finds the program of the server's major version: in `binFolder`, where packages put it, or in the PATH. An archive of
 * one major version is not sure to be read by another one. Throws `program-missing`.
 */
export async function findProgram(
  name: ProgramName,
  {
    major,
    binFolder,
    signal,
  }: {
    readonly major: number;
    readonly binFolder: string | undefined;
    readonly signal: AbortSignal | undefined;
  },
): Promise<Program> {
  const paths =
    binFolder === undefined
      ? [
          ...folders(major)
            .map((folder) => join(folder, name))
            .filter(existsSync),
          name,
        ]
      : [join(binFolder, name)];
  const others: string[] = [];
  for (const path of paths) {
    const text = await readOutput([path, '--version'], { timeoutMs: 10_000, signal });
    const version = typeof text === 'string' ? /\) (\d+(?:\.\d+)*)/.exec(text)?.[1] : undefined;
    if (version === undefined) continue;
    if (Number.parseInt(version, 10) === major) return { name, path, version };
    others.push(`${path} is of version ${version}`);
  }
  throw new CryptosenseDbError(
    'program-missing',
    {
      message: `${name} of PostgreSQL ${major} is not found${binFolder === undefined ? '' : ` in ${binFolder}`}`,
      evidence: others,
      hint: `install it, such as with: apt install ${packages[name]}-${major}; or name its folder with --pg-bin`,
    },
    { details: { program: name } },
  );
}

/** Starts a program with variables of libpq. */
export function start(
  { path }: Program,
  args: readonly string[],
  options: {
    readonly environment?: Readonly<Record<string, string | undefined>>;
    readonly signal: AbortSignal | undefined;
  },
): RunningProgram {
  // Messages of the server and its programs in English: they are shown, and searched for their cause.
  const environment = { ...options.environment, LC_MESSAGES: 'C' };
  return startProgram([path, ...args], { ...options, environment });
}

/** Waits until the program has ended. Throws `program-failed` unless it has ended with 0. */
export async function requireSuccess(
  { name }: Pick<Program, 'name'>,
  running: RunningProgram,
): Promise<void> {
  const end = await running.ended.catch((error: unknown) => {
    throw programFailed(name, {
      code: undefined,
      signal: undefined,
      lastLines: [messageOf(error)],
    });
  });
  if (end.code !== 0) throw programFailed(name, end);
}

function programFailed(program: ProgramName, { code, signal, lastLines }: ProgramEnd) {
  const how =
    code === undefined
      ? `was ended${signal === undefined ? '' : ` by ${signal}`}`
      : `ended with exit code ${code}`;
  return new CryptosenseDbError(
    'program-failed',
    { message: `${program} ${how}`, evidence: lastLines },
    { details: { program, exitCode: code } },
  );
}
