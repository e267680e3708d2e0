import { type Client, openPrimary } from '../database/client.ts';
import { explained, type Session, withSession } from '../database/connection.ts';
import { openPool } from '../database/pool.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { describeHost, type ServerTarget } from '../database/target.ts';
import { isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import type { TemplateKey } from './mark.ts';

/** Who named the server: the caller, the variable, or nobody, so that a container was started. */
export type TestServerOrigin = 'option' | 'TEST_DATABASE_URL' | 'container';

/** A server on which test databases are made, and sessions to make them with. */
export interface TestServer {
  /** Its database is the one that was named; test databases have others. */
  readonly target: ServerTarget;
  readonly origin: TestServerOrigin;
  /** Templates that were found whole, by key: a name to try before asking. */
  readonly templates: Map<TemplateKey, string>;
  /** Those that this process makes, or waits for. */
  readonly making: Map<TemplateKey, Promise<string>>;
  /** Keys by the fingerprint of a recipe, as this server said. */
  readonly keys: Map<string, TemplateKey>;
  /** Lends a session for statements about databases. What the server refuses and the work does not catch is thrown as `statement-refused` or `not-permitted`. */
  readonly use: <T>(work: (client: Client) => Promise<T>) => Promise<T>;
  /** Opens a session of its own, for what lasts. */
  readonly withSession: <T>(
    options: SessionOptions,
    work: (session: Session) => Promise<T>,
  ) => Promise<T>;
  readonly close: () => Promise<void>;
}

interface SessionOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Where a role may work on databases, and where locks are held: everybody has to meet there. */
const meetingPlace = 'postgres';

/** The copy of a large database takes seconds; a server that does not answer is not waited for. */
const sessionSettings = "set statement_timeout = '5min'; set idle_session_timeout = 0";

const poolSettings = {
  maxConnections: 4,
  // Short, so that a program that is done can end.
  idleTimeoutMs: 1_000,
  connectTimeoutMs: 120_000,
};

/** Connects with the first use. Throws what opening a connection throws, and `server-unsuitable`. */
export function openTestServer(target: ServerTarget, origin: TestServerOrigin): TestServer {
  const meeting = { ...target, database: meetingPlace };
  const pool = openPool(async () => {
    const client = await orElse(meeting, target, (named) => openPrimary(named, {}));
    try {
      requireServerVersion(client);
      await client.sql.unsafe(sessionSettings);
      return client;
    } catch (error) {
      await client.sql.end({ timeout: 2 });
      throw error;
    }
  }, poolSettings);
  return {
    target,
    origin,
    templates: new Map(),
    making: new Map(),
    keys: new Map(),
    use: async (work) => {
      const { client, release } = await pool.lease();
      try {
        return await work(client);
      } catch (error) {
        throw explained(error, { client, target: meeting });
      } finally {
        release();
      }
    },
    withSession: (options, work) =>
      orElse(meeting, target, (named) =>
        withSession(named, options, async (session) => {
          await session.sql.unsafe(sessionSettings);
          return work(session);
        }),
      ),
    close: pool.end,
  };
}

/**
 * The server that was named, else one in a container. Says which it is. Throws `no-test-server`; what is
 * wrong with a server that was named shows with its first use.
 */
export async function obtainTestServer(
  named: Pick<TestServer, 'target' | 'origin'> | undefined,
  {
    reuseContainer: reuse,
    onProgress,
  }: { readonly reuseContainer: boolean; readonly onProgress?: OnProgress | undefined },
): Promise<TestServer> {
  const say = (server: TestServer, container?: string) => {
    const { origin } = server;
    onProgress?.({ kind: 'test-server', origin, target: describeServer(server), container });
    return server;
  };
  if (named) return say(openTestServer(named.target, named.origin));
  const { startContainer } = await import('./container.ts');
  const { target, id, stop } = await startContainer({ reuse, onProgress });
  const server = openTestServer(target, 'container');
  const close = async () => {
    await server.close();
    await stop();
  };
  return say({ ...server, close }, reuse ? id : undefined);
}

/** `127.0.0.1:5432`, never with a password. */
export function describeServer({ target }: Pick<TestServer, 'target'>): string {
  return target.hosts.map(describeHost).join(',');
}

/** On servers that have no such database, or let the role not into it, in the one that was named. */
async function orElse<T>(
  first: ServerTarget,
  second: ServerTarget,
  open: (target: ServerTarget) => Promise<T>,
): Promise<T> {
  return open(first).catch((error: unknown) => {
    const isMissing =
      isError(error, 'no-such-database') && error.details.database === first.database;
    const isForbidden =
      isError(error, 'server-unreachable') &&
      sqlState(error.cause) === sqlErrorCodes.insufficientPrivilege;
    if (!isMissing && !isForbidden) throw error;
    return open(second);
  });
}
