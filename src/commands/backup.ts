import type { ListOptions, ShowOptions } from '../backup/list.ts';
import type { PruneOptions } from '../backup/prune.ts';
import { parseKeep } from '../backup/retention.ts';
import type { ScheduleOptions } from '../backup/schedule.ts';
import { readStore, surroundings } from '../config.ts';
import { renderBackup, renderBackups, renderPruned, renderSchedule } from '../ui/backup.ts';
import { walCommands } from './backup-wal.ts';
import { argument, defineCommand, flag, type Group, grouped } from './command.ts';

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
    output.result(await (await backups()).show(onStore(given)), renderBackup);
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
    ...storeFlags,
  },
  notes: [
    'Daily at 02:00 UTC a backup and prune, every four hours an incremental physical one, every week a full one and a',
    'verification, every quarter a drill, every hour a check. No file has a secret: variables and secrets are named.',
  ],
  examples: [
    ['cryptosense-db backup schedule --for systemd --out units/', 'services and timers'],
    ['cryptosense-db backup schedule --for kubernetes | kubectl apply -f -', 'after the secrets'],
  ],
  run: async (given, { output }) => {
    const result = (await backups()).schedule(given);
    output.product(result, renderSchedule);
  },
});

export const backupCommands: Group = {
  name: 'backup',
  summary: 'keep backups: list, show and prune them, and schedule them',
  commands: [list, show, prune, schedule, walCommands],
};
