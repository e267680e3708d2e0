import { createHash, randomBytes } from 'node:crypto';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { CacheConnection } from './connection.ts';
import { decode, keyOf, keyspace, type ValueOf } from './keyspace.ts';
import { indexSession, markSessions } from './scripts.ts';

export interface Session<Data> {
  /** The id in `users`. */
  readonly userId: string;
  readonly data: Data;
  readonly createdAt: Date;
}

/**
 * Sessions that end seven days after the last `touch`. Redis holds a hash of each id, so that who reads Redis cannot
 * log in. Every function throws `cache-unavailable` when Redis does not answer: there is no copy of a session elsewhere.
 */
export interface Sessions<Data> {
  /**
   * Makes a session, and returns its id for the cookie: 256 random bits in base64url. Throws `session-revoked` when
   * `destroyAllOf` runs for the user meanwhile, and `bad-configuration` for a user id that is no UUID.
   */
  readonly create: (userId: string, data: Data) => Promise<string>;
  /** The session; undefined when there is none of that id, or no longer. Does not extend its life. */
  readonly get: (id: string) => Promise<Session<Data> | undefined>;
  /** Extends the life of the session to seven days from now. Returns false when there is none. */
  readonly touch: (id: string) => Promise<boolean>;
  /** Logs out. Returns false when there was no such session. */
  readonly destroy: (id: string) => Promise<boolean>;
  /** Logs the user out everywhere. Returns how many sessions there were. */
  readonly destroyAllOf: (userId: string) => Promise<number>;
}

const lifetimeMs = keyspace.session.lifetimeMs;

export function sessionsOf<Data>(
  { send }: Pick<CacheConnection, 'send'>,
  prefix: string,
): Sessions<Data> {
  const sessionKey = (hash: string) => keyOf('session', prefix, hash);
  const indexKey = (userId: string) => keyOf('userSessions', prefix, requireUser(userId));
  const read = async (hash: string): Promise<ValueOf<'session'> | undefined> => {
    const key = sessionKey(hash);
    const text = await send(['GET', key], { key, access: 'read' });
    return typeof text === 'string' ? decode('session', text) : undefined;
  };
  const remove = async (hash: string) => {
    const key = sessionKey(hash);
    return (await send(['DEL', key], { key, access: 'write' })) === 1;
  };
  const forget = (index: string, hashes: readonly string[]) =>
    send(['ZREM', index, ...hashes], { key: index, access: 'write' });
  /** Records the session with its user; `only`: where it is recorded already. */
  const record = (index: string, hash: string, only: 'NX' | 'XX') =>
    send(['EVAL', indexSession, '1', index, hash, String(lifetimeMs), only], {
      key: index,
      access: 'write',
    });

  return {
    create: async (userId, data) => {
      const index = indexKey(userId);
      const id = randomBytes(32).toString('base64url');
      const hash = hashOf(id);
      const value: ValueOf<'session'> = { user_id: userId, data, created_at: Date.now() };
      const text = JSON.stringify(value);
      if (decode('session', text) === undefined) throw notStorable('data is not a value of JSON');
      // Recorded first: a session that stands in no index would outlive destroyAllOf.
      await record(index, hash, 'NX');
      const key = sessionKey(hash);
      await send(['SET', key, text, 'PX', String(lifetimeMs)], { key, access: 'write' });
      const end = await send(['ZSCORE', index, hash], { key: index, access: 'write' });
      if (Number(end) > 0) return id;
      await remove(hash);
      throw new CryptosenseDbError('session-revoked', {
        message: `all sessions of the user ${userId} were destroyed while this one was made`,
        hint: 'let the user log in again',
      });
    },
    get: async (id) => {
      if (!isId(id)) return undefined;
      const found = await read(hashOf(id));
      if (found === undefined) return undefined;
      const { user_id, data, created_at } = found;
      return { userId: user_id, data: data as Data, createdAt: new Date(created_at) };
    },
    touch: async (id) => {
      if (!isId(id)) return false;
      const hash = hashOf(id);
      const found = await read(hash);
      if (found === undefined) return false;
      await record(indexKey(found.user_id), hash, 'XX');
      const key = sessionKey(hash);
      const args = ['PEXPIRE', key, String(lifetimeMs)] as const;
      return (await send(args, { key, access: 'write' })) === 1;
    },
    destroy: async (id) => {
      if (!isId(id)) return false;
      const hash = hashOf(id);
      const found = await read(hash);
      const isRemoved = await remove(hash);
      if (found !== undefined) await forget(indexKey(found.user_id), [hash]);
      return isRemoved;
    },
    destroyAllOf: async (userId) => {
      const index = indexKey(userId);
      // A session that is being made finds its mark, and is not handed out.
      const marked = await send(['EVAL', markSessions, '1', index, String(lifetimeMs)], {
        key: index,
        access: 'write',
      });
      const hashes = Array.isArray(marked) ? marked.map(String) : [];
      if (hashes.length === 0) return 0;
      const removed = await Promise.all(hashes.map(remove));
      await forget(index, hashes);
      return removed.filter(Boolean).length;
    },
  };
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url');
}

/** Anything else, such as a cookie that a person has changed, is no session, and Redis is not asked. */
function isId(id: unknown): id is string {
  return typeof id === 'string' && /^[\w-]{43}$/.test(id);
}

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

function requireUser(userId: string): string {
  if (typeof userId === 'string' && uuid.test(userId)) return userId;
  throw notStorable(`${JSON.stringify(userId)} is no id of a user: a UUID in small letters`);
}

function notStorable(message: string): CryptosenseDbError<'bad-configuration'> {
  return new CryptosenseDbError('bad-configuration', { message });
}
