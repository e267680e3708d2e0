import { randomInt } from 'node:crypto';
import type { Client } from '../database/client.ts';
import { quoteIdentifier, quoteLiteral, type Sql } from '../database/connection.ts';
import type { AdvisoryLock } from '../database/lock.ts';
import { createProblem, permissionProblem } from '../database/permission.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { backoffMs, retry } from '../runtime/retry.ts';
import {
  type DatabaseState,
  nameForm,
  namePrefix,
  parseName,
  printName,
  type TemplateKey,
} from './name.ts';
import { propertiesOf } from './properties.ts';

/** A test database, as the server's catalog shows it. */
export interface FoundDatabase extends DatabaseState {
  readonly name: string;
  /** The role that owns it: the one that created it. */
  readonly owner: string;
  readonly ageMs: number;
  /** Sessions in it. */
  readonly connections: number;
  /** The role of this session may drop it. */
  readonly isDroppable: boolean;
}

/** Those of one kind and key, or all of them; the oldest first. */
export async function listDatabases(
  sql: Sql,
  state?: Pick<DatabaseState, 'kind' | 'key'>,
): Promise<readonly FoundDatabase[]> {
  const rows = await sql<
    (Pick<FoundDatabase, 'name' | 'owner' | 'connections' | 'isDroppable'> & { now: Date })[]
  >`
    select
      datname as name,
      pg_get_userbyid(datdba) as owner,
      pg_stat_get_db_numbackends(oid) as connections,
      pg_has_role(datdba, 'usage') as "isDroppable",
      clock_timestamp() as now
    from pg_database
    where starts_with(datname, ${namePrefix(state)})
    order by oid`;
  return rows
    .flatMap(({ now, ...row }) => {
      const state = parseName(row.name);
      return state ? [{ ...row, ...state, ageMs: now.getTime() - state.since.getTime() }] : [];
    })
    .sort((a, b) => a.since.getTime() - b.since.getTime());
}

/**
 * Those that this role itself created. A database of another role can have a name with the same key, and any
 * content.
 */
export async function listOwn(
  { sql, server: { user } }: Pick<Client, 'sql' | 'server'>,
  state: Pick<DatabaseState, 'kind' | 'key'>,
): Promise<readonly FoundDatabase[]> {
  return (await listDatabases(sql, state)).filter(({ owner }) => owner === user);
}

/**
 * Creates a test database and returns its name: a copy of `template` with the settings and privileges of that database,
 * or an empty one.
 *
 * It is a template in the server's sense (IS_TEMPLATE). TimescaleDB starts no scheduler in such a database
 * (src/loader/bgw_launcher.c). A scheduler would run jobs, take one of the server's few workers, and stay
 * connected, which prevents cloning and renaming.
 *
 * Throws `not-permitted` with the grant to ask for, and the server's 3D000 when the template is gone.
 */
export async function createDatabase(
  { sql, server }: Pick<Client, 'sql' | 'server'>,
  {
    template,
    ...state
  }: Pick<DatabaseState, 'kind' | 'key'> & { readonly template?: string | undefined },
): Promise<string> {
  const from = template === undefined ? '' : ` template ${quoteIdentifier(template)}`;
  const { kind, key } = state;
  try {
    const since = await readClock(sql);
    // No other process takes a clone. It becomes a ready one when it is complete.
    const name = printName({ kind: kind === 'ready' ? 'clone' : kind, key, since });
    const properties =
      template === undefined
        ? [`comment on database ${quoteIdentifier(name)} is ${quoteLiteral(remark)}`]
        : await propertiesOf(sql, { template, copy: name });
    await sql.unsafe(`create database ${quoteIdentifier(name)}${from} is_template true`);
    await sql.unsafe(properties.join('; '));
    if (kind !== 'ready') return name;
    const ready = printName({ kind, key, since });
    await sql.unsafe(renaming(name, ready));
    return ready;
  } catch (error) {
    throw permissionProblem(error, createProblem(server));
  }
}

/** For people who look at the server. The tool itself reads the name only. */
const remark =
  'A test database of cryptosense-db. Its name says what it is; cryptosense-db test-db prune drops old ones.';

/**
 * Takes a ready clone of that template and returns its new name; undefined when there is none. A caller who loses
 * the race for one tries the next.
 */
export async function takeReady(
  client: Pick<Client, 'sql' | 'server'>,
  key: TemplateKey,
): Promise<string | undefined> {
  const { sql } = client;
  const [since, ready] = await Promise.all([
    readClock(sql),
    listOwn(client, { kind: 'ready', key }),
  ]);
  const free = ready.filter(({ connections }) => connections === 0);
  // Callers that begin in different places seldom meet.
  const start = free.length > 0 ? randomInt(free.length) : 0;
  for (const { name } of [...free.slice(start), ...free.slice(0, start)]) {
    const taken = printName({ kind: 'clone', key, since });
    try {
      await sql.unsafe(renaming(name, taken));
      return taken;
    } catch (error) {
      if (!raceLosses.has(sqlState(error) ?? '')) throw error;
    }
  }
  return undefined;
}

/** The refusals of a renaming when another session was quicker, or is connected. */
const raceLosses: ReadonlySet<string> = new Set([
  sqlErrorCodes.noSuchDatabase,
  sqlErrorCodes.objectInUse,
]);

/** Makes the finished template of a database that is being built, and returns its name. It accepts no connections. */
export async function sealTemplate(
  sql: Sql,
  { name, key }: Pick<FoundDatabase, 'name' | 'key'>,
): Promise<string> {
  const template = printName({ kind: 'template', key, since: await readClock(sql) });
  // The sessions that built it may still be ending.
  await whileInUse(() =>
    sql.unsafe(
      `${renaming(name, template)}; alter database ${quoteIdentifier(template)} allow_connections false`,
    ),
  );
  return template;
}

