// @ts-check
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@redis/client';
import { createCache, keyspace, keyspaceVersion } from '../../dist/cache.js';
import { median } from './measure.js';

export const hasRedis = spawnSync('redis-server', ['--version']).status === 0;

const symbols = ['BTC', 'ETH', 'XRP', 'SOL', 'ADA', 'DOT', 'LTC', 'BNB', 'TRX', 'UNI'];
const prefix = 'bench';
/** One after the other, so that each waits for its answer; few, so that both meet the same load of the machine. */
const readsInRound = 100;
const roundsInRun = 10;

/**
 * The times of one `prices.get` of ten symbols, and of one bare MGET of the same keys by the same package: the medians
 * of the rounds, in milliseconds.
 * @param {number} runs
 * @returns {Promise<{ ours: number, theirs: number }>}
 */
export async function compareReads(runs) {
  const port = await freePort();
  const server = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', ''],
    {
      stdio: 'ignore',
    },
  );
  const url = `redis://127.0.0.1:${port}`;
  const cache = createCache({ target: url, prefix, retryAfterMs: 20 });
  const client = createClient({ url });
  client.on('error', () => {});
  try {
    while (
      !(await cache.ping().then(
        () => true,
        () => false,
      ))
    )
      await sleep(20);
    await client.connect();
    const keys = symbols.map(
      (symbol) =>
        `${prefix}:v${keyspaceVersion}:${keyspace.price.pattern.replace('<symbol>', symbol)}`,
    );
    const store = () => {
      const time = new Date();
      const known = {
        marketCapUsd: '843000000000.00',
        volume24hUsd: '21000000000.00',
        dataSource: 'coingecko',
      };
      return cache.prices.set(
        symbols.map((symbol) => ({ ...known, symbol, priceUsd: '43012.50000000', time })),
      );
    };
    const ours = async () => {
      if ((await cache.prices.get(symbols)).size !== symbols.length)
        throw new Error('a price is missing');
    };
    const theirs = async () => {
      if ((await client.mGet(keys)).includes(null)) throw new Error('a price is missing');
    };
    const times = /** @type {[number[], number[]]} */ ([[], []]);
    for (let round = 0; round < (runs + 1) * roundsInRun; round += 1) {
      await store();
      for (const [index, read] of [ours, theirs].entries()) {
        const startedAt = performance.now();
        for (let count = 0; count < readsInRound; count += 1) await read();
        if (round >= roundsInRun)
          times[index]?.push((performance.now() - startedAt) / readsInRound);
      }
    }
    return { ours: median(times[0]), theirs: median(times[1]) };
  } finally {
    await cache.close();
    client.destroy();
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
}

/** @returns {Promise<number>} */
async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  return typeof address === 'object' && address ? address.port : 0;
}
