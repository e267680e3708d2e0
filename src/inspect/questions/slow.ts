import { formatCount } from '../../runtime/amounts.ts';
import { defineQuestion, type Found, type Sight } from '../question.ts';
import { describeHiding } from '../sight.ts';
import { startOfStatement, withoutTexts } from '../statement-text.ts';

/** What pg_stat_statements has counted of a statement in this database. */
export type SlowStatement = {
  /** With $1 in place of values; null where the role may not read it. */
  readonly query: string | null;
  readonly calls: number;
  readonly totalMs: number;
  readonly meanMs: number;
  readonly maxMs: number;
  /** Of the time of all statements in this database. */
  readonly share: number;
  readonly rows: number;
  /** Pages that were in the server's memory, of all that it read. null: it read none. */
  readonly hitRatio: number | null;
};

/** How far pg_stat_statements is set up. `where` is the schema of its view. */
export type StatementCounting =
  | { readonly state: 'on'; readonly where: string; readonly since: Date | null }
  | { readonly state: 'no extension' | 'not loaded'; readonly libraries: string | null };

export async function readStatementCounting({ sql }: Sight): Promise<StatementCounting> {
  const [facts] = await sql<
    [{ where: string | null; isLoaded: boolean; libraries: string | null }]
  >`
    select
      (
        select quote_ident(nspname) from pg_extension join pg_namespace n on n.oid = extnamespace
        where extname = 'pg_stat_statements'
      ) as "where",
      exists (select from pg_settings where name = 'pg_stat_statements.max') as "isLoaded",
      -- Only some roles may see it.
      (select setting from pg_settings where name = 'shared_preload_libraries') as libraries`;
  const { where, isLoaded, libraries } = facts;
  if (!isLoaded) return { state: 'not loaded', libraries };
  if (where === null) return { state: 'no extension', libraries };
  const [info] = await sql.unsafe<{ since: Date | null }[]>(
    `select stats_reset as since from ${where}.pg_stat_statements_info`,
  );
  return { state: 'on', where, since: info?.since ?? null };
}

/** Those that took the most time in all first, a hundred at most. `where` is the schema of the view. */
export async function readSlow(
  { sql }: Pick<Sight, 'sql'>,
  where: string,
): Promise<readonly SlowStatement[]> {
  const rows = await sql.unsafe<SlowStatement[]>(`
    select
      nullif(query, '<insufficient privilege>') as query,
      calls::float8, total_exec_time as "totalMs", mean_exec_time as "meanMs", max_exec_time as "maxMs",
      coalesce(total_exec_time / nullif(sum(total_exec_time) over (), 0), 0) as share,
      rows::float8,
      shared_blks_hit::float8 / nullif(shared_blks_hit + shared_blks_read, 0) as "hitRatio"
    from ${where}.pg_stat_statements
    where toplevel and dbid = (select oid from pg_database where datname = current_database())
    order by total_exec_time desc limit 100`);
  return rows.map((row) => ({
    ...row,
    query: row.query === null ? null : withoutTexts(row.query),
  }));
}

/** The longest target of the specification's section 6.1. */
const slowMs = 200;
const enoughCalls = 5;
const mostAdvised = 5;

/** Utility statements, such as the CREATE INDEX of a migration, may take their time. */
export function adviseSlow(statements: readonly SlowStatement[]): readonly string[] {
  return statements
    .filter(
      ({ query, calls, meanMs }) =>
        meanMs >= slowMs &&
        calls >= enoughCalls &&
        query !== null &&
        /^\W*(?:select|with|insert|update|delete|merge)\b/i.test(query),
    )
    .slice(0, mostAdvised)
    .map(
      ({ query, calls, meanMs, share }) =>
        `${Math.round(share * 100)}% of the time goes to "${startOfStatement(query ?? '')}": ${formatCount(calls)} calls of ` +
        `${formatCount(Math.round(meanMs))} ms. See where its plan spends them, with values in place of $1: ` +
        '`explain (analyze, buffers) STATEMENT`.',
    );
}

export const slow = defineQuestion<SlowStatement>({
  name: 'slow',
  columns: [
    { key: 'query', label: 'statement', kind: 'sql' },
    { key: 'calls', label: 'calls', kind: 'count' },
    { key: 'totalMs', label: 'total', kind: 'ms' },
    { key: 'share', label: 'share', kind: 'ratio' },
    { key: 'meanMs', label: 'mean', kind: 'ms' },
    { key: 'maxMs', label: 'longest', kind: 'ms', isOptional: true },
    { key: 'rows', label: 'rows', kind: 'count', isOptional: true },
    { key: 'hitRatio', label: 'from memory', kind: 'ratio', isOptional: true },
  ],
  empty: 'pg_stat_statements has counted no statement of this database yet.',
  ask: async (_, sight) => {
    const counting = await readStatementCounting(sight);
    if (counting.state !== 'on') return describeMissing(counting, sight);
    const rows = await readSlow(sight, counting.where);
    const hidden = rows.filter(({ query }) => query === null).length;
    return {
      rows,
      advice: adviseSlow(rows),
      unseen:
        hidden === 0
          ? []
          : [
              describeHiding(
                sight,
                `The texts of ${formatCount(hidden)} statements of other roles`,
              ),
            ],
    };
  },
});

function describeMissing(
  { state, libraries }: Exclude<StatementCounting, { state: 'on' }>,
  { isEmbeddedEngine }: Sight,
): Found<SlowStatement> {
  const create = '`create extension pg_stat_statements`';
  if (state === 'no extension') {
    return {
      rows: [],
      advice: [`The server counts statements, and this database does not show them: ${create}.`],
      empty: 'The extension pg_stat_statements is not in this database.',
    };
  }
  const empty = isEmbeddedEngine
    ? 'The embedded engine counts no statements.'
    : 'The server counts no statements: it has not loaded pg_stat_statements.';
  if (isEmbeddedEngine) return { rows: [], advice: [], empty };
  const before = libraries === null ? ['LIBRARIES THAT ARE THERE'] : libraries.split(/\s*,\s*/);
  const all = [...before.filter((name) => name !== ''), 'pg_stat_statements'].join(', ');
  return {
    rows: [],
    advice: [
      `Load pg_stat_statements: \`alter system set shared_preload_libraries = ${all}\`, restart the server, ` +
        `then ${create}. A managed service has the setting in its parameter group.`,
    ],
    empty,
  };
}
