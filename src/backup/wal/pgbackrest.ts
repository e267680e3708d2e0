import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text as textOf } from 'node:stream/consumers';
import * as v from 'valibot';
import type { RunOptions } from '../../ledger/run.ts';
import { type ProgramEnd, startProgram } from '../../runtime/child-process.ts';
import { CryptosenseDbError, hasCode, messageOf } from '../../runtime/errors.ts';
import { compareText } from '../../runtime/order.ts';
import { type ArchivedSegment, segmentBytesOf } from './segments.ts';
import type { Stanza } from './stanza.ts';

const program = 'pgbackrest';

export interface PhysicalBackup {
  /** pgBackRest's name: `20261127-020000F`, with `_20261127-060000I` behind it for an incremental one. */
  readonly label: string;
  readonly type: 'full' | 'differential' | 'incremental';
  readonly startedAt: Date;
  /** The first moment that it can be restored to, rounded up to a second. */
  readonly stoppedAt: Date;
  /** The label of the backup that it builds on. */
  readonly prior: string | undefined;
  /** The size of the data directory. */
  readonly bytes: number;
  /** What the backup itself takes in the repository, compressed. */
  readonly storedBytes: number;
  /** pgBackRest found pages whose checksum is wrong. */
  readonly hasDamagedPages: boolean;
  /** The first and the last segment of WAL that it needs to be consistent. */
  readonly wal: { readonly start: string; readonly stop: string };
  /** The id of its archive of WAL, which changes with the major version of PostgreSQL: `15-1`. */
  readonly archive: string;
}

export interface RepositoryInfo {
  /** false: the stanza is still to be created. */
  readonly isCreated: boolean;
  /** The oldest first. */
  readonly backups: readonly PhysicalBackup[];
  /** The id of the archive of the server's present version; undefined before its first segment. */
  readonly archive: string | undefined;
  readonly segmentBytes: number;
  /** The major version of PostgreSQL: `15`. */
  readonly version: string | undefined;
}

/** Throws `program-missing` and `interrupted`. */
export async function requirePgBackRest({ signal }: CommandOptions): Promise<void> {
  await runProgram(['version'], { signal });
}

interface Output {
  readonly end: ProgramEnd;
  /** Empty where `onLine` took it. */
  readonly stdout: string;
}

async function runProgram(
  args: readonly string[],
  {
    signal,
    onLine,
  }: Pick<CommandOptions, 'signal'> & { readonly onLine?: ((line: string) => void) | undefined },
): Promise<Output> {
  if (signal?.aborted) throw interrupted();
  // Its messages in English: they are shown, and searched for their cause.
  const environment = { LC_MESSAGES: 'C' };
  const running = startProgram([program, ...args], { signal, environment });
  // A program that is not there has no pipes to write to.
  running.stdin.on('error', () => {}).end();
  const read = onLine ? readLines(running.stdout, onLine) : textOf(running.stdout);
  try {
    const [stdout, end] = await Promise.all([read, running.ended]);
    if (signal?.aborted) throw interrupted();
    return { stdout, end };
  } catch (error) {
    if (signal?.aborted) {
      await running.ended.catch(() => {});
      throw interrupted();
    }
    throw hasCode(error, 'ENOENT') || hasCode(error, 'EACCES') ? missing(error) : error;
  }
}

async function readLines(stream: Readable, onLine: (line: string) => void): Promise<string> {
  for await (const line of createInterface({ input: stream })) onLine(line);
  return '';
}

function interrupted() {
  return new CryptosenseDbError(
    'interrupted',
    { message: 'interrupted; pgBackRest has stopped' },
    { details: { completed: [], pending: [] } },
  );
}

function missing(cause: unknown) {
  return new CryptosenseDbError(
    'program-missing',
    {
      message: 'pgBackRest is not installed on this machine',
      evidence: [messageOf(cause), "physical backups and WAL need it on the server's host"],
      hint: 'install it with: apt-get install pgbackrest',
    },
    { details: { program }, cause },
  );
}

export interface CommandOptions extends Pick<RunOptions, 'onProgress' | 'signal'> {
  /** What the percentages in its output are of. */
  readonly what?: 'backup' | 'restore' | undefined;
}

/** Runs a command on the stanza; its standard output. Throws `program-missing`, `program-failed`, `interrupted`. */
export async function runPgBackRest(
  stanza: Stanza,
  [command = '', ...args]: readonly string[],
  { signal, onProgress, what }: CommandOptions = {},
): Promise<string> {
  const onLine = what && ((line: string) => reportPercent(line, { onProgress, what }));
  const words = [
    command,
    `--config=${stanza.config}`,
    `--stanza=${stanza.name}`,
    `--log-level-console=${what ? 'detail' : 'off'}`,
    '--log-level-stderr=warn',
    ...args,
  ];
  const { stdout, end } = await runProgram(words, { signal, onLine });
  const lines = end.lastLines.map((line) => withoutNoise(line, stanza.secrets));
  if (end.code !== 0) {
    throw new CryptosenseDbError(
      'program-failed',
      { message: `pgbackrest ${command} ended with an error`, evidence: lines },
      { details: { program, exitCode: end.code } },
    );
  }
  for (const message of lines) onProgress?.({ kind: 'notice', severity: 'WARNING', message });
  return stdout;
}

