import { Command, CommanderError } from 'commander';
import type { Context } from './commands/context.ts';
import { addDbCommands } from './commands/db.ts';
import { addMigrateCommands } from './commands/migrate.ts';
import { addSeedCommand } from './commands/seed.ts';
import { addTestDbCommands } from './commands/test-db.ts';
import { addTypesCommands } from './commands/types.ts';
import { CryptosenseDbError } from './runtime/errors.ts';
import { toolVersion } from './runtime/package.ts';
import type { Output, OutputFlags } from './ui/output.ts';

const exitCodes = { no: 1, failed: 2, SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs the command line. Sets `process.exitCode`: 0 it is so, 1 the answer is no, 2 the tool or its
 * arguments failed, 130 and 143 after SIGINT and SIGTERM. Never throws.
 */
export async function main(argv: readonly string[]): Promise<void> {
  hideArguments(argv);
  process.stdout.on('error', ignoreClosedPipe);
  process.stderr.on('error', ignoreClosedPipe);
  const stop = new AbortController();
  const onSignal = (name: 'SIGINT' | 'SIGTERM') => {
    process.exitCode = exitCodes[name];
    stop.abort();
  };
  // Once each: whoever asks a second time gets the default, an end at once.
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  process.once('beforeExit', onStranded);

  let output: Output | undefined;
  const open = async (flags: OutputFlags) => {
    const { openOutput } = await import('./ui/output.ts');
    const { stdout, stderr, env: environment } = process;
    output = await openOutput({ flags, stdout, stderr, environment });
    return output;
  };
  const program = createProgram({ open, signal: stop.signal, answerNo }, argv);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return;
      process.exitCode = exitCodes.failed;
      const json = argv.includes('--json');
      // For want of a command its help stands on stderr already.
      if (error.code === 'commander.help' && !json) return;
      (await open({ json })).error(usageError(error, { program, argv }));
      return;
    }
    if (!stop.signal.aborted) process.exitCode = exitCodes.failed;
    (output ?? (await open({}))).error(error);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    process.off('beforeExit', onStranded);
  }
}

/** Node ends a process that waits for nothing any more, with 0: work that was cut off is no success. */
function onStranded(): void {
  process.exitCode ??= exitCodes.failed;
  process.stderr.write('the run ended without an outcome; see: cryptosense-db migrate status\n');
}

function answerNo(): void {
  process.exitCode = exitCodes.no;
}

/** By the command that each belongs to. */
const groups: Readonly<Record<string, (program: Command, context: Context) => void>> = {
  migrate: addMigrateCommands,
  db: addDbCommands,
  types: addTypesCommands,
  seed: addSeedCommand,
  'test-db': addTestDbCommands,
};

/** Where the first argument names a command, the others are left out: making them all takes its time. */
function createProgram(context: Context, [, , first = '']: readonly string[]): Command {
  const program = new Command('cryptosense-db')
    .description("CryptoSense's database as code: PostgreSQL 15 with TimescaleDB")
    .version(toolVersion())
    .configureOutput({ outputError: () => {} })
    .configureHelp({ sortOptions: false })
    .exitOverride();
  const named = Object.hasOwn(groups, first) ? groups[first] : undefined;
  for (const add of named ? [named] : Object.values(groups)) add(program, context);
  return program;
}

/** A password in `--url` would stand in the process list for all to read. */
function hideArguments(argv: readonly string[]): void {
  if (argv.some((argument) => /:\/\/|^--url|password/i.test(argument))) {
    process.title = 'cryptosense-db';
  }
}

/** What commander has against the arguments, in this tool's own form. */
function usageError(
  { code, message }: CommanderError,
  { program, argv }: { readonly program: Command; readonly argv: readonly string[] },
): CryptosenseDbError<'bad-configuration'> {
  const text = code === 'commander.help' ? 'no command is named' : message;
  const [fact = '', ...evidence] = hideSecrets(text.replace(/^error: /, ''), argv).split('\n');
  return new CryptosenseDbError('bad-configuration', {
    message: fact,
    evidence,
    hint: `see: ${commandOf(program, argv)} --help`,
  });
}

/** commander quotes arguments; one that is or holds a URL, or a value, may hold a password. */
function hideSecrets(text: string, argv: readonly string[]): string {
  return argv
    .flatMap((word) => [word, word.slice(word.indexOf('=') + 1)])
    .filter((word) => /=|:\/\//.test(word))
    .reduce((rest, word) => rest.replaceAll(word, word.replace(/(=|:\/\/).*/s, '$1…')), text);
}

/** `cryptosense-db migrate up`: the arguments as far as they name a command. */
function commandOf(program: Command, [, , ...words]: readonly string[]): string {
  const names = [program.name()];
  let command: Command | undefined = program;
  for (const word of words) {
    command = command.commands.find((candidate) => candidate.name() === word);
    if (!command) break;
    names.push(word);
  }
  return names.join(' ');
}

/** `cryptosense-db migrate status | head -1` closes its end early, which is no error. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}
