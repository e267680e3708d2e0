import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CryptosenseDbError } from '../../runtime/errors.ts';

/** Every file that the lock ever makes in its folder has a name that starts with this. */
export const lockFileName = 'cryptosense-db.lock';
const pollMs = 100;

/** What the lock file holds, as JSON. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Tells a process from a later one under the same id; empty where the system does not say. */
  readonly identity: string;
  /** ISO 8601. */
  readonly since: string;
}

/** How a folder is waited for that another process has open. */
export interface LockWait {
  /** Ends the wait with an AbortError. */
  readonly signal?: AbortSignal | undefined;
  /** Called once, when there is something to wait for. */
  readonly onWait?: ((reason: string) => void) | undefined;
}

/**
 * Locks an existing folder for this process and returns what releases it. The lock of a process
 * that is gone is taken over. A live one is waited for until `timeoutMs` is over, then
 * `embedded-locked` is thrown. A process on another host counts as alive: one cannot tell from here.
 */
export async function lockFolder(
  folder: string,
  { timeoutMs, signal, onWait }: LockWait & { readonly timeoutMs: number },
): Promise<() => void> {
  const path = join(folder, lockFileName);
  const deadline = performance.now() + timeoutMs;
  for (let isAnnounced = false; ; ) {
    const holder = readHolder(path);
    if (holder === undefined) {
      const text = JSON.stringify(describeThisProcess());
      if (createWhole(path, text)) return () => release(path, text);
      continue;
    }
    if (isGone(holder) && removeStale(path)) continue;
    if (performance.now() >= deadline) throw locked(folder, holder);
    if (!isAnnounced) onWait?.(`another process (pid ${holder.pid}) has the folder open`);
    isAnnounced = true;
    await sleep(pollMs, undefined, signal && { signal });
  }
}

/** A file that appears with its whole text or not at all: a reader never sees an empty lock. */
function createWhole(path: string, text: string): boolean {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, text);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    unlinkSync(draft);
  }
}

/**
 * Only who holds the guard removes a stale lock, and looks at it again first: without that, of two
 * processes that find the same stale lock the second would remove the first one's new lock. The
 * guard lives for a fraction of a millisecond, so one left by a kill is not worth the same risk.
 */
function removeStale(path: string): boolean {
  const guard = `${path}.takeover`;
  if (!createWhole(guard, String(process.pid))) return false;
  try {
    const holder = readHolder(path);
    if (holder === undefined || !isGone(holder)) return false;
    unlinkSync(path);
    return true;
  } finally {
    unlinkSync(guard);
  }
}

function release(path: string, text: string): void {
  if (readText(path) === text) unlinkSync(path);
}

/** undefined: the lock was released meanwhile. */
function readHolder(path: string): Holder | undefined {
  const text = readText(path);
  if (text === undefined) return undefined;
  try {
    const { pid, host, identity, since }: Partial<Holder> = JSON.parse(text);
    return { pid: Number(pid), host: String(host), identity: String(identity), since: `${since}` };
  } catch {
    // Locks appear whole, so this one lost its text to a crash of the machine: nobody holds it.
    return { pid: 0, host: hostname(), identity: '', since: 'an unknown time' };
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function describeThisProcess(): Holder {
  return {
    pid: process.pid,
    host: hostname(),
    identity: identityOf(process.pid) ?? '',
    since: new Date().toISOString(),
  };
}

function isGone({ pid, host, identity }: Holder): boolean {
  if (host !== hostname()) return false;
  if (!isRunning(pid)) return true;
  const current = identityOf(pid);
  return identity !== '' && current !== undefined && current !== identity;
}

function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return hasCode(error, 'EPERM');
  }
}

/**
 * The boot of the machine and the start of the process in it, from Linux's /proc (proc(5)): the
 * process of a restarted container often has the id that its predecessor had.
 */
function identityOf(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return `${boot}/${fields[19]}`;
  } catch {
    return undefined;
  }
}

function locked(
  folder: string,
  { pid, host, since }: Holder,
): CryptosenseDbError<'embedded-locked'> {
  const where = host === hostname() ? '' : ` on ${host}`;
  return new CryptosenseDbError(
    'embedded-locked',
    {
      message: `another process has the folder ${folder} open`,
      evidence: [`process ${pid}${where} since ${since}`],
      hint: `wait for it to end; should it be gone already: rm ${join(folder, lockFileName)}*`,
    },
    { details: { folder, pid } },
  );
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
