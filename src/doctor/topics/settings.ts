import { quoteIdentifier, type Session } from '../../database/connection.ts';
import { absent, type Diagnosis, type Reading, type Rule, reading, type Topic } from '../rule.ts';

export interface Settings {
  /** `pg_settings.reset_val` of each setting that the role may see: what a new session of this role has. */
  readonly values: ReadonlyMap<string, string>;
  /** What changes a setting that ALTER SYSTEM does not change, because something stronger than its file sets it. */
  readonly remedies: ReadonlyMap<string, string>;
  readonly databaseBytes: number;
  /** Temporary files of statements since the statistics were reset. */
  readonly temporaryBytes: number;
}

const settingNames = [
  'autovacuum',
  'data_checksums',
  'fsync',
  'full_page_writes',
  'idle_in_transaction_session_timeout',
  'max_connections',
  'password_encryption',
  'random_page_cost',
  'shared_buffers',
  'track_counts',
  'work_mem',
] as const;
type SettingName = (typeof settingNames)[number];

const gigabyte = 1024 ** 3;
const megabyte = 1024 ** 2;

export const settings: Topic<Settings, Session> = {
  name: 'settings',
  read: readSettings,
  rules: [
    switchedOff('fsync-off', 'fsync', {
      severity: 'critical',
      message: 'a crash of the machine destroys the database: fsync is off',
    }),
    switchedOff('full-page-writes-off', 'full_page_writes', {
      severity: 'critical',
      message: 'a crash of the machine leaves torn pages: full_page_writes is off',
    }),
    switchedOff('autovacuum-off', 'autovacuum', {
      severity: 'critical',
      message: 'dead rows and transaction ids pile up: autovacuum is off',
    }),
    switchedOff('track-counts-off', 'track_counts', {
      severity: 'critical',
      message: 'autovacuum does not know which tables need it: track_counts is off',
    }),
    {
      name: 'idle-in-transaction-timeout',
      judge: (facts) =>
        facts.values.get('idle_in_transaction_session_timeout') === '0'
          ? {
              severity: 'warning',
              message: 'a session that forgets its transaction holds its locks for ever',
              evidence: ['idle_in_transaction_session_timeout is 0'],
              hint: remedyOf(
                facts,
                'idle_in_transaction_session_timeout',
                "set a limit: alter system set idle_in_transaction_session_timeout = '5min'; select pg_reload_conf()",
              ),
            }
          : undefined,
    },
    { name: 'shared-buffers', judge: judgeSharedBuffers },
    { name: 'work-mem', judge: judgeWorkMem },
    { name: 'work-mem-too-large', judge: judgeWorkMemTimesSessions },
    {
      name: 'random-page-cost',
      judge: (facts) =>
        Number(facts.values.get('random_page_cost')) >= 4
          ? {
              severity: 'note',
              message: 'the planner takes the disk for one that turns, and avoids indexes',
              evidence: [`random_page_cost is ${facts.values.get('random_page_cost')}`],
              hint: remedyOf(
                facts,
                'random_page_cost',
                'on an SSD or network volume: alter system set random_page_cost = 1.1; select pg_reload_conf()',
              ),
            }
          : undefined,
    },
    {
      name: 'data-checksums-off',
      judge: ({ values }) =>
        values.get('data_checksums') === 'off'
          ? {
              severity: 'note',
              message: 'a page that the disk damages is not noticed: data checksums are off',
              hint: 'stop the server once, and run: pg_checksums --enable',
            }
          : undefined,
    },
    {
      name: 'password-encryption',
      judge: (facts) =>
        facts.values.get('password_encryption') === 'md5'
          ? {
              severity: 'warning',
              message: 'new passwords are stored as MD5, which is broken',
              hint: remedyOf(
                facts,
                'password_encryption',
                "change it, then give each role its password again: alter system set password_encryption = 'scram-sha-256'; select pg_reload_conf()",
              ),
            }
          : undefined,
    },
  ],
};

