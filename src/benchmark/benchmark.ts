import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import {
  quoteIdentifier,
  type Session,
  type Sql,
  valueSettings,
  withRollback,
  withSession,
} from '../database/connection.ts';
import { borrowedKysely, openServerDatabase } from '../database/kysely.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { describeTarget, resolveTarget, type ServerTarget } from '../database/target.ts';
import type { DB } from '../database/types.ts';
import type { RunOptions } from '../ledger/run.ts';
import { requireSafePath, runSearchPath } from '../ledger/search-path.ts';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import { makeFolder, replaceFile, requireWritable } from '../runtime/files.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { type Comparison, compareResults, readResult, resultFormat } from './compare.ts';
import { explain, type PlanDocument, readPlanFacts } from './explain.ts';
import {
  type DrawnQuery,
  isCancelled,
  type Measured,
  type Measurement,
  measureQueries,
  type TransactionSettings,
} from './measure.ts';
import { findReasons, type PlanFigures, type Reason, readPlan } from './plan.ts';
import { type BenchmarkQuery, benchmarkQueries } from './queries.ts';
import { type QueryName, type QueryTarget, queryTargets } from './targets.ts';

export interface BenchmarkOptions extends RunOptions {
  /** Executions of each query with each number of clients, besides the first one of each connection. Default 500. */
  readonly runs?: number | undefined;
  /** How many clients run a query at the same time. Default 1 and 20. One client is always measured: targets are for one. */
  readonly clients?: readonly number[] | undefined;
  /** Default: all queries. */
  readonly only?: readonly QueryName[] | undefined;
  /** The server cancels an execution that takes longer. Default 5,000. */
  readonly statementTimeoutMs?: number | undefined;
  /** A folder for the plans, one file a query; it is created where it is missing. */
  readonly plans?: string | undefined;
  /** A file with an earlier result, as `--json` prints it. */
  readonly compare?: string | undefined;
}

export interface QueryResult extends QueryTarget {
  readonly name: QueryName;
  /** `met`: the p95 with one client is at most the target. */
  readonly outcome: 'met' | 'missed' | 'not run';
  /** Why it did not run: the database has no rows for it, for example. */
  readonly why: string | null;
  /** Of one execution: the median. */
  readonly rows: number;
  readonly measurements: readonly Measurement[];
  /** Of the parameters that took longest with one client. null for a query that did not run. */
  readonly plan: PlanFigures | null;
  /** Why a target is missed. Empty for a target that is met. */
  readonly reasons: readonly Reason[];
}

export interface BenchmarkResult {
  /** Of this document; a comparison needs the same one. */
  readonly format: typeof resultFormat;
  /** ISO 8601. */
  readonly takenAt: string;
  readonly target: string;
  readonly server: {
    readonly postgresql: string;
    /** null without the extension. */
    readonly timescaledb: string | null;
  };
  readonly runs: number;
  readonly clients: readonly number[];
  readonly leftOutClients: readonly { readonly clients: number; readonly why: string }[];
  readonly queries: readonly QueryResult[];
  /** At least one target is met, and none is missed. */
  readonly isMet: boolean;
  /** null without an earlier result. */
  readonly comparison: Comparison | null;
}

const mostParameters = 500;

/**
 * Runs the queries of the specification on the database with parameters from its own rows, and compares their times with
 * the targets. Every statement runs in a read-only transaction, through a pool of the typed client. Throws `file-problem`
 * before it connects when `compare` is no result or `plans` cannot be written, and `bad-configuration`.
 */
