import { Command, CommanderError } from 'commander';
import type { Context } from './commands/context.ts';
import { addDbCommands } from './commands/db.ts';
import { addMigrateCommands } from './commands/migrate.ts';
import { toolVersion } from './package.ts';
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

  let output: Output | undefined;
  const open = async (flags: OutputFlags) => {
    const { openOutput } = await import('./ui/output.ts');
    const { stdout, stderr, env: environment } = process;
    output = await openOutput({ flags, stdout, stderr, environment });
    return output;
  };
  try {
    await createProgram({ open, signal: stop.signal, answerNo }).parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : exitCodes.failed;
      return;
    }
    if (!stop.signal.aborted) process.exitCode = exitCodes.failed;
    (output ?? (await open({}))).error(error);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

function answerNo(): void {
  process.exitCode = exitCodes.no;
}

function createProgram(context: Context): Command {
  const program = new Command('cryptosense-db')
    .description("CryptoSense's database as code: PostgreSQL 15 with TimescaleDB")
    .version(toolVersion())
    .showHelpAfterError('(see --help)')
    .configureHelp({ sortOptions: false })
    .exitOverride();
  addMigrateCommands(program, context);
  addDbCommands(program, context);
  return program;
}

/** A password in `--url` would stand in the process list for all to read. */
function hideArguments(argv: readonly string[]): void {
  if (argv.some((argument) => argument.includes('://'))) process.title = 'cryptosense-db';
}

/** `cryptosense-db migrate status | head -1` closes its end early, which is no error. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}
