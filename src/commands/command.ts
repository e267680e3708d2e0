import type { Output } from '../ui/output.ts';

/** How to read a value from text. `expected` completes the message "Use …" for a text that holds no such value. */
export interface ValueKind<Value> {
  /** undefined: the text is not such a value. */
  readonly read: (text: string) => Value | undefined;
  readonly expected: string;
}

interface Details<Value> extends Partial<ValueKind<Value>> {
  /** The only values allowed. */
  readonly choices?: readonly Value[] | (() => readonly Value[]);
}

interface FlagDetails<Value> extends Details<Value> {
  readonly default?: NoInfer<Value>;
  /** The text taken for `[VALUE]` when the flag stands without one. */
  readonly bare?: string;
}

/** A word without a flag: `<version>`, `[versions...]`. */
export interface Argument<out Value> extends Details<unknown> {
  /** Shell completion offers files and folders for a flag with a `<file>`, `<dir>` or `[folder]`. */
  readonly usage: string;
  readonly help: string;
  /** For TypeScript only; never set. */
  readonly type?: Value;
}

/** A flag that gives its command a `Value`: `--steps <n>`, `--embedded [folder]`, `--dry-run`. */
export interface Flag<out Value> extends Argument<Value>, FlagDetails<unknown> {
  /** The heading in the help. Default `Options:`. */
  readonly group?: string;
  readonly isRepeatable?: boolean;
}

/** What a flag gives when nothing says how its value is read. */
type Written<Usage extends string> = Usage extends `${string}<${string}`
  ? string
  : Usage extends `${string}[${string}`
    ? string | true
    : Usage extends `--no-${string}`
      ? false
      : true;

type Many<Usage extends string, Value> = Usage extends `${string}...${string}`
  ? readonly Value[]
  : Usage extends `<${string}`
    ? Value
    : Value | undefined;

/**
 * Describes a flag. Its value is a text for `--name <value>`, a text or true for `--name [value]`,
 * true for `--name`, and what a `ValueKind` or `choices` say otherwise.
 */
export function flag<Usage extends string, const Value = Written<Usage>>(
  usage: Usage,
  help: string,
  details: FlagDetails<Value> & { readonly default: NoInfer<Value> },
): Flag<NoInfer<Value>>;
export function flag<Usage extends string, const Value = Written<Usage>>(
  usage: Usage,
  help: string,
  details?: FlagDetails<Value>,
): Flag<NoInfer<Value> | undefined>;
export function flag(usage: string, help: string, details?: FlagDetails<unknown>): Flag<unknown> {
  return { usage, help, ...details };
}

/** The same flag, given any number of times. */
export function repeatable<Value>({
  type: _,
  ...one
}: Flag<Value | undefined>): Flag<readonly Value[] | undefined> {
  return { ...one, isRepeatable: true };
}

type FlagTable = Readonly<Record<string, Flag<unknown>>>;

/** The same flags, below a heading of the help. */
export function grouped<F extends FlagTable>(group: string, flags: F): F;
export function grouped(group: string, flags: FlagTable): FlagTable {
  return Object.fromEntries(Object.entries(flags).map(([name, one]) => [name, { ...one, group }]));
}

/**
 * Describes an argument: a text, or what a `ValueKind` or `choices` say; a list of them for `<name...>` and
 * `[name...]`.
 */
export function argument<Usage extends string, const Value = string>(
  usage: Usage,
  help: string,
  details?: Details<Value>,
): Argument<Many<Usage, NoInfer<Value>>> {
  return { usage, help, ...details };
}

type Flags<Options> = { readonly [Name in keyof Options]?: Flag<Options[Name]> };
type Arguments<Options> = { readonly [Name in keyof Options]?: Argument<Options[Name]> };
/** A name that `Options` lacks does not compile, not even one that was spread into the table. */
type Known<Table, Options> = Table & {
  readonly [Name in Exclude<keyof Table, keyof Options>]: never;
};
type Given<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends Argument<infer Value> ? Value : never;
};