export async function benchmark(options: BenchmarkOptions): Promise<BenchmarkResult> {
  const { runs = 500, only, statementTimeoutMs = 5_000, plans } = options;
  requireWhole({ runs }, { from: 1, to: 1_000_000 });
  requireWhole({ statementTimeoutMs }, { from: 1, to: 2 ** 31 - 1 });
  const wantedClients = [...new Set([1, ...(options.clients ?? [20])])].sort((a, b) => a - b);
  for (const clients of wantedClients) requireWhole({ clients }, { from: 1, to: 1_000 });
  requireNames(only ?? []);
  const earlier = options.compare === undefined ? undefined : readResult(options.compare);
  if (plans !== undefined) preparePlans(plans);
  const chosen = benchmarkQueries.filter(({ name }) => only === undefined || only.includes(name));

  const { onProgress } = options;
  const opening = { ...options, isReadOnlyFine: true, isCatalogOnly: true };
  return withSession(resolveTarget(options.target), opening, async (session) => {
    requireServerVersion(session);
    const { sql, target } = session;
    await requireSafePath(session);
    await sql.unsafe(runSearchPath.join('; '));
    await sql.unsafe(valueSettings);
    const settings = { statementTimeoutMs, searchPath: await readSearchPath(sql) };
    const { clients, leftOutClients } = await fitClients(session, wantedClients);
    const drawn: DrawnQuery[] = [];
    const lacks = new Map<QueryName, string>();
    for (const query of chosen) {
      const builds = await drawParameters(session, query, settings);
      if (typeof builds === 'string') lacks.set(query.name, builds);
      else drawn.push({ name: query.name, builds });
    }
    const measured = await withLender(session, (withClients) =>
      measureQueries(drawn, {
        ...{ runs, clients, settings, withClients, onProgress },
        throwIfInterrupted: session.throwIfInterrupted,
      }),
    );
    const queries: QueryResult[] = [];
    for (const { name } of chosen) {
      session.throwIfInterrupted();
      const found = measured.get(name);
      const result = found
        ? await judge(session, { name, measured: found, settings, plans })
        : notRun(name, lacks.get(name) ?? '');
      queries.push(result);
    }
    const document = {
      format: resultFormat,
      takenAt: new Date().toISOString(),
      target: describeTarget(target),
      server: await readVersions(session),
      runs,
      clients,
      leftOutClients,
      queries,
      isMet:
        queries.some(({ outcome }) => outcome === 'met') &&
        queries.every(({ outcome }) => outcome !== 'missed'),
    };
    return { ...document, comparison: earlier ? compareResults(earlier, document) : null };
  });
}

/** Throws `bad-configuration`. */
function requireNames(names: readonly string[]): void {
  const unknown = names.filter((name) => !Object.hasOwn(queryTargets, name));
  if (unknown.length === 0) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: `no query has the name ${unknown.join(', ')}`,
    hint: `name one of: ${Object.keys(queryTargets).join(', ')}`,
  });
}

/** Throws `file-problem`. */
function preparePlans(folder: string): void {
  try {
    makeFolder(folder);
  } catch (cause) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `the folder ${folder} cannot be created`, evidence: [messageOf(cause)] },
      { details: { path: folder }, cause },
    );
  }
  requireWritable(join(folder, 'plan.json'));
}

async function readSearchPath(sql: Sql): Promise<string> {
  const [{ path }] = await sql<[{ path: string }]>`select current_setting('search_path') as path`;
  return path;
}

async function readVersions({ sql, server }: Session): Promise<BenchmarkResult['server']> {
  const [row] = await sql<{ version: string }[]>`
    select extversion as version from pg_extension where extname = 'timescaledb'`;
  const [major, minor] = [Math.floor(server.version / 10_000), server.version % 10_000];
  return { postgresql: `${major}.${minor}`, timescaledb: row?.version ?? null };
}

/** The numbers of clients that the database has connections for. */
async function fitClients(
  { sql, target }: Session,
  wanted: readonly number[],
): Promise<Pick<BenchmarkResult, 'clients' | 'leftOutClients'>> {
  const [{ free }] = await sql<[{ free: number }]>`
    select current_setting('max_connections')::int
      - current_setting('superuser_reserved_connections')::int
      - (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as free`;
  const most = target.kind === 'embedded' ? 1 : Math.max(1, free);
  const why =
    target.kind === 'embedded'
      ? 'the embedded engine has one connection'
      : `the server has ${free} free connections`;
  return {
    clients: wanted.filter((clients) => clients <= most),
    leftOutClients: wanted.flatMap((clients) => (clients <= most ? [] : [{ clients, why }])),
  };
}

/** A text says why the query cannot run. */
async function drawParameters(
  { sql, server: { user }, throwIfInterrupted }: Session,
  { needs, draw }: BenchmarkQuery,
  { statementTimeoutMs }: TransactionSettings,
): ReturnType<BenchmarkQuery['draw']> {
  return withRollback(sql, async () => {
    await sql.unsafe('begin read only');
    await sql`select set_config('statement_timeout', ${String(statementTimeoutMs)}, true)`;
    const lack = await findLack({ sql, user }, needs);
    const builds = lack ?? (await draw(sql, mostParameters));
    await sql.unsafe('commit');
    return builds;
  }).catch((error: unknown) => {
    throwIfInterrupted();
    if (!isCancelled(error)) throw error;
    return `parameters could not be drawn within ${statementTimeoutMs} ms; see whether a session holds a table (cryptosense-db inspect locks), or give more with --statement-timeout`;
  });
}

