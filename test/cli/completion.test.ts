import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { cleanEnvironment, program, runCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { hasTerminal } from '../support/terminal.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

/** Why a shell cannot be driven here; undefined when it can. */
function obstacle(shell: Shell): string | undefined {
  if (!hasTerminal) return 'script(1) of util-linux is not installed';
  return spawnSync(shell, ['--version']).error ? `${shell} is not installed` : undefined;
}

/** A folder with a file, and a home whose shell has loaded the script twice, as a second `source ~/.bashrc` does. */
function prepareHome() {
  const home = temporaryFolder();
  const bin = join(home, 'bin');
  mkdirSync(bin);
  symlinkSync(program, join(bin, 'cryptosense-db'));
  writeFileSync(join(home, 'saved-answer.json'), '[]');
  const source = (shell: Shell) => `source <(cryptosense-db completion ${shell})\n`;
  writeFileSync(join(home, 'bashrc'), `PS1='ready> '\n${source('bash').repeat(2)}`);
  writeFileSync(
    join(home, '.zshrc'),
    `PS1='ready> '\nautoload -U compinit; compinit -u -D\n${source('zsh').repeat(2)}`,
  );
  writeFileSync(
    join(home, 'config.fish'),
    `function fish_prompt; echo 'ready> '; end\n${'cryptosense-db completion fish | source\n'.repeat(2)}`,
  );
  const env = {
    ...cleanEnvironment(),
    HOME: home,
    ZDOTDIR: home,
    XDG_CONFIG_HOME: home,
    TERM: 'dumb',
    PATH: [bin, process.env.PATH].join(delimiter),
  };
  return { home, env };
}

const startShell = {
  bash: 'bash --noprofile --rcfile bashrc -i',
  zsh: 'zsh -i',
  fish: "fish --no-config -i --init-command 'source config.fish'",
};

/** Types keys into the shell on a new terminal. */
async function openShell(shell: Shell) {
  const { home, env } = prepareHome();
  const command = `stty cols 200 rows 40; ${startShell[shell]}`;
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    cwd: home,
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let screen = '';
  child.stdout.on('data', (chunk: Buffer) => {
    screen = stripVTControlCharacters(screen + chunk.toString());
  });
  const appears = (text: string) =>
    expect.poll(() => screen, { timeout: 40_000, interval: 20 }).toContain(text);
  await appears('ready> ');
  return {
    /** Resolves when the shell shows the text after the keys. */
    type: async (keys: string, text: string) => {
      screen = '';
      child.stdin.write(keys);
      await appears(text);
    },
  };
}

describe.each(shells)('completion in %s', (shell) => {
  it('completes commands, flags, choices and files', async (context) => {
    const reason = obstacle(shell);
    if (reason) context.skip(reason);
    const { type } = await openShell(shell);
    await type('cryptosense-db migr\t', 'cryptosense-db migrate ');
    await type('basel\t', 'baseline ');
    await type('--table-lock-t\t', '--table-lock-timeout ');
    await type('\u0015cryptosense-db seed --env prod\t', '--env production ');
    await type('--from saved\t', 'saved-answer.json');
    await type('\u0015cryptosense-db migrate new --template hyp\t', 'hypertable ');
  });
});

describe('completion', () => {
  it('lists the shells that have a completion script', async () => {
    const { code, stderr } = await runCli(['completion', 'tcsh']);
    expect(code).toBe(2);
    expect(stderr).toContain('Allowed choices are bash, zsh, fish');
  });

  it('offers no files for a flag that takes no file', async () => {
    const { stdout } = await runCli(['complete', '--', 'migrate', 'up', '--steps', '']);
    expect(stdout).toBe(':4\n');
  });
});
