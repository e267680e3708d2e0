import type { Session } from '../../database/connection.ts';
import { quoteIdentifier } from '../../database/quote.ts';
import { type Diagnosis, type Reading, reading, type Topic } from '../rule.ts';

export interface SchemaState {
  readonly invalidIndexes: readonly {
    readonly schema: string;
    readonly index: string;
    readonly table: string;
    /** Whether a statement of the last minutes may still build it. */
    readonly isBuilding: boolean;
  }[];
  /** Tables and columns of schema public without a comment, as `users` and `users.email`. */
  readonly uncommented: readonly string[];
}

export const schema: Topic<SchemaState, Session> = {
  name: 'schema',
  read: readSchema,
  rules: [
    {
      name: 'invalid-index',
      judge: ({ invalidIndexes }) =>
        invalidIndexes
          .filter(({ isBuilding }) => !isBuilding)
          .map(({ schema: owner, index, table }) => ({
            severity: 'critical' as const,
            message: `the index ${owner}.${index} on ${table} is invalid: no query uses it, and a unique one checks nothing for old rows`,
            hint: `reindex index concurrently ${quoteIdentifier(owner, index)}`,
          })),
    },
    { name: 'no-comments', judge: judgeComments },
  ],
};

async function readSchema({ sql }: Session): Promise<Reading<SchemaState>> {
  const invalidIndexes = await sql<SchemaState['invalidIndexes'][number][]>`
    select n.nspname as schema, c.relname as index, t.relname as "table",
      exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid) as "isBuilding"
    from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_class t on t.oid = i.indrelid
      join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relkind = 'i'
    order by 1, 2`;
  const uncommented = await sql<{ name: string }[]>`
    select case when a.attnum is null then c.relname else format('%s.%s', c.relname, a.attname) end as name
    from pg_class c
      join lateral (
        select null::name as attname, null::int2 as attnum
        union all
        select attname, attnum from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped and c.relkind in ('r', 'p')
      ) a on true
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
      and not exists (
        select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e'
      )
      and not exists (
        select from pg_description
        where objoid = c.oid and classoid = 'pg_class'::regclass and objsubid = coalesce(a.attnum, 0)
      )
    order by 1`;
  return reading({ invalidIndexes, uncommented: uncommented.map(({ name }) => name) });
}

const shown = 8;

function judgeComments({ uncommented }: SchemaState): Diagnosis | undefined {
  if (uncommented.length === 0) return undefined;
  const others = uncommented.length - shown;
  return {
    severity: 'note',
    message: `${uncommented.length} tables or columns have no comment`,
    evidence: [
      `${uncommented.slice(0, shown).join(', ')}${others > 0 ? ` and ${others} more` : ''}`,
    ],
    hint: "a migration with: comment on column TABLE.COLUMN is '…'",
  };
}
