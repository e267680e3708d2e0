import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Client } from './client.ts';

export interface PoolSettings {
  /** The most connections at once. */
  readonly maxConnections: number;
  /** An idle connection is closed after this time. */
  readonly idleTimeoutMs: number;
  /** How long a caller waits for a free or a new connection. */
  readonly connectTimeoutMs: number;
  /** A connection that is older is closed when it is released. Default: none is. */
  readonly maxAgeMs?: number;
}

/** A connection for one caller at a time. */
export interface Lease {
  readonly client: Client;
  /** Returns the connection to the pool. A second call does nothing. */
  readonly release: () => void;
}

export interface Pool {
  /** Throws `pool-exhausted`, `pool-closed`, and what `open` throws. */
  readonly lease: () => Promise<Lease>;
  /** Refuses new leases, and closes each connection when it is released. */
  readonly end: () => Promise<void>;
}

/**
 * A pool of connections, opened on demand, each leased to one caller at a time. A lost connection is
 * replaced by a new one.
 *
 * The pool of postgres.js does not serve here: a query on a connection that was reserved and then
 * lost ends the process (its issues 1066 and 1208).
 */
export function openPool(open: () => Promise<Client>, settings: PoolSettings): Pool {
  const { maxConnections, idleTimeoutMs, connectTimeoutMs } = settings;
  const { maxAgeMs = Number.POSITIVE_INFINITY } = settings;
  const idle: { readonly client: Client; readonly timer: NodeJS.Timeout }[] = [];
  const waiting: ((lease: Lease | Promise<Lease>) => void)[] = [];
  let size = 0;
  let ended: Promise<void> | undefined;
  let onEmpty = () => {};

  const forget = () => {
    size -= 1;
    const next = waiting.shift();
    if (next) next(lendNew());
    else if (size === 0) onEmpty();
  };

  const close = (client: Client) => {
    void client.sql.end({ timeout: client.isClosed() ? 0 : 2 }).finally(forget);
  };

  const openedAt = new WeakMap<Client, number>();
  const isOld = (client: Client) => performance.now() - (openedAt.get(client) ?? 0) > maxAgeMs;

  const lend = (client: Client): Lease => {
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      if (ended || client.isClosed() || isOld(client)) return close(client);
      const next = waiting.shift();
      if (next) return next(lend(client));
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
      const client = await open();
      openedAt.set(client, performance.now());
      return lend(client);
    } catch (error) {
      forget();
      throw error;
    }
  };

  const wait = (): Promise<Lease> =>
    new Promise((resolve) => {
      const give: (typeof waiting)[number] = (lease) => {
        clearTimeout(timer);
        resolve(lease);
      };
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(give), 1);
        give(Promise.reject(exhausted(settings)));
      }, connectTimeoutMs);
      waiting.push(give);
    });

  return {
    lease: async () => {
      if (ended) throw closed();
      for (let entry = idle.pop(); entry; entry = idle.pop()) {
        clearTimeout(entry.timer);
        if (!entry.client.isClosed() && !isOld(entry.client)) return lend(entry.client);
        close(entry.client);
      }
      return size < maxConnections ? lendNew() : wait();
    },
    end: () => {
      ended ??= new Promise((resolve) => {
        onEmpty = resolve;
        for (const give of waiting.splice(0)) give(Promise.reject(closed()));
        for (const { client, timer } of idle.splice(0)) {
          clearTimeout(timer);
          close(client);
        }
        if (size === 0) resolve();
      });
      return ended;
    },
  };
}

function exhausted({ maxConnections, connectTimeoutMs }: PoolSettings) {
  return new CryptosenseDbError(
    'pool-exhausted',
    {
      message: `all ${maxConnections} connections were in use for ${connectTimeoutMs} ms`,
      hint: 'end transactions sooner, or raise maxConnections within the limit of the server',
    },
    { details: { connections: maxConnections, waitedMs: connectTimeoutMs } },
  );
}

function closed() {
  return new CryptosenseDbError('pool-closed', {
    message: 'the pool is closed',
    hint: 'run no query after destroy()',
  });
}
