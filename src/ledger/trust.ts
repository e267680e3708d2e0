import { quoteIdentifier, type Session, type Sql } from '../database/connection.ts';
import { catalogProblem, permissionProblem } from '../database/permission.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';

/** What a run writes to the ledger: the history of migrations, the record of seeder runs, the mark, or price imports. */
export type LedgerUse = 'migrations' | 'seeds' | 'mark' | 'prices';

const history = ['ledger', 'migrations', 'migration_log', 'migration_journal', 'environment'];
const seedTables = ['seed_runs', 'seed_afterwards'];
const priceTables = ['price_imports', 'price_assets', 'price_files', 'price_upkeep'];

/** Release 0.1 let the role that seeds own the tables of seeds: only a run that seeds touches them. */
const tablesOf: Readonly<Record<LedgerUse, readonly string[]>> = {
  migrations: history,
  seeds: [...history, ...seedTables, ...priceTables],
  mark: history,
  prices: [...history, ...priceTables],
};

/** One thing that the catalog says of schema cryptosense_db. */
export interface LedgerFact {
  readonly kind:
    | 'schema'
    | 'table'
    | 'column'
    | 'default'
    | 'constraint'
    | 'index'
    | 'trigger'
    | 'function'
    | 'rule'
    | 'policy'
    | 'inheritance';
  /** Of what: `cryptosense_db.migrations`, or the name of the object on it. */
  readonly name: string;
  /** The definition, as the server writes it where only pg_catalog is searched. */
  readonly text: string;
  /** Of a schema, a table or a function. */
  readonly owner: string | null;
  readonly isOwnerTrusted: boolean;
}

/**
 * Roles whose code may run as this role, as rows of `trusted (id)`: superusers, this role, and the roles that it is
 * a member of. `pg_has_role` does not serve: it says of a superuser that it is a member of every role. Since
 * PostgreSQL 16 a membership may give the right to administer the role only.
 */
export function trustedRoles(sql: Sql) {
  return sql`
    recursive mine (id) as (
      select oid from pg_roles where rolname in (current_user, session_user)
      union
      select m.roleid from pg_auth_members m join mine on m.member = mine.id
      where coalesce((to_jsonb(m) ->> 'inherit_option')::bool, true)
        or coalesce((to_jsonb(m) ->> 'set_option')::bool, true)
    ), trusted (id) as (
      select id from mine union select oid from pg_roles where rolsuper
    )`;
}

/**
 * Checks the owner and the definition of schema cryptosense_db, from the catalog alone: a trigger, a rule, a policy,
 * a default or a CHECK of another role's would run as this role. Returns false when there is no such schema.
 * Call it before the first statement that names the ledger. Throws `ledger-untrusted`.
 */
export async function requireTrustedLedger(session: Session, use: LedgerUse): Promise<boolean> {
  const facts = await readFacts(session.sql, tablesOf[use]).catch((error: unknown) => {
    throw permissionProblem(error, catalogProblem(session.server));
  });
  if (facts.length === 0) return false;
  const reasons = findDistrust(facts);
  if (reasons.length === 0) return true;
  const strangers = facts.filter(({ owner, isOwnerTrusted }) => owner !== null && !isOwnerTrusted);
  const [stranger] = strangers.map(({ owner }) => owner);
  throw untrusted(session, { reasons, stranger });
}

/** The owner of the database may own the ledger: the definition is what this tool writes, or the run ends here. */
async function readFacts(sql: Sql, tables: readonly string[]): Promise<readonly LedgerFact[]> {
  return sql<LedgerFact[]>`
    with ${trustedRoles(sql)}, owners (id) as (
      select id from trusted
      union select datdba from pg_database where datname = current_database()
      union select oid from pg_roles where rolname = 'pg_database_owner'
    ), space as (
      select * from pg_namespace where nspname = 'cryptosense_db'
    ), classes as (
      select c.*, 'cryptosense_db.' || relname as name
      from pg_class c join space on c.relnamespace = space.oid
      where relname in ${sql([...tables])}
    ), facts (kind, name, text, owner) as (
      select 'schema', nspname::text, '', nspowner from space
      union all
      select 'table', name, relkind::text, relowner from classes
      union all
      select 'column', name || '.' || attname, format_type(atttypid, atttypmod), null
      from classes join pg_attribute on attrelid = classes.oid and attnum > 0
        join pg_type t on t.oid = atttypid
      where not attisdropped and t.typnamespace <> 'pg_catalog'::regnamespace
      union all
      select 'default', name || '.' || attname,
        case attgenerated when '' then '' else 'generated ' end || pg_get_expr(adbin, adrelid), null
      from classes join pg_attribute on attrelid = classes.oid
        join pg_attrdef on adrelid = attrelid and adnum = attnum
      union all
      select 'constraint', name || ', ' || conname, pg_get_constraintdef(k.oid), null
      from classes join pg_constraint k on conrelid = classes.oid
      where contype not in ('p', 'u', 'n')
      union all
      select 'index', name || ', ' || indexrelid::regclass, pg_get_indexdef(indexrelid), null
      from classes join pg_index on indrelid = classes.oid
      where indexprs is not null or indpred is not null or exists (
        select from pg_opclass o
        where o.oid = any (indclass) and opcnamespace <> 'pg_catalog'::regnamespace
      )
      union all
      select 'trigger', name || ', ' || tgname, pg_get_triggerdef(t.oid), null
      from classes join pg_trigger t on tgrelid = classes.oid
      where not tgisinternal
      union all
      select 'rule', name || ', ' || rulename, pg_get_ruledef(r.oid), null
      from classes join pg_rewrite r on ev_class = classes.oid
      union all
      select 'policy', name || ', ' || polname, '', null
      from classes join pg_policy on polrelid = classes.oid
      union all
      select 'policy', name, 'row security is on', null
      from classes where row_security_active(classes.oid)
      union all
      select 'inheritance', name, format('%s inherits %s', inhrelid::regclass, inhparent::regclass), null
      from classes join pg_inherits on classes.oid in (inhrelid, inhparent)
      where relkind = 'r'
      union all
      select 'function', 'cryptosense_db.' || proname,
        concat_ws(' ', lanname, case when prosecdef then 'security definer' end, proconfig::text, prosrc),
        proowner
      from pg_proc join space on pronamespace = space.oid join pg_language l on l.oid = prolang
      where proname = 'refuse_change' and pronargs = 0
    )
    select kind, name, coalesce(text, '') as text, pg_get_userbyid(owner) as owner,
      owner is null or owner in (select id from owners) as "isOwnerTrusted"
    from facts`;
}

