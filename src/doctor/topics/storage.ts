import { quoteIdentifier, type Session, type Sql } from '../../database/connection.ts';
import { plural } from '../../runtime/amounts.ts';
import { type Diagnosis, type Reading, reading, type Topic } from '../rule.ts';

export interface Storage {
  /** Transactions since the oldest row that is not frozen, by database of the server; 2,000,000,000 end the server. */
  readonly transactionAges: readonly { readonly database: string; readonly age: number }[];
  readonly multixactAges: readonly { readonly database: string; readonly age: number }[];
  readonly sequences: readonly SequenceUse[];
}

export interface SequenceUse {
  /** As an identifier, like the table and the column. */
  readonly sequence: string;
  /** The share of the numbers that are given, from 0 to 1: of the sequence, or of the column that it fills. */
  readonly used: number;
  readonly isDescending: boolean;
  /** The column that ends first, where it ends before BIGINT does; null without one. */
  readonly fills: { readonly table: string; readonly column: string } | null;
}

/** PostgreSQL refuses writes three million before this (docs, "Preventing Transaction ID Wraparound Failures"). */
const mostTransactions = 2 ** 31;

export const storage: Topic<Storage, Session> = {
  name: 'storage',
  read: readStorage,
  rules: [
    { name: 'transaction-ids', judge: judgeTransactionIds },
    { name: 'sequence-runs-out', judge: judgeSequences },
  ],
};

async function readStorage({ sql, target, server: { user } }: Session): Promise<Reading<Storage>> {
  // The embedded engine has a fixed number in place of an age.
  const ages =
    target.kind === 'embedded'
      ? []
      : await sql<{ database: string; transactions: number; multixacts: number }[]>`
          select datname as database, age(datfrozenxid) as transactions, mxid_age(datminmxid) as multixacts
          from pg_database order by 1`;
  const sequences = await readSequences(sql);
  const closed = sequences.filter(({ isOpen }) => !isOpen);
  const facts: Storage = {
    transactionAges: ages.map(({ database, transactions: age }) => ({ database, age })),
    multixactAges: ages.map(({ database, multixacts: age }) => ({ database, age })),
    sequences: sequences.filter(({ isOpen }) => isOpen),
  };
  if (closed.length === 0) return reading(facts);
  return reading(facts, [
    {
      rules: ['sequence-runs-out'],
      reason: `the role may not read ${plural(closed.length, 'sequence')}`,
      remedy: `grant pg_read_all_data to ${quoteIdentifier(user)}`,
    },
  ]);
}

/**
 * A column may be smaller than its sequence: an identity or serial column, and one whose DEFAULT names the sequence. A
 * sequence that begins again at its end (CYCLE) is left out.
 */
async function readSequences(sql: Sql): Promise<readonly (SequenceUse & { isOpen: boolean })[]> {
  return sql<(SequenceUse & { isOpen: boolean })[]>`
    with fills as (
      select objid as sequence, refobjid as relation, refobjsubid as number
      from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and deptype in ('a', 'i')
        and refobjsubid > 0
      union
      select d.refobjid, f.adrelid, f.adnum
      from pg_depend d join pg_attrdef f on f.oid = d.objid
      where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass
    ), limits as (
      select f.sequence, a.attname as name, f.relation,
        case a.atttypid when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647 end as most
      from fills f join pg_attribute a on a.attrelid = f.relation and a.attnum = f.number
    ), used as (
      select
        format('%I.%I', n.nspname, c.relname) as sequence, s.seqincrement < 0 as descending,
        case when s.seqincrement < 0 then -(s.seqmin::float8) else s.seqmax::float8 end as own_most,
        -- Only this function reads a sequence without its name.
        case when has_sequence_privilege(c.oid, 'select, usage') then pg_sequence_last_value(c.oid) end::float8 as last,
        has_sequence_privilege(c.oid, 'select, usage') as open,
        least_of.*
      from pg_sequence s
        join pg_class c on c.oid = s.seqrelid
        join pg_namespace n on n.oid = c.relnamespace
        left join lateral (
          select l.name, l.relation, l.most::float8 as column_most
          from limits l where l.sequence = c.oid and l.most is not null order by l.most limit 1
        ) least_of on true
      where not s.seqcycle and c.relpersistence <> 't' and n.nspname !~ '^_?timescaledb_'
    )
    select
      sequence, open as "isOpen", descending as "isDescending",
      case when descending then -last else last end / least(own_most, column_most) as used,
      case when column_most <= own_most then json_build_object(
        'table', relation::regclass::text, 'column', quote_ident(name)
      ) end as fills
    from used
    where last is not null or not open
    order by 1`;
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
  return sequences.flatMap(({ sequence, used, isDescending, fills }) => {
    if (used < 0.7) return [];
    const widen = fills
      ? `alter table ${fills.table} alter column ${fills.column} type bigint; `
      : '';
    const bound = isDescending ? 'minvalue' : 'maxvalue';
    return {
      severity: used < 0.9 ? 'warning' : 'critical',
      message: `${sequence} has given ${Math.min(100, Math.round(used * 100))} % of its numbers; at the end each INSERT fails`,
      hint: `a migration with: ${widen}alter sequence ${sequence} as bigint no ${bound}`,
    };
  });
}
