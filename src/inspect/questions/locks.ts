import { formatAge, plural } from '../../runtime/amounts.ts';
import { defineQuestion, type Sight } from '../question.ts';
import { shownRelations } from '../relations.ts';
import { describeHiding } from '../sight.ts';
import { startOfStatement, withoutTexts } from '../statement-text.ts';

/** A session that waits for a lock or holds one that others wait for. */
export interface LockedSession {
  /** 0: a prepared transaction. */
  readonly pid: number;
  readonly role: string;
  readonly application: string;
  /** null where the role may not see it. */
  readonly state: string | null;
  /** Since when the transaction is open; null where the role may not see it. */
  readonly transactionMs: number | null;
  /** null: it waits for no lock. */
  readonly waitMs: number | null;
  /** `holdings (AccessExclusive)`; null: it waits for no lock. */
  readonly waitsFor: string | null;
  readonly statement: string | null;
  /** The sessions that it waits for, also those before it in the queue. */
  readonly blockers: readonly number[];
}

/** Sessions of this database that wait for a lock, and those of any database that they wait for. */
export async function readLocks(sight: Sight): Promise<readonly LockedSession[]> {
  const rows = await sight.sql<LockedSession[]>`
    with ${shownRelations(sight)},
    waiting as (
      select l.pid, replace(l.mode, 'Lock', '') as mode, l.waitstart,
        coalesce(shown."table", l.relation::regclass::text, case l.locktype
          when 'transactionid' then 'a row of another transaction'
          when 'advisory' then 'an advisory lock'
          else 'a ' || l.locktype
        end) as thing,
        pg_blocking_pids(l.pid) as blockers
      from pg_locks l join pg_stat_activity a on a.pid = l.pid
      left join shown on shown.relation = l.relation
      where not l.granted and a.datname = current_database()
    ), involved as (
      select pid from waiting union select unnest(blockers) from waiting
    )
    select
      i.pid, coalesce(a.usename, '') as role, coalesce(a.application_name, '') as application,
      a.state, nullif(a.query, '<insufficient privilege>') as statement,
      extract(epoch from clock_timestamp() - a.xact_start)::float8 * 1000 as "transactionMs",
      extract(epoch from clock_timestamp() - w.waitstart)::float8 * 1000 as "waitMs",
      w.thing || ' (' || w.mode || ')' as "waitsFor",
      coalesce(w.blockers, '{}') as blockers
    from involved i
    left join waiting w on w.pid = i.pid
    left join pg_stat_activity a on a.pid = i.pid
    order by a.xact_start, i.pid`;
  return rows.map((row) => ({
    ...row,
    statement: row.statement === null ? null : withoutTexts(row.statement),
  }));
}

export type LockRow = {
  readonly depth: number;
  readonly session: string;
  readonly pid: number;
  readonly state: string | null;
  readonly waitMs: number | null;
  readonly waitsFor: string | null;
  /** Sessions below it. */
  readonly blocked: number;
  readonly statement: string | null;
};

interface LockTree {
  readonly session: LockedSession;
  readonly below: readonly LockTree[];
}

/** Each session once, below the first of those that it waits for. The first roots wait for nothing. */
export function buildLockTrees(sessions: readonly LockedSession[]): readonly LockTree[] {
  const placed = new Set<number>();
  const grow = (session: LockedSession): LockTree => {
    placed.add(session.pid);
    const below: LockTree[] = [];
    for (const other of sessions) {
      if (placed.has(other.pid) || parentOf(other) !== session.pid) continue;
      below.push(grow(other));
    }
    return { session, below };
  };
  const known = new Set(sessions.map(({ pid }) => pid));
  /** A session that waits behind others in a queue is below the one that holds the lock. */
  const parentOf = ({ blockers }: LockedSession) => {
    const present = blockers.filter((pid) => known.has(pid));
    return present.find((pid) => isHolder(pid)) ?? present[0];
  };
  const isHolder = (pid: number) =>
    sessions.some((session) => session.pid === pid && session.blockers.length === 0);
  const roots = sessions.filter(({ blockers }) => blockers.length === 0).map(grow);
  // Sessions that wait for each other: the server ends one of them after deadlock_timeout.
  const circles = sessions.flatMap((session) => (placed.has(session.pid) ? [] : [grow(session)]));
  return [...roots, ...circles];
}

