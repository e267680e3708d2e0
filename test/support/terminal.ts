import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cleanEnvironment, program } from './cli.ts';

/** util-linux's `script` makes a pseudo terminal; other systems' takes other flags. */
export const hasTerminal =
  spawnSync('script', ['--version']).stdout?.includes('util-linux') ?? false;

export interface TerminalOptions {
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** What the command line writes to a terminal, stdout and stderr together. */
export async function runInTerminal(
  args: readonly string[],
  { columns = 80, env = {} }: TerminalOptions = {},
): Promise<{ readonly code: number | null; readonly screen: string }> {
  const words = [process.execPath, program, ...args].map((word) => `'${word}'`).join(' ');
  const command = `stty cols ${columns} rows 40; ${words}`;
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: { ...cleanEnvironment(), TERM: 'xterm-256color', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [code] = await once(child, 'close');
  return { code, screen: Buffer.concat(chunks).toString() };
}
