import {
  Argument as CommanderArgument,
  Command as CommanderCommand,
  InvalidArgumentError,
  Option,
} from 'commander';
import { toolVersion } from '../runtime/package.ts';
import type { Output, OutputFlags } from '../ui/output.ts';
import { type Command, choicesOf, type Entry, type Flag, isGroup, type Tools } from './command.ts';
import { flagsOf } from './flags.ts';

export interface ProgramContext extends Omit<Tools, 'output'> {
  /** Called once the flags of the command are known. */
  readonly open: (flags: OutputFlags) => Promise<Output>;
  /** Takes the help and the version instead of stdout. */
  readonly writeOut?: ((text: string) => void) | undefined;
}

/** The program that the tables describe. commander throws a `CommanderError` for arguments that it refuses. */
export function buildProgram(entries: readonly Entry[], context: ProgramContext): CommanderCommand {
  const program = new CommanderCommand('cryptosense-db')
    .description("CryptoSense's database as code: PostgreSQL 15 with TimescaleDB")
    .version(toolVersion(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command...]', 'show the help of a command')
    .configureOutput({
      outputError: () => {},
      ...(context.writeOut && { writeOut: context.writeOut }),
    })
    .configureHelp({
      minWidthToWrap: 16,
      optionDescription: ({ description }) => description,
      argumentDescription: ({ description }) => description,
      subcommandTerm: (command) => command.name(),
    })
    .exitOverride();
  addEntries(program, entries, context);
  return program;
}

function addEntries(
  parent: CommanderCommand,
  entries: readonly Entry[],
  context: ProgramContext,
): void {
  for (const entry of entries) {
    if (!isGroup(entry)) addCommand(parent, entry, context);
    else {
      const group = parent.command(entry.name).description(entry.summary);
      addEntries(group, entry.commands, context);
    }
  }
}

function addCommand(parent: CommanderCommand, table: Command, context: ProgramContext): void {
  const { name, summary, conflicts = [], notes = [], examples } = table;
  const taken = Object.entries(table.arguments ?? {});
  const command = parent.command(name).description(summary);
  const help = new Option('-h, --help', 'show this help');
  command.addHelpOption(table.isRaw ? help : help.helpGroup('Output:'));
  for (const [, argument] of taken) {
    command.addArgument(
      withValue(new CommanderArgument(argument.usage, describe(argument)), argument),
    );
  }
  const flags = flagsOf(table);
  const names = Object.values(flags).flatMap(({ usage }) => usage.split(' ')[0] ?? []);
  for (const [key, flag] of Object.entries(flags)) {
    const option = optionOf(flag);
    if (option.required) refuseNames(option, names);
    // commander keeps the value by the name of the library's option, not by the name of the flag.
    option.attributeName = () => key;
    for (const set of conflicts.filter((keys) => keys.includes(key))) {
      option.conflicts(set.filter((other) => other !== key));
    }
    command.addOption(option);
  }
  command.addHelpText('after', () => {
    const width = command.configureOutput().getOutHelpWidth?.() ?? 80;
    const text = command.createHelp().boxWrap(notes.join(' '), width);
    return `${notes.length > 0 ? `\n${text}\n` : ''}\n${examplesOf(examples, width)}`;
  });
  command.action(async () => {
    const { open, writeOut: _, ...tools } = context;
    const words = taken.map(([key], index) => [key, command.processedArgs[index]]);
    const { json, quiet, verbose, color, ...given } = command.opts();
    const output = await open({ json, quiet, verbose, color });
    await table.run({ ...given, ...Object.fromEntries(words) }, { ...tools, output });
  });
}

function optionOf(flag: Flag<unknown>): Option {
  const { group, bare } = flag;
  const option = withValue(new Option(flag.usage, describe(flag)), flag);
  if (group !== undefined) option.helpGroup(group);
  if (bare !== undefined) option.preset(bare);
  if (flag.default !== undefined) option.default(flag.default);
  return option;
}

/** commander would take the next flag for a value that is missing, as in `--types --json`. */
function refuseNames(option: Option, names: readonly string[]): void {
  const { parseArg } = option;
  option.argParser((text, before: unknown) => {
    if (names.includes(text)) throw new InvalidArgumentError(`${text} is a flag, not a value.`);
    return parseArg ? parseArg(text, before) : text;
  });
}

/** Says which values commander accepts for an option or argument, and how it reads them. */
function withValue<Taker extends Option | CommanderArgument>(
  taker: Taker,
  table: Pick<Flag<unknown>, 'choices' | 'read' | 'expected' | 'isRepeatable'>,
): Taker {
  const choices = choicesOf(table);
  if (choices) taker.choices(choices);
  if (table.isRepeatable || taker.variadic) taker.argParser(collect(readerOf(table)));
  else if (table.read) taker.argParser(readerOf(table));
  return taker;
}

/** `the template (data, index, table; default: table)` */
function describe(
  value: Pick<Flag<unknown>, 'help' | 'choices' | 'default' | 'isRepeatable'>,
): string {
  const choices = choicesOf(value)?.join(', ');
  const preset = value.default === undefined ? undefined : `default: ${value.default}`;
  const facts = [choices, preset].filter((fact) => fact !== undefined).join('; ');
  const end = value.isRepeatable ? '; repeatable' : '';
  return `${value.help}${facts === '' ? '' : ` (${facts})`}${end}`;
}

function collect(read: (text: string) => unknown) {
  return (text: string, before: readonly unknown[] = []) => [...before, read(text)];
}

/** commander checks choices only where it collects no values itself. */
function readerOf({
  read,
  expected,
  ...table
}: Pick<Flag<unknown>, 'choices' | 'read' | 'expected'>): (text: string) => unknown {
  const choices = choicesOf(table);
  return (text) => {
    if (choices && !choices.includes(text)) {
      throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`);
    }
    const value = read ? read(text) : text;
    if (value === undefined) throw new InvalidArgumentError(`Use ${expected}.`);
    return value;
  };
}

/** The purpose stands beside each command line, or above it where the lines would be too long. */
function examplesOf(lines: Command['examples'], columns: number): string {
  const width = Math.max(...lines.map(([line]) => line.length));
  const isWide = lines.some(([, purpose]) => width + purpose.length + 4 > columns);
  const shown = lines.map(([line, purpose]) =>
    isWide ? `  # ${purpose}\n  ${line}` : `  ${line.padEnd(width)}  ${purpose}`,
  );
  return `Examples:\n${shown.join('\n')}`;
}
