import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import { expect, vi } from 'vitest';
import type { WalConfig } from '../../src/backup/wal/config.ts';
import { type CliResult, cleanEnvironment, program, type RunningCli, startCli } from './cli.ts';
import { connect } from './databases.ts';
import { freePort } from './embedded-postgres.ts';

const binaries = '/usr/lib/postgresql/15/bin';
const library = '/usr/lib/postgresql/15/lib/timescaledb.so';
const isRoot = process.getuid?.() === 0;

/** As root: the user that the package of PostgreSQL creates. The server refuses to run as root. */
const user = isRoot ? idsOf('postgres') : undefined;

export const hasTimescale = existsSync(library);

/** Why no server with pgBackRest can run here; undefined when one can. */
export function walObstacle(): string | undefined {
  if (!existsSync(join(binaries, 'initdb'))) return 'postgresql-15 of Debian is not installed';
  if (spawnSync('pgbackrest', ['version']).status !== 0) return 'pgbackrest is not installed';
  if (isRoot && !user) return 'there is no user postgres to run the server';
  const node = spawnSync(process.execPath, [program, '--version'], { ...user });
  return node.status === 0 ? undefined : 'the user postgres cannot run this package';
}

function idsOf(name: string): { readonly uid: number; readonly gid: number } | undefined {
  const read = (flag: string) => spawnSync('id', [flag, name], { encoding: 'utf8' });
  const [uid, gid] = [read('-u'), read('-g')];
  return uid.status === 0 ? { uid: Number(uid.stdout), gid: Number(gid.stdout) } : undefined;
}

/**
 * A server of Debian's PostgreSQL 15 for tests of its WAL. As on Debian, its configuration is outside its data directory.
 */
export interface WalServer {
  readonly folder: string;
  readonly dataDirectory: string;
  readonly url: string;
  readonly sql: Sql;
  /** Where pgBackRest has its locks and logs. */
  readonly environment: Readonly<Record<string, string>>;
  /** Starts the command line as the server's user. */
  readonly start: (args: readonly string[], env?: Readonly<Record<string, string>>) => RunningCli;
  /** The same, to its end. */
  readonly cli: (
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ) => Promise<CliResult>;
  /** Runs a command of a shell as the server's user. Throws when it fails. */
  readonly shell: (command: string) => void;
  readonly restart: () => void;
  readonly stop: () => Promise<void>;
}

export async function startWalServer(): Promise<WalServer> {
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-wal-'));
  const make = (name: string) => {
    const path = join(folder, name);
    mkdirSync(path);
    if (user) chownSync(path, user.uid, user.gid);
    return path;
  };
  if (user) chownSync(folder, user.uid, user.gid);
  const environment = {
    PGBACKREST_LOCK_PATH: make('locks'),
    PGBACKREST_LOG_PATH: make('logs'),
    HOME: make('home'),
  };
  const shell = (command: string) => {
    const env = { ...cleanEnvironment(), ...environment };
    // The server keeps the pipes of the shell that started it, which therefore go to a file.
    const log = join(folder, 'shell.log');
    const result = spawnSync('bash', ['-c', `{ ${command}\n} >>${log} 2>&1`], {
      ...user,
      env,
      cwd: folder,
    });
    if (result.status !== 0) throw new Error(`${command}: see ${log}`);
  };
  const dataDirectory = join(folder, 'data');
  const port = await freePort();
  const configuration = make('etc');
  const settings = [
    'fsync=off',
    `data_directory=${dataDirectory}`,
    `hba_file=${configuration}/pg_hba.conf`,
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    `unix_socket_directories=${folder}`,
    ...(hasTimescale
      ? ['shared_preload_libraries=timescaledb', 'timescaledb.telemetry_level=off']
      : []),
  ];
  const lines = settings.map((line) => line.replace(/=(.*)/, " = '$1'"));
  shell(`${binaries}/initdb -D ${dataDirectory} -U postgres -A trust -N --locale=C -E UTF8`);
  shell(`mv ${dataDirectory}/postgresql.conf ${dataDirectory}/pg_hba.conf ${configuration}`);
  shell(`cat >>${configuration}/postgresql.conf <<'END'\n${lines.join('\n')}\nEND`);
  const control = (command: string) => {
    const where = `-D ${dataDirectory} -l ${folder}/server.log`;
    const options = `-o '-c config_file=${configuration}/postgresql.conf'`;
    shell(`${binaries}/pg_ctl ${where} ${options} -w ${command}`);
  };
  control('start');
  const url = `postgresql://postgres:test@127.0.0.1:${port}/postgres`;
  const sql = connect(url);
  const start: WalServer['start'] = (args, env = {}) =>
    startCli(args, { env: { ...environment, ...env }, cwd: folder, user });
  return {
    folder,
    dataDirectory,
    url,
    sql,
    environment,
    start,
    cli: (args, env) => start(args, env).finished,
    shell,
    restart: () => control('-m fast restart'),
    stop: async () => {
      await sql.end({ timeout: 1 });
      control('-m immediate stop');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The archive of such a server, in a folder. */
export interface WalArchive {
  readonly config: string;
  readonly repository: string;
  /** What the command printed that wrote the configuration. */
  readonly texts: readonly string[];
  /** The paths of all segments, in order. */
  readonly segments: () => readonly string[];
  /** Has the server write the rest of its WAL to the archive. */
  readonly archiveAll: () => Promise<void>;
}

/** Configures pgBackRest with the command line, and has the server archive. */
export async function startArchiving(
  server: WalServer,
  { passphrase }: { readonly passphrase: string },
): Promise<WalArchive> {
  const config = join(server.folder, 'pgbackrest.conf');
  const repository = join(server.folder, 'repository');
  const places = [repository, '--url', server.url, '--out', config];
  const { stdout, stderr } = await server.cli(
    ['backup', 'wal', 'config', ...places, '--encrypt', '--json'],
    { PGBACKREST_REPO1_CIPHER_PASS: passphrase },
  );
  const written: WalConfig = JSON.parse(stdout);
  for (const statement of written.sql.trim().split('\n')) await server.sql.unsafe(statement);
  await server.sql`alter role postgres password 'test'`;
  server.restart();
  // The connections from before the restart are lost.
  await vi.waitFor(() => server.sql`select 1`);
  const segments = () =>
    readdirSync(join(repository, 'archive/main'), { recursive: true, encoding: 'utf8' })
      .filter((path) => /\/[0-9A-F]{24}-/.test(path))
      .sort();
  return {
    config,
    repository,
    texts: [stdout, stderr],
    segments,
    archiveAll: async () => {
      const [{ name }] = await server.sql<[{ name: string }]>`
        select pg_walfile_name(pg_switch_wal()) as name`;
      const look = () => expect(segments().some((path) => path.includes(name))).toBe(true);
      await vi.waitFor(look, { timeout: 20_000, interval: 50 });
    },
  };
}

/** pgBackRest counts whole seconds. */
export async function passSecond(since = Date.now()): Promise<void> {
  const look = () => expect(Date.now()).toBeGreaterThan(since + 1_000);
  await vi.waitFor(look, { timeout: 5_000, interval: 20 });
}
