import { quoteIdentifier, type Session } from '../../database/connection.ts';
import { type Diagnosis, type Moment, type Reading, reading, type Topic } from '../rule.ts';

export interface Versions {
  readonly database: string;
  readonly major: number;
  /** Of TimescaleDB in this database, and of its files on the server; null without. */
  readonly timescale: string | null;
  readonly timescaleFiles: string | null;
  /** False when the server does not load TimescaleDB at its start. */
  readonly isTimescaleLoaded: boolean;
  /** Collations whose library has changed since the database, or the collation, was made. */
  readonly changedCollations: readonly ChangedCollation[];
}

export interface ChangedCollation {
  readonly what: string;
  /** What records the version of today, after the indexes are rebuilt. */
  readonly refresh: string;
}

/** When the last fixes of a major version are published (postgresql.org, "Versioning Policy"). */
const endOfLife: ReadonlyMap<number, string> = new Map([
  [15, '2027-11-11'],
  [16, '2028-11-09'],
  [17, '2029-11-08'],
  [18, '2030-11-14'],
]);
/** The last release series of TimescaleDB for a major version of PostgreSQL, where one has ended. */
const lastTimescale: ReadonlyMap<number, string> = new Map([[15, '2.28']]);
const yearMs = 365 * 86_400_000;

export const versions: Topic<Versions, Session> = {
  name: 'versions',
  read: readVersions,
  rules: [
    { name: 'end-of-life', judge: judgeEndOfLife },
    {
      name: 'timescaledb-not-loaded',
      judge: ({ timescale, isTimescaleLoaded }) =>
        timescale !== null && !isTimescaleLoaded
          ? {
              severity: 'critical',
              message:
                'the database has TimescaleDB, and the server does not load it: its hypertables cannot be used',
              hint: "set it with what is there already, and restart the server: alter system set shared_preload_libraries = 'timescaledb'",
            }
          : undefined,
    },
    {
      name: 'timescaledb-update-due',
      judge: ({ timescale, timescaleFiles }) =>
        timescale !== null && timescaleFiles !== null && timescale !== timescaleFiles
          ? {
              severity: 'warning',
              message: `the database uses TimescaleDB ${timescale}, and the server has ${timescaleFiles}`,
              hint: 'update it as the first statement of a session: psql -X -c "alter extension timescaledb update"',
            }
          : undefined,
    },
    {
      name: 'collation-changed',
      judge: ({ database, changedCollations }) =>
        changedCollations.length > 0
          ? {
              severity: 'critical',
              message: 'indexes on text may be in the wrong order, and rows may not be found',
              evidence: changedCollations.map(({ what }) => what),
              hint: `rebuild them, then record the version: reindex database ${quoteIdentifier(database)}; ${changedCollations.map(({ refresh }) => refresh).join('; ')}`,
            }
          : undefined,
    },
  ],
};

async function readVersions({ sql, server }: Session): Promise<Reading<Versions>> {
  const [found] = await sql<[Omit<Versions, 'database' | 'major' | 'changedCollations'>]>`
    select
      (select extversion from pg_extension where extname = 'timescaledb') as timescale,
      current_setting('timescaledb.disable_load', true) is not null as "isTimescaleLoaded",
      (select default_version from pg_available_extensions where name = 'timescaledb') as "timescaleFiles"`;
  const changedCollations = await sql<ChangedCollation[]>`
    select format('the database was made with version %s of its collation, the system has %s',
      datcollversion, pg_database_collation_actual_version(oid)) as what,
      format('alter database %I refresh collation version', datname) as refresh
    from pg_database where datname = current_database()
      and datcollversion <> pg_database_collation_actual_version(oid)
    union all
    select format('the collation %I was made with version %s, the system has %s',
      collname, collversion, pg_collation_actual_version(c.oid)),
      format('alter collation %I.%I refresh version', nspname, collname)
    from pg_collation c join pg_namespace n on n.oid = collnamespace
    where collversion <> pg_collation_actual_version(c.oid)
      and c.oid in (select refobjid from pg_depend where refclassid = 'pg_collation'::regclass)`;
  return reading({
    database: server.database,
    major: Math.floor(server.version / 10_000),
    ...found,
    changedCollations,
  });
}

function judgeEndOfLife({ major, timescale }: Versions, { now }: Moment): Diagnosis | undefined {
  const end = endOfLife.get(major);
  if (end === undefined) return undefined;
  const leftMs = Date.parse(end) - now.getTime();
  if (leftMs > yearMs) return undefined;
  const series = timescale === null ? undefined : lastTimescale.get(major);
  return {
    severity: leftMs < 0 ? 'critical' : 'warning',
    message:
      leftMs < 0
        ? `PostgreSQL ${major} has had no fixes since ${end}`
        : `PostgreSQL ${major} gets its last fixes on ${end}`,
    evidence: series === undefined ? [] : [`TimescaleDB ${series} is the last series for it`],
    hint: 'plan the upgrade: pg_upgrade, or a dump into a newer server; TimescaleDB needs the same version on both',
  };
}