function rowsOf({ session, below }: LockTree, depth = 0): readonly LockRow[] {
  const { pid, role, application, state, waitMs, waitsFor, statement } = session;
  const children = below.flatMap((tree) => rowsOf(tree, depth + 1));
  return [
    {
      depth,
      session: nameOf({ pid, role, application }),
      pid,
      state,
      waitMs,
      waitsFor,
      blocked: children.length,
      statement,
    },
    ...children,
  ];
}

function nameOf({ pid, role, application }: Pick<LockedSession, 'pid' | 'role' | 'application'>) {
  if (pid === 0) return 'a prepared transaction';
  const words = [role, application].filter((word) => word !== '');
  return words.length === 0 ? String(pid) : `${pid} (${words.join(', ')})`;
}

/** A shorter wait ends by itself. */
const longWaitMs = 1_000;

export function adviseLocks(sessions: readonly LockedSession[]): readonly string[] {
  return buildLockTrees(sessions).flatMap((tree) => {
    const { session } = tree;
    const waiting = sessionsBelow(tree);
    const longest = Math.max(0, ...waiting.map(({ waitMs }) => waitMs ?? 0));
    if (longest < longWaitMs) return [];
    const { pid, state, transactionMs, statement } = session;
    const facts = [
      ...(state === null ? [] : [state]),
      ...(transactionMs === null ? [] : [`in a transaction for ${formatAge(transactionMs)}`]),
    ];
    const who = `${nameOf(session)}${facts.length === 0 ? '' : `, ${facts.join(', ')},`}`;
    const count = plural(waiting.length, 'session');
    if (pid === 0) {
      return [
        `A prepared transaction blocks ${count}, the longest for ${formatAge(longest)}. ` +
          "Find it with `select gid from pg_prepared_xacts`, and end it: `rollback prepared 'GID'`.",
      ];
    }
    const remedy =
      state === 'active'
        ? `cancel its statement${statement === null ? '' : ` "${startOfStatement(statement)}"`}: \`select pg_cancel_backend(${pid})\``
        : `end it: \`select pg_terminate_backend(${pid})\``;
    return [
      `Session ${who} blocks ${count}, the longest for ${formatAge(longest)}. Let it finish, or ${remedy}.`,
    ];
  });
}

function sessionsBelow({ below }: LockTree): readonly LockedSession[] {
  return below.flatMap((tree) => [tree.session, ...sessionsBelow(tree)]);
}

export const locks = defineQuestion<LockRow>({
  name: 'locks',
  columns: [
    { key: 'session', label: 'session', kind: 'tree' },
    { key: 'state', label: 'state', kind: 'text' },
    { key: 'waitMs', label: 'waits', kind: 'ms' },
    { key: 'waitsFor', label: 'for', kind: 'text' },
    { key: 'blocked', label: 'blocks', kind: 'count' },
    { key: 'statement', label: 'statement', kind: 'sql', isOptional: true },
  ],
  empty: 'No session waits for a lock.',
  ask: async (_, sight) => {
    const sessions = await readLocks(sight);
    const hidden = sessions.filter(({ pid, statement }) => pid !== 0 && statement === null).length;
    return {
      rows: buildLockTrees(sessions).flatMap((tree) => rowsOf(tree)),
      advice: adviseLocks(sessions),
      unseen:
        hidden === 0
          ? []
          : [
              describeHiding(
                sight,
                `The statements of ${plural(hidden, 'session')} of other roles`,
              ),
            ],
    };
  },
});
