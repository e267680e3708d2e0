import { type Kysely, sql } from 'kysely';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import type { DB } from '../database/types.ts';
import type { OnProgress } from '../runtime/progress.ts';
import type { BuildQuery } from './queries.ts';
import { type Percentiles, percentilesOf } from './statistics.ts';
import type { QueryName } from './targets.ts';

export interface Measurement {
  readonly clients: number;
  /** The first execution of each connection, which has to read catalogs first. */
  readonly cold: Percentiles;
  /** All others. */
  readonly warm: Percentiles;
  /** Executions in a second, all clients together. */
  readonly perSecond: number;
  /** The warm times of each round, in milliseconds. The rounds of all queries alternate. */
  readonly roundsMs: readonly (readonly number[])[];
}

export interface Measured {
  readonly measurements: readonly Measurement[];
  /** Rows of an execution: the median. */
  readonly rows: number;
  /** The parameters that took longest with one client. */
  readonly slowest: BuildQuery;
  readonly isTimedOut: boolean;
}

export interface DrawnQuery {
  readonly name: QueryName;
  readonly builds: readonly BuildQuery[];
}

export interface MeasureOptions {
  readonly runs: number;
  readonly clients: readonly number[];
  readonly settings: TransactionSettings;
  /** Lends that many connections, and takes them back. */
  readonly withClients: <T>(
    count: number,
    use: (clients: readonly Kysely<DB>[]) => Promise<T>,
  ) => Promise<T>;
  readonly throwIfInterrupted: () => void;
  readonly onProgress: OnProgress | undefined;
}

export interface TransactionSettings {
  readonly statementTimeoutMs: number;
  readonly searchPath: string;
}

/** Runs the work in a transaction that cannot write, and whose statements end in time. */
export function inReadOnly<T>(
  db: Kysely<DB>,
  { statementTimeoutMs, searchPath }: TransactionSettings,
  work: (transaction: Kysely<DB>) => Promise<T>,
): Promise<T> {
  return db
    .transaction()
    .setAccessMode('read only')
    .execute(async (transaction) => {
      await sql`
        select set_config('statement_timeout', ${String(statementTimeoutMs)}, true),
          set_config('search_path', ${searchPath}, true)`.execute(transaction);
      return work(transaction);
    });
}

/** True for a statement that the server has cancelled: here, because of its timeout. */
export function isCancelled(error: unknown): boolean {
  return sqlState(error) === sqlErrorCodes.queryCanceled;
}

interface Times {
  readonly cold: number[];
  readonly rounds: number[][];
  warmRuns: number;
  wallMs: number;
}

const mostRounds = 10;
const leastRunsOfRound = 5;

/**
 * Measures each query with each number of clients. The runs are spread over rounds, so that a change of the machine or
 * of its load meets all queries alike. Each round has new connections, and begins with another query.
 */
export async function measureQueries(
  queries: readonly DrawnQuery[],
  options: MeasureOptions,
): Promise<ReadonlyMap<QueryName, Measured>> {
  const { runs, clients, withClients, throwIfInterrupted, onProgress } = options;
  const rounds = Math.min(mostRounds, Math.max(1, Math.floor(runs / leastRunsOfRound)));
  const states = queries.map((query) => startState(query, clients));
  for (let round = 0; round < rounds; round += 1) {
    const runsOfRound =
      Math.floor(((round + 1) * runs) / rounds) - Math.floor((round * runs) / rounds);
    const turned = [
      ...states.slice(round % states.length),
      ...states.slice(0, round % states.length),
    ];
    for (const count of clients) {
      await withClients(count, async (connections) => {
        for (const state of turned) {
          if (state.isTimedOut) continue;
          throwIfInterrupted();
          onProgress?.({
            kind: 'benchmark-round',
            query: state.query.name,
            clients: count,
            round: round + 1,
            rounds,
          });
          await measureRound(state, { count, connections, runsOfRound, options });
        }
      });
    }
  }
  return new Map(states.map((state) => [state.query.name, summarise(state)]));
}

interface State {
  readonly query: DrawnQuery;
  readonly times: ReadonlyMap<number, Times>;
  readonly rows: number[];
  slowest: { readonly build: BuildQuery; readonly ms: number } | undefined;
  isTimedOut: boolean;
}

function startState(query: DrawnQuery, clients: readonly number[]): State {
  const empty = (count: number) =>
    [count, { cold: [], rounds: [], warmRuns: 0, wallMs: 0 } satisfies Times] as const;
  return {
    query,
    times: new Map(clients.map(empty)),
    rows: [],
    slowest: undefined,
    isTimedOut: false,
  };
}

async function measureRound(
  state: State,
  {
    count,
    connections,
    runsOfRound,
    options: { settings, throwIfInterrupted },
  }: {
    readonly count: number;
    readonly connections: readonly Kysely<DB>[];
    readonly runsOfRound: number;
    readonly options: MeasureOptions;
  },
): Promise<void> {
  const { query, rows } = state;
  const times = state.times.get(count);
  if (!times) return;
  const execute = async (connection: Kysely<DB>) => {
    throwIfInterrupted();
    const at = (times.warmRuns + times.cold.length) % query.builds.length;
    const build = query.builds[at];
    if (!build) throw new Error(`${query.name} has no parameters`);
    return inReadOnly(connection, settings, async (transaction) => {
      const startedAt = performance.now();
      const result = await transaction.executeQuery(build(transaction));
      const ms = Math.round((performance.now() - startedAt) * 1_000) / 1_000;
      return { build, ms, rows: result.rows.length };
    });
  };
  const round: number[] = [];
  let left = runsOfRound;
  const runAll = async (connection: Kysely<DB>) => {
    while (left > 0 && !state.isTimedOut) {
      left -= 1;
      const done = await execute(connection);
      times.warmRuns += 1;
      round.push(done.ms);
      rows.push(done.rows);
      if (count === 1 && done.ms > (state.slowest?.ms ?? 0)) state.slowest = done;
    }
  };
  try {
    await settled(connections, async (connection) => {
      const done = await execute(connection);
      times.cold.push(done.ms);
      rows.push(done.rows);
    });
    const startedAt = performance.now();
    await settled(connections, runAll);
    times.wallMs += performance.now() - startedAt;
  } catch (error) {
    throwIfInterrupted();
    if (!isCancelled(error)) throw error;
    state.isTimedOut = true;
  }
  if (round.length > 0) times.rounds.push(round);
}

/** Waits for all, so that no connection is still at work when the first error is thrown. */
async function settled<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(items.map(work));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

function summarise({ query, times, rows, slowest, isTimedOut }: State): Measured {
  const measurements = [...times]
    .filter(([, { rounds }]) => rounds.length > 0)
    .map(([clients, { cold, rounds, warmRuns, wallMs }]) => ({
      clients,
      cold: percentilesOf(cold),
      warm: percentilesOf(rounds.flat()),
      perSecond: Math.round(warmRuns / (wallMs / 1_000)),
      roundsMs: rounds,
    }));
  const first = query.builds[0];
  if (!first) throw new Error(`${query.name} has no parameters`);
  const sorted = [...rows].sort((a, b) => a - b);
  return {
    measurements,
    rows: sorted[Math.floor(sorted.length / 2)] ?? 0,
    slowest: slowest?.build ?? first,
    isTimedOut,
  };
}