/** `… backup file /data/base/1/1259 (112KB, 57.31%) checksum …` */
function reportPercent(
  line: string,
  { onProgress, what }: Required<Pick<CommandOptions, 'what'>> & Pick<CommandOptions, 'onProgress'>,
): void {
  const [, text] = /, (\d+(?:\.\d+)?)%\)/.exec(line) ?? [];
  if (text !== undefined && what) {
    onProgress?.({ kind: 'files-copied', what, percent: Number(text) });
  }
}

/** A line without the time, the number of the process, and secrets. */
function withoutNoise(line: string, secrets: readonly string[]): string {
  const text = line.replace(/^\S+ \S+ P\d+ +/, '').trim();
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, '…'), text);
}

const range = v.object({ start: v.string(), stop: v.string() });
const database = v.object({ id: v.number(), 'repo-key': v.number() });

const infoSchema = v.array(
  v.object({
    name: v.string(),
    status: v.object({ code: v.number(), message: v.string() }),
    /** What is wrong with the repository, where the status of the stanza says no more than "other". */
    repo: v.optional(v.array(v.object({ status: v.object({ message: v.string() }) })), []),
    archive: v.array(v.object({ id: v.string(), database })),
    db: v.array(v.object({ id: v.number(), 'repo-key': v.number(), version: v.string() })),
    backup: v.array(
      v.object({
        label: v.string(),
        type: v.picklist(['full', 'diff', 'incr']),
        prior: v.nullable(v.string()),
        error: v.optional(v.boolean(), false),
        timestamp: v.object({ start: v.number(), stop: v.number() }),
        info: v.object({ size: v.number(), repository: v.object({ delta: v.number() }) }),
        archive: v.object({ start: v.nullable(v.string()), stop: v.nullable(v.string()) }),
        lsn: v.optional(range),
        database,
      }),
    ),
  }),
);

const types = { full: 'full', diff: 'differential', incr: 'incremental' } as const;
/** As `pgbackrest info` numbers them: no path of the stanza, and no file of it. */
const notCreated = [1, 3];
const noBackup = 2;

/** What the repository has. Throws what `runPgBackRest` throws. */
export async function readInfo(stanza: Stanza, options: CommandOptions): Promise<RepositoryInfo> {
  const text = await runPgBackRest(stanza, ['info', '--output=json', '--repo=1'], options);
  const [found] = v.parse(infoSchema, JSON.parse(text));
  const code = found?.status.code ?? notCreated[0];
  if (!found || notCreated.includes(code ?? 0)) {
    return {
      isCreated: false,
      backups: [],
      archive: undefined,
      segmentBytes: segmentBytesOf([]),
      version: undefined,
    };
  }
  if (code !== 0 && code !== noBackup) {
    throw new CryptosenseDbError(
      'program-failed',
      {
        message: `the repository of ${stanza.name} cannot be used`,
        evidence: found.repo
          .flatMap(({ status }) => status.message.split('\n'))
          .map((line) => withoutNoise(line, stanza.secrets)),
      },
      { details: { program, exitCode: 0 } },
    );
  }
  const archiveOf = (id: number) =>
    found.archive.find((each) => each.database.id === id)?.id ?? `${versionOf(id)}-${id}`;
  const versionOf = (id: number) => found.db.find((each) => each.id === id)?.version;
  const backups = found.backup.flatMap((backup): readonly PhysicalBackup[] => {
    const { start, stop } = backup.archive;
    // A backup of a stopped server, made by hand, has no WAL and needs none.
    if (start === null || stop === null) return [];
    return [
      {
        label: backup.label,
        type: types[backup.type],
        startedAt: new Date(backup.timestamp.start * 1000),
        stoppedAt: roundedUp(backup.timestamp.stop),
        prior: backup.prior ?? undefined,
        bytes: backup.info.size,
        storedBytes: backup.info.repository.delta,
        hasDamagedPages: backup.error,
        wal: { start, stop },
        archive: archiveOf(backup.database.id),
      },
    ];
  });
  const newest = Math.max(...found.db.map(({ id }) => id));
  return {
    isCreated: true,
    backups,
    archive: found.archive.find((each) => each.database.id === newest)?.id,
    segmentBytes: segmentBytesOf(
      found.backup.flatMap(({ archive, lsn }) =>
        archive.start === null || !lsn ? [] : [{ segment: archive.start, position: lsn.start }],
      ),
    ),
    version: versionOf(newest),
  };
}

/** pgBackRest gives whole seconds. An earlier moment in that second is not safe to restore to. */
function roundedUp(seconds: number): Date {
  return new Date((seconds + 1) * 1000);
}

const listSchema = v.record(
  v.string(),
  v.object({
    type: v.string(),
    size: v.optional(v.number(), 0),
    time: v.optional(v.number(), 0),
  }),
);

/** The segments of an archive, in the order of their names. */
export async function listArchive(
  stanza: Stanza,
  { archive, ...options }: CommandOptions & { readonly archive: string | undefined },
): Promise<readonly ArchivedSegment[]> {
  if (archive === undefined) return [];
  const path = `archive/${stanza.name}/${archive}`;
  const args = ['--output=json', '--recurse', '--repo=1', path];
  const text = await runPgBackRest(stanza, ['repo-ls', ...args], options);
  return Object.entries(v.parse(listSchema, JSON.parse(text)))
    .flatMap(([file, { size, time }]): readonly ArchivedSegment[] => {
      const name = /(?:^|\/)([0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?$/.exec(file)?.[1];
      return name === undefined ? [] : [{ name, at: roundedUp(time), bytes: size }];
    })
    .sort((one, other) => compareText(one.name, other.name));
}
