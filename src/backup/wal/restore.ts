import {
  appendFileSync,
  chmodSync,
  existsSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readOutput } from '../../runtime/child-process.ts';
import { CryptosenseDbError, hasCode, messageOf } from '../../runtime/errors.ts';
import { makeFolder } from '../../runtime/files.ts';
import { quoteShellWord } from '../../runtime/shell-words.ts';
import { requireWhole } from '../../runtime/whole-numbers.ts';
import { folders as programFolders } from '../programs.ts';
import {
  defaultWalDays,
  type RepositoryState,
  readRepository,
  type WalListOptions,
} from './list.ts';
import { type PhysicalBackup, requirePgBackRest, runPgBackRest } from './pgbackrest.ts';
import { findGaps, type WalGap, windowOf } from './segments.ts';
import { findStanza, type Stanza } from './stanza.ts';

export interface WalRestoreOptions extends Omit<WalListOptions, 'keep'> {
  /** The moment to restore to, or as far as the WAL reaches. Either this or `backup`. */
  readonly to?: Date | 'latest' | undefined;
  /** The label of a backup, to restore as it was when it ended. */
  readonly backup?: string | undefined;
  /** An empty folder, or one to create: the data directory of the copy. */
  readonly folder: string;
  /**
   * What the copy does when it has reached the moment: `pause`, the default, answers queries and writes nothing;
   * `promote` takes writes. With `latest` the copy always takes writes.
   */
  readonly action?: 'pause' | 'promote' | undefined;
  /** The timeline to follow. Default: the newest. An older one is for what a restore has left behind. */
  readonly timeline?: number | undefined;
  /** With `latest`: where WAL is missing, restore what is before the gap. Default: a gap is refused. */
  readonly allowGap?: boolean | undefined;
  /** The port of the copy, for `startCommand`. Default 5433. */
  readonly port?: number | undefined;
}

export interface WalRestore {
  readonly folder: string;
  readonly stanza: string;
  /** A folder, or `s3://bucket/prefix`. */
  readonly repository: string;
  /** The backup that was restored. The copy replays the WAL from it on when it starts. */
  readonly backup: PhysicalBackup;
  /** undefined: as the backup was when it ended. */
  readonly to: Date | 'latest' | undefined;
  /** Where the WAL ends that the copy can replay, with `allowGap`; undefined where none is missing. */
  readonly gap: WalGap | undefined;
  readonly action: 'pause' | 'promote';
  /** As the copy's own user; it ends when the copy answers, or says why it does not. */
  readonly startCommand: string;
  /** What stops the copy and its connections. */
  readonly stopCommand: string;
  /** Settings in postgresql.auto.conf that make it a copy. Take them out where it is to replace the server. */
  readonly settings: readonly string[];
  /** Whether the tool had to write postgresql.conf and pg_hba.conf, which Debian keeps elsewhere. */
  readonly hasOwnConfig: boolean;
  readonly durationMs: number;
}

/**
 * What keeps a copy from acting as the server: no job of TimescaleDB runs, no commit waits for a standby of the server,
 * and no subscription takes changes away from it. pgBackRest adds `archive_mode = 'off'`.
 */
const copySettings = [
  'timescaledb.max_background_workers = 0',
  "synchronous_standby_names = ''",
  'max_logical_replication_workers = 0',
];

/**
 * Restores the server's files into an empty folder. The copy replays WAL when it is started with `startCommand`, and
 * archives none. What was written is removed when the restore does not come to its end.
 * Throws `wal-unavailable`, `program-missing`, `program-failed`, `bad-configuration`, `file-problem`, `no-backup`,
 * `moment-unreachable`, `interrupted`.
 */
