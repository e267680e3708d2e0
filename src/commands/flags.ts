import { readTarget, surroundings, type TargetFlags } from '../config.ts';
import { type Command, flag, grouped, type Tools } from './command.ts';
import { duration, wholeNumber } from './values.ts';

const outputFlags = grouped('Output:', {
  json: flag('--json', 'print the result as one JSON document'),
  quiet: flag('--quiet', 'print errors only'),
  verbose: flag('--verbose', 'also print notices, stack traces, failing rows'),
  color: flag('--no-color', 'print without colours'),
});

/** The command's own flags, and those that say how to print its result. */
export function flagsOf(command: Command): Command['flags'] {
  return command.isRaw ? command.flags : { ...command.flags, ...outputFlags };
}

export const passwordCommandFlag = flag(
  '--password-command <cmd>',
  'a program that prints the password of each connection (run without a shell)',
);

export const targetFlags = grouped('Database:', {
  url: flag('--url <url>', 'postgresql://… or embedded:FOLDER (default: DATABASE_URL)'),
  embedded: flag('--embedded [folder]', 'the embedded engine (default folder: .cryptosense)'),
  passwordCommand: passwordCommandFlag,
});

export const folderFlags = grouped('Files:', {
  migrations: flag('--migrations <dir>', 'folder of migrations (default: the packaged schema)'),
  rollbacks: flag('--rollbacks <dir>', 'folder of rollbacks (default: the packaged schema)'),
});

/** For what applies migrations to see the schema that they make. */
export const scratchFlags = grouped('Scratch database:', {
  scratch: flag(
    '--scratch <url>',
    'the server for it, or "embedded" (default: TEST_DATABASE_URL, or a container)',
  ),
});

export const lockTimeoutFlag = grouped('Locks:', {
  lockTimeoutMs: flag(
    '--lock-timeout <time>',
    'how long to wait for another run (default: 60s)',
    duration,
  ),
});

/** What every command that runs migrations takes besides the database. */
export const migrationFlags = {
  ...folderFlags,
  ...lockTimeoutFlag,
  ...grouped('Locks:', {
    tableLockTimeoutMs: flag(
      '--table-lock-timeout <time>',
      'how long a statement waits for a table lock (default: 5s)',
      duration,
    ),
    tableLockRetries: flag(
      '--table-lock-retries <n>',
      'how often to try again after that wait (default: 5)',
      wholeNumber,
    ),
  }),
};

export const runFlags = { ...targetFlags, ...migrationFlags };

export const forceFlag = {
  force: flag('--force <database>', 'the name of the database, to confirm that it is meant'),
};

/**
 * The options of a library function that works on a database: those given, with the target that `--url`, `--embedded`
 * or the environment names. Throws `no-target` and `bad-configuration`.
 */
export function onDatabase<Options extends TargetFlags>(
  { url, embedded, passwordCommand, ...options }: Options,
  { output: { onProgress }, signal }: Tools,
) {
  const target = readTarget({ url, embedded, passwordCommand }, surroundings());
  const beforeGrammar = target.kind === 'server' ? keepWebAssemblyPlain : undefined;
  return { ...options, target, signal, onProgress, beforeGrammar };
}

/**
 * As `onDatabase`, for a command that needs no database: `target` is undefined unless `--url` or `--embedded` names one.
 * The environment does not count, because what it names depends on the machine.
 */
export function onNamedDatabase<Options extends TargetFlags>(
  { url, embedded, passwordCommand, ...options }: Options,
  { signal }: Tools,
) {
  const isNamed = url !== undefined || embedded !== undefined;
  const target = isNamed
    ? readTarget({ url, embedded, passwordCommand }, surroundings())
    : undefined;
  const beforeGrammar = target?.kind === 'embedded' ? undefined : keepWebAssemblyPlain;
  return { ...options, target, signal, beforeGrammar };
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
