import { formatAge, plural } from '../../runtime/amounts.ts';
import { defineQuestion, type Sight } from '../question.ts';
import { describeHiding } from '../sight.ts';
import { startOfStatement, withoutTexts } from '../statement-text.ts';

/** A session of this database that runs a statement or is in a transaction, or a prepared transaction. */
export type OpenTransaction = {
  /** null: a prepared transaction, which no session holds. */
  readonly pid: number | null;
  readonly role: string;
  readonly application: string;
  /** `active`, `idle in transaction`, …, or `prepared`. */
  readonly state: string;
  readonly transactionMs: number;
  /** Since when it is in this state. */
  readonly stateMs: number;
  /** What it waits for; null: nothing. */
  readonly waitsFor: string | null;
  /** The running statement, or the last one; the name of a prepared transaction. */
  readonly statement: string;
};

/** The oldest transaction first. Without this session and the server's own processes. */
export async function readActivity({
  sql,
}: Pick<Sight, 'sql'>): Promise<readonly OpenTransaction[]> {
  const rows = await sql<OpenTransaction[]>`
    select * from (
      select
        pid, coalesce(usename, '') as role, coalesce(application_name, '') as application, state,
        extract(epoch from clock_timestamp() - xact_start)::float8 * 1000 as "transactionMs",
        extract(epoch from clock_timestamp() - state_change)::float8 * 1000 as "stateMs",
        case when state = 'active' then wait_event_type || ': ' || wait_event end as "waitsFor",
        query as statement
      from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()
        and xact_start is not null and backend_type = 'client backend'
      union all
      select
        null, owner, '', 'prepared',
        extract(epoch from clock_timestamp() - prepared)::float8 * 1000,
        extract(epoch from clock_timestamp() - prepared)::float8 * 1000,
        null, gid
      from pg_prepared_xacts where database = current_database()
    ) found
    order by "transactionMs" desc`;
  return rows.map((row) => ({
    ...row,
    statement: row.state === 'prepared' ? row.statement : withoutTexts(row.statement),
  }));
}

/** How many sessions the role may not look into. That of TimescaleDB's scheduler runs no statement. */
export async function countHidden({ sql }: Pick<Sight, 'sql'>): Promise<number> {
  const [{ hidden }] = await sql<[{ hidden: number }]>`
    select count(*)::int as hidden from pg_stat_activity
    where datname = current_database() and query = '<insufficient privilege>'
      and application_name not like 'TimescaleDB Background Worker %'`;
  return hidden;
}

/** From then on a transaction is in the way: VACUUM keeps the rows that it can see, and a migration waits for it. */
export const longMs = 5 * 60_000;
export const longIdleMs = 60_000;

export function adviseActivity(transactions: readonly OpenTransaction[]): readonly string[] {
  return transactions.flatMap(
    ({ pid, role, application, state, transactionMs, stateMs, statement }) => {
      const age = formatAge(transactionMs);
      if (state === 'prepared') {
        return transactionMs < longMs
          ? []
          : [
              `The prepared transaction ${statement} is ${age} old, and keeps its locks. ` +
                `End it: \`rollback prepared '${statement.replaceAll("'", "''")}'\`, or commit it.`,
            ];
      }
      const name = `${pid} (${[role, application].filter((word) => word !== '').join(', ')})`;
      if (state.startsWith('idle in transaction')) {
        return stateMs < longIdleMs
          ? []
          : [
              `Session ${name} has a transaction open and has done nothing for ${formatAge(stateMs)}. ` +
                `End it: \`select pg_terminate_backend(${pid})\`. So that the server ends such sessions: ` +
                `\`alter role ${quoted(role)} set idle_in_transaction_session_timeout = '1min'\`.`,
            ];
      }
      return transactionMs < longMs
        ? []
        : [
            `Session ${name} is in a transaction for ${age}, now with "${startOfStatement(statement)}". ` +
              `If it should not run that long, cancel its statement: \`select pg_cancel_backend(${pid})\`.`,
          ];
    },
  );
}

function quoted(role: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(role) ? role : `"${role.replaceAll('"', '""')}"`;
}

export const activity = defineQuestion<OpenTransaction>({
  name: 'activity',
  columns: [
    { key: 'pid', label: 'pid', kind: 'text' },
    { key: 'role', label: 'role', kind: 'text' },
    { key: 'application', label: 'application', kind: 'text', isOptional: true },
    { key: 'state', label: 'state', kind: 'text' },
    { key: 'transactionMs', label: 'transaction', kind: 'ms' },
    { key: 'stateMs', label: 'in this state', kind: 'ms', isOptional: true },
    { key: 'waitsFor', label: 'waits for', kind: 'text', isOptional: true },
    { key: 'statement', label: 'statement', kind: 'sql' },
  ],
  empty: 'No other session is in a transaction.',
  ask: async (_, sight) => {
    const rows = await readActivity(sight);
    const hidden = await countHidden(sight);
    return {
      rows,
      advice: adviseActivity(rows),
      unseen:
        hidden === 0
          ? []
          : [describeHiding(sight, `What ${plural(hidden, 'session')} of other roles do`)],
    };
  },
});
