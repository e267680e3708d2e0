import { Kysely } from 'kysely';
import { PostgresJSDialect, type PostgresJSDialectConfig } from 'kysely-postgres-js';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { type Client, openClient, openPrimary, type Sql } from './client.ts';
import type { Session } from './connection.ts';
import type { EmbeddedEngine } from './embedded/engine.ts';
import { openPool, type Pool, type PoolSettings } from './pool.ts';
import type { EmbeddedTarget, ServerTarget, Target } from './target.ts';
import type { DB } from './types.ts';

/** Over a session that is open already, for as long as it is. */
export function borrowedKysely<Tables>({ sql }: Pick<Session, 'sql'>): Kysely<Tables> {
  const lease = { client: { sql }, release: () => {} };
  return new Kysely({ dialect: dialectOver({ lease: async () => lease, end: async () => {} }) });
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
}

/**
 * A Kysely over its own pool of connections, which `destroy()` closes. Connects with the first query. The defaults are
 * those of the specification (2.2). Throws `bad-configuration` for a setting out of range.
 */
export function openDatabase(
  target: Target,
  {
    applicationName,
    maxConnections = 20,
    idleTimeoutMs = 30_000,
    connectTimeoutMs = 2_000,
  }: PoolOptions = {},
): Kysely<DB> {
  const settings = { maxConnections, idleTimeoutMs, connectTimeoutMs };
  requireWhole(settings, { from: 1, to: mostTimerMs });
  const pool =
    target.kind === 'embedded'
      ? embeddedPool(() => openEngine(target, settings), settings)
      : openPool(() => openServerClient(withName(target, applicationName), settings), settings);
  return new Kysely<DB>({ dialect: dialectOver(pool) });
}

/** The longest time that a timer of Node takes. */
const mostTimerMs = 2 ** 31 - 1;

function withName(target: ServerTarget, applicationName: string | undefined): ServerTarget {
  return applicationName === undefined ? target : { ...target, applicationName };
}

/** Over an engine that is open already; `destroy()` closes it. */
export function engineKysely(engine: EmbeddedEngine): Kysely<DB> {
  const pool = embeddedPool(async () => engine, { idleTimeoutMs: 30_000 });
  return new Kysely<DB>({ dialect: dialectOver(pool) });
}

function openServerClient(target: ServerTarget, settings: PoolSettings): Promise<Client> {
  const { connectTimeoutMs } = settings;
  // Who names one host means it, a replica say; of several the primary is meant.
  const isReadOnlyFine = target.hosts.length === 1;
  return openPrimary({ ...target, connectTimeoutMs }, { isReadOnlyFine, fetchTypes: true });
}

const embeddedPatienceMs = 60_000;

async function openEngine(
  { folder }: EmbeddedTarget,
  { connectTimeoutMs }: PoolSettings,
): Promise<EmbeddedEngine> {
  const { openEmbeddedEngine } = await import('./embedded/engine.ts');
  return openEmbeddedEngine({ folder, lockTimeoutMs: connectTimeoutMs });
}

/** The engine has one session, and takes seconds to start: callers take turns, and are patient. */
function embeddedPool(
  open: () => Promise<EmbeddedEngine>,
  { idleTimeoutMs }: Pick<PoolSettings, 'idleTimeoutMs'>,
): Pool {
  let engine: Promise<EmbeddedEngine> | undefined;
  const pool = openPool(
    async () => {
      engine ??= open();
      const started = await engine.catch((error: unknown) => {
        engine = undefined;
        throw error;
      });
      return openClient(
        { user: 'postgres', database: 'postgres', ssl: false, connect_timeout: 60 },
        async () => started.connect(),
        { firstAnswerTimeoutMs: embeddedPatienceMs, fetchTypes: true },
      );
    },
    { idleTimeoutMs, maxConnections: 1, connectTimeoutMs: embeddedPatienceMs },
  );
  return {
    lease: pool.lease,
    end: async () => {
      await pool.end();
      await (await engine)?.close();
    },
  };
}

interface Lending {
  readonly lease: () => Promise<{
    readonly client: { readonly sql: Sql };
    readonly release: () => void;
  }>;
  readonly end: () => Promise<void>;
}

/** Of the client that it is given, kysely-postgres-js uses `reserve()` and `end()`. */
function dialectOver({ lease, end }: Lending): PostgresJSDialect {
  const reserve = async () => {
    const { client, release } = await lease();
    const unsafe = (text: string, parameters: readonly unknown[]) => {
      refuseUnsendable(text, parameters);
      return client.sql.unsafe(
        text,
        parameters.map((value) => asServerSays(client.sql, value)),
      );
    };
    return { unsafe, release };
  };
  const postgres: unknown = Object.assign(() => {}, { reserve, end });
  return new PostgresJSDialect({ postgres } as PostgresJSDialectConfig);
}

/** The protocol counts parameters in 16 bits, of which postgres.js keeps one value. */
const mostParameters = 65_533;

/** What postgres.js refuses after it has begun to write, or cannot answer, spoils the connection. */
function refuseUnsendable(text: string, parameters: readonly unknown[]): void {
  if (parameters.length > mostParameters) {
    throw new RangeError(
      `the query has ${parameters.length} parameters; ${mostParameters} are the most that PostgreSQL takes`,
    );
  }
  const missing = parameters.indexOf(undefined);
  if (missing >= 0) {
    throw new TypeError(`parameter ${missing + 1} of the query is undefined; NULL is written null`);
  }
  if (/^\s*copy\b/i.test(text))
    throw new TypeError('COPY needs a stream, and Kysely has none for it');
}

/**
 * postgres.js takes a value's type from its first element, or from its being true or false: JSONB
 * `[true]` would be sent as a boolean. The server knows what the column is.
 */
function asServerSays(sql: Sql, value: unknown): never {
  const isGuessed = typeof value === 'boolean' || Array.isArray(value);
  return (isGuessed ? sql.typed(value as never, 0) : value) as never;
}
