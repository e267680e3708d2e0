import { join } from 'node:path';
import { CryptosenseDbError, messageOf, type Problem } from '../runtime/errors.ts';
import { makeFolder, replaceFile } from '../runtime/files.ts';
import { toolVersion } from '../runtime/package.ts';
import {
  cronFiles,
  githubFiles,
  kubernetesFiles,
  type ScheduledJob,
  type ScheduleFile,
  systemdFiles,
} from './schedule-files.ts';
import type { S3Options } from './store.ts';

export const schedulers = ['systemd', 'cron', 'kubernetes', 'github'] as const;
export type Scheduler = (typeof schedulers)[number];

export interface ScheduleOptions extends S3Options {
  readonly for: Scheduler;
  /** `s3://bucket/prefix`, or the whole path of a folder. Default: `BACKUP_STORE` where the jobs run. */
  readonly store?: string | undefined;
  /** Where the store has several databases. */
  readonly database?: string | undefined;
  /** Public keys of age, which can decrypt the backups. */
  readonly recipients?: readonly string[] | undefined;
  /**
   * The whole path of a file with secret keys of age, for the verification and the drill of encrypted backups. Kubernetes
   * and GitHub get its content from a secret, and put it there.
   */
  readonly identityFile?: string | undefined;
  /** For systemd and cron: the whole path of the program. Default: `/usr/local/bin/cryptosense-db`. */
  readonly program?: string | undefined;
  /** For Kubernetes: an image with this program and PostgreSQL's. */
  readonly image?: string | undefined;
  /** The jobs of pgBackRest, and a check of the WAL. Default true. false: for a server whose WAL is not archived by it. */
  readonly wal?: boolean | undefined;
  /** Also write the files into this folder. Files of the same names are replaced. */
  readonly out?: string | undefined;
}

export interface ScheduleResult {
  readonly for: Scheduler;
  readonly files: readonly ScheduleFile[];
  /** The folder that the files were written to. */
  readonly out: string | undefined;
}

/**
 * The files that have another program run the backups: daily at 02:00 UTC, a verification every week, a drill every
 * quarter, and a check every hour; unless `wal` is false an incremental physical one every four hours and a full one
 * every week, and the check includes the WAL. No file has a secret: each names where its jobs get them. Throws `bad-configuration` and `file-problem`.
 */
export function schedule(options: ScheduleOptions): ScheduleResult {
  requireSound(options);
  const { program = '/usr/local/bin/cryptosense-db', out } = options;
  const image = options.image ?? `registry.example/cryptosense-db:${toolVersion()}`;
  const jobs = jobsOf(options);
  const files = {
    systemd: () => systemdFiles(jobs, { program }),
    cron: () => cronFiles(jobs, { program }),
    kubernetes: () => kubernetesFiles(jobs, { image }),
    github: () => githubFiles(jobs, { version: toolVersion() }),
  }[options.for]();
  if (out !== undefined) writeFiles(out, files);
  return { for: options.for, files, out };
}

const walJobs: readonly ScheduledJob[] = [
  {
    name: 'wal',
    summary: 'the incremental physical backup, every four hours',
    cron: '0 */4 * * *',
    calendar: '*-*-* 00/4:00:00 UTC',
    commands: [['backup', 'wal', 'run', 'incremental']],
    on: 'server',
  },
  {
    name: 'wal-full',
    summary: 'the full physical backup that incremental ones build on, every week',
    cron: '0 22 * * 0',
    calendar: 'Sun *-*-* 22:00:00 UTC',
    commands: [['backup', 'wal', 'run', 'full']],
    on: 'server',
  },
];

