import { execFileSync, spawn } from 'node:child_process';
import { loginName } from './login-name.ts';

/** Who writes here: git's user.name, or the login name where git has none. */
export function authorName(folder: string): string {
  try {
    const name = execFileSync('git', ['config', 'user.name'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return name.trim() || loginName();
  } catch {
    return loginName();
  }
}

/**
 * Starts this program again, with other arguments and the same environment, for work that nobody waits
 * for: it goes on when this process is over, and says nothing.
 */
export function startInBackground(args: readonly string[]): void {
  const [, program = ''] = process.argv;
  const child = spawn(process.execPath, [program, ...args], { detached: true, stdio: 'ignore' });
  // Nobody waits for it: where it cannot start, the next databases are copies.
  child.once('error', () => {});
  child.unref();
}
