import { parseKeep } from '../backup/retention.ts';
import type { WalConfigOptions } from '../backup/wal/config.ts';
import type { WalListOptions } from '../backup/wal/list.ts';
import type { WalRestoreOptions } from '../backup/wal/restore.ts';
import type { WalRunOptions } from '../backup/wal/run.ts';
import {
  isTargetNamed,
  readTarget,
  readWalSecrets,
  surroundings,
  type TargetFlags,
} from '../config.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import {
  renderWalConfig,
  renderWalList,
  renderWalRestore,
  renderWalRun,
} from '../ui/backup-wal.ts';
import { argument, defineCommand, flag, type Group, grouped } from './command.ts';
import { targetFlags } from './flags.ts';
import { duration, moment, positiveNumber } from './values.ts';

const wal = () => import('../backup/wal/wal.ts');

export const stanzaFlags = grouped('pgBackRest:', {
  config: flag('--config <file>', 'its configuration (default: /etc/pgbackrest/pgbackrest.conf)'),
  stanza: flag('--stanza <name>', 'its name for the server (default: the only one)'),
});

const keepFlags = {
  keep: flag('--keep <rules>', 'for full backups (default: 7d,4w,12m)', {
    expected: 'counts of days, weeks and months such as 7d,4w,12m',
    read: parseKeep,
  }),
  walDays: flag(
    '--wal-days <n>',
    'how many days back every moment can be restored (default: 7)',
    positiveNumber,
  ),
};

/** The target that flags or environment name; undefined where they name none. */
export function targetOf({ url, passwordCommand }: TargetFlags) {
  const flags = { url, passwordCommand };
  const around = surroundings();
  return isTargetNamed(flags, around) ? readTarget(flags, around) : undefined;
}

const { url, passwordCommand } = targetFlags;
const serverFlags = { url, passwordCommand };

/** Of the command line: what the library takes as one object, and secrets that no flag may hold. */
type ConfigFlags = Omit<WalConfigOptions, 's3' | 'passphrase' | 'target'> &
  Pick<TargetFlags, 'url' | 'passwordCommand'> & {
    readonly region?: string | undefined;
    readonly endpoint?: string | undefined;
    readonly caFile?: string | undefined;
    readonly encrypt?: true | undefined;
    readonly passphraseFile?: string | undefined;
  };

const config = defineCommand<ConfigFlags>()({
  name: 'config',
  summary: "write pgBackRest's configuration, and say what to set on the server",
  arguments: { store: argument('<place>', 's3://bucket/prefix, or a folder') },
  flags: {
    out: flag('--out <file>', 'write the configuration, with its secrets, to this file'),
    stanza: flag('--stanza <name>', "pgBackRest's name for the server (default: main)"),
    dataDirectory: flag('--data-directory <dir>', "the server's (default: what the server says)"),
    port: flag('--port <n>', 'its port (default: what the server says, or 5432)', positiveNumber),
    socketFolder: flag(
      '--socket <dir>',
      'the folder of its socket (default: what the server says)',
    ),
    archiveTimeoutMs: flag(
      '--archive-timeout <time>',
      'how old WAL gets before it is archived, 5m to 15m (default: 5m)',
      duration,
    ),
    ...grouped('Repository:', {
      encrypt: flag('--encrypt', 'encrypt it with AES-256; this cannot be changed later'),
      passphraseFile: flag(
        '--passphrase-file <file>',
        'the passphrase (default: PGBACKREST_REPO1_CIPHER_PASS)',
      ),
      region: flag('--region <name>', 'of S3 (default: AWS_REGION)'),
      endpoint: flag('--endpoint <url>', 'https://… of a server that is compatible with S3'),
      caFile: flag('--ca-file <file>', "certificates of its authority (default: the system's)"),
    }),
    ...serverFlags,
  },
  notes: [
    'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go into the file; without them pgBackRest takes the role of the',
    'machine. Secrets are written with --out only, and never printed. Nothing is changed on the server.',
  ],
  examples: [
    ['cryptosense-db backup wal config /var/backups/wal --out pgbackrest.conf', 'a folder'],
    ['cryptosense-db backup wal config s3://backups/wal --encrypt', 'S3'],
  ],
  run: async (given, { output, signal }) => {
    const { region, endpoint, caFile, encrypt, passphraseFile, ...options } = given;
    const secrets = readWalSecrets({ passphraseFile }, surroundings());
    if (encrypt && secrets.passphrase === undefined) throw noPassphrase();
    if (passphraseFile !== undefined && !encrypt) {
      throw new CryptosenseDbError('bad-configuration', {
        message: '--passphrase-file needs --encrypt',
      });
    }
    const { accessKey, secretKey } = secrets;
    const result = await (await wal()).config({
      ...options,
      target: targetOf(given),
      passphrase: encrypt && secrets.passphrase,
      s3: { region: region ?? secrets.region, endpoint, caFile, accessKey, secretKey },
      signal,
      onProgress: output.onProgress,
    });
    output.product(result, renderWalConfig);
  },
});

