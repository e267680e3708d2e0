import { quoteIdentifier, type Session, withTransaction } from '../database/connection.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';

/**
 * The definition of schema `cryptosense_db`, as a list of steps: step N turns format N - 1 into format N. A new ledger
 * takes every step, an older ledger the steps that it lacks. Never edit a step that a release has shipped.
 */
const steps: readonly string[] = [
  // Format 1, release 0.1: history, log, journal and environment.
  `
  create schema if not exists cryptosense_db;
  comment on schema cryptosense_db is
    'History of schema migrations, written by the tool cryptosense-db. Not for editing by hand.';

  create table cryptosense_db.ledger (format integer not null);

  create table cryptosense_db.migrations (
    version text collate "C" primary key,
    description text not null,
    checksum text not null,
    rollback_sql text not null,
    rollback_checksum text not null,
    applied_by text not null default session_user,
    applied_at timestamptz not null default clock_timestamp(),
    duration_ms integer not null,
    tool_version text not null
  );
  comment on table cryptosense_db.migrations is
    'One row for each migration that is applied, with the rollback that undoes it.';

  create table cryptosense_db.migration_log (
    id bigint generated always as identity primary key,
    event text not null
      check (event in ('apply', 'rollback', 'repair', 'forget', 'baseline', 'failure')),
    version text not null,
    description text not null,
    checksum text,
    at timestamptz not null default clock_timestamp(),
    by text not null default session_user,
    duration_ms integer,
    detail text,
    tool_version text not null
  );
  comment on table cryptosense_db.migration_log is 'Everything that was done, in order; append-only.';

  create function cryptosense_db.refuse_change() returns trigger language plpgsql as $$
  begin
    raise exception '%.% is append-only', tg_table_schema, tg_table_name;
  end $$;
  create trigger append_only before update or delete or truncate on cryptosense_db.migration_log
    for each statement execute function cryptosense_db.refuse_change();

  create table cryptosense_db.migration_journal (
    version varchar(15) collate "C" not null,
    direction varchar(4) not null check (direction in ('up', 'down')),
    position integer not null,
    checksum varchar(64) not null,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    primary key (version, direction, position)
  );
  comment on table cryptosense_db.migration_journal is
    'Statements of "-- Transaction: none" files whose run has not come to its end.';

  create table cryptosense_db.environment (
    is_only boolean primary key default true check (is_only),
    name varchar(10) not null check (name in ('dev', 'test', 'production')),
    marked_at timestamptz not null default clock_timestamp(),
    marked_by name not null default session_user
  );
  comment on table cryptosense_db.environment is 'What this database is; written once.';`,

  // Format 2: the record of seeder runs. Release 0.1 made these tables on its first run of seed, as the role that
  // seeded: where they exist they are complete, and may belong to another role than the rest.
  `
  do $$ begin
    if to_regclass('cryptosense_db.seed_runs') is null then
      create table cryptosense_db.seed_runs (
        id bigint generated always as identity primary key,
        environment text not null check (environment in ('dev', 'production')),
        seeder text not null,
        as_of timestamptz not null,
        seed bigint,
        scale integer,
        rows jsonb not null,
        outcome jsonb,
        at timestamptz not null default clock_timestamp(),
        by text not null default session_user,
        duration_ms integer not null,
        tool_version text not null
      );
      comment on table cryptosense_db.seed_runs is
        'One row for each seeder that ran to its end, in order; append-only.';
      create trigger append_only before update or delete or truncate on cryptosense_db.seed_runs
        for each statement execute function cryptosense_db.refuse_change();
    end if;

    if to_regclass('cryptosense_db.seed_afterwards') is null then
      create table cryptosense_db.seed_afterwards (
        seeder text primary key,
        outcomes jsonb not null
      );
      comment on table cryptosense_db.seed_afterwards is
        'What seeders returned whose work after their transaction is still to be done.';
    end if;
  end $$;`,

  // Format 3: the mark staging, the log of changed marks, the search path of runs, and what an interrupted
  // statement may leave.
  `
  alter table cryptosense_db.environment
    drop constraint environment_name_check,
    add constraint environment_name_check
      check (name in ('dev', 'test', 'staging', 'production'));
  comment on table cryptosense_db.environment is
    'What this database is; the log keeps what it was before.';

  alter table cryptosense_db.migration_log
    drop constraint migration_log_event_check,
    add constraint migration_log_event_check check (
      event in ('apply', 'rollback', 'repair', 'forget', 'baseline', 'failure', 'mark')
    );

  -- A ledger that was restored without its rows counts as one of format 1, and has the columns.
  alter table cryptosense_db.migrations add column if not exists search_path text;
  comment on column cryptosense_db.migrations.search_path is
    'The schema that came first in the run that recorded it; NULL for release 0.1, which took that of the role.';

  alter table cryptosense_db.migration_journal add column if not exists remains jsonb;
  comment on column cryptosense_db.migration_journal.remains is
    'What the statement may leave when it is interrupted; NULL where no run can tell.';`,

  // Format 4: the record of price imports.
  `
  create table if not exists cryptosense_db.price_imports (
    id bigint generated always as identity primary key,
    source text not null,
    symbol text not null,
    "interval" text not null,
    range_from timestamptz not null,
    range_to timestamptz not null,
    rows integer not null,
    slots integer not null,
    at timestamptz not null default clock_timestamp(),
    by text not null default session_user,
    tool_version text not null
  );
  comment on table cryptosense_db.price_imports is
    'Ranges within a month that a source of prices was asked for, and how many of their hours or days had a price then.';

  create table if not exists cryptosense_db.price_assets (
    symbol text primary key,
    asset_id text not null,
    at timestamptz not null default clock_timestamp()
  );
  comment on table cryptosense_db.price_assets is
    'The id of the asset that the imported prices of a symbol are of: several assets can share a symbol.';

  create table if not exists cryptosense_db.price_files (
    checksum text not null,
    name text not null,
    lines bigint not null,
    is_finished boolean not null,
    at timestamptz not null default clock_timestamp(),
    primary key (checksum, name)
  );
  comment on table cryptosense_db.price_files is 'Files of prices, and how far each is imported.';

  create table if not exists cryptosense_db.price_upkeep (
    id bigint generated always as identity primary key,
    range_from timestamptz not null,
    range_to timestamptz not null,
    is_refreshed boolean not null,
    paused_jobs integer[] not null
  );
  comment on table cryptosense_db.price_upkeep is
    'Ranges of imported prices whose daily candles are to be refreshed and chunks compressed, and the jobs that are paused until then.';`,
];

