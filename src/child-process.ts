import { execFileSync } from 'node:child_process';
import { loginName } from './database/target.ts';

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