export async function restore(options: WalRestoreOptions): Promise<WalRestore> {
  const {
    to,
    action = 'pause',
    port = 5433,
    walDays = defaultWalDays,
    signal,
    onProgress,
  } = options;
  const startedAt = Date.now();
  requireOneMoment(options);
  requireWhole({ port }, { from: 1, to: 65_535 });
  const command = { signal, onProgress };
  await requirePgBackRest(command);
  const stanza = findStanza(options);
  requireNotRoot();
  const folder = resolve(options.folder);
  requireEmpty(folder);
  requireEmpty(tablespacesOf(folder));
  const repository = await readRepository(stanza, { ...command, walDays });
  const { backup, gap } = chooseBackup(repository, { ...options, stanza: stanza.name });
  const existed = existsSync(folder);
  requireRoom(folder, backup);
  try {
    await makeCopy(stanza, { ...options, folder, action, backup });
    const version = repository.info.version ?? '';
    const hasOwnConfig = await configureCopy(folder, version);
    return {
      folder,
      stanza: stanza.name,
      repository: stanza.repository,
      backup,
      to,
      gap,
      action: to === 'latest' ? 'promote' : action,
      startCommand: startCommandOf({ folder, port, version }),
      stopCommand: `${pgCtl(version)} -D ${quoteShellWord(folder)} -m fast stop`,
      settings: ["archive_mode = 'off'", ...copySettings],
      hasOwnConfig,
      durationMs: Date.now() - startedAt,
    };
  } catch (error) {
    clear(folder, { existed });
    throw error;
  }
}

function requireOneMoment({ to, backup, action, timeline, allowGap }: WalRestoreOptions): void {
  if ((to === undefined) === (backup === undefined)) {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'a restore needs a moment or the label of a backup, and not both',
      hint: 'name a moment with --to, or a backup with --backup; see: cryptosense-db backup wal list',
    });
  }
  if (to === 'latest' && action === 'pause') {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'a restore to the end of the WAL has no moment to pause at',
      hint: 'leave --action out, or name a moment with --to',
    });
  }
  if (allowGap && to !== 'latest') {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'a gap in the WAL can be allowed only for a restore to its end',
      hint: 'leave --allow-gap out, or add: --to latest',
    });
  }
  if (timeline !== undefined) requireWhole({ timeline }, { from: 1, to: 0xffff_ffff });
}

function requireNotRoot(): void {
  if (process.getuid?.() !== 0) return;
  throw new CryptosenseDbError(
    'wal-unavailable',
    {
      message: 'root cannot own a data directory: PostgreSQL refuses to run as root',
      hint: "run the same command as the server's user, behind: sudo -u postgres",
    },
    { details: { service: undefined } },
  );
}

/** Throws `file-problem` for anything but an empty folder, or a name that is free. */
function requireEmpty(folder: string): void {
  const refuse = (reason: string, cause?: unknown) =>
    new CryptosenseDbError(
      'file-problem',
      {
        message: `${folder} cannot take a restore`,
        evidence: [reason],
        hint: 'name an empty folder, or one that does not exist yet',
      },
      { details: { path: folder }, cause },
    );
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw refuse(messageOf(error), error);
  }
  if (names.length > 0) throw refuse('it is not empty');
}

/** Throws `file-problem` where the disk has less room than the backup: full, it would stop a server on the same disk. */
function requireRoom(folder: string, { label, bytes }: PhysicalBackup): void {
  let place = folder;
  while (!existsSync(place)) place = dirname(place);
  const { bavail, bsize } = statfsSync(place);
  const free = bavail * bsize;
  if (free >= bytes) return;
  const mebibytes = (count: number) => `${Math.ceil(count / 1024 ** 2)} MiB`;
  throw new CryptosenseDbError(
    'file-problem',
    {
      message: `the disk of ${folder} has no room for a restore`,
      evidence: [`${label} takes ${mebibytes(bytes)}, and ${mebibytes(free)} are free`],
      hint: 'name a folder on a larger disk with: --target DIR',
    },
    { details: { path: folder } },
  );
}

