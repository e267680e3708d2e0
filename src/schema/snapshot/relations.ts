import type { Sql } from '../../database/connection.ts';
import type { Parse } from '../../sql/parse.ts';
import { factsOf } from './facts.ts';
import { normalizeExpression, normalizeGrants, normalizeQuery } from './normalize.ts';
import { isNoChunk, isNoMember, isOwnSchema } from './own.ts';
import { readParts } from './parts.ts';
import type { Rights, SchemaObject } from './snapshot.ts';
import type { TimescaleFacts } from './timescale.ts';

interface RelationRow {
  readonly oid: number;
  readonly name: string;
  readonly kind: string;
  readonly comment: string | null;
  readonly isUnlogged: boolean;
  readonly options: readonly string[] | null;
  readonly partitionKey: string | null;
  readonly partitionOf: string | null;
  readonly bound: string | null;
  readonly inherits: readonly string[] | null;
  readonly rowSecurity: string | null;
  readonly replicaIdentity: string | null;
  readonly server: string | null;
  readonly serverOptions: readonly string[] | null;
  readonly query: string | null;
  readonly isPopulated: boolean;
  readonly owner: string;
  readonly grants: readonly string[] | null;
  readonly revoked: readonly string[] | null;
}

/** Tables, partitions, foreign tables and views, each with what belongs to it. */
export async function readRelations(
  sql: Sql,
  {
    owners,
    grants,
    timescale,
    parse,
  }: Rights & { readonly timescale: TimescaleFacts; readonly parse: Parse },
): Promise<readonly SchemaObject[]> {
  const rows = await sql<RelationRow[]>`
    select c.oid::int8::float8 as oid, format('%I.%I', n.nspname, c.relname) as name,
      case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'f' then 'foreign table'
        when 'v' then 'view' else 'materialized view' end as kind,
      obj_description(c.oid, 'pg_class') as comment,
      c.relpersistence = 'u' as "isUnlogged",
      (
        select array_agg(o order by o collate "C") from (
          select unnest(c.reloptions) as o
          union all
          select 'toast.' || unnest(reloptions) from pg_class where oid = c.reltoastrelid
        ) as options
      ) as options,
      case c.relkind when 'p' then pg_get_partkeydef(c.oid) end as "partitionKey",
      case when c.relispartition then (
        select inhparent::regclass::text from pg_inherits where inhrelid = c.oid
      ) end as "partitionOf",
      pg_get_expr(c.relpartbound, c.oid) as bound,
      case when not c.relispartition then (
        select array_agg(inhparent::regclass::text order by inhseqno) from pg_inherits where inhrelid = c.oid
      ) end as inherits,
      case when c.relforcerowsecurity then 'forced' when c.relrowsecurity then 'on' end as "rowSecurity",
      case c.relreplident when 'f' then 'full' when 'n' then 'nothing' when 'i' then (
        select 'index ' || indexrelid::regclass::text from pg_index where indrelid = c.oid and indisreplident
      ) end as "replicaIdentity",
      s.srvname as server, f.ftoptions as "serverOptions",
      case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid, true) end as query,
      c.relispopulated as "isPopulated",
      pg_get_userbyid(c.relowner) as owner,
      case when ${grants} then (
        select array_agg(g order by g collate "C") from (
          select ${grantText(sql)} as g from aclexplode(c.relacl) as a where a.grantee <> c.relowner
          union all
          select format('%s (%I)', ${grantText(sql)}, attname)
          from pg_attribute, aclexplode(attacl) as a
          where attrelid = c.oid and not attisdropped and a.grantee <> c.relowner
        ) as granted
      ) end as grants,
      case when ${grants} then ${revokedOf(sql, { acl: 'c.relacl', kind: 'r', owner: 'c.relowner' })} end as revoked
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
      left join pg_foreign_table f on f.ftrelid = c.oid
      left join pg_foreign_server s on s.oid = f.ftserver
    where c.relkind in ('r', 'p', 'f', 'v', 'm') and ${isOwnSchema(sql)}
      and ${isNoMember(sql, { catalog: 'pg_class', oid: 'c.oid' })}
      and ${isNoChunk(sql, timescale.isThere)}`;
  const parts = await readParts(sql, { oids: rows.map(({ oid }) => oid) });
  return rows.map((row) => {
    const aggregate = timescale.aggregates.get(row.name);
    const isView = row.query !== null;
    return {
      kind: isView ? 'view' : 'table',
      name: row.name,
      facts: factsOf({
        kind: aggregate
          ? 'continuous aggregate'
          : row.kind === 'table' || row.kind === 'view'
            ? null
            : row.kind,
        unlogged: row.isUnlogged,
        options: row.options,
        'partition key': row.partitionKey,
        'partition of': row.partitionOf,
        bound: row.bound && normalizeExpression(row.bound),
        inherits: row.inherits,
        'row security': row.rowSecurity,
        // Of a view or a foreign table it says nothing.
        'replica identity': isView || row.server !== null ? null : row.replicaIdentity,
        server: row.server,
        'server options': row.serverOptions,
        query: row.query && normalizeQuery(aggregate?.query ?? row.query, parse),
        'not populated': !row.isPopulated,
        ...timescale.hypertables.get(row.name),
        ...aggregate?.facts,
        comment: row.comment,
        owner: owners && row.owner,
        grants: normalizeGrants(row.grants),
        'revoked from owner': row.revoked,
      }),
      parts: [...(parts.get(row.oid) ?? []), ...(aggregate?.indexes ?? [])],
    };
  });
}

/** Of a row of aclexplode as `a`: `reader: SELECT`, with a star when it may be passed on. */
export function grantText(sql: Sql) {
  return sql`format('%s: %s%s', case a.grantee when 0 then 'public' else a.grantee::regrole::text end,
    a.privilege_type, case when a.is_grantable then '*' else '' end)`;
}

/** What the owner has of a new object and not of this one, sorted. */
export function revokedOf(
  sql: Sql,
  { acl, kind, owner }: { readonly acl: string; readonly kind: string; readonly owner: string },
) {
  return sql`(
    select array_agg(u.privilege_type order by u.privilege_type collate "C")
    from aclexplode(acldefault(${kind}::text::"char", ${sql(owner)})) as u
    -- Releases before 17 do not know it.
    where u.grantee = ${sql(owner)} and u.privilege_type <> 'MAINTAIN' and ${sql(acl)} is not null
      and not exists (
        select from aclexplode(${sql(acl)}) as a
        where a.grantee = u.grantee and a.privilege_type = u.privilege_type
      )
  )`;
}
