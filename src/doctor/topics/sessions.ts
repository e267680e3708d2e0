import { quoteIdentifier, type Session } from '../../database/connection.ts';
import { type Diagnosis, onPrimary, type Reading, reading, type Topic, unseen } from '../rule.ts';

export interface Sessions {
  readonly used: number;
  readonly most: number;
  /** The oldest transaction; null without one. */
  readonly oldest: {
    readonly pid: number;
    readonly role: string;
    readonly state: string;
    readonly ageMs: number;
  } | null;
  /** Prepared transactions (PREPARE TRANSACTION). */
  readonly prepared: readonly { readonly name: string; readonly ageMs: number }[];
}

const hourMs = 3_600_000;

export const sessions: Topic<Sessions, Session> = {
  name: 'sessions',
  read: readSessions,
  rules: [
    {
      name: 'connections-run-out',
      judge: ({ used, most }) =>
        used > 0.8 * most
          ? {
              severity: used > 0.95 * most ? 'critical' : 'warning',
              message: `${used} of ${most} connections are used; the next service that starts may be refused`,
              hint: 'put PgBouncer in front of the server, or lower the pools of the services (docs/connections.md)',
            }
          : undefined,
    },
    { name: 'old-transaction', judge: judgeOldest },
    {
      name: 'prepared-transactions',
      judge: ({ prepared }) =>
        prepared
          .filter(({ ageMs }) => ageMs > hourMs)
          .map(({ name, ageMs }) => ({
            severity: 'critical',
            message: `the prepared transaction ${name} has held its locks for ${hours(ageMs)}`,
            hint: `end it: rollback prepared '${name.replaceAll("'", "''")}'`,
          })),
    },
  ],
};

async function readSessions({ sql, server: { user } }: Session): Promise<Reading<Sessions>> {
  const [{ mayRead }] = await sql<[{ mayRead: boolean }]>`
    select pg_has_role('pg_read_all_stats', 'usage') as "mayRead"`;
  if (!mayRead)
    return unseen(
      'the role may not see the sessions of others',
      `grant pg_monitor to ${quoteIdentifier(user)}`,
    );
  const [counts] = await sql<[Pick<Sessions, 'used' | 'most'>]>`
    select (select count(*)::integer from pg_stat_activity where backend_type = 'client backend') as used,
      current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer as most`;
  const [oldest] = await sql<NonNullable<Sessions['oldest']>[]>`
    select pid, usename as role, state, extract(epoch from now() - xact_start)::float8 * 1000 as "ageMs"
    from pg_stat_activity
    where xact_start is not null and pid <> pg_backend_pid() and backend_type = 'client backend'
    order by xact_start limit 1`;
  const prepared = await sql<{ name: string; ageMs: number }[]>`
    select gid as name, extract(epoch from now() - prepared)::float8 * 1000 as "ageMs"
    from pg_prepared_xacts where database = current_database() order by prepared`;
  const [{ isStandby }] = await sql<[{ isStandby: boolean }]>`
    select pg_is_in_recovery() as "isStandby"`;
  const facts = { ...counts, oldest: oldest ?? null, prepared };
  return isStandby ? reading(facts, [onPrimary('prepared-transactions')]) : reading(facts);
}

function judgeOldest({ oldest }: Sessions): Diagnosis | undefined {
  if (oldest === null || oldest.ageMs < hourMs) return undefined;
  const { pid, role, state, ageMs } = oldest;
  return {
    severity: ageMs > 24 * hourMs ? 'critical' : 'warning',
    message: `a transaction is open for ${hours(ageMs)}, and vacuum keeps every row that it may see`,
    evidence: [`session ${pid} of "${role}", ${state}`],
    hint: `see it: cryptosense-db inspect activity; end it: select pg_terminate_backend(${pid})`,
  };
}

function hours(ms: number): string {
  return `${Math.round(ms / hourMs)} h`;
}
