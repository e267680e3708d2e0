import { userInfo } from 'node:os';

/** The user who runs this process; empty when the user id has no name. */
export function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}
