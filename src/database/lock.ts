import { setTimeout as sleep } from 'node:timers/promises';
import { CryptosenseDbError, describeHolder, isError, type LockHolder } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { type Session, type Sql, withSession } from './connection.ts';
import { sqlErrorCodes, sqlState } from './sql-errors.ts';
import type { ServerTarget } from './target.ts';

/** The two halves of a lock's key, each 32 bits with a sign. */
export interface LockKey {
  readonly lockClass: number;
  readonly lockObject: number;
}

/** A lock of this tool's, in the database of the session. */
export interface AdvisoryLock extends LockKey {
  /** In words: "the migration lock". */
  readonly name: string;
}

/** Its key is arbitrary, and the same in every release. */
const migrationLock: AdvisoryLock = {
  lockClass: 842_341_073,
  lockObject: 1_509_727_411,
  name: 'the migration lock',
};

const firstPollMs = 50;
const lastPollMs = 1_000;

export const defaultLockTimeoutMs = 60_000;

export interface LockOptions {
  /** How long to wait for another run to end; 0 does not wait. */
  readonly lockTimeoutMs?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** One run at a time on a database. Throws what `withAdvisoryLock` throws. */
export function withMigrationLock<T>(
  session: Session,
  options: LockOptions,
  use: () => Promise<T>,
): Promise<T> {
  return withAdvisoryLock(session, { ...options, lock: migrationLock }, use);
}

/**
 * Holds the lock while `use` runs: twice, for `holdsMigrationLock`.
 *
 * The lock is polled with pg_try_advisory_lock. A blocking pg_advisory_lock holds a snapshot while
 * it waits, and CREATE INDEX CONCURRENTLY in the run that holds the lock waits for that snapshot.
 *
 * Throws `lock-timeout`, which names the holder, and `pooler-refused`.
 */
export async function withAdvisoryLock<T>(
  session: Session,
  {
    lock,
    lockTimeoutMs = defaultLockTimeoutMs,
    onProgress,
  }: LockOptions & { readonly lock: AdvisoryLock },
  use: () => Promise<T>,
): Promise<T> {
  const { sql } = session;
  await acquire(session, { lock, lockTimeoutMs, onProgress });
  try {
    await refuseTransactionPooling(session);
    return await use();
  } finally {
    await unlockTwice(sql, lock).catch(() => {
      // The backend is gone, and the lock with it; the error that ended `use` says so.
    });
  }
}

/** Does the work while it holds the lock; undefined where somebody else holds it, and nothing is done. */
export async function ifFree<T>(
  sql: Sql,
  key: LockKey,
  work: () => Promise<T>,
): Promise<T | undefined> {
  if (!(await tryLock(sql, key))) return undefined;
  try {
    return await work();
  } finally {
    await unlock(sql, key).catch(() => {
      // As above: the lock is gone with its backend.
    });
  }
}

async function tryLock(sql: Sql, key: LockKey): Promise<boolean> {
  return ask(sql, `pg_try_advisory_lock(${keyOf(key)})`);
}

async function unlock(sql: Sql, key: LockKey): Promise<void> {
  await ask(sql, `pg_advisory_unlock(${keyOf(key)})`);
}

async function tryLockTwice(sql: Sql, key: LockKey): Promise<boolean> {
  const lock = `pg_try_advisory_lock(${keyOf(key)})`;
  return ask(sql, `${lock} and ${lock}`);
}

async function unlockTwice(sql: Sql, key: LockKey): Promise<void> {
  const release = `pg_advisory_unlock(${keyOf(key)})`;
  await ask(sql, `${release} and ${release}`);
}

/** Without parameters, for which the driver would ask the server first. */
async function ask(sql: Sql, condition: string): Promise<boolean> {
  const [row] = await sql.unsafe<[{ isTrue: boolean }]>(`select ${condition} as "isTrue"`);
  return row.isTrue;
}

function keyOf({ lockClass, lockObject }: LockKey): string {
  return `${lockClass}, ${lockObject}`;
}

async function acquire(
  session: Session,
  {
    lock,
    lockTimeoutMs,
    onProgress,
  }: { lock: AdvisoryLock; lockTimeoutMs: number; onProgress: OnProgress | undefined },
): Promise<void> {
  const startedAt = performance.now();
  let announced: number | undefined;
  for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 1.5, lastPollMs)) {
    session.throwIfInterrupted();
    if (await tryLockTwice(session.sql, lock)) return;

    const holder = await findHolder(session, lock);
    const waitedMs = performance.now() - startedAt;
    if (waitedMs >= lockTimeoutMs) throw lockTimeout(lock, { holder, waitedMs });
    if (holder && holder.pid !== announced) {
      onProgress?.({ kind: 'waiting-for-lock', holder });
      announced = holder.pid;
    }
    const jitterMs = pollMs * (0.75 + Math.random() / 2);
    await sleep(
      Math.min(jitterMs, lockTimeoutMs - waitedMs),
      undefined,
      session.signal && { signal: session.signal },
    );
  }
}

