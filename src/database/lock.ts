import { setTimeout as sleep } from 'node:timers/promises';
import { CryptosenseDbError, describeHolder, isError, type LockHolder } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { backoffMs, retry } from '../runtime/retry.ts';
import { type Session, type Sql, withSession } from './connection.ts';
import { sqlErrorCodes, sqlState } from './sql-errors.ts';
import type { ServerTarget } from './target.ts';

/** An advisory lock of this tool, in the session's database. */
export interface AdvisoryLock {
  /** The two halves of the key, both signed 32-bit integers. */
  readonly lockClass: number;
  readonly lockObject: number;
  /** For messages: "the migration lock". */
  readonly name: string;
}

/** The key is arbitrary, but every release must use the same. */
const migrationLock: AdvisoryLock = {
  lockClass: 842_341_073,
  lockObject: 1_509_727_411,
  name: 'the migration lock',
};

const pollBackoff = { firstMs: 50, lastMs: 1_000, factor: 1.5 };

export const defaultLockTimeoutMs = 60_000;

export interface LockOptions {
  /** How long to wait for another run to end. 0: do not wait. */
  readonly lockTimeoutMs?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Allows one run at a time on a database. Throws as `withAdvisoryLock` does. */
export function withMigrationLock<T>(
  session: Session,
  options: LockOptions,
  use: () => Promise<T>,
): Promise<T> {
  return withAdvisoryLock(session, { ...options, lock: migrationLock }, use);
}

/**
 * Holds the lock while `use` runs.
 *
 * Polls with pg_try_advisory_lock. A blocking pg_advisory_lock would hold a snapshot while it waits,
 * and CREATE INDEX CONCURRENTLY in the run that holds the lock would wait for that snapshot: a
 * deadlock.
 *
 * Throws `lock-timeout`, which names the holder, and `pooler-refused`.
 */
export async function withAdvisoryLock<T>(
  session: Session,
  options: LockOptions & { readonly lock: AdvisoryLock },
  use: () => Promise<T>,
): Promise<T> {
  await acquire(session, options);
  try {
    await refuseTransactionPooling(session);
    return await use();
  } finally {
    await unlock(session.sql, options.lock);
  }
}

/**
 * Lends the migration lock to another session while `use` runs. At no moment is it free for a third session: the two
 * share it while it changes hands.
 */
export async function lendMigrationLock<T>(
  from: Session,
  to: Session,
  use: () => Promise<T>,
): Promise<T> {
  await handOver(from, to);
  try {
    return await use();
  } finally {
    await handOver(to, from).catch(() => {
      // A backend that is gone holds no lock. The error that ended the work is reported.
    });
  }
}

async function handOver(from: Session, to: Session): Promise<void> {
  const key = keyOf(migrationLock);
  const share = `select pg_try_advisory_lock_shared(${key})`;
  const endSharing = `select pg_advisory_unlock_shared(${key})`;
  const release = `select pg_advisory_unlock(${key})`;
  await from.sql.unsafe(`${share}; ${release}; ${release}`);
  await to.sql.unsafe(share);
  await from.sql.unsafe(endSharing);
  const isHeld = await tryLock(to.sql, migrationLock);
  await to.sql.unsafe(endSharing);
  if (isHeld) return;
  const holder = await findHolder(to, migrationLock);
  throw lockTimeout(migrationLock, { holder, waitedMs: 0 });
}

/** Runs `work` with the lock held. Returns undefined, and runs nothing, when another session holds the lock. */
export async function ifFree<T>(
  sql: Sql,
  lock: AdvisoryLock,
  work: () => Promise<T>,
): Promise<T | undefined> {
  if (!(await tryLock(sql, lock))) return undefined;
  try {
    return await work();
  } finally {
    await unlock(sql, lock);
  }
}

/** Takes the lock twice, for `holdsMigrationLock`. Without parameters, which would cost a round trip. */
async function tryLock(sql: Sql, lock: AdvisoryLock): Promise<boolean> {
  const [row] = await sql.unsafe<[{ isHeld: boolean }]>(`select ${taking(lock)} as "isHeld"`);
  return row.isHeld;
}

async function unlock(sql: Sql, lock: AdvisoryLock): Promise<void> {
  await sql.unsafe(`select ${releasing(lock)}`).catch(() => {
    // The backend is gone, and so is its lock. The error that ended the work is reported.
  });
}

function taking(lock: AdvisoryLock): string {
  const take = `pg_catalog.pg_try_advisory_lock(${keyOf(lock)})`;
  return `${take} and ${take}`;
}

function releasing(lock: AdvisoryLock): string {
  const release = `pg_catalog.pg_advisory_unlock(${keyOf(lock)})`;
  return `${release} and ${release}`;
}

/** SQL expressions that take and release the migration lock as a run does. `take` does not wait: false without the lock. */
export const migrationLockSql = {
  take: taking(migrationLock),
  release: releasing(migrationLock),
} as const;

function keyOf({ lockClass, lockObject }: AdvisoryLock): string {
  return `${lockClass}, ${lockObject}`;
}

async function acquire(
  session: Session,
  {
    lock,
    lockTimeoutMs = defaultLockTimeoutMs,
    onProgress,
  }: LockOptions & { readonly lock: AdvisoryLock },
): Promise<void> {
  const startedAt = performance.now();
  let announced: number | undefined;
  const take = async () => {
    session.throwIfInterrupted();
    if (await tryLock(session.sql, lock)) return;
    const holder = await findHolder(session, lock);
    throw lockTimeout(lock, { holder, waitedMs: performance.now() - startedAt });
  };
  await retry(take, {
    signal: session.signal,
    waitMs: ({ error, attempts, elapsedMs }) => {
      if (!isError(error, 'lock-timeout') || elapsedMs >= lockTimeoutMs) return undefined;
      const { holder } = error.details;
      if (holder && holder.pid !== announced) {
        onProgress?.({ kind: 'waiting-for-lock', holder });
        announced = holder.pid;
      }
      return Math.min(backoffMs(attempts, pollBackoff), lockTimeoutMs - elapsedMs);
    },
  });
}

/**
 * Undefined when the lock has been released in the meantime. For a session of another role the
 * server shows only its name, unless the own role is a member of pg_read_all_stats.
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
      a.backend_start as since,
      left(a.query, 1000) as query,
      a.query_start as "queryStartedAt"
    from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      -- pg_locks shows the halves of a key as unsigned integers.
      and l.classid = ${lockClass >>> 0} and l.objid = ${lockObject >>> 0}`;
  return holder && withoutLiterals(holder);
}

/** The part of the lock timeout after which the tool looks for the session that blocks the statement. */
const patience = 0.4;

export interface BlockedWork<T> {
  readonly result: Promise<T>;
  /** The session that blocked the work when it had waited for half of the time. */
  readonly blocker: () => LockHolder | undefined;
}

/**
 * Runs `work`, whose statements wait `timeoutMs` for a table lock at most, and looks with a second session who blocks
 * it. Without a wait it opens none.
 */
export function watchBlocker<T>(
  session: Session,
  { timeoutMs }: { readonly timeoutMs: number },
  work: () => Promise<T>,
): BlockedWork<T> {
  const { target, pid } = session;
  const ended = new AbortController();
  const { signal } = ended;
  const pauseMs = Math.max(100, timeoutMs * patience);
  let blocker: LockHolder | undefined;
  const look = async () => {
    if (target.kind === 'embedded') return;
    await sleep(pauseMs, undefined, { signal });
    const patient = { ...target, connectTimeoutMs: 2_000 };
    await withSession(patient, { isReadOnlyFine: true }, async ({ sql }) => {
      while (!signal.aborted) {
        blocker = (await findBlocker(sql, pid)) ?? blocker;
        await sleep(pauseMs, undefined, { signal });
      }
    });
  };
  const run = async () => {
    // What a look cannot find out is not named. The error of the work counts.
    const looking = look().catch(() => {});
    try {
      return await work();
    } finally {
      ended.abort();
      await looking;
    }
  };
  return { result: run(), blocker: () => blocker };
}

async function findBlocker(sql: Sql, pid: number): Promise<LockHolder | undefined> {
  const [blocker] = await sql<LockHolder[]>`
    select
      pid,
      application_name as "applicationName",
      case when backend_start is not null
        then coalesce(host(client_addr), 'a local socket') end as address,
      backend_start as since,
      left(query, 1000) as query,
      query_start as "queryStartedAt"
    from pg_stat_activity
    where pid = any(pg_blocking_pids(${pid}))
    order by query_start limit 1`;
  return blocker && withoutLiterals(blocker);
}

/** A table that another session keeps from being read. */
export interface LockedTable {
  /** Quoted where needed: `public.users`. */
  readonly table: string;
  readonly holder: LockHolder;
}

/**
 * The session that holds an exclusive lock on a table which the statement names, or waits for one and so stands before
 * all that come later. undefined: the lock has been released meanwhile.
 */
export async function findLockedTable(
  sql: Sql,
  statement: string,
): Promise<LockedTable | undefined> {
  const [found] = await sql<(LockHolder & { readonly table: string })[]>`
    select
      format('%I.%I', n.nspname, c.relname) as table,
      a.pid,
      a.application_name as "applicationName",
      case when a.backend_start is not null
        then coalesce(host(a.client_addr), 'a local socket') end as address,
      a.backend_start as since,
      left(a.query, 1000) as query,
      a.query_start as "queryStartedAt"
    from pg_locks l
      join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
      join pg_stat_activity a using (pid)
    where l.mode = 'AccessExclusiveLock' and l.pid <> pg_backend_pid()
      and l.database = (select oid from pg_database where datname = current_database())
      and strpos(${statement}::text, format('%I.%I', n.nspname, c.relname)) > 0
    order by l.granted desc, a.xact_start limit 1`;
  if (!found) return undefined;
  const { table, ...holder } = found;
  return { table, holder: withoutLiterals(holder) };
}

const shownQuery = 80;

/** Comments, strings in dollars and in quotes, quoted names, numbers. The text may end within one. */
const tokens =
  /--[^\n]*|\/\*.*?(?:\*\/|$)|\$(\w*)\$.*?(?:\$\1\$|$)|(?<!\w)[eE]'(?:\\.|''|[^'\\])*(?:'|$)|'(?:''|[^'])*(?:'|$)|"(?:""|[^"])*(?:"|$)|(?<![\w$])\d[\w.]*/gs;

/** The text of a query may hold the data of a customer: comments go, and literals become `?`. */
export function withoutLiterals({ query, ...holder }: LockHolder): LockHolder {
  if (!query) return holder;
  const bare = query
    .replace(tokens, (token) => {
      if (token.startsWith('"')) return token;
      return /^(--|\/\*)/.test(token) ? ' ' : '?';
    })
    .replace(/\s+/g, ' ')
    .trim();
  const shown = bare.length > shownQuery ? `${bare.slice(0, shownQuery)}…` : bare;
  return { ...holder, query: shown };
}

function lockTimeout(
  { name }: AdvisoryLock,
  { holder, waitedMs }: { readonly holder: LockHolder | undefined; readonly waitedMs: number },
) {
  const waited = `${(waitedMs / 1000).toFixed(1)} s`;
  return new CryptosenseDbError(
    'lock-timeout',
    {
      message: `another run holds ${name}; this run waited ${waited}`,
      evidence: holder ? [describeHolder(holder)] : [],
      hint: holder
        ? `wait until it ends, wait longer with --lock-timeout, or end it with: select pg_terminate_backend(${holder.pid})`
        : 'run the command again',
    },
    { details: { holder, waitedMs } },
  );
}

/**
 * Throws `pooler-refused` behind a pooler in transaction mode. There, a second client may get the
 * backend that holds this session's lock, so the lock protects nothing. In session mode the second
 * client gets another backend, or waits while the pool is exhausted.
 *
 * A few rounds find most such poolers. For the rest, each ledger write compares the process id and
 * stops the run before anything wrong is recorded.
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

/** Undefined when the pooler offers no backend within two seconds. */
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
      'there, several clients share one backend, so the migration lock does not keep a second run out',
    ],
    hint: "connect to the server's own port, or to a pool in session mode",
  });
}

/**
 * An SQL condition: this session still holds the migration lock, even if a migration released locks.
 *
 * The lock is held twice. Release one hold, which succeeds only while it is held, and take it again;
 * the other hold keeps other runs out meanwhile. Reading pg_locks instead would block every session
 * that asks for a lock. The subselect makes the server evaluate the condition once per statement.
 */
export const holdsMigrationLock = `
  (select pg_catalog.pg_advisory_unlock(${keyOf(migrationLock)})
    and pg_catalog.pg_try_advisory_lock(${keyOf(migrationLock)}))`;

/** True when a statement did not get a lock in time, or was the victim of a deadlock. Worth a retry. */
export function isLockConflict(error: unknown): boolean {
  const state = sqlState(error);
  return state === sqlErrorCodes.lockNotAvailable || state === sqlErrorCodes.deadlockDetected;
}
