import {
  Argument as CommanderArgument,
  Command as CommanderCommand,
  InvalidArgumentError,
  Option,
} from 'commander';
import { toolVersion } from '../runtime/package.ts';
import type { Output, OutputFlags } from '../ui/output.ts';
import {
  type Argument,
  type Command,
  choicesOf,
  type Entry,
  type Flag,
  isGroup,
  type Tools,
  type ValueKind,
} from './command.ts';
import { flagsOf } from './flags.ts';

export interface ProgramContext extends Omit<Tools, 'output'> {
  /** Called once the flags of the command are known. */
  readonly open: (flags: OutputFlags) => Promise<Output>;
}

/** The program that the tables describe. commander throws a `CommanderError` for arguments that it refuses. */
export function buildProgram(entries: readonly Entry[], context: ProgramContext): CommanderCommand {
  const program = new CommanderCommand('cryptosense-db')
    .description("CryptoSense's database as code: PostgreSQL 15 with TimescaleDB")
    .version(toolVersion(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command...]', 'show the help of a command')
    .configureOutput({ outputError: () => {} })
    .configureHelp({
      minWidthToWrap: 16,
      optionDescription: ({ description }) => description,
      argumentDescription: ({ description }) => description,
      subcommandTerm: (command) => command.name(),
    })
    .exitOverride();
  for (const entry of entries) addEntry(program, entry, context);
  return program;
}

function addEntry(parent: CommanderCommand, entry: Entry, context: ProgramContext): void {
  if (!isGroup(entry)) {
    addCommand(parent, entry, context);
    return;
  }
  const { name, summary, commands } = entry;
  const group = parent.command(name).description(summary);
  for (const command of commands) addCommand(group, command, context);
}

function addCommand(parent: CommanderCommand, table: Command, context: ProgramContext): void {
  const { name, summary, notes = [], examples } = table;
  const taken = Object.entries(table.arguments ?? {});
  const options = Object.entries(flagsOf(table)).map(([key, flag]) => ({
    key,
    option: optionOf(flag),
  }));
  for (const set of table.conflicts ?? []) {
    const members = options.filter(({ key }) => set.includes(key)).map(({ option }) => option);
    for (const option of members) {
      option.conflicts(members.filter((other) => other !== option).map(attributeOf));
    }
  }
  const command = parent.command(name).description(summary);
  const help = new Option('-h, --help', 'show this help');
  command.addHelpOption(table.isRaw ? help : help.helpGroup('Output:'));
  for (const [, argument] of taken) command.addArgument(argumentOf(argument));
  for (const { option } of options) command.addOption(option);
  command.addHelpText('after', () => {
    const width = command.configureOutput().getOutHelpWidth?.() ?? 80;
    const text = command.createHelp().boxWrap(notes.join(' '), width);
    return `${notes.length > 0 ? `\n${text}\n` : ''}\n${examplesOf(examples, width)}`;
  });
  command.action(async () => {
    const { open, ...tools } = context;
    const given = Object.fromEntries([
      ...taken.map(([key], index) => [key, command.processedArgs[index]]),
      ...options.map(({ key, option }) => [key, command.getOptionValue(attributeOf(option))]),
    ]);
    const { json, quiet, verbose, color, ...rest } = given;
    await table.run(rest, { ...tools, output: await open({ json, quiet, verbose, color }) });
  });
}

function optionOf(flag: Flag<unknown>): Option {
  const { usage, group, bare, isRepeatable, kind } = flag;
  const option = new Option(usage, describe(flag));
  if (group !== undefined) option.helpGroup(group);
  if (bare !== undefined) option.preset(bare);
  if (flag.default !== undefined) option.default(flag.default);
  const choices = choicesOf(flag);
  if (choices) option.choices(choices);
  if (isRepeatable) option.argParser(collect(readerOf(flag)));
  else if (kind) option.argParser(readerOf(flag));
  return option;
}

function argumentOf(table: Argument<unknown>): CommanderArgument {
  const argument = new CommanderArgument(table.usage, describe(table));
  const choices = choicesOf(table);
  if (choices) argument.choices(choices);
  if (argument.variadic) argument.argParser(collect(readerOf(table)));
  else if (table.kind) argument.argParser(readerOf(table));
  return argument;
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

function readerOf({ kind }: { readonly kind?: ValueKind<unknown> }): (text: string) => unknown {
  return (text) => {
    const value = kind ? kind.read(text) : text;
    if (value === undefined) throw new InvalidArgumentError(`Use ${kind?.expected}.`);
    return value;
  };
}

function attributeOf(option: Option): string {
  return option.attributeName();
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
