import type { Session } from '../../database/connection.ts';
import { type InvalidIndex, readInvalidIndexes, repairOf } from '../../inspect/invalid-indexes.ts';
import { readSight } from '../../inspect/sight.ts';
import { formatCount } from '../../runtime/amounts.ts';
import { type Diagnosis, type Reading, reading, type Topic } from '../rule.ts';

export interface SchemaState {
  readonly invalidIndexes: readonly InvalidIndex[];
  readonly uncommented: readonly Uncommented[];
}

/** A table, view or column of schema public without a comment. */
export interface Uncommented {
  /** As COMMENT ON writes it. */
  readonly kind: 'table' | 'view' | 'materialized view' | 'column';
  /** As an identifier: `users`, `users.email`. */
  readonly name: string;
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
          .map((index) => {
            const { what, statement } = repairOf(index);
            return {
              severity: 'critical' as const,
              message: `the index ${index.name} of ${index.table} is invalid: no query uses it, and a unique one checks nothing for old rows`,
              hint: `${what[0]?.toLowerCase()}${what.slice(1)}: ${statement}`,
            };
          }),
    },
    { name: 'no-comments', judge: judgeComments },
  ],
};

async function readSchema(session: Session): Promise<Reading<SchemaState>> {
  const { sql } = session;
  const invalidIndexes = await readInvalidIndexes(await readSight(session));
  const uncommented = await sql<Uncommented[]>`
    select
      case when a.attnum is not null then 'column' when c.relkind = 'v' then 'view'
        when c.relkind = 'm' then 'materialized view' else 'table' end as kind,
      quote_ident(c.relname) || coalesce('.' || quote_ident(a.attname), '') as name
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
    order by c.relname, a.attnum nulls first`;
  return reading({ invalidIndexes, uncommented });
}

const shown = 8;

function judgeComments({ uncommented }: SchemaState): Diagnosis | undefined {
  const [first] = uncommented;
  if (first === undefined) return undefined;
  const names = uncommented.slice(0, shown).map(({ name }) => name);
  const others = uncommented.length - shown;
  return {
    severity: 'note',
    message: `tables and columns have no comment: ${formatCount(uncommented.length)}`,
    evidence: [`${names.join(', ')}${others > 0 ? ` and ${formatCount(others)} more` : ''}`],
    hint: `a migration with: comment on ${first.kind} ${first.name} is '…'`,
  };
}