/** What a command works with besides its options. */
export interface Tools {
  readonly output: Output;
  /** Fires on SIGHUP, SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Ends the process with exit code 1: a negative result. */
  readonly answerNo: () => void;
}

interface CommandTable<F, A> {
  readonly name: string;
  /** One line, in the list of commands and at the head of the help. */
  readonly summary: string;
  /** In the order in which they are typed. */
  readonly arguments?: A;
  readonly flags: F;
  /** Sets of flags of which one at most can be given. */
  readonly conflicts?: readonly (readonly (keyof F & string)[])[];
  /** Lines below the flags. */
  readonly notes?: readonly string[];
  /** The command prints text for another program, and has none of the flags that say how to print. */
  readonly isRaw?: boolean;
  /** Command lines that can be copied, and what each does. */
  readonly examples: readonly (readonly [line: string, purpose: string])[];
}

export interface Command
  extends CommandTable<FlagTable, Readonly<Record<string, Argument<unknown>>>> {
  run(given: Readonly<Record<string, unknown>>, tools: Tools): Promise<void>;
}

/** Commands, and groups of them, that share their first words. */
export interface Group {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly Entry[];
}

export type Entry = Command | Group;

export function isGroup(entry: Entry): entry is Group {
  return 'commands' in entry;
}

/** An entry, and all the words that name it. */
export interface Placed<E extends Entry> {
  readonly path: readonly string[];
  readonly entry: E;
}

/** The entries and those within their groups, in the order of the help: a group stands before its commands. */
export function listEntries(
  entries: readonly Entry[],
  before: readonly string[] = [],
): readonly Placed<Entry>[] {
  return entries.flatMap((entry) => {
    const path = [...before, entry.name];
    return [{ path, entry }, ...(isGroup(entry) ? listEntries(entry.commands, path) : [])];
  });
}

/** What the first words name: groups, the outermost first, a command, or nothing. */
export interface Named {
  readonly groups: readonly Group[];
  readonly command?: Command;
  readonly names: readonly string[];
}

export function findNamed(entries: readonly Entry[], [word, ...others]: readonly string[]): Named {
  const entry = entries.find(({ name }) => name === word);
  if (entry === undefined) return { groups: [], names: [] };
  if (!isGroup(entry)) return { groups: [], command: entry, names: [entry.name] };
  const inner = findNamed(entry.commands, others);
  return { ...inner, groups: [entry, ...inner.groups], names: [entry.name, ...inner.names] };
}

export function choicesOf({ choices }: Details<unknown>): readonly string[] | undefined {
  return (typeof choices === 'function' ? choices() : choices)?.map(String);
}

/**
 * Defines a command. `Options` are the options of the library function that it calls, with the command's own flags
 * added: each key of `flags` and `arguments` is the name of one of them, and its value has that option's type.
 *
 * @example
 * const wait = defineCommand<WaitOptions & TargetFlags>()({
 *   name: 'wait',
 *   summary: 'wait until the server accepts connections',
 *   flags: { timeoutMs: flag('--timeout <time>', 'how long to wait', duration), ...targetFlags },
 *   examples: [['cryptosense-db db wait --timeout 2m', 'wait two minutes at most']],
 *   run: async (given, tools) => {
 *     const { wait } = await import('../databases/lifecycle.ts');
 *     tools.output.result(await wait(onDatabase(given, tools)), renderWait);
 *   },
 * });
 */
export function defineCommand<Options>() {
  return <
    const F extends Flags<Options>,
    const A extends Arguments<Options> = Record<never, never>,
  >(
    table: CommandTable<Known<F, Options>, Known<A, Options>> & {
      readonly run: (given: Given<F> & Given<A>, tools: Tools) => Promise<void>;
    },
  ): Command => table;
}
