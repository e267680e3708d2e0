import type { Session } from '../../database/connection.ts';
import { readSight } from '../../inspect/sight.ts';
import { formatCount } from '../../runtime/amounts.ts';
import {
  absent,
  type Diagnosis,
  type Moment,
  type Reading,
  reading,
  type Topic,
  unseen,
} from '../rule.ts';

/** What the server has counted of each table. */
export interface Upkeep {
  readonly tables: readonly TableUpkeep[];
}

/** A chunk is a table of its own. */
export interface TableUpkeep {
  /** As an identifier. */
  readonly table: string;
  readonly liveRows: number;
  readonly deadRows: number;
  /** Rows that changed since the last ANALYZE. */
  readonly changedRows: number;
  readonly analyzedAt: Date | null;
}

export const upkeep: Topic<Upkeep, Session> = {
  name: 'upkeep of tables',
  read: readUpkeep,
  rules: [
    { name: 'vacuum-behind', judge: judgeDeadRows },
    { name: 'statistics-behind', judge: judgeStatistics },
  ],
};

async function readUpkeep(session: Session): Promise<Reading<Upkeep>> {
  const { sql } = session;
  const { isEmbeddedEngine, isStandby, isCounting } = await readSight(session);
  if (isEmbeddedEngine) return absent;
  if (isStandby) return unseen('a standby does not count dead and changed rows', 'ask the primary');
  if (!isCounting) {
    return unseen(
      'the server does not count dead and changed rows',
      'let it count them (rule track-counts-off)',
    );
  }
  const tables = await sql<TableUpkeep[]>`
    select format('%I.%I', schemaname, relname) as "table", n_live_tup::float8 as "liveRows",
      n_dead_tup::float8 as "deadRows", n_mod_since_analyze::float8 as "changedRows",
      greatest(last_analyze, last_autoanalyze) as "analyzedAt"
    from pg_stat_user_tables
    where schemaname not in ('_timescaledb_catalog', '_timescaledb_config', 'cryptosense_db')
      and relname not like 'compress_hyper_%'
    order by 1`;
  return reading({ tables });
}

const fewRows = 10_000;
/** More tables are counted. */
const shown = 5;

/** Autovacuum begins at 20 % and 50 rows. */
function judgeDeadRows({ tables }: Upkeep): Diagnosis | undefined {
  const behind = tables.filter(
    ({ liveRows, deadRows }) => deadRows > fewRows && deadRows > 0.4 * liveRows,
  );
  if (behind.length === 0) return undefined;
  return {
    severity: 'warning',
    message: `vacuum is behind: ${listed(behind)}`,
    evidence: behind
      .slice(0, shown)
      .map(
        ({ table, deadRows, liveRows }) =>
          `${table}: ${formatCount(deadRows)} dead rows, ${formatCount(liveRows)} live`,
      ),
    hint: `see which old transaction keeps them: cryptosense-db inspect activity; then: vacuum (analyze)${namesOf(behind)}`,
  };
}

/** Autoanalyze begins at 10 % and 50 rows. */
function judgeStatistics({ tables }: Upkeep, { now }: Moment): Diagnosis | undefined {
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
      .slice(0, shown)
      .map(
        ({ table, changedRows, analyzedAt }) =>
          `${table}: ${formatCount(changedRows)} rows changed, ${analyzedAt === null ? 'never analyzed' : `analyzed ${analyzedAt.toISOString().slice(0, 10)}`}`,
      ),
    hint: `analyze${namesOf(behind)}`,
  };
}

/** For VACUUM and ANALYZE, which take all tables of the database where none is named. */
function namesOf(tables: readonly TableUpkeep[]): string {
  return tables.length > shown ? '' : ` ${tables.map(({ table }) => table).join(', ')}`;
}

function listed(tables: readonly TableUpkeep[]): string {
  const [first, ...others] = tables.map(({ table }) => table);
  return others.length === 0 ? (first ?? '') : `${first} and ${others.length} more`;
}
