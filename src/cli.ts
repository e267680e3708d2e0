import { CommanderError } from 'commander';
import { entries } from './commands/all.ts';
import { type Entry, findNamed } from './commands/command.ts';
import { complete } from './commands/completion.ts';
import { buildProgram } from './commands/program.ts';
import { CryptosenseDbError } from './runtime/errors.ts';
import type { Output, OutputFlags } from './ui/output.ts';
import { watchStreams } from './ui/streams.ts';

const signals = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;
const exitCodes = { no: 1, failed: 2, SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** How long the work may take to end after a signal. */
const endMs = 120_000;

/**
 * Runs the command line. Sets `process.exitCode`: 0 success, 1 a negative result, 2 an error of the tool or of its
 * arguments, 129 after SIGHUP, 130 after SIGINT and 143 after SIGTERM. Never throws. Work that a signal does not end
 * within two minutes is ended by that signal.
 */
export async function main(argv: readonly string[]): Promise<void> {
  hideArguments(argv);
  const words = argv.slice(2);
  const open = async (flags: OutputFlags) => {
    const { openOutput } = await import('./ui/output.ts');
    const { stdout, stderr, env: environment } = process;
    return openOutput({ flags, stdout, stderr, environment });
  };
  const stop = new AbortController();
  watchStreams(process, async (cause) => {
    if (!stop.signal.aborted) process.exitCode = exitCodes.failed;
    // As text on stderr, with --json too: stdout takes no document.
    (await open({})).error(unwritten(cause));
  });
  if (words[0] === 'complete' && words[1] === '--') return complete(entries, words.slice(2));

  const json = isJson(words);
  let output: Output | undefined;
  const openFor = async (flags: OutputFlags) => {
    output = await open(flags);
    return output;
  };
  const report = async (error: unknown) => (output ?? (await open({ json }))).error(error);
  const onSignal = (name: (typeof signals)[number]) => {
    process.exitCode = exitCodes[name];
    stop.abort();
    // A disk that never answers would keep the process for ever. The timer stays when this function has ended.
    setTimeout(async () => {
      (await open({})).error(unended());
      process.kill(process.pid, name);
    }, endMs).unref();
  };
  // A second signal has its default effect: it ends the process at once.
  for (const name of signals) process.once(name, onSignal);
  // Node ends a process that waits for nothing with exit code 0, but work that did not finish is no success.
  const onStranded = () => {
    process.exitCode ??= exitCodes.failed;
    return report(
      new CryptosenseDbError('unexpected', {
        message: 'the run ended without an outcome',
        hint: 'see what is done: cryptosense-db migrate status',
      }),
    );
  };
  process.once('beforeExit', onStranded);

  /** With --json: the help or the version that was asked for. */
  const asked: string[] = [];
  try {
    const answerNo = () => {
      process.exitCode = exitCodes.no;
    };
    const writeOut = json ? (text: string) => asked.push(text) : undefined;
    const { signal } = stop;
    const program = buildProgram(entriesFor(words), { open: openFor, signal, answerNo, writeOut });
    await program.parseAsync([...wordsToParse(words)], { from: 'user' });
  } catch (error) {
    const isUsage = error instanceof CommanderError;
    if (isUsage && error.exitCode === 0) {
      const name = error.code === 'commander.version' ? 'version' : 'help';
      const text = asked.join('').trimEnd();
      if (json) (await open({ json })).result({ [name]: text }, () => text);
      return;
    }
    if (!stop.signal.aborted) process.exitCode = exitCodes.failed;
    // Without a command, commander has written the help to stderr.
    if (isUsage && error.code === 'commander.help' && !json) return;
    await report(isUsage ? usageError(error, words) : error);
  } finally {
    for (const name of signals) process.off(name, onSignal);
    process.off('beforeExit', onStranded);
  }
}

/** The output of a command line that is not read yet, or cannot be read. */
function isJson(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  return words
    .slice(0, end < 0 ? undefined : end)
    .some((word) => word === '--json' || word.startsWith('--json='));
}

/** Only the command that the words name: to build all of them for commander takes time. */
function entriesFor(words: readonly string[]): readonly Entry[] {
  const { groups, command } = findNamed(entries, words);
  if (command === undefined) return groups[0] ? [groups[0]] : entries;
  return [groups.reduceRight<Entry>((entry, group) => ({ ...group, commands: [entry] }), command)];
}

/**
 * The words in the form in which commander refuses an unknown command: for `help foo` and `foo --help` it would show
 * the help of the program. `help migrate up` becomes `migrate up --help`.
 */
function wordsToParse(words: readonly string[]): readonly string[] {
  const at = words.indexOf('help');
  const isHelp = at >= 0 && findNamed(entries, words.slice(0, at)).groups.length === at;
  const asked = isHelp ? words.filter((_, index) => index !== at) : words;
  const { command, names } = findNamed(entries, asked);
  const next = asked[names.length];
  if (command === undefined && next !== undefined && !next.startsWith('-')) return [...names, next];
  return isHelp ? [...names, '--help'] : words;
}

/** Other users of the machine can read the arguments of a process, and a URL may hold a password. */
function hideArguments(argv: readonly string[]): void {
  if (argv.some((argument) => /:\/\/|^--url|password/i.test(argument))) {
    process.title = 'cryptosense-db';
  }
}

/** An error of commander in this tool's form. */
function usageError(
  { code, message }: CommanderError,
  words: readonly string[],
): CryptosenseDbError<'bad-configuration'> {
  const text = code === 'commander.help' ? 'no command is named' : message;
  const [fact = '', ...evidence] = hideSecrets(text.replace(/^error: /, ''), words).split('\n');
  const { names } = findNamed(entries, wordsToParse(words));
  return new CryptosenseDbError('bad-configuration', {
    message: fact,
    evidence,
    hint: `see: ${['cryptosense-db', ...names].join(' ')} --help`,
  });
}

/** commander quotes arguments; a URL, or the value in `--flag=value`, may hold a password. */
function hideSecrets(text: string, words: readonly string[]): string {
  return words
    .flatMap((word) => [word, word.slice(word.indexOf('=') + 1)])
    .filter((word) => /=|:\/\//.test(word))
    .reduce((rest, word) => rest.replaceAll(word, word.replace(/(=|:\/\/).*/s, '$1…')), text);
}

function unended(): CryptosenseDbError<'interrupted'> {
  return new CryptosenseDbError(
    'interrupted',
    {
      message: 'the run does not end after the signal: it waits for a disk, a server or a program',
      hint: 'look for what it may have left behind',
    },
    { details: { completed: [], pending: [] } },
  );
}

function unwritten(cause: Error): CryptosenseDbError<'file-problem'> {
  return new CryptosenseDbError(
    'file-problem',
    { message: 'standard output cannot be written', evidence: [cause.message] },
    { details: { path: 'standard output' }, cause },
  );
}
