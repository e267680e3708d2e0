import { type Client, openPrimary, type Sql } from '../database/client.ts';
import { explained, type Session, withSession } from '../database/connection.ts';
import { openPool } from '../database/pool.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { describeHost, type ServerTarget } from '../database/target.ts';
import { isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import type { TemplateKey } from './name.ts';

/** Who named the server: the caller or the variable. `container`: neither, so that a container was started. */
export type TestServerOrigin = 'option' | 'TEST_DATABASE_URL' | 'container';

/** A server on which test databases are made, and sessions to make them with. */
export interface TestServer {
  /** Its database is the one that was named. Test databases have names of their own. */
  readonly target: ServerTarget;
  readonly origin: TestServerOrigin;
  /** What decides the content of a template besides the files: the role, and the versions that the server has. Asked once. */
  readonly readFacts: () => Promise<string>;
  /** Templates that this process makes, or waits for. */
  readonly making: Map<TemplateKey, Promise<string>>;
  /**
   * Lends a session for statements about databases. What the server refuses and `work` does not catch is thrown as
   * `statement-refused` or `not-permitted`.
   */
  readonly use: <T>(work: (client: Client) => Promise<T>) => Promise<T>;
  /** Opens a session for `work` alone, which may take long. */
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

/** Advisory locks belong to a database, so that all processes have to connect to the same one. */
const meetingPlace = 'postgres';

/**
 * A copy of a large database takes seconds, and a server that does not answer is given up. TimescaleDB warns with
 * each renamed database that its workers stop.
 */
const sessionSettings = `
  set statement_timeout = '5min'; set idle_session_timeout = 0; set client_min_messages = error`;

const poolSettings = {
  maxConnections: 4,
  // An open connection keeps a program from ending.
  idleTimeoutMs: 1_000,
  connectTimeoutMs: 120_000,
};

/** Connects with the first use. Throws what opening a connection throws, and `server-unsuitable`. */
export function openTestServer(target: ServerTarget, origin: TestServerOrigin): TestServer {
  const meeting = { ...target, database: meetingPlace };
  const pool = openPool(async () => {
    const client = await orElse(meeting, target, (named) =>
      openPrimary(named, { isCatalogOnly: true }),
    );
    try {
      requireServerVersion(client);
      await client.sql.unsafe(sessionSettings);
      return client;
    } catch (error) {
      await client.sql.end({ timeout: 2 });
      throw error;
    }
  }, poolSettings);
  const use: TestServer['use'] = async (work) => {
    const { client, release } = await pool.lease();
    try {
      return await work(client);
    } catch (error) {
      throw explained(error, { client, target: meeting });
    } finally {
      release();
    }
  };
  let facts: Promise<string> | undefined;
  return {
    target,
    origin,
    readFacts: () => {
      facts ??= use(({ sql }) => askFacts(sql)).catch((error: unknown) => {
        facts = undefined;
        throw error;
      });
      return facts;
    },
    making: new Map(),
    use,
    withSession: (options, work) =>
      orElse(meeting, target, (named) =>
        withSession(named, { ...options, isCatalogOnly: true }, async (session) => {
          await session.sql.unsafe(sessionSettings);
          return work(session);
        }),
      ),
    close: pool.end,
  };
}

async function askFacts(sql: Sql): Promise<string> {
  const [{ facts }] = await sql<[{ facts: string }]>`
    select json_build_array(
      current_user,
      current_setting('server_version'),
      (select array_agg(name || ' ' || default_version order by name collate "C")
       from pg_available_extensions)
    )::text as facts`;
  return facts;
}

/**
 * The server that was named, else one in a container, and an event that says which. Throws `no-test-server`. A named
 * server is connected to with its first use.
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

/** Opens the second database where the first does not exist, or where the role may not connect to it. */
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
