import type { Session } from '../database/connection.ts';
import { defaultPrefix } from './cache.ts';
import { openCache } from './connection.ts';
import { sessionsOf } from './sessions.ts';
import { parseCacheUrl } from './target.ts';
import { warmFrom } from './warm.ts';

export interface FilledSession {
  readonly email: string;
  readonly userId: string;
  /** For the cookie of a developer's browser. */
  readonly id: string;
}

export interface FilledCache {
  /** The URL, without its password. */
  readonly cache: string;
  readonly prices: number;
  /** One for each user, in the order of their emails. */
  readonly sessions: readonly FilledSession[];
}

export interface CacheFiller {
  /** Stores the prices, and a new session for each user in place of all that the user had. */
  readonly fill: (session: Pick<Session, 'sql'>) => Promise<FilledCache>;
  readonly close: () => Promise<void>;
}

/** How many users are written at once. */
const atOnce = 100;

/** Connects first, so that a cache that is not there is found before a database is seeded. Throws `cache-unavailable`. */
export async function openFiller(url: string): Promise<CacheFiller> {
  const connection = openCache(parseCacheUrl(url));
  try {
    await connection.onServers((send) => send('PING'));
  } catch (error) {
    await connection.close();
    throw error;
  }
  const { create, destroyAllOf } = sessionsOf(connection, defaultPrefix);
  return {
    close: connection.close,
    fill: async (session) => {
      const { stored } = await warmFrom(session, connection, { prefix: defaultPrefix });
      const users = await session.sql<{ id: string; email: string }[]>`
        select id::text, email from public.users order by email collate "C"`;
      const sessions: FilledSession[] = [];
      for (let from = 0; from < users.length; from += atOnce) {
        const made = users.slice(from, from + atOnce).map(async ({ id: userId, email }) => {
          await destroyAllOf(userId);
          return { email, userId, id: await create(userId, { email }) };
        });
        sessions.push(...(await Promise.all(made)));
      }
      return { cache: connection.name, prices: stored, sessions };
    },
  };
}
