import { execFileSync, spawn } from 'node:child_process';
import { loginName } from './login-name.ts';

/** The author of files in the folder: git's user.name, else the login name. */
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
 * Starts this program again with other arguments and the same environment. The new process prints nothing, and goes on
 * when this one has ended.
 */
export function startInBackground(args: readonly string[]): void {
  const [, program = ''] = process.argv;
  const child = spawn(process.execPath, [program, ...args], { detached: true, stdio: 'ignore' });
  // Without a listener the error would end this process, which does not need the other one.
  child.once('error', () => {});
  child.unref();
}
