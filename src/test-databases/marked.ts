import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../database/client.ts';
import { quoteIdentifier, type Sql } from '../database/connection.ts';
import { createProblem, permissionProblem } from '../database/permission.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { databaseLock, type Mark, markPrefix, markStatement, parseMark } from './mark.ts';

/** A database that bears a mark of this tool. */
export interface MarkedDatabase extends Mark {
  readonly name: string;
  /** The role that made it. */
  readonly owner: string;
  readonly ageMs: number;
  /** Sessions in it. */
  readonly connections: number;
  /** The role of this session may drop it. */
  readonly isOwn: boolean;
}

/** Those of one kind and key, or all; in order of their age, the oldest first. */
export async function listMarked(
  sql: Sql,
  mark?: Pick<Mark, 'kind' | 'key'>,
): Promise<readonly MarkedDatabase[]> {
  const rows = await sql<
    (Pick<MarkedDatabase, 'name' | 'owner' | 'connections' | 'isOwn'> & {
      comment: string;
      now: Date;
    })[]
  >`
    select
      d.datname as name,
      pg_get_userbyid(d.datdba) as owner,
      s.description as comment,
      pg_stat_get_db_numbackends(d.oid) as connections,
      pg_has_role(d.datdba, 'usage') as "isOwn",
      clock_timestamp() as now
    from pg_database d
    join pg_shdescription s on s.objoid = d.oid and s.classoid = 'pg_database'::regclass
    where starts_with(s.description, ${markPrefix(mark)})`;
  return rows
    .flatMap(({ comment, now, ...row }) => {
      const mark = parseMark(comment);
      return mark ? [{ ...row, ...mark, ageMs: now.getTime() - mark.since.getTime() }] : [];
    })
    .sort((a, b) => b.ageMs - a.ageMs);
}

export interface NewDatabase {
  readonly name: string;
  readonly mark: Pick<Mark, 'kind' | 'key'>;
  /** The template it is a copy of; without one, what the server makes of itself. */
  readonly template?: string;
}

/**
 * Creates a database that bears its mark from its first moment: both statements are with the server
 * before the first runs. Should the server miss its client in between all the same, as it does at once on
 * a Unix socket, a clone is known by what is in it (`adoptUnmarked`).
 *
 * It is a template in the server's sense. TimescaleDB starts no scheduler in such a database
 * (src/loader/bgw_launcher.c), which would run jobs, take one of the server's few workers, and stand
 * in the way of whoever clones or drops it.
 *
 * Throws `not-permitted` with the grant to ask for.
 */
export async function createMarked(
  { sql, server }: Pick<Client, 'sql' | 'server'>,
  { name, mark, template }: NewDatabase,
): Promise<void> {
  const from = template === undefined ? '' : ` template ${quoteIdentifier(template)}`;
  try {
    await whileInUse(patience, () =>
      Promise.all([
        sql.unsafe(`create database ${quoteIdentifier(name)}${from} is_template true`),
        sql.unsafe(markStatement(name, mark)),
      ]),
    );
  } catch (error) {
    throw permissionProblem(error, createProblem(server));
  }
}

/**
 * Drops a database that bears a mark, whoever is connected to it. false: there is none of that name.
 * Throws `not-a-test-database` for one without a mark, `not-permitted` for one of another role, or with
 * a superuser in it, `bad-configuration` for the one that the session itself is in.
 */
export async function dropMarked(sql: Sql, name: string): Promise<boolean> {
  const [found] = await sql<
    { comment: string | null; owner: string; isOwn: boolean; isOpen: boolean }[]
  >`
    select
      shobj_description(oid, 'pg_database') as comment,
      pg_get_userbyid(datdba) as owner,
      pg_has_role(datdba, 'usage') as "isOwn",
      datname = current_database() as "isOpen"
    from pg_database where datname = ${name}::name`;
  if (!found) return false;
  if (!parseMark(found.comment ?? '')) throw notMarked(name);
  if (!found.isOwn) throw notOwned(name, found.owner);
  if (found.isOpen) throw open(name);
  return unlessGone(() =>
    whileInUse(dropPatience, () => dropAnyway(sql, name, { connections: 'end' })),
  );
}

/**
 * Drops it if nobody is in it, and if its mark is still what it was when it was listed: in the meantime
 * it may have been taken.
 */
export async function dropUnused(
  sql: Sql,
  { name, kind, key, since }: MarkedDatabase,
): Promise<'dropped' | 'kept' | 'in use'> {
  const [found] = await sql<{ oid: string; isHeld: boolean }[]>`
    select oid::text as oid, pg_try_advisory_lock(${sql.unsafe(databaseLock('oid'))}) as "isHeld"
    from pg_database where datname = ${name}::name`;
  if (!found?.isHeld) return 'kept';
  try {
    const [now] = await sql<{ comment: string | null }[]>`
      select shobj_description(${found.oid}::oid, 'pg_database') as comment`;
    const mark = parseMark(now?.comment ?? '');
    const isSame =
      mark?.kind === kind && mark.key === key && mark.since.getTime() === since.getTime();
    if (!isSame) return 'kept';
    const isDropped = await unlessGone(() => dropAnyway(sql, name, { connections: 'respect' }));
    return isDropped ? 'dropped' : 'kept';
  } catch (error) {
    const state = sqlState(error) ?? '';
    if (state in dropPatience) return 'in use';
    throw error;
  } finally {
    await sql`select pg_advisory_unlock(${sql.unsafe(databaseLock(found.oid))})`.catch(() => {});
  }
}

/** What cannot be dropped is a template again: TimescaleDB stays out of it. */
async function dropAnyway(
  sql: Sql,
  name: string,
  { connections }: { readonly connections: 'end' | 'respect' },
): Promise<void> {
  const quoted = quoteIdentifier(name);
  try {
    // Together: the moment it is no template, TimescaleDB may start a scheduler in it.
    await Promise.all([
      sql.unsafe(`alter database ${quoted} is_template false`),
      sql.unsafe(`drop database ${quoted}${connections === 'end' ? ' with (force)' : ''}`),
    ]);
  } catch (error) {
    await sql.unsafe(`alter database ${quoted} is_template true`).catch(() => {});
    throw error;
  }
}

type Patience = Readonly<Record<string, number>>;

/** Of who is connected to a template, or clones what is to be dropped. */
const patience: Patience = { [sqlErrorCodes.objectInUse]: 30_000 };

/**
 * Others may not end a superuser's process, and in PostgreSQL 15 an autovacuum worker counts as one; it
 * is done after a moment.
 */
const dropPatience: Patience = { ...patience, [sqlErrorCodes.insufficientPrivilege]: 5_000 };

const pollMs = 100;

/** Tries again while the server says that somebody is in the database; in milliseconds by SQLSTATE. */
async function whileInUse<T>(patienceMs: Patience, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isOver = performance.now() - startedAt > (patienceMs[sqlState(error) ?? ''] ?? 0);
      if (isOver) throw error;
    }
    await sleep(pollMs);
  }
}

/** false where somebody else dropped it meanwhile. */
async function unlessGone(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (sqlState(error) === sqlErrorCodes.noSuchDatabase) return false;
    throw error;
  }
}

function notMarked(database: string): CryptosenseDbError<'not-a-test-database'> {
  return new CryptosenseDbError(
    'not-a-test-database',
    {
      message: `"${database}" is no test database of this tool, and is left alone`,
      evidence: ['test databases bear a comment that says so'],
      hint: 'see which are: cryptosense-db test-db list',
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
    hint: 'name another one in TEST_DATABASE_URL',
  });
}