type Choice = Pick<WalRestoreOptions, 'to' | 'backup' | 'timeline' | 'allowGap'> & {
  readonly stanza: string;
};

/** A backup, and the first gap in the WAL that the copy replays. */
interface Chosen {
  readonly backup: PhysicalBackup;
  readonly gap: WalGap | undefined;
}

/**
 * The newest backup that ended before the moment, whose WAL reaches the moment; or the newest, or the one that is named,
 * whose WAL has no gap. PostgreSQL takes a gap for the end of the WAL, and a copy that goes on from there has lost what
 * comes behind it without an error.
 */
export function chooseBackup(state: RepositoryState, choice: Choice): Chosen {
  const { to, backup: label, timeline = Number.POSITIVE_INFINITY, stanza } = choice;
  const { info, wal } = state;
  // The WAL of a later timeline is not replayed, and fills no gap.
  const segments = state.segments.filter(({ name }) => timelineOf(name) <= timeline);
  const { segmentBytes } = info;
  if (label !== undefined) {
    const named = info.backups.find((backup) => backup.label === label);
    if (!named) throw noBackup(label, `${stanza} has no physical backup ${label}`);
    return { backup: requireOwnWal(named, { ...state, segments }), gap: undefined };
  }
  const usable = info.backups.filter(
    (backup) => backup.archive === info.archive && timelineOf(backup.wal.start) <= timeline,
  );
  const newest = usable.at(-1);
  if (!newest) throw noBackup(stanza, `${stanza} has no physical backup`);
  if (to === 'latest' || to === undefined) {
    requireOwnWal(newest, { ...state, segments });
    const needed = [{ from: newest.wal.start, to: undefined }];
    // What an older timeline lacks behind the place where a later one begins is not replayed.
    const gap = findGaps(segments, { needed, segmentBytes }).find(
      ({ first }) =>
        !segments.some(
          ({ name }) => timelineOf(name) > timelineOf(first) && name.slice(8) <= first.slice(8),
        ),
    );
    if (gap && !choice.allowGap) throw endUnreachable(gap, { backup: newest, wal });
    return { backup: newest, gap };
  }
  const backup = usable.findLast(({ stoppedAt }) => stoppedAt.getTime() <= to.getTime());
  const window =
    backup && windowOf({ ...backup.wal, stoppedAt: backup.stoppedAt }, { segments, segmentBytes });
  if (backup && window && to.getTime() <= window.to.getTime()) return { backup, gap: undefined };
  throw momentUnreachable(wal, {
    message: `${to.toISOString()} cannot be restored: ${reasonOf(to, { backup, window, wal })}`,
    hint: hintOf(to, { wal, backup }),
  });
}

function timelineOf(segment: string): number {
  return Number.parseInt(segment.slice(0, 8), 16);
}

/** Throws `moment-unreachable` where WAL is missing that the backup itself needs: its copy would never be consistent. */
function requireOwnWal(
  backup: PhysicalBackup,
  { info: { archive, segmentBytes }, segments, wal }: RepositoryState,
): PhysicalBackup {
  // The segments of an earlier major version are in an archive that was not read.
  if (backup.archive !== archive) return backup;
  const { start, stop } = backup.wal;
  const [gap] = findGaps(segments, { needed: [{ from: start, to: stop }], segmentBytes });
  if (!gap) return backup;
  throw momentUnreachable(wal, {
    message: `the backup ${backup.label} cannot be restored: it needs the segment ${gap.first} of WAL, which is missing`,
    hint: 'choose another backup, or a moment that can be restored: cryptosense-db backup wal list',
  });
}

function endUnreachable(
  gap: WalGap,
  { backup, wal }: { readonly backup: PhysicalBackup; readonly wal: RepositoryState['wal'] },
): CryptosenseDbError {
  const last = gap.after ?? backup.stoppedAt;
  return momentUnreachable(wal, {
    message: `the end of the WAL cannot be restored: the segment ${gap.first} is missing, and what was written from ${last.toISOString()} on would be lost`,
    hint: 'put the segment back; or choose a moment before it; or restore all up to it, with: --to latest --allow-gap',
  });
}

