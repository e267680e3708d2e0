import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { CryptosenseDbError, hasCode, isError } from '../../runtime/errors.ts';
import { readText } from '../../runtime/files.ts';
import { backoffMs, retry } from '../../runtime/retry.ts';
import { quoteShellWord } from '../../runtime/shell-words.ts';

/** The names of all files that the lock creates start with this. */
export const lockFileName = 'cryptosense-db.lock';

/** The content of the lock file, as JSON. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Tells a process from a later one with the same id. Empty where the system gives no such fact. */
  readonly identity: string;
  /** ISO 8601. */
  readonly since: string;
}

/** How to wait for a folder that another process has open. */
export interface LockWait {
  /** Ends the wait with an AbortError. */
  readonly signal?: AbortSignal | undefined;
  /** Called once, when the wait begins. */
  readonly onWait?: ((reason: string) => void) | undefined;
}

/**
 * Locks an existing folder for this process. Returns the function that releases the lock. A lock
 * whose process is gone is taken over. While the process is alive, the caller waits up to
 * `timeoutMs`; then `embedded-locked` is thrown. A process on another host counts as alive, since
 * this host cannot know.
 */
export async function lockFolder(
  folder: string,
  { timeoutMs, signal, onWait }: LockWait & { readonly timeoutMs: number },
): Promise<() => void> {
  const path = join(folder, lockFileName);
  const text = JSON.stringify(describeThisProcess());
  const take = async () => {
    for (;;) {
      if (createWhole(path, text)) return () => release(path, text);
      const holder = readHolder(path);
      // No holder: another process was faster, or a link that points nowhere has the name of the lock.
      if (!holder || !isGone(holder) || !removeStale(path)) throw locked(folder, holder);
    }
  };
  return retry(take, {
    signal,
    waitMs: ({ error, attempts, elapsedMs }) => {
      if (!isError(error, 'embedded-locked') || elapsedMs >= timeoutMs) return undefined;
      if (attempts === 1)
        onWait?.(`another process (pid ${error.details.pid}) has the folder open`);
      return backoffMs(attempts, { firstMs: 100, factor: 1 });
    },
  });
}

/** Creates a file that appears with its whole text at once: a reader never sees an empty lock. */
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
 * Two processes may find the same stale lock. Without a guard, the second one would remove the new
 * lock of the first. So a process takes the guard file, reads the lock again, and only then removes
 * it. The guard exists for less than a millisecond; a guard left behind by a kill must be removed by
 * hand.
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

/** Undefined when the lock is not held. */
function readHolder(path: string): Holder | undefined {
  const text = readText(path);
  if (text === undefined) return undefined;
  try {
    const { pid, host, identity, since }: Partial<Holder> = JSON.parse(text);
    return { pid: Number(pid), host: String(host), identity: String(identity), since: `${since}` };
  } catch {
    // Lock files appear with their whole text, so a crash of the machine damaged this one.
    return { pid: 0, host: hostname(), identity: '', since: 'an unknown time' };
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
 * The boot of the machine and the start time of the process, from Linux's /proc (proc(5)). A
 * process in a restarted container often has the same id as the one before.
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

function locked(folder: string, holder: Holder | undefined): CryptosenseDbError<'embedded-locked'> {
  const { pid = 0, host = hostname(), since = 'an unknown time' } = holder ?? {};
  const where = host === hostname() ? '' : ` on ${host}`;
  return new CryptosenseDbError(
    'embedded-locked',
    {
      message: `another process has the folder ${folder} open`,
      evidence: [`process ${pid}${where} since ${since}`],
      hint: `wait until it ends; if it is gone already: rm ${quoteShellWord(join(folder, lockFileName))}*`,
    },
    { details: { folder, pid } },
  );
}
