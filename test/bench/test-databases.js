// @ts-check
// Run by run.js in a process of its own, with --expose-gc: times `cryptosense-db/testing` against what
// the server does by itself, and prints the figures as JSON.
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { database, migrate } from '../../dist/index.js';
import { createTestDatabase, openTestServer, testDatabases } from '../../dist/testing.js';
import { median } from './measure.js';

/**
 * Medians in milliseconds, but for what says otherwise.
 * @typedef {object} Times
 * @property {number} created createTestDatabase()
 * @property {number} cloned CREATE DATABASE … TEMPLATE of the same
 * @property {number} migrated CREATE DATABASE and all migrations
 * @property {number} ready createTestDatabase() from the pool
 * @property {number} bare CREATE DATABASE
 * @property {number} drift how much slower the last tenth of a series was than its first, against the server's own
 * @property {number} count of the series
 * @property {number} grownKb of the heap, from the first tenth to the last
 * @property {number} connections left at the end
 */

const [url = '', runsText = '', countText = ''] = process.argv.slice(2);
const [runs, count] = [Number(runsText), Number(countText)];
const folders = process.env.BENCH_FOLDERS ? JSON.parse(process.env.BENCH_FOLDERS) : {};
const options = { ...folders, server: url };

const admin = postgres(url, { max: 1, onnotice: () => {} });
const server = await openTestServer({ server: url });

let serial = 0;
const nextName = () => {
  serial += 1;
  return `cryptosense_bench_t${process.pid}_${serial}`;
};

/** Those that are left after two seconds: a backend takes its moment to see that its client has gone. */
async function countConnections() {
  for (let round = 0; ; round += 1) {
    const [{ count: left } = { count: 0 }] = await admin`
      select count(*)::int from pg_stat_activity
      where application_name = 'cryptosense-db' and pid <> pg_backend_pid()`;
    if (left === 0 || round === 20) return left;
    await sleep(100);
  }
}

/** @template T @param {() => Promise<T>} work @returns {Promise<[number, T]>} */
async function timed(work) {
  const startedAt = performance.now();
  const result = await work();
  return [performance.now() - startedAt, result];
}

async function createOurs() {
  const [ms, testDatabase] = await timed(() => createTestDatabase(options));
  return { ms, drop: testDatabase.drop };
}

/** @param {string} [template] */
async function createTheirs(template) {
  const name = nextName();
  const from = template === undefined ? '' : ` template ${template}`;
  const [ms] = await timed(() => admin.unsafe(`create database ${name}${from}`));
  return { ms, drop: () => admin.unsafe(`drop database ${name} with (force)`) };
}

async function migrateOurs() {
  const name = nextName();
  const target = new URL(url);
  target.pathname = `/${name}`;
  const [ms] = await timed(async () => {
    await database.create({ target: target.href });
    await migrate.up({ ...folders, target: target.href });
  });
  return { ms, drop: () => admin.unsafe(`drop database ${name} with (force)`) };
}

/**
 * In turn, once to warm up, and every other round the other way round: the first database after some were dropped
 * pays for the places that they left. What was made is dropped after each round, untimed.
 * @param {readonly (() => Promise<{ ms: number, drop: () => Promise<unknown> }>)[]} contestants
 * @param {number} rounds
 */
async function inTurn(contestants, rounds) {
  const times = contestants.map(() => /** @type {number[]} */ ([]));
  for (let round = 0; round <= rounds; round += 1) {
    const made = [];
    const order = [...contestants.entries()];
    for (const [index, contestant] of round % 2 === 0 ? order : order.reverse()) {
      const { ms, drop } = await contestant();
      if (round > 0) times[index]?.push(ms);
      made.push(drop);
    }
    for (const drop of made) await drop();
  }
  return times;
}

const first = await createTestDatabase(options);
await first.drop();
const listed = await testDatabases.list(server);
const { name: template = '', key = '' } =
  listed.databases.findLast(({ kind }) => kind === 'template') ?? {};

const [created = [], cloned = [], migrated = []] = await inTurn(
  [createOurs, () => createTheirs(template), migrateOurs],
  runs,
);

await testDatabases.fill(server, { ...folders, count: runs + 1 });
const [ready = [], bare = []] = await inTurn([createOurs, () => createTheirs()], runs);

const tenth = Math.floor(count / 10);
const heaps = [];
const [ours = [], theirs = []] = await inTurn(
  [
    async () => {
      if (serial % tenth === 0) {
        globalThis.gc?.();
        heaps.push(process.memoryUsage().heapUsed);
      }
      return createOurs();
    },
    () => createTheirs(template),
  ],
  count,
);
globalThis.gc?.();
heaps.push(process.memoryUsage().heapUsed);
const ratioOf = (/** @type {number} */ from, /** @type {number} */ to) =>
  median(ours.slice(from, to)) / median(theirs.slice(from, to));

const left = (await testDatabases.list(server)).databases.filter((each) => each.key === key);
await testDatabases.drop(
  server,
  left.map(({ name }) => name),
);
await server.close();
const connections = await countConnections();
await admin.end();

/** @type {Times} */
const result = {
  created: median(created),
  cloned: median(cloned),
  migrated: median(migrated),
  ready: median(ready),
  bare: median(bare),
  drift: ratioOf(count - tenth, count) / ratioOf(0, tenth),
  count,
  grownKb: ((heaps.at(-1) ?? 0) - (heaps[1] ?? 0)) / 1e3,
  connections,
};
process.stdout.write(JSON.stringify(result));
