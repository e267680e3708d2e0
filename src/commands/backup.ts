import type { ActivateOptions } from '../backup/activate.ts';
import type { CheckOptions } from '../backup/check.ts';
import type { CreateOptions } from '../backup/create.ts';
import type { BackupDrillOptions, MomentDrillOptions } from '../backup/drill.ts';
import type { ListOptions, ShowOptions } from '../backup/list.ts';
import type { PruneOptions } from '../backup/prune.ts';
import type { RestoreOptions } from '../backup/restore.ts';
import { parseKeep } from '../backup/retention.ts';
import type { ScheduleOptions } from '../backup/schedule.ts';
import type { VerifyOptions } from '../backup/verify.ts';
import { readStore, surroundings, type TargetFlags } from '../config.ts';
import { environments } from '../ledger/marks.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { readSecret } from '../runtime/files.ts';
import {
  renderActivated,
  renderBackup,
  renderBackups,
  renderCheck,
  renderCreated,
  renderDrill,
  renderPruned,
  renderRestored,
  renderSchedule,
  renderVerified,
} from '../ui/backup.ts';
import { stanzaFlags, targetOf, walCommands } from './backup-wal.ts';
import { argument, defineCommand, flag, type Group, grouped, repeatable } from './command.ts';
import { lockTimeoutFlag, onDatabase, targetFlags } from './flags.ts';
import { duration, moment } from './values.ts';

const backups = () => import('../backup/backup.ts');

/** Where backups are, and of which database. Every command of the group takes them. */
export const storeFlags = grouped('Store:', {
  store: flag('--store <place>', 's3://bucket/prefix, or a folder (default: BACKUP_STORE)'),
  endpoint: flag('--endpoint <url>', 'a server that is compatible with S3 (default: AWS)'),
  sse: flag('--sse <kind>', 'encryption at rest in S3 (default: AES256)', {
    choices: ['AES256', 'aws:kms', 'none'],
  }),
  kmsKey: flag('--kms-key <key>', 'with --sse aws:kms (default: the key of the bucket)'),
  database: flag('--database <name>', 'one database of the store'),
});

/** A library's options with the store that the flag or the environment names. */
type OnStore<Options> = Omit<Options, 'store'> & { readonly store?: string | undefined };

/** The options with the store that `--store` or BACKUP_STORE names. Throws `bad-configuration`. */
export function onStore<Options extends { readonly store?: string | undefined }>(given: Options) {
  return { ...given, store: readStore(given, surroundings()) };
}

const { database: databaseFlag, ...placeFlags } = storeFlags;

const programFlags = grouped('Programs:', {
  pgBin: flag(
    '--pg-bin <dir>',
    "the folder of PostgreSQL's programs (default: of the server's version)",
  ),
});

const identityFlags = grouped('Store:', {
  identityFile: flag('--identity <file>', 'a file with secret keys of age, for encrypted backups'),
});

const create = defineCommand<OnStore<CreateOptions> & TargetFlags>()({
  name: 'create',
  summary: 'back up a database: a dump, encrypted and streamed, and what has to come back',
  flags: {
    ...placeFlags,
    ...grouped('Store:', {
      recipients: repeatable(
        flag('--recipient <key>', 'a public key of age, which can decrypt it'),
      ),
      recipientFiles: repeatable(
        flag('--recipients-file <file>', 'a file with such keys, one a line'),
      ),
    }),
    ...programFlags,
    ...targetFlags,
    ...lockTimeoutFlag,
  },
  notes: [
    'The rows of every table are counted and hashed in the snapshot of the dump, while others write.',
    'Compression and retention of hypertables wait until it has ended. Without a recipient the dump is not encrypted.',
  ],
  examples: [
    ['cryptosense-db backup create --recipient age1… --store s3://backups/db', 'encrypted, to S3'],
    ['cryptosense-db backup create --store backups/', 'into a folder, not encrypted'],
  ],
  run: async (given, tools) => {
    const result = await (await backups()).create(onStore(onDatabase(given, tools)));
    tools.output.result(result, renderCreated);
  },
});