function momentUnreachable(
  { windows }: RepositoryState['wal'],
  { message, hint }: { readonly message: string; readonly hint: string },
): CryptosenseDbError<'moment-unreachable'> {
  const moments = windows.map(({ from, to }) =>
    from.getTime() === to.getTime()
      ? from.toISOString()
      : `${from.toISOString()} to ${to.toISOString()}`,
  );
  return new CryptosenseDbError(
    'moment-unreachable',
    { message, evidence: moments.map((text) => `can be restored: ${text}`), hint },
    { details: { from: windows[0]?.from, to: windows.at(-1)?.to } },
  );
}

interface Found {
  readonly backup: PhysicalBackup | undefined;
  readonly wal: RepositoryState['wal'];
}

function reasonOf(
  to: Date,
  { backup, window, wal }: Found & { readonly window: ReturnType<typeof windowOf> },
): string {
  if (!backup) return 'it is before the end of the first backup';
  const last = wal.last?.at;
  if (last && to.getTime() > last.getTime()) return 'it is after the newest WAL in the archive';
  const gap = wal.gaps.find(({ after }) => !after || !window || after >= backup.stoppedAt);
  return gap
    ? `the segment ${gap.first} of WAL is missing before it`
    : `the WAL behind the backup ${backup.label} is not kept up to it`;
}

function hintOf(to: Date, { wal, backup }: Found): string {
  const last = wal.last?.at;
  if (backup && last && to.getTime() > last.getTime()) {
    return 'let the running server archive its newest segment: select pg_switch_wal(); or restore as far as the WAL reaches: cryptosense-db backup wal restore --to latest';
  }
  return backup
    ? `choose a moment that can be restored, or the backup itself: cryptosense-db backup wal restore --backup ${backup.label}`
    : 'choose a moment that can be restored';
}

function noBackup(id: string, message: string) {
  return new CryptosenseDbError(
    'no-backup',
    { message, hint: 'see what is there: cryptosense-db backup wal list' },
    { details: { id } },
  );
}

/** Beside the data directory, because PostgreSQL does not want them in it. */
function tablespacesOf(folder: string): string {
  return `${folder}-tablespaces`;
}

async function makeCopy(
  stanza: Stanza,
  {
    folder,
    backup,
    to,
    action,
    timeline,
    signal,
    onProgress,
  }: Omit<WalRestoreOptions, 'backup'> & { readonly backup: PhysicalBackup },
): Promise<void> {
  try {
    makeFolder(folder);
    chmodSync(folder, 0o700);
  } catch (cause) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `${folder} cannot be created`, evidence: [messageOf(cause)] },
      { details: { path: folder }, cause },
    );
  }
  const target =
    to === 'latest'
      ? ['--type=default']
      : to === undefined
        ? ['--type=immediate', `--target-action=${action}`]
        : ['--type=time', `--target=${writeMoment(to)}`, `--target-action=${action}`];
  const args = [
    `--pg1-path=${folder}`,
    `--set=${backup.label}`,
    ...target,
    ...(timeline === undefined ? [] : [`--target-timeline=${timeline}`]),
    // Without it the copy would archive into the repository of the server.
    '--archive-mode=off',
    // A tablespace would go where the server's own is.
    `--tablespace-map-all=${tablespacesOf(folder)}`,
    '--repo=1',
  ];
  await runPgBackRest(stanza, ['restore', ...args], { signal, onProgress, what: 'restore' });
}

/** `2026-11-27 22:27:24.637+00` */
function writeMoment(moment: Date): string {
  return moment.toISOString().replace('T', ' ').replace('Z', '+00');
}

/**
 * Adds the settings of a copy; true where it had to write the files of configuration too. `postgresql.auto.conf` comes
 * after every other file, and its last line counts.
 */