/** The format that this release writes. An older release refuses a ledger of a newer format. */
export const ledgerFormat = steps.length;

/**
 * Creates the ledger (`from: 0`), or brings an older one to this release's format in place, in one transaction. Call
 * it with the migration lock held. Throws `not-permitted` when the role may not; the ledger is unchanged then.
 */
export async function upgradeLedger(
  session: Session,
  { from }: { readonly from: number },
): Promise<void> {
  const { sql } = session;
  const changes = ledgerChanges({ from }).join(';\n');
  await withTransaction(sql, () => sql.unsafe(changes)).catch((error: unknown) => {
    const isRefused = sqlState(error) === sqlErrorCodes.insufficientPrivilege;
    if (!isRefused) throw error;
    throw from === 0
      ? creationRefused(session, error)
      : upgradeRefused(session, { from, cause: error });
  });
}

/** The statements of `upgradeLedger`, for one transaction; a part may hold several. */
export function ledgerChanges({ from }: { readonly from: number }): readonly string[] {
  return [
    // A function or operator of another schema would stay in the definition.
    'set local search_path = pg_catalog',
    ...steps.slice(from).map((step) => step.trim().replace(/;$/, '')),
    'delete from cryptosense_db.ledger',
    `insert into cryptosense_db.ledger values (${ledgerFormat})`,
  ];
}

function creationRefused({ server: { user, database } }: Session, cause: unknown) {
  return new CryptosenseDbError(
    'not-permitted',
    {
      message: `the role "${user}" may not create a schema in the database "${database}"`,
      evidence: ['the tool keeps the history of migrations in a schema of its own, cryptosense_db'],
      hint: `let an owner run: grant create on database ${quoteIdentifier(database)} to ${quoteIdentifier(user)}`,
    },
    { cause },
  );
}

function upgradeRefused(
  { server: { user, database } }: Session,
  { from, cause }: { readonly from: number; readonly cause: unknown },
) {
  return new CryptosenseDbError(
    'not-permitted',
    {
      message: `the role "${user}" may not change the ledger in "${database}", which has format ${from} and needs format ${ledgerFormat}`,
      evidence: [
        'the ledger is the schema cryptosense_db; this release changes its tables',
        messageOf(cause),
      ],
      hint: 'run this command once as the role that owns the schema cryptosense_db',
    },
    { cause },
  );
}