const verify = defineCommand<OnStore<VerifyOptions>>()({
  name: 'verify',
  summary: 'read a whole backup: its checksum, its encryption, and the archive to its end',
  arguments: { id: argument('<id>', 'an id, its beginning, or latest') },
  flags: { ...storeFlags, ...identityFlags, ...programFlags },
  notes: [
    'The store keeps whether it was found whole, for backup check. To prove that it can be restored: backup drill.',
  ],
  examples: [['cryptosense-db backup verify latest --identity key.txt', 'the newest']],
  run: async (given, { output, signal }) => {
    const { onProgress } = output;
    const result = await (await backups()).verify({ ...onStore(given), onProgress, signal });
    output.result(result, renderVerified);
  },
});

const restoreFlags = {
  ...storeFlags,
  ...identityFlags,
  ...programFlags,
  ...targetFlags,
};

type RestoreFlags = Omit<OnStore<RestoreOptions>, 'into'> &
  TargetFlags & { readonly into?: string | undefined };

const restore = defineCommand<RestoreFlags>()({
  name: 'restore',
  summary: 'restore a backup into a new database, and compare every table with it',
  arguments: { id: argument('<id>', 'an id, its beginning, or latest') },
  flags: {
    into: flag('--into <name>', 'the name of the new database; needed'),
    activate: flag('--activate', 'start its jobs; else they are off until backup activate'),
    keep: flag('--keep', 'keep what was restored when it fails or differs'),
    mark: flag('--mark <name>', 'the mark of the copy (default: test for production)', {
      choices: environments,
    }),
    ...restoreFlags,
  },
  notes: [
    'The URL names any database of the server, as a superuser. The new database has its name once it is compared.',
  ],
  examples: [
    ['cryptosense-db backup restore latest --into shop_restored', 'its jobs stay off'],
    ['cryptosense-db backup restore 2026-01-31 --into shop_old --identity key.txt', 'of a day'],
  ],
  run: async (given, tools) => {
    const { into, ...options } = onStore(onDatabase(given, tools));
    if (!into) {
      throw new CryptosenseDbError('bad-configuration', {
        message: 'no name is given for the new database',
        hint: 'name it with --into; a backup is never restored over a database that is there',
      });
    }
    tools.output.result(await (await backups()).restore({ ...options, into }), renderRestored);
  },
});

const activate = defineCommand<ActivateOptions & TargetFlags & { readonly name: string }>()({
  name: 'activate',
  summary: 'start the jobs of a restored database',
  arguments: { name: argument('<name>', 'the database') },
  flags: targetFlags,
  notes: ['Its policies then compress, refresh and drop, as in the database that was backed up.'],
  examples: [['cryptosense-db backup activate shop_restored', 'after backup restore']],
  run: async (given, tools) => {
    const { name, ...options } = onDatabase(given, tools);
    const target =
      options.target.kind === 'server' ? { ...options.target, database: name } : options.target;
    const result = await (await backups()).activate({ ...options, target });
    tools.output.result(result, renderActivated);
  },
});

/** What a drill of a backup takes, and what a drill of a moment takes. */
type DrillFlags = Omit<OnStore<BackupDrillOptions>, 'login' | 'pitr'> &
  Partial<Omit<MomentDrillOptions, 'login'>> &
  TargetFlags & {
    readonly login?: string | undefined;
    readonly loginPasswordFile?: string | undefined;
  };

const momentFlags = grouped('A moment in time:', {
  pitr: flag(
    '--pitr <time>',
    'restore this moment with pgBackRest, in place of a backup of the store',
    moment,
  ),
  folder: flag('--target <dir>', 'the folder in which the copy gets its own (default: /var/tmp)'),
  keep: flag('--keep', 'leave the folder of the copy, which is stopped'),
});