/** The roles that may write to the history and that the run does not trust, quoted; PUBLIC is one. */
export async function findStrangers({ sql }: Session): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`
    with ${trustedRoles(sql)}, history as (
      select oid, relowner, relacl from pg_class
      where relname = 'migrations' and relnamespace = to_regnamespace('cryptosense_db')
    ), grants (id, privilege) as (
      select acl.grantee, acl.privilege_type from history, aclexplode(relacl) acl
      union all
      select acl.grantee, acl.privilege_type
      from history join pg_attribute on attrelid = history.oid, aclexplode(attacl) acl
    ), writers (id) as (
      select relowner from history
      union select id from grants where privilege in ('INSERT', 'UPDATE')
      union select member from pg_auth_members where roleid = to_regrole('pg_write_all_data')
    ), roles (id) as (
      select case when id = to_regrole('pg_database_owner') then datdba else id end
      from writers join pg_database on datname = current_database()
    )
    select distinct case id when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(id)) end as name
    from roles where id not in (select id from trusted) order by name`;
  return rows.map(({ name }) => name);
}

/** What is not as this tool makes it, one line each; empty for a ledger that can be used. */
export function findDistrust(facts: readonly LedgerFact[]): readonly string[] {
  return facts.flatMap((fact) => {
    const { kind, name, owner, isOwnerTrusted } = fact;
    if (!isOwnerTrusted) return [`the ${kind} ${name} belongs to the role "${owner}"`];
    return isExpected(fact) ? [] : [`not of this tool: ${kind} ${name} ${fact.text}`.trimEnd()];
  });
}

function isExpected({ kind, text }: LedgerFact): boolean {
  switch (kind) {
    case 'schema':
      return true;
    case 'table':
      return text === 'r';
    case 'default':
      return defaults.has(bare(text));
    case 'constraint':
      return checks.has(bare(text));
    case 'trigger':
      return triggers.has(text);
    case 'function':
      return bare(text) === refusal;
    case 'column':
    case 'index':
    case 'rule':
    case 'policy':
    case 'inheritance':
      return false;
    default:
      return kind satisfies never;
  }
}

/**
 * An expression without what the server writes in another way after a restore: casts to types of text, parentheses
 * and white space. A name outside pg_catalog keeps its schema.
 */
function bare(text: string): string {
  return text
    .replaceAll(/::(?:text|name|character varying)(?:\(\d+\))?(?:\[\])?/g, '')
    .replaceAll(/[\s()]/g, '');
}

const defaults: ReadonlySet<string> = new Set(['true', 'clock_timestamp', 'SESSION_USER']);

const words = (column: string, list: readonly string[]) =>
  `CHECK${column}=ANYARRAY[${list.map((word) => `'${word}'`).join(',')}]`;

/** Of every format, the older ones too. */
const checks: ReadonlySet<string> = new Set([
  'CHECKis_only',
  words('event', ['apply', 'rollback', 'repair', 'forget', 'baseline', 'failure']),
  words('event', ['apply', 'rollback', 'repair', 'forget', 'baseline', 'failure', 'mark']),
  words('direction', ['up', 'down']),
  words('name', ['dev', 'test', 'production']),
  words('name', ['dev', 'test', 'staging', 'production']),
  words('environment', ['dev', 'production']),
]);

const triggers: ReadonlySet<string> = new Set(
  ['migration_log', 'seed_runs'].map(
    (table) =>
      `CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON cryptosense_db.${table} FOR EACH STATEMENT EXECUTE FUNCTION cryptosense_db.refuse_change()`,
  ),
);

const refusal = bare(
  "plpgsql begin raise exception '%.% is append-only', tg_table_schema, tg_table_name; end ",
);

function untrusted(
  { server: { user, database } }: Session,
  {
    reasons,
    stranger,
  }: { readonly reasons: readonly string[]; readonly stranger: string | null | undefined },
): CryptosenseDbError<'ledger-untrusted'> {
  const owner = stranger && quoteIdentifier(stranger);
  return new CryptosenseDbError(
    'ledger-untrusted',
    {
      message: `the schema cryptosense_db in "${database}" could run code of another role as "${user}"; nothing was read from it`,
      evidence: reasons,
      hint: owner
        ? `if the role is trusted, run the command as ${owner}, or let an administrator run: grant ${owner} to ${quoteIdentifier(user)}; if not, remove what it made in the schema, and look how the role came by the right to create it`
        : 'remove what is listed; the schema holds nothing but the tables of this tool',
    },
    { details: { reasons } },
  );
}