/**
 * undefined when it has let go in the meantime. Of another role's session the server shows no more
 * than its name to those who are not in pg_read_all_stats.
 */
async function findHolder(
  { sql }: Session,
  { lockClass, lockObject }: AdvisoryLock,
): Promise<LockHolder | undefined> {
  const [holder] = await sql<LockHolder[]>`
    select
      a.pid,
      a.application_name as "applicationName",
      case when a.backend_start is not null
        then coalesce(host(a.client_addr), 'a local socket') end as address,
      a.backend_start as since
    from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and l.classid = ${asOid(lockClass)} and l.objid = ${asOid(lockObject)}`;
  return holder;
}

/** pg_locks shows the halves of a key without their signs. */
function asOid(half: number): number {
  return half >>> 0;
}

function lockTimeout(
  { name }: AdvisoryLock,
  { holder, waitedMs }: { readonly holder: LockHolder | undefined; readonly waitedMs: number },
) {
  const waited = `${(waitedMs / 1000).toFixed(1)} s`;
  return new CryptosenseDbError(
    'lock-timeout',
    {
      message: `another run holds ${name}; gave up after ${waited}`,
      evidence: holder ? [describeHolder(holder)] : [],
      hint: holder
        ? `let it end, wait longer with --lock-timeout, or end it with: select pg_terminate_backend(${holder.pid})`
        : 'run the command again',
    },
    { details: { holder, waitedMs } },
  );
}

/**
 * Behind a pooler this session's lock only means something while the pooler keeps the backend for
 * it. In transaction mode a second client is handed the backend that holds the lock. In session
 * mode it never is: it gets another one, or waits where the pool is empty.
 * A pool that hands backends around shows itself in one of a few rounds; should it not, the check
 * of the process id in each ledger write still stops the run before anything wrong is recorded.
 */
export async function refuseTransactionPooling(session: Session): Promise<void> {
  const { target, sql, pid, server } = session;
  if (target.kind === 'embedded' || !server.isPooled) return;
  const rounds = 3;
  for (let round = 0; round < rounds; round += 1) {
    const other = await backendOfAnother(target);
    const [own] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
    if (other === pid || own.pid !== pid) throw poolerRefused();
    if (other === undefined) return;
  }
}

/** undefined when the pool has none to spare within two seconds. */
async function backendOfAnother(target: ServerTarget): Promise<number | undefined> {
  const probe = { ...target, connectTimeoutMs: 2_000 };
  return withSession(probe, { isReadOnlyFine: true }, async ({ pid }) => pid).catch(
    (error: unknown) => {
      if (isError(error, 'server-unreachable')) return undefined;
      throw error;
    },
  );
}

function poolerRefused(): CryptosenseDbError<'pooler-refused'> {
  return new CryptosenseDbError('pooler-refused', {
    message: 'a pooler in transaction mode stands between this tool and the server',
    evidence: [
      'one backend serves several clients there, so the lock that keeps a second run out means nothing',
    ],
    hint: "connect to the server's own port, or to a pool in session mode",
  });
}

/**
 * A condition: this session still holds the migration lock, whatever a migration did meanwhile. Of the two holds
 * one is given back, which says whether there was any, and taken again; the other keeps everybody out meanwhile.
 * A migration that has given one back itself leaves none for that: then another run may be quicker, and this one
 * ends. A look into pg_locks would hold up everybody who asks for a lock. As a subselect it is evaluated once,
 * however many rows a statement goes through.
 */
export const holdsMigrationLock = `
  (select pg_advisory_unlock(${keyOf(migrationLock)}) and pg_try_advisory_lock(${keyOf(migrationLock)}))`;

/** True for an error that another try may not meet: the statement waited for a lock in vain. */
export function isLockConflict(error: unknown): boolean {
  const state = sqlState(error);
  return state === sqlErrorCodes.lockNotAvailable || state === sqlErrorCodes.deadlockDetected;
}
