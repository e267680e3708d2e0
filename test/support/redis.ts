import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { onTestFinished } from 'vitest';
import { type Cache, type CacheOptions, createCache } from '../../src/cache.ts';
import { freePort } from './embedded-postgres.ts';
import { until } from './recovery.ts';

const [, major] = /v=(\d+)\./.exec(String(spawnSync('redis-server', ['--version']).stdout)) ?? [];
export const hasRedis = Number(major) >= 7;
/** For the name of a test that needs the program. */
export const withoutRedis = hasRedis ? '' : ' (skipped: no redis-server 7 here)';

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** Sends one command, on a connection of its own. */
  readonly ask: (...args: readonly string[]) => Promise<unknown>;
  /** As the kernel ends it: without a word to its clients. */
  readonly kill: () => Promise<void>;
  /** Starts it again on the same port, with an empty memory. */
  readonly start: () => Promise<void>;
  /** It takes connections, and answers nothing. */
  readonly freeze: () => void;
  readonly thaw: () => void;
}

/** A Redis server on a free port of its own, in memory. `args` are those of redis-server. */
export async function startRedis(...args: readonly string[]): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-redis-'));
  const port = await freePort();
  // Sentinel takes its settings from a file, which it writes.
  const isSentinel = args.includes('--sentinel');
  const plain = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const password = args[args.indexOf('--requirepass') + 1];
  const isTls = args.includes('--tls-port');
  const url = `redis://${args.includes('--requirepass') ? `:${password}@` : ''}127.0.0.1:${port}`;
  let child: ChildProcess;
  const start = async () => {
    child = spawn('redis-server', [...(isSentinel ? [] : plain), ...args], { stdio: 'ignore' });
    if (!isTls && !isSentinel) await until('Redis answers', () => ask('PING').catch(() => false));
  };
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  const ask = async (...words: readonly string[]) => {
    const client = createClient({ url, socket: { reconnectStrategy: false } });
    client.on('error', () => {});
    try {
      await client.connect();
      return await client.sendCommand([...words]);
    } finally {
      client.destroy();
    }
  };
  const end = async () => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  };
  await start();
  stops.push(end);
  return {
    ...{ port, url, ask, kill, start },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
  };
}

const stops: (() => Promise<void>)[] = [];

/** Ends every server that the file has started. */
export async function stopRedis(): Promise<void> {
  for (const stop of stops.splice(0)) await stop();
}

/** A cache that is closed when the test ends. */
export function openTestCache<Data = unknown>(options: CacheOptions): Cache<Data> {
  const cache = createCache<Data>(options);
  onTestFinished(cache.close);
  return cache;
}