async function readSettings({ sql, target, server }: Session): Promise<Reading<Settings>> {
  // They are those of its build.
  if (target.kind === 'embedded') return absent;
  const rows = await sql<{ name: string; value: string; source: string }[]>`
    select name, reset_val as value, source from pg_settings where name in ${sql(settingNames)}`;
  const [{ databaseBytes, temporaryBytes }] = await sql<
    [{ databaseBytes: number; temporaryBytes: number }]
  >`
    select pg_database_size(current_database())::float8 as "databaseBytes",
      (select temp_bytes::float8 from pg_stat_database where datname = current_database()) as "temporaryBytes"`;
  return reading({
    values: new Map(rows.map(({ name, value }) => [name, value])),
    remedies: new Map(
      rows.flatMap(({ name, source }) => {
        const remedy = remedyFor(name, { source, ...server });
        return remedy === undefined ? [] : [[name, remedy] as const];
      }),
    ),
    databaseBytes,
    temporaryBytes,
  });
}

/** Sources that are stronger than the files that ALTER SYSTEM and people write (pg_settings.source). */
function remedyFor(
  name: string,
  { source, database, user }: { source: string; database: string; user: string },
): string | undefined {
  const [inDatabase, role] = [quoteIdentifier(database), quoteIdentifier(user)];
  switch (source) {
    case 'command line':
      return `the command line of the server sets it: change it there (-c ${name}=…), and restart the server`;
    case 'database':
      return `take away what this database sets: alter database ${inDatabase} reset ${name}`;
    case 'user':
      return `take away what this role sets: alter role ${role} reset ${name}`;
    case 'database user':
      return `take away what this role sets here: alter role ${role} in database ${inDatabase} reset ${name}`;
    default:
      return undefined;
  }
}

function remedyOf({ remedies }: Settings, name: SettingName, usual: string): string {
  return remedies.get(name) ?? usual;
}

function switchedOff(
  name: string,
  setting: SettingName,
  fault: Pick<Diagnosis, 'severity' | 'message'>,
): Rule<Settings> {
  return {
    name,
    judge: (facts) =>
      facts.values.get(setting) === 'off'
        ? {
            ...fault,
            hint: remedyOf(
              facts,
              setting,
              `alter system set ${setting} = on; select pg_reload_conf()`,
            ),
          }
        : undefined,
  };
}

function judgeSharedBuffers(facts: Settings): Diagnosis | undefined {
  const { values, databaseBytes } = facts;
  const bytes = Number(values.get('shared_buffers')) * 8192;
  if (!(bytes < 256 * megabyte && databaseBytes > gigabyte)) return undefined;
  return {
    severity: 'warning',
    message: `the server keeps ${bytes / megabyte} MB of pages in memory`,
    evidence: [`the database has ${(databaseBytes / gigabyte).toFixed(1)} GB`],
    hint: remedyOf(
      facts,
      'shared_buffers',
      "set a quarter of the machine's memory, and restart the server: alter system set shared_buffers = '4GB'",
    ),
  };
}

/** Statements that sort or join more than work_mem write temporary files. */
function judgeWorkMem(facts: Settings): Diagnosis | undefined {
  const { values, temporaryBytes } = facts;
  const bytes = Number(values.get('work_mem')) * 1024;
  if (!(bytes <= 4 * megabyte && temporaryBytes > gigabyte)) return undefined;
  return {
    severity: 'warning',
    message: `statements have written ${(temporaryBytes / gigabyte).toFixed(1)} GB of temporary files`,
    evidence: [`work_mem is ${bytes / megabyte} MB for each sort and each hash`],
    hint: remedyOf(
      facts,
      'work_mem',
      "alter system set work_mem = '16MB'; select pg_reload_conf()",
    ),
  };
}

function judgeWorkMemTimesSessions({ values }: Settings): Diagnosis | undefined {
  const workMem = Number(values.get('work_mem')) * 1024;
  const most = Number(values.get('max_connections'));
  const shared = Number(values.get('shared_buffers')) * 8192;
  // With the usual quarter of memory as shared_buffers, this is four times the machine's memory.
  if (!(workMem * most > 16 * shared && workMem > 64 * megabyte)) return undefined;
  return {
    severity: 'warning',
    message: 'the kernel may kill the server when many sessions sort at once',
    evidence: [
      `work_mem of ${workMem / megabyte} MB, ${most} connections, and shared_buffers of ${shared / megabyte} MB`,
    ],
    hint: 'lower work_mem, and set it for single roles: alter role reports set work_mem = …',
  };
}
