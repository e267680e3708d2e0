import { entries } from '../../src/commands/all.ts';
import { type Command, type Group, isGroup, listEntries } from '../../src/commands/command.ts';
import { buildProgram } from '../../src/commands/program.ts';

/** The words that name each command, and its table. */
export const commands: readonly { readonly path: readonly string[]; readonly command: Command }[] =
  listEntries(entries).flatMap(({ path, entry }) =>
    isGroup(entry) ? [] : [{ path, command: entry }],
  );

/** The words that name each group, and its table. */
export const groups: readonly { readonly path: readonly string[]; readonly group: Group }[] =
  listEntries(entries).flatMap(({ path, entry }) =>
    isGroup(entry) ? [{ path, group: entry }] : [],
  );

/** What `--help` prints on a terminal of 80 columns, of the whole program for no words. */
export function helpOf(path: readonly string[]): string {
  const program = buildProgram(entries, {
    open: () => Promise.reject(new Error('help opens no output')),
    signal: new AbortController().signal,
    answerNo: () => {},
  });
  const command = path.reduce((parent, name) => {
    const found = parent.commands.find((child) => child.name() === name);
    if (found === undefined) throw new Error(`the program has no command ${path.join(' ')}`);
    return found;
  }, program);
  const parts: string[] = [];
  command.configureOutput({ getOutHelpWidth: () => 80, writeOut: (part) => parts.push(part) });
  command.outputHelp();
  return parts.join('');
}