const drill = defineCommand<DrillFlags>()({
  name: 'drill',
  summary: 'prove that a backup can be restored: restore, compare, try, measure, drop',
  flags: {
    id: flag('--id <id>', 'an id, or its beginning (default: latest)'),
    rtoMs: flag('--rto <time>', 'how long the restore may take (default: 4h)', duration),
    report: repeatable(flag('--report <file>', 'write a report: Markdown, or JSON for a .json')),
    login: flag('--login <email>', 'the account that logs in (default: any)'),
    loginPasswordFile: flag('--login-password-file <file>', 'a file with its password'),
    mark: flag('--mark <name>', 'the mark of the copy (default: test for production)', {
      choices: environments,
    }),
    ...momentFlags,
    ...stanzaFlags,
    ...restoreFlags,
  },
  conflicts: [
    ['pitr', 'id'],
    ['pitr', 'mark'],
    ['pitr', 'store'],
    ['pitr', 'endpoint'],
    ['pitr', 'sse'],
    ['pitr', 'kmsKey'],
    ['pitr', 'identityFile'],
    ['pitr', 'url'],
    ['pitr', 'embedded'],
    ['pitr', 'passwordCommand'],
  ],
  notes: [
    'Exit code 1 when a row differs, a test fails or the time is over. The copy is dropped however the drill ends.',
    "With --pitr it runs as the server's user, and needs neither a store nor a URL. A moment has no manifest: every row",
    'is read, and the report has the rows and the hash of each table.',
  ],
  examples: [
    ['cryptosense-db backup drill --report drill.md', 'every quarter'],
    ['cryptosense-db backup drill --pitr 2026-01-31T12:29:59Z', 'from WAL'],
  ],
  run: async ({ login: email, loginPasswordFile, pitr, ...given }, tools) => {
    if (email === undefined && loginPasswordFile !== undefined) {
      throw new CryptosenseDbError('bad-configuration', {
        message: '--login-password-file needs --login',
      });
    }
    const password = loginPasswordFile && readSecret(loginPasswordFile);
    const login = email === undefined ? undefined : { email, password };
    const { folder, keep, config, stanza, ...ofBackup } = given;
    const { rtoMs, report, database, pgBin } = given;
    const { signal, output } = tools;
    const { onProgress } = output;
    const ofMoment = { folder, keep, config, stanza };
    if (pitr === undefined) requireNone(ofMoment);
    const { drill: run } = await backups();
    const result =
      pitr === undefined
        ? await run({ ...onStore(onDatabase(ofBackup, tools)), login })
        : await run({
            ...ofMoment,
            pitr,
            rtoMs,
            report,
            database,
            pgBin,
            login,
            signal,
            onProgress,
          });
    output.result(result, renderDrill);
    if (!result.hasPassed) tools.answerNo();
  },
});

/** Throws `bad-configuration` for a flag that says something of a moment only. */
function requireNone(given: Readonly<Record<string, unknown>>): void {
  const names: Readonly<Record<string, string>> = { folder: 'target' };
  const problems = Object.entries(given).flatMap(([key, value]) =>
    value === undefined ? [] : [{ message: `--${names[key] ?? key} needs --pitr` }],
  );
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
}

const { url, passwordCommand } = targetFlags;

const check = defineCommand<
  Omit<OnStore<CheckOptions>, 'target'> & Pick<TargetFlags, 'url' | 'passwordCommand'>
>()({
  name: 'check',
  summary: 'exit with code 1 when a backup is missing, too old, damaged or not verified',
  flags: {
    maxAgeMs: flag('--max-age <time>', 'of the newest backup (default: 26h)', duration),
    maxVerifiedAgeMs: flag(
      '--max-verified-age <time>',
      'of the last verification (default: 8d)',
      duration,
    ),
    rpoMs: flag('--rpo <time>', 'how much WAL may be lost; checks it too', duration),
    ...stanzaFlags,
    ...storeFlags,
    url,
    passwordCommand,
  },
  notes: [
    'With --rpo, the URL names the server whose archiver is asked; pgBackRest is asked where it is installed.',
  ],
  examples: [
    ['cryptosense-db backup check --max-age 26h --rpo 1h --quiet', 'for a monitor'],
    ['cryptosense-db backup check --json', 'the ages, for a program'],
  ],
  run: async (
    { url: given, passwordCommand: command, ...options },
    { output, signal, answerNo },
  ) => {
    const target = targetOf({ url: given, passwordCommand: command });
    const result = await (await backups()).check({ ...onStore(options), target, signal });
    output.result(result, renderCheck);
    if (!result.isFine) answerNo();
  },
});