/**
 * Drops a test database and ends the sessions in it. false: no database has that name.
 * Throws `not-a-test-database` for a name that is not a test database's, `not-permitted` for a database of
 * another role or with a superuser's session in it, `bad-configuration` for the one that this session is in.
 */
export async function dropDatabase(sql: Sql, name: string): Promise<boolean> {
  const [found] = await sql<{ owner: string; isDroppable: boolean; isOpen: boolean }[]>`
    select
      pg_get_userbyid(datdba) as owner,
      pg_has_role(datdba, 'usage') as "isDroppable",
      datname = current_database() as "isOpen"
    from pg_database where datname = ${name}::name`;
  if (!found) return false;
  const state = parseName(name);
  if (!state) throw notTestDatabase(name);
  if (!found.isDroppable) throw notOwned(name, found.owner);
  if (found.isOpen) throw open(name);
  const endSessions = (of: string) =>
    // A session without a role is an autovacuum worker, which the server ends itself.
    sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = ${of}::name and usesysid is not null`;
  const unused = await whileInUse(async () => {
    await endSessions(name);
    return retire(sql, { name, ...state });
  });
  if (unused === undefined) return false;
  return whileInUse(async () => {
    await endSessions(unused);
    return dropRetired(sql, unused);
  });
}

/**
 * As `dropDatabase`, for a listed database. Ends no session: a database in use stays. `gone`: another process has
 * renamed or dropped it.
 */
export async function dropUnused(
  sql: Sql,
  database: Pick<FoundDatabase, 'name' | 'kind' | 'key'>,
): Promise<'dropped' | 'gone' | 'in use'> {
  try {
    const unused = await retire(sql, database);
    return unused !== undefined && (await dropRetired(sql, unused)) ? 'dropped' : 'gone';
  } catch (error) {
    if (sqlState(error) === sqlErrorCodes.objectInUse) return 'in use';
    throw error;
  }
}

/**
 * Renames a database, so that no other process takes it, clones it or connects to it, and returns its new name;
 * undefined: another process was quicker. The server refuses to rename a database with a session in it, and to drop
 * a template.
 */
async function retire(
  sql: Sql,
  { name, kind, key }: Pick<FoundDatabase, 'name' | 'kind' | 'key'>,
): Promise<string | undefined> {
  // An unfinished DROP leaves a database of this kind, which the server does not alter.
  if (kind === 'unused') return name;
  const unused = printName({ kind: 'unused', key, since: await readClock(sql) });
  const isDone = await unlessGone(() =>
    sql.unsafe(
      `${renaming(name, unused)}; alter database ${quoteIdentifier(unused)} is_template false`,
    ),
  );
  return isDone ? unused : undefined;
}

/** false: another process has dropped it. */
async function dropRetired(sql: Sql, name: string): Promise<boolean> {
  return unlessGone(() => sql.unsafe(`drop database ${quoteIdentifier(name)}`));
}

/** false when the database of the statement does not exist any more. */
async function unlessGone(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (sqlState(error) === sqlErrorCodes.noSuchDatabase) return false;
    throw error;
  }
}

/** The lock that the maker of a template holds. There is one for each key, so that makers of different keys do not wait. */
export function templateLock(key: TemplateKey): AdvisoryLock {
  return {
    lockClass: 842_341_074,
    lockObject: lockObjectOf(key),
    name: `the lock of the template ${key.slice(0, 8)}`,
  };
}

/** As much of a key as one half of an advisory lock's key holds. */
export function lockObjectOf(key: TemplateKey): number {
  return Number.parseInt(key.slice(0, 8), 16) | 0;
}

/** The server's clock: clients on several machines compare the ages of databases. */
async function readClock(sql: Sql): Promise<Date> {
  const [{ now }] = await sql<[{ now: Date }]>`select clock_timestamp() as now`;
  return now;
}

/**
 * Comes first in each change, because it alone locks the database. Two sessions that alter one database at the same
 * moment would otherwise fail with an internal error, "tuple concurrently updated".
 */
function renaming(from: string, to: string): string {
  return `alter database ${quoteIdentifier(from)} rename to ${quoteIdentifier(to)}`;
}

const patienceMs = 10_000;

/** Repeats the work for up to ten seconds while the database is in use. */
async function whileInUse<T>(work: () => Promise<T>): Promise<T> {
  return retry(work, {
    waitMs: ({ error, attempts, elapsedMs }) => {
      const isWorthIt = sqlState(error) === sqlErrorCodes.objectInUse && elapsedMs < patienceMs;
      return isWorthIt ? backoffMs(attempts, { firstMs: 100, factor: 1 }) : undefined;
    },
  });
}

function notTestDatabase(database: string): CryptosenseDbError<'not-a-test-database'> {
  return new CryptosenseDbError(
    'not-a-test-database',
    {
      message: `"${database}" is not a test database of this tool; it was left alone`,
      evidence: [`a test database has a name of this form: ${nameForm}`],
      hint: 'list the test databases: cryptosense-db test-db list',
    },
    { details: { database } },
  );
}

function notOwned(database: string, owner: string): CryptosenseDbError<'not-permitted'> {
  return new CryptosenseDbError('not-permitted', {
    message: `the test database "${database}" belongs to the role "${owner}"`,
    hint: 'drop it as that role',
  });
}

function open(database: string): CryptosenseDbError<'bad-configuration'> {
  return new CryptosenseDbError('bad-configuration', {
    message: `"${database}" is the only database of the server that this tool could connect to`,
    hint: 'name another database in TEST_DATABASE_URL',
  });
}
