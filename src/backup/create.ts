import { randomInt } from 'node:crypto';
import { type Session, withSession } from '../database/connection.ts';
import { databaseArgument, libpqEnvironment } from '../database/libpq.ts';
import {
  defaultLockTimeoutMs,
  findLockedTable,
  isLockConflict,
  type LockedTable,
} from '../database/lock.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { isSqlError } from '../database/sql-errors.ts';
import {
  describeTarget,
  resolveTarget,
  type ServerTarget,
  type Target,
} from '../database/target.ts';
import { readLedger } from '../ledger/ledger.ts';
import type { RunOptions } from '../ledger/run.ts';
import { CryptosenseDbError, describeHolder, isError } from '../runtime/errors.ts';
import { toolVersion } from '../runtime/package.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { backoffMs, retry } from '../runtime/retry.ts';
import { hashSettings, readSurroundings, readTables, type Surroundings } from './contents.ts';
import { encrypt, type RecipientOptions, readRecipients } from './encryption.ts';
import { backupId, folderOf, type Manifest, manifestName, writeManifest } from './manifest.ts';
import { createMeter, type Measured } from './meter.ts';
import { findProgram, type Program, requireSuccess, start } from './programs.ts';
import { explainRights } from './rights.ts';
import { seal } from './sealed.ts';
import { withSnapshot } from './snapshot.ts';
import { contentOf, type Store } from './store.ts';
import { type StoreOptions, withStore } from './with-store.ts';

