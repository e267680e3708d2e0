import type { StoreOptions } from '../backup/backup.ts';
import { defaultPrefix, requirePrefix } from '../cache/cache.ts';
import { openCache } from '../cache/connection.ts';
import type { Part } from '../cache/keyspace.ts';
import { parseCacheUrl } from '../cache/target.ts';
import { withSession } from '../database/connection.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { describeTarget, resolveTarget } from '../database/target.ts';
import type { MigrateOptions } from '../migrations/migrate.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { examinerOf, type Judged } from './examiner.ts';
import type { Severity } from './rule.ts';
import { backups } from './topics/backups.ts';
import { cache } from './topics/cache.ts';
import { drift } from './topics/drift.ts';
import { history } from './topics/history.ts';
import { policies } from './topics/policies.ts';
import { replication } from './topics/replication.ts';
import { roles } from './topics/roles.ts';
import { schema } from './topics/schema.ts';
import { sessions } from './topics/sessions.ts';
import { settings } from './topics/settings.ts';
import { storage } from './topics/storage.ts';
import { timescale } from './topics/timescale.ts';
import { upkeep } from './topics/upkeep.ts';
import { versions } from './topics/versions.ts';

export type { Finding, UnseenRules } from './examiner.ts';
export type { Diagnosis, Severity } from './rule.ts';

export interface DoctorOptions extends MigrateOptions {
  /** Where backups of the database are stored. Default: backups are not examined. */
  readonly store?: StoreOptions | undefined;
  /** The URL of Redis. Default: no cache is examined. */
  readonly cache?: string | undefined;
  /** A file of `schema snapshot` that the schema is compared with. Default: it is not compared. */
  readonly snapshot?: string | undefined;
  /** Names of rules. Default: all. */
  readonly only?: readonly string[] | undefined;
  /** Names of rules that do not judge: for a finding that is known and accepted. */
  readonly except?: readonly string[] | undefined;
}

export interface Examination extends Judged {
  /** `host:port/database`, `embedded:FOLDER`, or the URL of a cache without its password. */
  readonly target: string;
  /** By the server's clock. */
  readonly at: Date;
  /** There is no critical finding and no warning. */
  readonly isSound: boolean;
}

/** What a session shows, in the order in which findings of one severity are listed. */
const databaseTopics = [
  examinerOf(storage),
  examinerOf(upkeep),
  examinerOf(replication),
  examinerOf(timescale),
  examinerOf(policies),
  examinerOf(schema),
  examinerOf(sessions),
  examinerOf(settings),
  examinerOf(roles),
  examinerOf(versions),
];
const historyTopic = examinerOf(history);
const driftTopic = examinerOf(drift);
const backupTopic = examinerOf(backups);
const cacheTopic = examinerOf(cache);

/** The names of all rules: the anchors of docs/doctor.md. */
export const ruleNames: readonly string[] = [
  ...databaseTopics,
  historyTopic,
  driftTopic,
  backupTopic,
  cacheTopic,
].flatMap(({ rules }) => rules);

const severities: readonly Severity[] = ['critical', 'warning', 'note'];
const statementTimeoutMs = 30_000;

/**
 * Judges a database by every rule; the worst finding comes first. Changes nothing, and runs on a standby, and as a role
 * without superuser: what the role cannot see is listed in `unseen`. Throws `bad-configuration` for an unknown rule,
 * what opening a session throws, `server-unsuitable` for a server older than PostgreSQL 15, and `faulty-folder` and
 * `file-problem` for the files of migrations.
 */
export async function examine(options: DoctorOptions): Promise<Examination> {
  const { only = ruleNames, except = [], store, cache: url, snapshot, ...run } = options;
  requireKnown([...only, ...except]);
  const asked = only.filter((name) => !except.includes(name));
  const opening = { ...run, isReadOnlyFine: true, isCatalogOnly: true };
  const inDatabase = await withSession(resolveTarget(run.target), opening, async (session) => {
    requireServerVersion(session);
    const { sql } = session;
    await sql.unsafe(
      `set default_transaction_read_only = on; set statement_timeout = ${statementTimeoutMs}`,
    );
    const [{ now }] = await sql<[{ now: Date }]>`select now()`;
    const judged: Judged[] = [];
    for (const topic of databaseTopics) {
      session.throwIfInterrupted();
      judged.push(await topic.examine(session, { now, asked }));
    }
    const { database } = session.server;
    return { target: describeTarget(session.target), now, database, judged };
  });
  const { target, now, database } = inDatabase;
  // These open a session of their own, and the embedded engine has one at a time.
  const judged = [
    ...inDatabase.judged,
    await historyTopic.examine(run, { now, asked }),
    await driftTopic.examine({ ...run, snapshot }, { now, asked }),
    await backupTopic.examine({ store, database }, { now, asked }),
    await cacheTopic.examine(
      { cache: url, prefix: defaultPrefix, parts: undefined },
      { now, asked },
    ),
  ];
  return examinationOf(judged, { target, now });
}

export interface CacheCheckOptions {
  readonly cache: string;
  /** Default `cryptosense`. */
  readonly prefix?: string | undefined;
  /** What is, or will be, stored in it. Default: what has keys. */
  readonly parts?: readonly Part[] | undefined;
}

/** Judges a cache by the rules about caches. Throws `cache-unavailable`, `package-missing`, `bad-configuration`. */
export async function examineCache(options: CacheCheckOptions): Promise<Examination> {
  const { cache: url, prefix = defaultPrefix, parts } = options;
  requirePrefix(prefix);
  const connection = openCache(parseCacheUrl(url));
  try {
    await connection.onServers((send) => send('PING'));
  } finally {
    await connection.close();
  }
  const now = new Date();
  const asked = cacheTopic.rules;
  const judged = await cacheTopic.examine({ cache: url, prefix, parts }, { now, asked });
  return examinationOf([judged], { target: connection.name, now });
}

function examinationOf(
  judged: readonly Judged[],
  { target, now }: { readonly target: string; readonly now: Date },
): Examination {
  const findings = judged
    .flatMap((each) => each.findings)
    .sort((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
  return {
    target,
    at: now,
    findings,
    unseen: judged.flatMap((each) => each.unseen),
    sound: judged.flatMap((each) => each.sound),
    notApplicable: judged.flatMap((each) => each.notApplicable),
    isSound: findings.every(({ severity }) => severity === 'note'),
  };
}

function requireKnown(names: readonly string[]): void {
  const unknown = names.filter((name) => !ruleNames.includes(name));
  if (unknown.length === 0) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: `there is no rule ${unknown.join(', ')}`,
    hint: `the rules are: ${ruleNames.join(', ')}`,
  });
}
