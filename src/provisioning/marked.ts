import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../database/client.ts';
import { quoteIdentifier, type Sql } from '../database/connection.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { CryptosenseDbError } from '../errors.ts';
import { type Mark, markPrefix, markStatement, parseMark } from './mark.ts';
import { createProblem, permissionProblem } from './permission.ts';

/** A database that bears a mark of this tool. */
export interface MarkedDatabase extends Mark {
  readonly name: string;
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
    (Pick<MarkedDatabase, 'name' | 'connections' | 'isOwn'> & { comment: string; now: Date })[]
  >`
    select
      d.datname as name,
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
 * before the first runs, so that a client that dies in between leaves none without.
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
    await whileInUse(() =>
      Promise.all([
        sql.unsafe(`create database ${quoteIdentifier(name)}${from} is_template true`),
        sql.unsafe(markStatement(name, mark)),
      ]),
    );
  } catch (error) {
    throw permissionProblem(error, createProblem(server));
  }
}

const patienceMs = 30_000;
const pollMs = 100;

/**
 * Drops a database that bears a mark, whoever is connected to it. false: there is none of that name.
 * Throws `not-a-test-database` for one without a mark, `not-permitted`.
 */
export async function dropMarked(sql: Sql, name: string): Promise<boolean> {
  const [found] = await sql<{ comment: string | null }[]>`
    select shobj_description(oid, 'pg_database') as comment
    from pg_database where datname = ${name}::name`;
  if (!found) return false;
  if (!parseMark(found.comment ?? '')) throw notMarked(name);
  const quoted = quoteIdentifier(name);
  return unlessGone(() =>
    // A clone of it that is being made holds it up.
    whileInUse(async () => {
      await sql.unsafe(`alter database ${quoted} is_template false`);
      await sql.unsafe(`drop database ${quoted} with (force)`);
    }),
  );
}

/** Tries again while the server says that somebody is in the database, for half a minute. */
export async function whileInUse<T>(work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (sqlState(error) !== sqlErrorCodes.objectInUse || performance.now() > deadline)
        throw error;
    }
    await sleep(pollMs);
  }
}

/** false where somebody else dropped it meanwhile. */
async function unlessGone(work: () => Promise<void>): Promise<boolean> {
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
      hint: 'see: cryptosense-db test-db list; or drop it with: cryptosense-db db drop',
    },
    { details: { database } },
  );
}
