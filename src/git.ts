import { execFileSync } from 'node:child_process';
import { userInfo } from 'node:os';

/** Who writes here: git's user.name, or the login name where git has none. */
export function authorName(folder: string): string {
  try {
    const name = execFileSync('git', ['config', 'user.name'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return name.trim() || userInfo().username;
  } catch {
    return userInfo().username;
  }
}
