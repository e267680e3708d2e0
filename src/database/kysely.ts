import { Kysely } from 'kysely';
import { PostgresJSDialect, type PostgresJSDialectConfig } from 'kysely-postgres-js';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { openPrimary } from './client.ts';
import type { Session } from './connection.ts';
import { openPool, type PoolSettings } from './pool.ts';
import type { ServerTarget, Target } from './target.ts';
import { runTyped, streamTyped, type TypedClient } from './typed-query.ts';
import type { DB } from './types.ts';

/** A Kysely over an open session. It works as long as the session is open. */
export function borrowedKysely<Tables>(client: Pick<Session, 'sql' | 'types'>): Kysely<Tables> {
  const lease = { client, release: () => {} };
  return kyselyOver({ lease: async () => lease, end: async () => {} });
}

export interface PoolOptions {
  /** How the server lists these connections. Default: the target's, or `cryptosense-db`. */
  readonly applicationName?: string | undefined;
  /** The most connections at once. Default 20. */
  readonly maxConnections?: number | undefined;
  /** An idle connection is closed after this time. Default 30,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** How long a query waits for a connection, a free or a new one. Default 2,000. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * As in postgres.js, for a pooler in transaction mode. No query leaves a prepared statement on the server, so there is
   * no other value.
   */
  readonly prepare?: false | undefined;
}

export interface DatabaseOptions extends PoolOptions {
  /** A URL, or a target that was read before. Default: the one that environment and `.env` name. */
  readonly target?: Target | string | undefined;
}

/**
 * A Kysely over its own pool of connections to a server, which `destroy()` closes. Connects with the first query.
 * Throws `bad-configuration` for a setting out of range.
 */
export function openServerDatabase(target: ServerTarget, options: PoolOptions = {}): Kysely<DB> {
  const { connectTimeoutMs, ...settings } = poolSettings(options);
  const named = {
    ...target,
    connectTimeoutMs,
    applicationName: options.applicationName ?? target.applicationName,
  };
  // A URL with one host may name a replica on purpose. With several hosts, the primary is meant.
  const use = { isReadOnlyFine: target.hosts.length === 1, isForValues: true };
  return kyselyOver(openPool(() => openPrimary(named, use), { ...settings, connectTimeoutMs }));
}

/** The defaults are those of the specification (2.2). Throws `bad-configuration`. */
export function poolSettings({
  maxConnections = 20,
  idleTimeoutMs = 30_000,
  connectTimeoutMs = 2_000,
}: PoolOptions): PoolSettings {
  const settings = { maxConnections, idleTimeoutMs, connectTimeoutMs };
  requireWhole(settings, { from: 1, to: mostTimerMs });
  return settings;
}

/** The longest time that a timer of Node takes. */
const mostTimerMs = 2 ** 31 - 1;

interface Lending {
  readonly lease: () => Promise<{
    readonly client: TypedClient;
    readonly release: () => void;
  }>;
  readonly end: () => Promise<void>;
}

/**
 * kysely-postgres-js calls only `reserve()` and `end()` of its postgres.js client. It awaits a query, or
 * calls the query's `cursor` at once.
 */
export function kyselyOver<Tables>({ lease, end }: Lending): Kysely<Tables> {
  const reserve = async () => {
    const { client, release } = await lease();
    const unsafe = (query: string, parameters: readonly unknown[]) => {
      let isStream = false;
      const result = Promise.resolve().then(() => {
        refuseUnsendable(query, parameters);
        return isStream ? undefined : runTyped(client, query, parameters);
      });
      const cursor = (chunkSize: number) => {
        isStream = true;
        return streamTyped(client, { query, parameters, chunkSize });
      };
      return Object.assign(result, { cursor });
    };
    return { unsafe, release };
  };
  const postgres: unknown = Object.assign(() => {}, { reserve, end });
  return new Kysely({ dialect: new PostgresJSDialect({ postgres } as PostgresJSDialectConfig) });
}

/** The protocol has 16 bits for the number of parameters; postgres.js allows two fewer than that. */
const mostParameters = 65_533;

/** Throws for a query that would leave the postgres.js connection in an unusable state. */
function refuseUnsendable(text: string, parameters: readonly unknown[]): void {
  if (parameters.length > mostParameters) {
    throw new RangeError(
      `the query has ${parameters.length} parameters; PostgreSQL takes at most ${mostParameters}`,
    );
  }
  const missing = parameters.indexOf(undefined);
  if (missing >= 0) {
    throw new TypeError(`parameter ${missing + 1} of the query is undefined; write NULL as null`);
  }
  if (/^\s*copy\b/i.test(text))
    throw new TypeError('COPY needs a stream, which Kysely does not offer');
}
