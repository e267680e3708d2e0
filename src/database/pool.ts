import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Client } from './client.ts';

export interface PoolSettings {
  /** At most so many connections at once. */
  readonly maxConnections: number;
  /** A connection that nobody used for so long is closed. */
  readonly idleTimeoutMs: number;
  /** How long a caller waits for a connection, a free or a new one. */
  readonly connectTimeoutMs: number;
}

/** A connection for one caller at a time. */
export interface Lease {
  readonly client: Client;
  /** Gives it back; a second call does nothing. */
  readonly release: () => void;
}

export interface Pool {
  /** Throws `pool-exhausted`, `pool-closed`, and what `open` throws. */
  readonly lease: () => Promise<Lease>;
  /** Lets nobody in any more, and closes each connection as it is given back. */
  readonly end: () => Promise<void>;
}

interface Waiting {
  readonly resolve: (lease: Lease | Promise<Lease>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Connections that are opened on demand and lent to one caller at a time. A connection that was lost
 * while it was lent or idle is replaced by a new one.
 *
 * postgres.js has a pool of its own, from which it lends by `reserve()`; a query on a lent
 * connection that was lost ends the process there (its issues 1066 and 1208).
 */
export function openPool(open: () => Promise<Client>, settings: PoolSettings): Pool {
  const { maxConnections, idleTimeoutMs, connectTimeoutMs } = settings;
  const idle: { readonly client: Client; readonly timer: NodeJS.Timeout }[] = [];
  const waiting: Waiting[] = [];
  let size = 0;
  let ended: { readonly resolve: () => void; readonly promise: Promise<void> } | undefined;

  const forget = () => {
    size -= 1;
    const next = waiting.shift();
    if (next) next.resolve(lendNew());
    else if (size === 0) ended?.resolve();
  };

  const close = (client: Client) => {
    void client.sql.end({ timeout: client.isClosed() ? 0 : 2 }).finally(forget);
  };

  const lend = (client: Client): Lease => {
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      if (ended || client.isClosed()) return close(client);
      const next = waiting.shift();
      if (next) return next.resolve(lend(client));
      const entry = { client, timer: setTimeout(() => retire(entry), idleTimeoutMs) };
      idle.push(entry);
    };
    return { client, release };
  };

  const retire = (entry: (typeof idle)[number]) => {
    idle.splice(idle.indexOf(entry), 1);
    close(entry.client);
  };

  const lendNew = async (): Promise<Lease> => {
    size += 1;
    try {
      return lend(await open());
    } catch (error) {
      forget();
      throw error;
    }
  };

  const wait = (): Promise<Lease> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(entry), 1);
        reject(exhausted(settings));
      }, connectTimeoutMs);
      const entry: Waiting = {
        resolve: (lease) => {
          clearTimeout(timer);
          resolve(lease);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      waiting.push(entry);
    });

  return {
    lease: async () => {
      if (ended) throw closed();
      for (let entry = idle.pop(); entry; entry = idle.pop()) {
        clearTimeout(entry.timer);
        if (!entry.client.isClosed()) return lend(entry.client);
        close(entry.client);
      }
      return size < maxConnections ? lendNew() : wait();
    },
    end: async () => {
      if (!ended) {
        const { promise, resolve } = withResolvers();
        ended = { promise, resolve };
        for (const { reject } of waiting.splice(0)) reject(closed());
        for (const { client, timer } of idle.splice(0)) {
          clearTimeout(timer);
          close(client);
        }
        if (size === 0) resolve();
      }
      await ended.promise;
    },
  };
}

function withResolvers() {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function exhausted({ maxConnections, connectTimeoutMs }: PoolSettings) {
  return new CryptosenseDbError(
    'pool-exhausted',
    {
      message: `none of ${maxConnections} connections was free within ${connectTimeoutMs} ms`,
      hint: 'end transactions sooner, or raise maxConnections as far as the server allows',
    },
    { details: { connections: maxConnections, waitedMs: connectTimeoutMs } },
  );
}

function closed() {
  return new CryptosenseDbError('pool-closed', {
    message: 'the pool is closed',
    hint: 'destroy() comes last',
  });
}
