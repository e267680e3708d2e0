import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { quoteLiteral, type Session } from '../../database/connection.ts';
import { resolveTarget, type Target } from '../../database/target.ts';
import { CryptosenseDbError, type Problem } from '../../runtime/errors.ts';
import { replaceFile, requireWritable } from '../../runtime/files.ts';
import { loginName } from '../../runtime/login-name.ts';
import { quoteShellWord } from '../../runtime/shell-words.ts';
import { requireWhole } from '../../runtime/whole-numbers.ts';
import { neverExpires } from './retention.ts';
import { readArchiver, refuseManaged, type ServerOptions, withServer } from './server.ts';
import { configLocations } from './stanza.ts';

/** Access to a bucket. */
export interface WalS3Options {
  readonly region?: string | undefined;
  /** `https://host:port` of a compatible server. Default: AWS. */
  readonly endpoint?: string | undefined;
  /** A file with the certificates that the endpoint's is signed with. Default: the system's. */
  readonly caFile?: string | undefined;
  /** Both or none: without them pgBackRest takes the role of the machine. */
  readonly accessKey?: string | undefined;
  readonly secretKey?: string | undefined;
}

export interface WalConfigOptions extends ServerOptions {
  /** A folder, or `s3://bucket/prefix`. */
  readonly store: string;
  readonly s3?: WalS3Options | undefined;
  /** pgBackRest's name for the server. Default `main`. */
  readonly stanza?: string | undefined;
  /** Encrypts the repository with AES-256. It can never be changed or read without. */
  readonly passphrase?: string | undefined;
  /** Default: what the server says. */
  readonly dataDirectory?: string | undefined;
  /** Default: what the server says, else 5432. */
  readonly port?: number | undefined;
  /** The folder of the server's socket. Default: what the server says, else pgBackRest's default. */
  readonly socketFolder?: string | undefined;
  /** How old WAL gets before the server archives it, from 5 to 15 minutes. Default: 5 minutes. */
  readonly archiveTimeoutMs?: number | undefined;
  /** The file to write. Its passphrase and keys go nowhere else. */
  readonly out?: string | undefined;
}

/** A setting of the server. */
export interface ServerSetting {
  readonly name: string;
  readonly value: string;
  /** undefined: no server was asked. */
  readonly current: string | undefined;
  readonly needsRestart: boolean;
}

export interface WalConfig {
  readonly stanza: string;
  /** pgbackrest.conf, without its secrets. */
  readonly config: string;
  /** The keys whose values are left out of `config`. The file has them. */
  readonly secrets: readonly string[];
  /** The file that was written. */
  readonly file: string | undefined;
  readonly settings: readonly ServerSetting[];
  /** The statements that set those that are not set yet. */
  readonly sql: string;
  /** What to run after that, in order, as the server's user. */
  readonly commands: readonly string[];
}

interface ServerPlace {
  readonly dataDirectory: string;
  readonly port: number;
  readonly socketFolder: string | undefined;
  /** The role that the target names; undefined where it names none but the user of this process. */
  readonly user: string | undefined;
  readonly current: ReadonlyMap<string, string>;
}

const minuteMs = 60_000;

/**
 * Writes the configuration of pgBackRest, and says what to set on the server. Changes nothing on the server.
 * Throws `bad-configuration`, `wal-unavailable`, `file-problem`, and what a connection throws where a server is named.
 */
export async function config(options: WalConfigOptions): Promise<WalConfig> {
  const { stanza = 'main', archiveTimeoutMs = 5 * minuteMs, out } = options;
  requireValid(options, { stanza, archiveTimeoutMs });
  await refuseManaged(options);
  const file = out === undefined ? undefined : resolve(out);
  if (file !== undefined) requireWritable(file);
  const place = await findPlace(options);
  const entries = entriesOf(options, { stanza, place });
  const secrets = entries.filter(({ isSecret }) => isSecret).map(({ key }) => key);
  if (file !== undefined) {
    const owner = ownerFor(place.dataDirectory);
    replaceFile(file, renderConfig(entries, { stanza, hidesSecrets: false }), {
      mode: 0o600,
      owner,
    });
  }
  const used = file ?? configLocations[0] ?? '';
  const settings = settingsOf({ stanza, archiveTimeoutMs, file: used, current: place.current });
  const flag = used === configLocations[0] ? '' : ` --config ${quoteShellWord(used)}`;
  return {
    stanza,
    config: renderConfig(entries, { stanza, hidesSecrets: true }),
    secrets,
    file,
    settings,
    sql: settings
      .filter(({ value, current }) => value !== current)
      .map(({ name, value }) => `ALTER SYSTEM SET ${name} = ${quoteLiteral(value)};\n`)
      .join(''),
    commands: [`cryptosense-db backup wal run full${flag}`],
  };
}

