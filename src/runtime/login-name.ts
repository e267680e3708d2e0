import { userInfo } from 'node:os';

/** Who runs this process; empty for a number without a name. */
export function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}