function noPassphrase() {
  return new CryptosenseDbError('bad-configuration', {
    message: '--encrypt has no passphrase',
    evidence: ['--passphrase-file FILE', 'PGBACKREST_REPO1_CIPHER_PASS'],
    hint: 'make one, and keep it where the backups are not: openssl rand -base64 48',
  });
}

const run = defineCommand<
  Omit<WalRunOptions, 'target'> & Pick<TargetFlags, 'url' | 'passwordCommand'>
>()({
  name: 'run',
  summary: 'make a physical backup, then drop what no rule keeps',
  arguments: {
    kind: argument('<kind>', 'full, or the changes since the newest backup', {
      choices: ['full', 'incremental'],
    }),
  },
  flags: { ...keepFlags, ...stanzaFlags, ...serverFlags },
  notes: [
    "It runs on the server's host as the server's user. The rules are for full backups; incremental ones stay while",
    'their days have WAL. The WAL from the backup before those days on stays.',
  ],
  examples: [
    ['cryptosense-db backup wal run full', 'every week'],
    ['cryptosense-db backup wal run incremental', 'every four hours'],
  ],
  run: async ({ url, passwordCommand, ...given }, { output, signal }) => {
    const target = targetOf({ url, passwordCommand });
    const { onProgress } = output;
    output.result(await (await wal()).run({ ...given, target, signal, onProgress }), renderWalRun);
  },
});

const list = defineCommand<WalListOptions>()({
  name: 'list',
  summary: 'list the physical backups, the WAL, its gaps, and what can be restored',
  flags: { ...keepFlags, ...stanzaFlags },
  examples: [
    ['cryptosense-db backup wal list', 'the only server of the configuration'],
    ['cryptosense-db backup wal list --json', 'for a program'],
  ],
  run: async (given, { output, signal }) => {
    output.result(await (await wal()).list({ ...given, signal }), renderWalList);
  },
});

type RestoreFlags = Omit<WalRestoreOptions, 'folder'> & { readonly folder?: string | undefined };

const restore = defineCommand<RestoreFlags>()({
  name: 'restore',
  summary: 'restore the server as it was at a moment, into an empty folder',
  flags: {
    to: flag('--to <time>', 'a moment, or latest: as far as the WAL reaches', {
      expected: 'a moment such as 2026-01-31T12:00:00Z, or latest',
      read: (text: string): Date | 'latest' | undefined =>
        text === 'latest' ? text : moment.read(text),
    }),
    backup: flag('--backup <label>', 'a backup as it was when it ended, instead of a moment'),
    folder: flag('--target <dir>', 'the empty folder for the copy'),
    action: flag('--action <name>', 'what the copy does at the moment (default: pause)', {
      choices: ['pause', 'promote'],
    }),
    timeline: flag(
      '--timeline <n>',
      'the history to follow, where servers were restored before (default: the newest)',
      positiveNumber,
    ),
    allowGap: flag('--allow-gap', 'with --to latest, where WAL is missing: all up to the gap'),
    port: flag('--port <n>', 'the port of the copy (default: 5433)', positiveNumber),
    ...stanzaFlags,
  },
  conflicts: [['to', 'backup']],
  notes: [
    'It starts nothing: it prints the command that does. The copy listens on 127.0.0.1, archives no WAL, and runs no',
    'job of TimescaleDB. With pause it answers queries and writes nothing.',
  ],
  examples: [
    ['cryptosense-db backup wal restore --to 2026-01-31 --target copy/', 'a moment'],
    ['cryptosense-db backup wal restore --to latest --target /var/lib/copy', 'all there is'],
  ],
  run: async ({ folder, ...given }, { output, signal }) => {
    if (folder === undefined) {
      throw new CryptosenseDbError('bad-configuration', {
        message: 'no folder is named for the copy',
        hint: 'name an empty one, or one to create, with: --target DIR',
      });
    }
    const { onProgress } = output;
    const result = await (await wal()).restore({ ...given, folder, signal, onProgress });
    output.result(result, renderWalRestore);
  },
});

export const walCommands: Group = {
  name: 'wal',
  summary: 'physical backups and WAL through pgBackRest, and points in time',
  commands: [config, run, list, restore],
};