/** Throws `bad-configuration` with everything that is wrong. */
function requireValid(
  { store, s3, passphrase, dataDirectory, socketFolder }: WalConfigOptions,
  { stanza, archiveTimeoutMs }: { readonly stanza: string; readonly archiveTimeoutMs: number },
): void {
  const problems: Problem[] = [];
  if (!/^[A-Za-z0-9][\w-]*$/.test(stanza) || stanza === 'global') {
    problems.push({ message: `a stanza cannot have the name "${stanza}"` });
  }
  if (archiveTimeoutMs < 5 * minuteMs || archiveTimeoutMs > 15 * minuteMs) {
    problems.push({
      message: `WAL would be archived after ${archiveTimeoutMs / 1000} s; it can be 5 to 15 minutes`,
      hint: 'shorter, and most of each segment is empty; longer, and an hour of loss comes near',
    });
  }
  if (passphrase === '') problems.push({ message: 'the passphrase is empty' });
  if (s3?.endpoint !== undefined && !/^https:\/\/[^/]+\/?$/.test(s3.endpoint)) {
    problems.push({
      message: `${s3.endpoint} is not an endpoint that pgBackRest can use`,
      hint: 'use one with TLS: https://host, or https://host:port',
    });
  }
  if ((s3?.accessKey === undefined) !== (s3?.secretKey === undefined)) {
    problems.push({ message: 'an access key of S3 and its secret key need each other' });
  }
  if (store.startsWith('s3://')) {
    if (!/^s3:\/\/[^/]+/.test(store)) problems.push({ message: `${store} names no bucket` });
    if (s3?.region === undefined) {
      problems.push({
        message: 'no region of S3 is named',
        hint: 'name it with --region, or AWS_REGION',
      });
    }
  } else if (/^\w+:\/\//.test(store)) {
    problems.push({ message: `${store} is neither a folder nor s3://bucket/prefix` });
  }
  const texts = { store, passphrase, dataDirectory, socketFolder, ...s3 };
  for (const [name, text] of Object.entries(texts)) {
    // A line of the file has one value. The value may be a secret.
    if (text !== undefined && /[\r\n]/.test(text)) {
      problems.push({ message: `${name} has more than one line` });
    }
  }
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
}

async function findPlace(options: WalConfigOptions): Promise<ServerPlace> {
  const { target, dataDirectory, port, socketFolder } = options;
  const asked =
    target === undefined ? undefined : await withServer({ ...options, target }, readPlace);
  const folder = dataDirectory ?? asked?.dataDirectory;
  if (folder === undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: "the server's data directory is not named",
      hint: 'name it with --data-directory, or name the server with --url as a superuser',
    });
  }
  const chosen = port ?? asked?.port ?? 5432;
  requireWhole({ port: chosen }, { from: 1, to: 65_535 });
  return {
    dataDirectory: folder,
    port: chosen,
    socketFolder: socketFolder ?? asked?.socketFolder,
    user: target === undefined ? undefined : roleOf(target),
    current: asked?.current ?? new Map(),
  };
}

function roleOf(target: Target | string): string | undefined {
  const resolved = resolveTarget(target);
  return resolved.kind === 'server' && resolved.user !== loginName() ? resolved.user : undefined;
}

/** Each is undefined where the role may not see it. */
async function readPlace(
  session: Session,
): Promise<
  Omit<ServerPlace, 'dataDirectory' | 'user'> & { readonly dataDirectory: string | undefined }
> {
  const rows = await session.sql<{ name: string; value: string }[]>`
    select name, current_setting(name) as value from pg_settings
    where name in ('data_directory', 'port', 'unix_socket_directories', 'wal_level')`;
  const read = new Map(rows.map(({ name, value }) => [name, value]));
  const { mode, command, timeoutMs } = await readArchiver(session);
  return {
    dataDirectory: read.get('data_directory'),
    port: Number(read.get('port')),
    socketFolder: read.get('unix_socket_directories')?.split(',')[0]?.trim() || undefined,
    current: new Map([
      ['wal_level', read.get('wal_level') ?? ''],
      ['archive_mode', mode],
      ['archive_command', command],
      ['archive_timeout', String(timeoutMs / 1000)],
    ]),
  };
}

interface Entry {
  readonly key: string;
  readonly value: string;
  readonly isSecret?: boolean;
}