const list = defineCommand<OnStore<ListOptions>>()({
  name: 'list',
  summary: 'list the backups of a store, the newest first',
  flags: storeFlags,
  notes: ['A folder without a manifest is no backup: one is running, or has died.'],
  examples: [
    ['cryptosense-db backup list', 'of BACKUP_STORE'],
    ['cryptosense-db backup list --store s3://backups/db --json', 'for a program'],
  ],
  run: async (given, { output }) => {
    output.result(await (await backups()).list(onStore(given)), renderBackups);
  },
});

const show = defineCommand<OnStore<ShowOptions>>()({
  name: 'show',
  summary: 'show what a backup says about itself: versions, tables, rows',
  arguments: {
    id: argument('<id>', 'an id, its beginning such as 2026-01-31, or latest'),
  },
  flags: storeFlags,
  examples: [
    ['cryptosense-db backup show latest', 'the newest'],
    ['cryptosense-db backup show 2026-01-31', 'that of a day'],
  ],
  run: async (given, { output }) => {
    const { onProgress } = output;
    output.result(await (await backups()).show({ ...onStore(given), onProgress }), renderBackup);
  },
});

const prune = defineCommand<OnStore<PruneOptions>>()({
  name: 'prune',
  summary: 'delete the backups that no rule keeps, and what died unfinished',
  flags: {
    keep: flag('--keep <rules>', 'how many days, weeks and months (default: 7d,4w,12m)', {
      expected: 'counts of days, weeks and months such as 7d,4w,12m',
      read: parseKeep,
    }),
    dryRun: flag('--dry-run', 'print what would be deleted; change nothing'),
    ...storeFlags,
  },
  notes: [
    'Each rule keeps the newest backup of the last days, weeks (ISO, UTC) and months that have one; a backup stays',
    'when one rule keeps it. The newest of a database always stays, and so does what is not of this tool.',
  ],
  examples: [
    ['cryptosense-db backup prune --dry-run', 'what would be deleted'],
    ['cryptosense-db backup prune --keep 14d,8w,24m', 'keep twice as many'],
  ],
  run: async (given, { output, signal }) => {
    const result = await (await backups()).prune({ ...onStore(given), signal });
    output.result(result, renderPruned);
  },
});

const schedule = defineCommand<ScheduleOptions>()({
  name: 'schedule',
  summary: 'print the files with which another program runs the backups',
  flags: {
    for: flag('--for <program>', 'what runs them', {
      choices: ['systemd', 'cron', 'kubernetes', 'github'],
      default: 'systemd',
    }),
    out: flag('--out <dir>', 'write the files into this folder instead'),
    program: flag(
      '--program <path>',
      'for systemd and cron (default: /usr/local/bin/cryptosense-db)',
    ),
    image: flag('--image <name>', "for kubernetes: with this program and PostgreSQL's"),
    wal: flag('--no-wal', 'without the jobs of pgBackRest, and without --rpo in the check'),
    ...storeFlags,
    ...grouped('Store:', {
      recipients: repeatable(
        flag('--recipient <key>', 'a public key of age, which can decrypt the backups'),
      ),
      identityFile: flag(
        '--identity <path>',
        'where the jobs find secret keys of age, to verify and to drill',
      ),
    }),
  },
  notes: [
    'Daily at 02:00 UTC a backup and prune, every four hours an incremental physical one, every week a full one and a',
    'verification, every quarter a drill, every hour a check. No file has a secret: variables and secrets are named.',
  ],
  examples: [
    ['cryptosense-db backup schedule --for systemd --out units/', 'services and timers'],
    ['cryptosense-db backup schedule --for cron --no-wal', 'for a managed server'],
    ['cryptosense-db backup schedule --for kubernetes | kubectl apply -f -', 'after the secrets'],
  ],
  run: async (given, { output }) => {
    const result = (await backups()).schedule(given);
    output.product(result, renderSchedule);
  },
});

export const backupCommands: Group = {
  name: 'backup',
  summary: 'back up, verify, restore and drill; list, prune, check and schedule',
  commands: [
    create,
    list,
    show,
    verify,
    restore,
    activate,
    drill,
    check,
    prune,
    schedule,
    walCommands,
  ],
};
