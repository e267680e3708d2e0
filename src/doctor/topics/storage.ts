import type { Session } from '../../database/connection.ts';
import { type Diagnosis, type Moment, type Reading, reading, type Topic } from '../rule.ts';

export interface Storage {
  /** Transactions since the oldest row that is not frozen, by database of the server; 2,000,000,000 end the server. */
  readonly transactionAges: readonly { readonly database: string; readonly age: number }[];
  readonly multixactAges: readonly { readonly database: string; readonly age: number }[];
  readonly sequences: readonly SequenceUse[];
  readonly tables: readonly TableUpkeep[];
}

export interface SequenceUse {
  readonly sequence: string;
  readonly last: number;
  /** The most that the sequence, or the column that it fills, can hold. */
  readonly most: number;
}

/** A chunk is a table of its own. */
export interface TableUpkeep {
  readonly table: string;
  readonly liveRows: number;
  readonly deadRows: number;
  /** Rows that changed since the last ANALYZE. */
  readonly changedRows: number;
  readonly analyzedAt: Date | null;
}

/** PostgreSQL refuses writes three million before this (docs, "Preventing Transaction ID Wraparound Failures"). */
const mostTransactions = 2 ** 31;

export const storage: Topic<Storage, Session> = {
  name: 'storage',
  read: readStorage,
  rules: [
    { name: 'transaction-ids', judge: judgeTransactionIds },
    { name: 'sequence-runs-out', judge: judgeSequences },
    { name: 'vacuum-behind', judge: judgeDeadRows },
    { name: 'statistics-behind', judge: judgeStatistics },
  ],
};

async function readStorage({ sql }: Session): Promise<Reading<Storage>> {
  const ages = await sql<{ database: string; transactions: number; multixacts: number }[]>`
    select datname as database, age(datfrozenxid) as transactions, mxid_age(datminmxid) as multixacts
    from pg_database order by 1`;
  // An identity or serial column may be smaller than its sequence.
  const sequences = await sql<SequenceUse[]>`
    select format('%I.%I', s.schemaname, s.sequencename) as sequence, s.last_value::float8 as last,
      least(s.max_value, case a.atttypid when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647 end)::float8
        as most
    from pg_sequences s
      join pg_class c on c.relname = s.sequencename
        and c.relnamespace = (select oid from pg_namespace where nspname = s.schemaname)
      left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
        and d.refclassid = 'pg_class'::regclass
      left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where s.last_value is not null and s.increment_by > 0 and not s.cycle
    order by 1`;
  const tables = await sql<TableUpkeep[]>`
    select format('%I.%I', schemaname, relname) as "table", n_live_tup::float8 as "liveRows",
      n_dead_tup::float8 as "deadRows", n_mod_since_analyze::float8 as "changedRows",
      greatest(last_analyze, last_autoanalyze) as "analyzedAt"
    from pg_stat_user_tables
    where schemaname not in ('_timescaledb_catalog', '_timescaledb_config', 'cryptosense_db')
      and relname not like 'compress_hyper_%'
    order by 1`;
  return reading({
    transactionAges: ages.map(({ database, transactions: age }) => ({ database, age })),
    multixactAges: ages.map(({ database, multixacts: age }) => ({ database, age })),
    sequences,
    tables,
  });
}

function judgeTransactionIds({ transactionAges, multixactAges }: Storage): readonly Diagnosis[] {
  return [
    ...transactionAges.map((each) => ({ ...each, what: 'transaction ids' })),
    ...multixactAges.map((each) => ({ ...each, what: 'multixact ids' })),
  ].flatMap(({ database, age, what }) => {
    const share = age / mostTransactions;
    if (share < 0.4) return [];
    return {
      severity: share < 0.75 ? 'warning' : 'critical',
      message: `"${database}" has used ${Math.round(share * 100)} % of its ${what}; at the end the server refuses writes`,
      evidence: [
        'autovacuum should freeze rows long before: a long transaction, a replication slot or a prepared transaction may hold it back',
      ],
      hint: `see cryptosense-db inspect activity, end what is old, then in "${database}": vacuum (freeze, verbose)`,
    };
  });
}

function judgeSequences({ sequences }: Storage): readonly Diagnosis[] {
  return sequences.flatMap(({ sequence, last, most }) => {
    const share = last / most;
    if (share < 0.7) return [];
    return {
      severity: share < 0.9 ? 'warning' : 'critical',
      message: `${sequence} has given ${Math.round(share * 100)} % of its numbers; at the end each INSERT fails`,
      hint: 'a migration that makes the column BIGINT, and the sequence too: alter sequence NAME as bigint',
    };
  });
}

const fewRows = 10_000;

/** Autovacuum begins at 20 % and 50 rows. */
function judgeDeadRows({ tables }: Storage): Diagnosis | undefined {
  const behind = tables.filter(
    ({ liveRows, deadRows }) => deadRows > fewRows && deadRows > 0.4 * liveRows,
  );
  if (behind.length === 0) return undefined;
  return {
    severity: 'warning',
    message: `vacuum is behind: ${listed(behind)}`,
    evidence: behind
      .slice(0, 5)
      .map(({ table, deadRows, liveRows }) => `${table}: ${deadRows} dead rows, ${liveRows} live`),
    hint: 'see which old transaction keeps them: cryptosense-db inspect activity; then: vacuum (verbose, analyze) TABLE',
  };
}

/** Autoanalyze begins at 10 % and 50 rows. */
function judgeStatistics({ tables }: Storage, { now }: Moment): Diagnosis | undefined {
  const dayMs = 86_400_000;
  const behind = tables.filter(
    ({ liveRows, changedRows, analyzedAt }) =>
      liveRows + changedRows > fewRows &&
      changedRows > 0.3 * liveRows &&
      (analyzedAt === null || now.getTime() - analyzedAt.getTime() > dayMs),
  );
  if (behind.length === 0) return undefined;
  return {
    severity: 'warning',
    message: `the planner works with old statistics: ${listed(behind)}`,
    evidence: behind
      .slice(0, 5)
      .map(
        ({ table, changedRows, analyzedAt }) =>
          `${table}: ${changedRows} rows changed, ${analyzedAt === null ? 'never analyzed' : `analyzed ${analyzedAt.toISOString().slice(0, 10)}`}`,
      ),
    hint: 'analyze TABLE; for chunks, analyze their hypertable',
  };
}

function listed(tables: readonly TableUpkeep[]): string {
  const [first, ...others] = tables.map(({ table }) => table);
  return others.length === 0 ? (first ?? '') : `${first} and ${others.length} more`;
}
