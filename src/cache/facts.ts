import { isError } from '../runtime/errors.ts';
import type { CacheConnection, NodeSend } from './connection.ts';
import { type Part, parts } from './keyspace.ts';
import { keyNamesOf, scanKeys } from './scan.ts';
import { isLoopback } from './target.ts';

/** What one server of the cache says of itself. */
export interface CacheServer {
  /** `port 6379` */
  readonly name: string;
  readonly version: string;
  readonly isReplica: boolean;
  readonly policy: string;
  /** In bytes; 0: no limit. */
  readonly maxMemory: number;
  readonly usedMemory: number;
  readonly evictedKeys: number;
  readonly hits: number;
  readonly misses: number;
  readonly hasAppendOnlyFile: boolean;
  /** Whether it writes snapshots by itself; undefined: it does not say. */
  readonly hasSnapshots: boolean | undefined;
  /** The last write of a snapshot or of the append-only file failed. */
  readonly isPersistenceBroken: boolean;
}

export interface CacheFacts {
  /** The URL, without its password. */
  readonly cache: string;
  readonly servers: readonly CacheServer[];
  /** The parts that have keys, or those that the caller names. */
  readonly stored: readonly Part[];
  readonly isTls: boolean;
  readonly isLoopback: boolean;
  /** As whom the connection is logged in; undefined: the server does not say. */
  readonly user: string | undefined;
  readonly hasPassword: boolean;
}

export interface FactsOptions {
  readonly prefix: string;
  /** What is, or will be, stored. Default: what has keys. */
  readonly parts?: readonly Part[] | undefined;
}

/** Changes nothing. Throws `cache-unavailable`, `package-missing`. */
export async function readCacheFacts(
  { target, name, onServers }: CacheConnection,
  { prefix, parts: named }: FactsOptions,
): Promise<CacheFacts> {
  const servers = await onServers(readServer);
  const found = named ? [] : await onServers((send) => findParts(send, prefix));
  const users = await onServers((send) => orUndefined(send('ACL', 'WHOAMI')));
  const user = users.find((each) => typeof each === 'string');
  return {
    cache: name,
    servers,
    stored: named ?? parts.filter((part) => found.flat().includes(part)),
    isTls: target.isTls,
    isLoopback: isLoopback(target),
    user: typeof user === 'string' ? user : undefined,
    hasPassword: target.password !== undefined,
  };
}

export async function readServer(send: NodeSend): Promise<CacheServer> {
  const info = parseInfo(String(await send('INFO')));
  const text = (field: string) => info.get(field) ?? '';
  const count = (field: string) => Number(info.get(field) ?? 0);
  const save = await orUndefined(send('CONFIG', 'GET', 'save'));
  return {
    name: `port ${text('tcp_port')}`,
    version: text('redis_version'),
    isReplica: text('role') === 'slave',
    policy: text('maxmemory_policy'),
    maxMemory: count('maxmemory'),
    usedMemory: count('used_memory'),
    evictedKeys: count('evicted_keys'),
    hits: count('keyspace_hits'),
    misses: count('keyspace_misses'),
    hasAppendOnlyFile: text('aof_enabled') === '1',
    hasSnapshots: readSave(save),
    isPersistenceBroken:
      text('rdb_last_bgsave_status') === 'err' || text('aof_last_write_status') === 'err',
  };
}

/** The lines `field:value` of INFO. */
function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = text.matchAll(/^([\w-]+):(.*?)\r?$/gm);
  return new Map([...fields].map(([, field = '', value = '']) => [field, value]));
}

/** RESP 3 answers with a map, which the client gives as an object. */
function readSave(reply: unknown): boolean | undefined {
  if (typeof reply !== 'object' || reply === null) return undefined;
  const value: unknown = Array.isArray(reply) ? reply[1] : Object.values(reply)[0];
  return typeof value === 'string' ? value !== '' : undefined;
}

async function findParts(send: NodeSend, prefix: string): Promise<readonly Part[]> {
  const found: Part[] = [];
  for (const part of parts) {
    for (const name of keyNamesOf(part)) {
      if (found.includes(part)) break;
      for await (const _ of scanKeys(send, name, prefix)) {
        found.push(part);
        break;
      }
    }
  }
  return found;
}

/** What a user without the right for it, or a managed service, is refused. */
async function orUndefined<T>(reply: Promise<T>): Promise<T | undefined> {
  return reply.catch((error: unknown) => {
    const isRefused =
      isError(error, 'cache-unavailable') &&
      ['refused', 'not-permitted'].includes(error.details.reason);
    if (isRefused) return undefined;
    throw error;
  });
}