/** The dump is encrypted where recipients are given. */
export interface CreateOptions extends StoreOptions, RecipientOptions, RunOptions {
  /** The folder of pg_dump. Default: where packages put it, then the PATH. */
  readonly pgBin?: string | undefined;
  /** How long to try again while other sessions change tables. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
}

export interface CreateResult {
  readonly target: string;
  readonly store: string;
  readonly id: string;
  readonly manifest: Manifest;
  readonly durationMs: number;
}

/**
 * Backs up a database: pg_dump, encrypted where recipients are given, streamed into the store, and a manifest that says
 * what has to come back. The rows of the manifest are counted in the snapshot of the dump, so that writing goes on
 * meanwhile. When it fails, no part of the backup is left that counts as one.
 * Throws `bad-configuration`, `server-unsuitable`, `program-missing`, `program-failed`, `lock-timeout`, `store-failed`,
 * `not-permitted`, `interrupted` and what a connection can throw.
 */
export async function create(options: CreateOptions): Promise<CreateResult> {
  const target = requireServer(resolveTarget(options.target));
  const { pgBin, lockTimeoutMs = defaultLockTimeoutMs, onProgress, signal } = options;
  const startedAt = new Date();
  const recipients = await readRecipients(options);
  return withStore(options, (store) =>
    withSession(
      target,
      { signal, onProgress, isReadOnlyFine: true, isCatalogOnly: true },
      async (session) => {
        requireServerVersion(session);
        await requireTimescaleInPublic(session);
        const { environment } = await readLedger(session);
        const major = Math.floor(session.server.version / 10_000);
        const pgDump = await findProgram('pg_dump', { major, binFolder: pgBin, signal });
        const id = backupId(startedAt, randomName());
        const folder = `${folderOf(session.server.database)}/${id}/`;
        const object = recipients.length === 0 ? 'dump' : 'dump.age';
        const part = await dumpPatiently(session, {
          store,
          key: `${folder}${object}`,
          target,
          pgDump,
          recipients,
          lockTimeoutMs,
          onProgress,
        });
        const { snapshot, plain, stored, ...contents } = part;
        const manifest = await seal({
          format: 1,
          id,
          database: session.server.database,
          environment: environment ?? null,
          startedAt: startedAt.toISOString(),
          finishedAt: new Date().toISOString(),
          snapshot,
          dump: { object, plain, stored, recipients: [...recipients] },
          ...contents,
          sealed: null,
        });
        try {
          session.throwIfInterrupted();
          const text = contentOf(writeManifest(manifest));
          await store.put(`${folder}${manifestName}`, text, { signal });
          await requireDump(store, { folder, object });
        } catch (error) {
          await store.remove(`${folder}${manifestName}`).catch(() => {});
          await store.remove(`${folder}${object}`).catch(() => {});
          throw error;
        }
        return {
          target: describeTarget(target),
          store: store.name,
          id,
          manifest,
          durationMs: Date.now() - startedAt.getTime(),
        };
      },
    ),
  );
}

/** Another process may have taken the dump for one that was left behind, before there was a manifest. */
async function requireDump(
  store: Store,
  { folder, object }: { readonly folder: string; readonly object: string },
): Promise<void> {
  const objects = await store.list(folder);
  if (objects.some(({ key }) => key === folder + object)) return;
  throw new CryptosenseDbError(
    'store-failed',
    {
      message: `${folder}${object} was removed from ${store.name} before its manifest was written`,
      hint: 'make the backup again, and see what deletes objects of the store: a lifecycle rule, or backup prune with a wrong clock',
    },
    { details: { store: store.name } },
  );
}

export function requireServer(target: Target): ServerTarget {
  if (target.kind === 'server') return target;
  throw new CryptosenseDbError('bad-configuration', {
    message: 'the embedded engine has no pg_dump, so its databases cannot be backed up',
    hint: 'copy the folder while no process has it open',
  });
}

/** A restore creates the extension in public. Throws `server-unsuitable`. */
async function requireTimescaleInPublic({ sql, server: { database } }: Session): Promise<void> {
  const [row] = await sql<{ schema: string }[]>`
    select nspname as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'timescaledb'`;
  if (!row || row.schema === 'public') return;
  throw new CryptosenseDbError('server-unsuitable', {
    message: `TimescaleDB is in the schema ${JSON.stringify(row.schema)} of "${database}", and only one in public is backed up`,
    hint: 'back the server up with physical backups: cryptosense-db backup wal config',
  });
}

type Contents = Surroundings & Pick<Manifest, 'tables'>;

interface DumpRequest {
  readonly store: Store;
  readonly key: string;
  readonly target: ServerTarget;
  readonly pgDump: Program;
  readonly recipients: readonly string[];
  readonly lockTimeoutMs: number;
  readonly onProgress: OnProgress | undefined;
}

/** How long pg_dump waits for a lock that another session waits for, before an attempt is given up. */
const lockWaitMs = 2_000;

/**
 * Tries again when a table is locked, also when pg_dump stands behind a session that waits for the locks of the snapshot,
 * such as a job that compresses a chunk: that session waits for this one, this one for pg_dump, and no server sees the
 * circle.
 */
async function dumpPatiently(session: Session, request: DumpRequest) {
  const startedAt = performance.now();
  try {
    return await retry(() => dumpInSnapshot(session, request), {
      signal: session.signal,
      waitMs: ({ error, attempts, elapsedMs }) =>
        blockedStatement(error) !== undefined && elapsedMs < request.lockTimeoutMs
          ? backoffMs(attempts, { firstMs: 100, lastMs: 5_000 })
          : undefined,
    });
  } catch (error) {
    const statement = blockedStatement(error);
    if (statement === undefined) throw explainRights(error, session.server);
    const locked = await findLockedTable(session.sql, statement);
    throw stayedLocked(error, { locked, statement, waitedMs: performance.now() - startedAt });
  }
}

/** The statement that a lock has ended; undefined for any other error. */
function blockedStatement(error: unknown): string | undefined {
  if (isLockConflict(error)) return (isSqlError(error) && error.query) || '';
  if (!isError(error, 'program-failed')) return undefined;
  const text = error.problems.flatMap(({ evidence = [] }) => evidence).join('\n');
  const [, statement] = /Query was: (LOCK TABLE .*)/.exec(text) ?? [];
  // Its --lock-wait-timeout is a statement_timeout while it locks tables.
  const isTimeout = /canceling statement due to (?:statement|lock) timeout/.test(text);
  if (isTimeout && statement !== undefined) return statement;
  return /deadlock detected/.test(text) ? (statement ?? '') : undefined;
}

function stayedLocked(
  cause: unknown,
  {
    locked,
    statement,
    waitedMs,
  }: {
    readonly locked: LockedTable | undefined;
    readonly statement: string;
    readonly waitedMs: number;
  },
): CryptosenseDbError<'lock-timeout'> {
  const waited = `the backup waited ${(waitedMs / 1_000).toFixed(1)} s`;
  return new CryptosenseDbError(
    'lock-timeout',
    locked
      ? {
          message: `another session keeps ${locked.table} locked; ${waited}`,
          evidence: [describeHolder(locked.holder)],
          hint: `wait until it ends, wait longer with --lock-timeout, or end it with: select pg_terminate_backend(${locked.holder.pid})`,
        }
      : {
          message: `other sessions kept a table locked; ${waited}`,
          evidence: statement === '' ? [] : [statement],
          hint: 'run the command again, or wait longer with --lock-timeout',
        },
    { details: { holder: locked?.holder, waitedMs }, cause },
  );
}

/** Streams the dump into the store, and reads meanwhile what the manifest says of it. */
async function dumpInSnapshot(
  session: Session,
  request: DumpRequest,
): Promise<
  Contents & { readonly snapshot: string; readonly plain: Measured; readonly stored: Measured }
> {
  const { store, key, pgDump, onProgress } = request;
  const { sql } = session;
  return withSnapshot(session, async (snapshot) => {
    const failed = new AbortController();
    const signal = session.signal
      ? AbortSignal.any([session.signal, failed.signal])
      : failed.signal;
    let onStarted = () => {};
    const started = new Promise<void>((resolve) => {
      onStarted = resolve;
    });
    const dumping = storeDump(request, { snapshot, signal, onStarted });
    // It is awaited below; until then a failure is not unhandled.
    dumping.catch(() => {});
    try {
      // pg_dump writes its first byte once it has its locks: one that has to wait for them ends without a count.
      await Promise.race([started, dumping]);
      await sql.unsafe(hashSettings);
      const surroundings = await readSurroundings(sql, {
        pgDump: pgDump.version,
        tool: toolVersion(),
      });
      const tables = await readTables(sql, {
        onTable: (done, total) => onProgress?.({ kind: 'backup-counted', done, total }),
      });
      return { ...surroundings, tables: [...tables], snapshot, ...(await dumping) };
    } catch (error) {
      failed.abort();
      await dumping.catch(() => {});
      await store.remove(key).catch(() => {});
      throw error;
    }
  });
}

async function storeDump(
  { store, key, target, pgDump, recipients, onProgress }: DumpRequest,
  {
    snapshot,
    signal,
    onStarted,
  }: {
    readonly snapshot: string;
    readonly signal: AbortSignal;
    /** Called with the first bytes, and again. */
    readonly onStarted: () => void;
  },
): Promise<{ readonly plain: Measured; readonly stored: Measured }> {
  const applicationName = `${target.applicationName} pg_dump`;
  const environment = await libpqEnvironment({ ...target, applicationName }, { signal });
  const args = [
    '--format=custom',
    `--snapshot=${snapshot}`,
    `--lock-wait-timeout=${lockWaitMs}`,
    '--no-password',
    databaseArgument(target.database),
  ];
  const running = start(pgDump, args, { environment, signal });
  running.stdin.end();
  const startedAt = performance.now();
  const isEncrypted = recipients.length > 0;
  const plain = createMeter(onStarted);
  const stored = createMeter((bytes) => {
    onStarted();
    onProgress?.({ kind: 'backup-bytes', bytes, elapsedMs: performance.now() - startedAt });
  });
  try {
    // The end of the stream is held back until pg_dump has succeeded: else an upload of half a dump would look whole.
    const whole = endingWith(running.stdout, () => requireSuccess(pgDump, running));
    const content = isEncrypted ? encrypt(plain.through(whole), recipients) : whole;
    await store.put(key, stored.through(content), { signal });
  } finally {
    running.kill();
    await running.ended.catch(() => {});
  }
  const written = stored.measured();
  return { plain: isEncrypted ? plain.measured() : written, stored: written };
}

async function* endingWith(
  pieces: AsyncIterable<Uint8Array>,
  end: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  yield* pieces;
  await end();
}

const letters = '0123456789abcdefghijklmnopqrstuvwxyz';

/** Six letters or digits. */
function randomName(): string {
  return Array.from({ length: 6 }, () => letters[randomInt(letters.length)]).join('');
}