async function configureCopy(folder: string, version: string): Promise<boolean> {
  const lines = ['', '# Added by cryptosense-db: this is a copy', ...copySettings, ''];
  appendFileSync(join(folder, 'postgresql.auto.conf'), lines.join('\n'));
  const isThere = existsSync(join(folder, 'postgresql.conf'));
  if (!isThere) {
    writeFileSync(join(folder, 'postgresql.conf'), await ownConfig(folder, version), {
      mode: 0o600,
    });
  }
  if (!existsSync(join(folder, 'pg_hba.conf'))) {
    const rules = ['local all all peer', 'host all all 127.0.0.1/32 scram-sha-256', ''];
    writeFileSync(join(folder, 'pg_hba.conf'), rules.join('\n'), { mode: 0o600 });
  }
  return !isThere;
}

/** The limits of the server, which a copy that replays its WAL must not be below, and TimescaleDB where it is there. */
async function ownConfig(folder: string, version: string): Promise<string> {
  const facts = await readOutput([`${programFolder(version)}pg_controldata`, folder], {
    timeoutMs: 10_000,
  });
  const limits: Readonly<Record<string, string>> = {
    max_connections: 'max_connections',
    max_worker_processes: 'max_worker_processes',
    max_wal_senders: 'max_wal_senders',
    max_prepared_transactions: 'max_prepared_xacts',
    max_locks_per_transaction: 'max_locks_per_xact',
  };
  const text = typeof facts === 'string' ? facts : '';
  const library = await readOutput([`${programFolder(version)}pg_config`, '--pkglibdir'], {
    timeoutMs: 10_000,
  });
  const hasTimescale =
    typeof library === 'string' && existsSync(join(library.trim(), 'timescaledb.so'));
  return [
    '# Written by cryptosense-db: the server keeps its own file outside its data directory',
    ...Object.entries(limits).flatMap(([setting, name]) => {
      const value = new RegExp(`^${name} setting: +(\\d+)$`, 'm').exec(text)?.[1];
      return value === undefined ? [] : [`${setting} = ${value}`];
    }),
    ...(hasTimescale ? ["shared_preload_libraries = 'timescaledb'"] : []),
    '',
  ].join('\n');
}

/** With a slash at its end; empty where the programs of that version are looked up in the PATH. */
function programFolder(version: string): string {
  const folder = programFolders(Number(version)).find((each) => existsSync(join(each, 'pg_ctl')));
  return folder === undefined ? '' : `${folder}/`;
}

function pgCtl(version: string): string {
  return quoteShellWord(`${programFolder(version)}pg_ctl`);
}

/** The longest path of a socket that systems take, less the name of the socket in its folder. */
export const longestSocketFolder = 85;

function startCommandOf({
  folder,
  port,
  version,
}: {
  readonly folder: string;
  readonly port: number;
  readonly version: string;
}): string {
  const sockets = Buffer.byteLength(folder) <= longestSocketFolder ? folder : '';
  const settings = {
    // The server's own configuration may name its own folder, address and sockets.
    data_directory: folder,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: sockets,
    hot_standby: 'on',
  };
  const flags = Object.entries(settings).map(
    ([name, value]) => `-c ${name}=${quoteShellWord(value)}`,
  );
  const log = quoteShellWord(join(folder, 'start.log'));
  const options = quoteShellWord([`-p ${port}`, ...flags].join(' '));
  return `${pgCtl(version)} -D ${quoteShellWord(folder)} -l ${log} -o ${options} -w start`;
}

function clear(folder: string, { existed }: { readonly existed: boolean }): void {
  rmSync(tablespacesOf(folder), { recursive: true, force: true });
  const written = existed ? readdirSync(folder).map((name) => join(folder, name)) : [folder];
  for (const path of written) rmSync(path, { recursive: true, force: true });
}
