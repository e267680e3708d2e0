import { quoteIdentifier, type Session, valueSettings } from '../database/connection.ts';
import { requireSafePath, runSearchPath } from '../ledger/search-path.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';

/**
 * Makes a session ready for prices: its search path, and how values are written and read. Call it once the ledger is
 * read, and `requirePriceTables` has passed. Throws `schema-untrusted` and `not-permitted`.
 */
export async function prepareForPrices(session: Session): Promise<void> {
  const { sql } = session;
  await requireSafePath(session);
  await sql.unsafe(runSearchPath.join('; '));
  await sql.unsafe(valueSettings);
  // To compile a query over hundreds of chunks takes longer than to run it.
  await sql`set jit = off`;
  // A row for a compressed chunk makes the server look for its key among compressed rows. Older releases of
  // TimescaleDB have neither the limit nor the setting.
  await sql`
    select set_config(name, '0', false) from pg_settings
    where name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'`;
}

/**
 * Throws `not-permitted` unless the role owns the table, its candles and their jobs, or is a member of their owners:
 * TimescaleDB refreshes, compresses and pauses for them only.
 */
export async function requireOwner({ sql }: Session): Promise<void> {
  const owners = await sql<{ role: string; owner: string; what: string }[]>`
    select current_user as role, owner, string_agg(what, ', ' order by what) as what from (
      select pg_get_userbyid(relowner) as owner, relname as what from pg_class
      where oid in (to_regclass('public.price_history'), to_regclass('public.price_history_daily'))
      union all
      select owner::text::regrole::text, format('job %s', job_id) from timescaledb_information.jobs
      where proc_name = 'policy_refresh_continuous_aggregate'
    ) as owned
    where not pg_has_role(owner::name, 'usage') group by owner order by owner`;
  const [first] = owners;
  if (!first) return;
  throw new CryptosenseDbError('not-permitted', {
    message: `the role "${first.role}" may not import prices: it is no member of their owner`,
    evidence: owners.map(({ owner, what }) => `"${owner}" owns ${what}`),
    hint: `connect as "${first.owner}", or let an administrator run: grant ${quoteIdentifier(first.owner)} to ${quoteIdentifier(first.role)}`,
  });
}

/** Throws `no-price-tables` where migrations are to be applied first. */
export async function requirePriceTables({ sql, server }: Session): Promise<void> {
  const rows = await sql<{ name: string }[]>`
    select name from unnest(array['assets', 'price_history', 'price_history_daily']) as wanted (name)
    where to_regclass('public.' || name) is null`;
  if (rows.length === 0) return;
  const names = rows.map(({ name }) => name);
  throw new CryptosenseDbError(
    'no-price-tables',
    {
      message: `"${server.database}" has no ${names.join(', no ')} in schema public`,
      hint: 'apply the migrations: cryptosense-db migrate up',
    },
    { details: { names } },
  );
}
