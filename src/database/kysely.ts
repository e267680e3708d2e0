import { Kysely } from 'kysely';
import { PostgresJSDialect, type PostgresJSDialectConfig } from 'kysely-postgres-js';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { openPrimary } from './client.ts';
import type { Session } from './connection.ts';
import { openPool, type Pool, type PoolSettings } from './pool.ts';
import { directly, type Lending } from './query-runner.ts';
import { openReplicaPool } from './replica-pool.ts';
import type { PasswordFunction, ServerTarget, Target } from './target.ts';
import type { DB } from './types.ts';

/** A Kysely over an open session. It works as long as the session is open. */
export function borrowedKysely<Tables>(client: Pick<Session, 'sql' | 'types'>): Kysely<Tables> {
  const runner = directly({ client, release: () => {} });
  return kyselyOver({ lease: async () => runner, end: async () => {} });
}

/** The server that a pool connects to: `primary` for writes, `replica` for reads. */
export type ConnectionRole = 'primary' | 'replica';

export interface PoolOptions {
  /**
   * `replica`: read-only connections, to a standby where one of the target's hosts is one. Default `primary`: to the
   * primary among several hosts, or to the one host that is named.
   */
  readonly role?: ConnectionRole | undefined;
  /**
   * Called for every new connection, for a token that lives shorter than the pool. It counts before any other password,
   * and has 60 seconds.
   */
  readonly password?: PasswordFunction | undefined;
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
    passwordFunction: options.password,
    applicationName: options.applicationName ?? target.applicationName,
  };
  const pool = { ...settings, connectTimeoutMs };
  if (isReplica(options)) return kyselyOver(openReplicaPool(named, pool));
  // A URL with one host may name a replica on purpose. With several hosts, the primary is meant.
  const use = { isReadOnlyFine: target.hosts.length === 1, isForValues: true };
  return kyselyOver(lending(openPool(() => openPrimary(named, use), pool)));
}

/** Throws `bad-configuration` for a role that is none. */
export function isReplica({ role = 'primary' }: PoolOptions): boolean {
  if (role === 'primary' || role === 'replica') return role === 'replica';
  throw new CryptosenseDbError('bad-configuration', {
    message: `role is ${JSON.stringify(role)}; it can be "primary", "replica"`,
  });
}

function lending({ lease, end }: Pool): Lending {
  return { lease: async () => directly(await lease()), end };
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

/**
 * kysely-postgres-js calls only `reserve()` and `end()` of its postgres.js client. It awaits a query, or
 * calls the query's `cursor` at once.
 */
export function kyselyOver<Tables>({ lease, end }: Lending): Kysely<Tables> {
  const reserve = async () => {
    const { run, stream, release } = await lease();
    const unsafe = (query: string, parameters: readonly unknown[]) => {
      let isStream = false;
      const result = Promise.resolve().then(() => {
        refuseUnsendable(query, parameters);
        return isStream ? undefined : run(query, parameters);
      });
      const cursor = (chunkSize: number) => {
        isStream = true;
        return stream({ query, parameters, chunkSize });
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