function jobsOf({
  store,
  database,
  endpoint,
  sse,
  kmsKey,
  recipients = [],
  identityFile,
  wal: hasWal = true,
}: ScheduleOptions): readonly ScheduledJob[] {
  const words = (named: Readonly<Record<string, string | undefined>>) =>
    Object.entries(named).flatMap(([name, value]) => (value === undefined ? [] : [name, value]));
  const place = words({ '--store': store, '--endpoint': endpoint });
  const stored = [...place, ...words({ '--sse': sse, '--kms-key': kmsKey })];
  const of = [...place, ...words({ '--database': database })];
  const keys = recipients.flatMap((recipient) => ['--recipient', recipient]);
  const identity = words({ '--identity': identityFile });
  return [
    {
      name: 'create',
      summary: 'the daily backup, then the backups that no rule keeps',
      cron: '0 2 * * *',
      calendar: '*-*-* 02:00:00 UTC',
      commands: [
        ['backup', 'create', ...stored, ...keys],
        ['backup', 'prune', ...of],
      ],
      on: 'client',
    },
    ...(hasWal ? walJobs : []),
    {
      name: 'verify',
      summary: 'the weekly verification of the newest backup',
      cron: '0 6 * * 1',
      calendar: 'Mon *-*-* 06:00:00 UTC',
      commands: [['backup', 'verify', 'latest', ...of, ...identity]],
      on: 'client',
      identityFile,
    },
    {
      name: 'drill',
      summary: 'the quarterly drill, on a server that is not production',
      cron: '0 9 15 1,4,7,10 *',
      calendar: '*-01,04,07,10-15 09:00:00 UTC',
      commands: [['backup', 'drill', ...of, ...identity]],
      on: 'drill',
      identityFile,
    },
    {
      name: 'check',
      summary: `the hourly check; it fails when a backup${hasWal ? ' or the WAL' : ''} is stale`,
      cron: '15 * * * *',
      calendar: '*-*-* *:15:00 UTC',
      commands: [
        ['backup', 'check', '--max-age', '26h', ...(hasWal ? ['--rpo', '1h'] : []), ...of],
      ],
      on: 'client',
    },
  ];
}

/** Throws `bad-configuration` with every problem. */
function requireSound(options: ScheduleOptions): void {
  const { for: scheduler, store, database, endpoint, kmsKey, program, image } = options;
  const { recipients = [], identityFile } = options;
  const named = { store, database, endpoint, kmsKey, program, image, identityFile };
  const texts = [
    ...Object.entries(named),
    ...recipients.map((recipient) => ['recipients', recipient] as const),
  ];
  const isOnMachine = scheduler === 'systemd' || scheduler === 'cron';
  const problems: Problem[] = texts.flatMap(([name, text]) => {
    if (text === undefined) return [];
    if (text === '' || /\p{Cc}/u.test(text)) {
      return [{ message: `${name} is empty, or has a control character` }];
    }
    if (/:\/\/[^/]*@/.test(text)) {
      return [{ message: `${name} has a user or a password, and the files have no secrets` }];
    }
    return [];
  });
  if (!schedulers.includes(scheduler)) {
    problems.push({ message: `for is "${scheduler}"; it can be ${schedulers.join(', ')}` });
  }
  for (const [name, path] of Object.entries({ program, identityFile })) {
    if (path?.startsWith('/') === false) {
      problems.push({ message: `${name} is "${path}"; it has to be a whole path` });
    }
  }
  if (recipients.some((recipient) => /^AGE-SECRET-KEY/i.test(recipient))) {
    problems.push({ message: 'recipients has a secret key of age, and the files have no secrets' });
  }
  if (store !== undefined && !store.startsWith('s3://')) {
    if (!isOnMachine) {
      problems.push({
        message: `store is the folder ${store}, which is gone when the container of a job ends`,
        hint: 'name s3://bucket/prefix',
      });
    } else if (!store.startsWith('/')) {
      problems.push({ message: `store is "${store}"; it can be s3://… or a whole path` });
    }
  }
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
}

function writeFiles(folder: string, files: readonly ScheduleFile[]): void {
  try {
    makeFolder(folder);
  } catch (error) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `the folder ${folder} cannot be created`, evidence: [messageOf(error)] },
      { details: { path: folder }, cause: error },
    );
  }
  for (const { name, text } of files) replaceFile(join(folder, name), text);
}
