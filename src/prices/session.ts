import { type Session, valueSettings } from '../database/connection.ts';
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
  // A row for a compressed chunk makes the server look for its key among compressed rows. Older releases of
  // TimescaleDB have neither the limit nor the setting.
  await sql`
    select set_config(name, '0', false) from pg_settings
    where name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'`;
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