/** What of the needs is missing in schema public, or closed to the role. */
async function findLack(
  { sql, user }: { readonly sql: Sql; readonly user: string },
  needs: readonly string[],
): Promise<string | undefined> {
  const names = JSON.stringify(needs);
  const [lack] = await sql<{ name: string; isThere: boolean }[]>`
    with needs as (
      select name, to_regclass('public.' || name) as relation,
        case when name like '%(%' then to_regprocedure('public.' || name) end as routine
      from json_array_elements_text(${names}::text::json) as needs (name)
    )
    select name, coalesce(relation::oid, routine::oid) is not null as "isThere" from needs
    where not coalesce(
      has_table_privilege(relation, 'select'), has_function_privilege(routine, 'execute'), false
    )
    limit 1`;
  if (!lack) return undefined;
  if (!lack.isThere) {
    return `there is no ${lack.name} in schema public; apply the migrations: cryptosense-db migrate up`;
  }
  const right = lack.name.includes('(') ? 'execute on function' : 'select on';
  return `the role may not use ${lack.name}; let it: grant ${right} ${lack.name} to ${quoteIdentifier(user)}`;
}

type WithClients = Parameters<typeof measureQueries>[1]['withClients'];

/** Lends connections of a pool of their own, or the one session of the embedded engine. */
async function withLender<T>(
  session: Session,
  use: (withClients: WithClients) => Promise<T>,
): Promise<T> {
  const { target, signal } = session;
  if (target.kind === 'embedded') {
    const client = borrowedKysely<DB>(session);
    return use((_, work) => work([client]));
  }
  // The name finds these connections when they are to be cancelled.
  const applicationName = `cryptosense-db benchmark ${randomBytes(4).toString('hex')}`;
  const stopCancelling = cancelOnAbort({ target, signal, applicationName });
  const settings = { applicationName, connectTimeoutMs: target.connectTimeoutMs };
  try {
    return await use(async (count, work) => {
      const pool = openServerDatabase(target, { ...settings, maxConnections: count });
      try {
        return await withConnections(pool, { count, held: [] }, work);
      } finally {
        await pool.destroy();
      }
    });
  } finally {
    stopCancelling();
  }
}

/** Holds that many connections of the pool while the work runs. */
function withConnections<T>(
  pool: Kysely<DB>,
  { count, held }: { readonly count: number; readonly held: readonly Kysely<DB>[] },
  work: (connections: readonly Kysely<DB>[]) => Promise<T>,
): Promise<T> {
  if (held.length === count) return work(held);
  return pool
    .connection()
    .execute((connection) => withConnections(pool, { count, held: [...held, connection] }, work));
}

const cancelEveryMs = 250;

/** From the abort on, cancels what the connections of that name run. They start nothing more by themselves. */
function cancelOnAbort({
  target,
  signal,
  applicationName,
}: {
  readonly target: ServerTarget;
  readonly signal: AbortSignal | undefined;
  readonly applicationName: string;
}): () => void {
  let timer: NodeJS.Timeout | undefined;
  const cancel = () =>
    void withSession(
      { ...target, connectTimeoutMs: 3_000 },
      { isReadOnlyFine: true, isCatalogOnly: true },
      ({ sql }) => sql`
        select pg_cancel_backend(pid) from pg_stat_activity
        where application_name = ${applicationName} and usename = current_user and state = 'active'`,
    ).catch(() => {});
  const start = () => {
    cancel();
    timer = setInterval(cancel, cancelEveryMs);
  };
  signal?.addEventListener('abort', start, { once: true });
  return () => {
    clearInterval(timer);
    signal?.removeEventListener('abort', start);
  };
}

function notRun(name: QueryName, why: string): QueryResult {
  return {
    ...queryTargets[name],
    ...{ name, why, outcome: 'not run', rows: 0, measurements: [], plan: null, reasons: [] },
  };
}

async function judge(
  session: Session,
  {
    name,
    measured: { measurements, rows, slowest, isTimedOut },
    settings,
    plans,
  }: {
    readonly name: QueryName;
    readonly measured: Measured;
    readonly settings: TransactionSettings;
    readonly plans: string | undefined;
  },
): Promise<QueryResult> {
  const target = queryTargets[name];
  const document = await explain(borrowedKysely<DB>(session), slowest, settings);
  if (plans !== undefined) savePlan(join(plans, `${name}.json`), document);
  const [plan] = document;
  const p95Ms = measurements.find(({ clients }) => clients === 1)?.warm.p95Ms ?? Infinity;
  const isMissed = isTimedOut || p95Ms > target.targetMs;
  const found = { ...target, name, why: null, rows, measurements, plan: readPlan(plan) };
  if (!isMissed) return { ...found, outcome: 'met', reasons: [] };
  const facts = await readPlanFacts(session, document);
  const reasons: readonly Reason[] = [
    ...(isTimedOut ? [{ kind: 'timed-out', afterMs: settings.statementTimeoutMs } as const] : []),
    ...findReasons(plan, facts, { targetMs: target.targetMs, p95Ms }),
  ];
  return { ...found, outcome: 'missed', reasons };
}

function savePlan(file: string, document: PlanDocument): void {
  replaceFile(file, `${JSON.stringify(document, null, 2)}\n`);
}