/** The keys of `[global]`, and those of the stanza, which begin with `pg1-`. */
function entriesOf(
  { store, s3, passphrase }: WalConfigOptions,
  { place }: { readonly stanza: string; readonly place: ServerPlace },
): readonly Entry[] {
  return [
    ...(store.startsWith('s3://')
      ? bucketEntries(store, s3)
      : [{ key: 'repo1-path', value: resolve(store) }]),
    ...(passphrase === undefined
      ? []
      : [
          { key: 'repo1-cipher-type', value: 'aes-256-cbc' },
          { key: 'repo1-cipher-pass', value: passphrase, isSecret: true },
        ]),
    { key: 'repo1-bundle', value: 'y' },
    { key: 'repo1-retention-full', value: String(neverExpires) },
    { key: 'compress-type', value: 'zst' },
    { key: 'process-max', value: '2' },
    { key: 'start-fast', value: 'y' },
    { key: 'pg1-path', value: place.dataDirectory },
    { key: 'pg1-port', value: String(place.port) },
    ...(place.user === undefined ? [] : [{ key: 'pg1-user', value: place.user }]),
    ...(place.socketFolder === undefined
      ? []
      : [{ key: 'pg1-socket-path', value: place.socketFolder }]),
  ];
}

function bucketEntries(store: string, s3: WalS3Options = {}): readonly Entry[] {
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]+)\/?(.*?)\/*$/.exec(store) ?? [];
  const { region = '', endpoint, caFile, accessKey, secretKey } = s3;
  const url = endpoint === undefined ? undefined : new URL(endpoint);
  return [
    { key: 'repo1-type', value: 's3' },
    { key: 'repo1-path', value: `/${prefix}` },
    { key: 'repo1-s3-bucket', value: bucket },
    { key: 'repo1-s3-region', value: region },
    { key: 'repo1-s3-endpoint', value: url?.hostname ?? `s3.${region}.amazonaws.com` },
    ...(url ? [{ key: 'repo1-s3-uri-style', value: 'path' }] : []),
    ...(url?.port ? [{ key: 'repo1-storage-port', value: url.port }] : []),
    ...(caFile === undefined ? [] : [{ key: 'repo1-storage-ca-file', value: resolve(caFile) }]),
    ...(accessKey === undefined || secretKey === undefined
      ? [{ key: 'repo1-s3-key-type', value: 'auto' }]
      : [
          { key: 'repo1-s3-key', value: accessKey, isSecret: true },
          { key: 'repo1-s3-key-secret', value: secretKey, isSecret: true },
        ]),
  ];
}

function renderConfig(
  entries: readonly Entry[],
  { stanza, hidesSecrets }: { readonly stanza: string; readonly hidesSecrets: boolean },
): string {
  const line = ({ key, value, isSecret }: Entry) =>
    isSecret && hidesSecrets ? `# ${key}= is left out here` : `${key}=${value}`;
  const isOfStanza = ({ key }: Entry) => key.startsWith('pg1-');
  return [
    '# Written by: cryptosense-db backup wal config',
    '# The number of full backups never expires any: cryptosense-db backup wal run drops those',
    '# that no rule keeps, and the WAL before the days for which every moment can be restored.',
    '[global]',
    ...entries.filter((entry) => !isOfStanza(entry)).map(line),
    '',
    `[${stanza}]`,
    ...entries.filter(isOfStanza).map(line),
    '',
  ].join('\n');
}

/** Root writes the file for the server's user. */
function ownerFor(
  dataDirectory: string,
): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  return statSync(dataDirectory, { throwIfNoEntry: false });
}

function settingsOf({
  stanza,
  archiveTimeoutMs,
  file,
  current,
}: {
  readonly stanza: string;
  readonly archiveTimeoutMs: number;
  readonly file: string;
  readonly current: ReadonlyMap<string, string>;
}): readonly ServerSetting[] {
  const isDefault = file === configLocations[0];
  // The server replaces %p with the path of a segment. Another % is written twice.
  const path = quoteShellWord(file).replaceAll('%', '%%');
  const command = `pgbackrest${isDefault ? '' : ` --config=${path}`} --stanza=${stanza} archive-push %p`;
  const level = current.get('wal_level');
  const wanted = [
    // Logical replication needs more WAL than a backup does.
    ['wal_level', level === 'logical' ? level : 'replica', true],
    ['archive_mode', current.get('archive_mode') === 'always' ? 'always' : 'on', true],
    ['archive_command', command, false],
    ['archive_timeout', String(archiveTimeoutMs / 1000), false],
  ] as const;
  return wanted.map(([name, value, restarts]) => ({
    name,
    value,
    current: current.get(name),
    needsRestart: restarts && value !== current.get(name),
  }));
}
