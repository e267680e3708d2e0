import type { Command as Candidates, Complete } from '@bomb.sh/tab';
import {
  argument,
  type Command,
  choicesOf,
  defineCommand,
  type Entry,
  type Flag,
  findNamed,
  isGroup,
  listEntries,
} from './command.ts';
import { flagsOf } from './flags.ts';

const program = 'cryptosense-db';

/**
 * The library's script for bash needs a function of the package bash-completion, declares read-only variables, which
 * a second `source` cannot set, and does not let bash offer files.
 */
const beforeBash = `if ! declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref() {
        words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]}
    }
fi
if ! declare -F __cryptosense_db_complete >/dev/null; then`;
const afterBash = `fi
complete -o default -F __cryptosense_db_complete ${program}`;

export const completionCommand = defineCommand<{ readonly shell: 'bash' | 'zsh' | 'fish' }>()({
  name: 'completion',
  summary: 'print the script that completes this command line in a shell',
  arguments: {
    shell: argument('<shell>', 'your shell', { choices: ['bash', 'zsh', 'fish'] }),
  },
  flags: {},
  isRaw: true,
  notes: ['The script calls cryptosense-db, which has to be in the PATH.'],
  examples: [
    ['source <(cryptosense-db completion bash)', 'in ~/.bashrc'],
    ['source <(cryptosense-db completion zsh)', 'in ~/.zshrc, after compinit'],
    ['cryptosense-db completion fish | source', 'in ~/.config/fish/config.fish'],
  ],
  run: async ({ shell }) => {
    const { script } = await import('@bomb.sh/tab');
    if (shell === 'bash') process.stdout.write(`${beforeBash}\n`);
    script(shell, program, program);
    if (shell === 'bash') process.stdout.write(`${afterBash}\n`);
  },
});

/**
 * Answers the script, which calls `cryptosense-db complete -- WORDS` with the words up to the cursor: writes a line a
 * candidate, and a number that says whether the shell offers files.
 */
export async function complete(entries: readonly Entry[], words: readonly string[]): Promise<void> {
  const { RootCommand, ShellCompDirective } = await import('@bomb.sh/tab');
  const { command } = findNamed(entries, words);
  if (command && isPathNext(command, words)) {
    process.stdout.write(`:${ShellCompDirective.ShellCompDirectiveDefault}\n`);
    return;
  }
  const root = new RootCommand();
  root.option('version', 'show the version').option('help', 'show this help');
  for (const { path, entry } of listEntries(entries)) {
    const candidates = root.command(path.join(' '), entry.summary);
    if (!isGroup(entry)) addCandidates(candidates, entry);
  }
  root.parse([...words]);
}

function addCandidates(candidates: Candidates, table: Command): void {
  for (const flag of Object.values(flagsOf(table))) {
    const [name = '', value] = flag.usage.replace(/^--/, '').split(' ');
    if (value === undefined) candidates.option(name, flag.help);
    else candidates.option(name, flag.help, offer(flag));
  }
  candidates.option('help', 'show this help');
  for (const [name, argument] of Object.entries(table.arguments ?? {})) {
    candidates.argument(name, offer(argument), argument.usage.includes('...'));
  }
}

function offer(value: Pick<Flag<unknown>, 'choices'>): (candidate: Complete) => void {
  return (candidate) => {
    for (const choice of choicesOf(value) ?? []) candidate(choice, '');
  };
}

function isPathNext({ flags }: Command, words: readonly string[]): boolean {
  return Object.values(flags).some(({ usage }) => {
    const [name, value = ''] = usage.split(' ');
    return name === words.at(-2) && /^.(dir|file|folder)/.test(value);
  });
}
