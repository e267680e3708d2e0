import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CryptosenseDbError, hasCode } from '../../runtime/errors.ts';
import { readText } from '../../runtime/files.ts';
import { quoteShellWord } from '../../runtime/shell-words.ts';
import { parseWhole } from '../../runtime/whole-numbers.ts';

/** Where pgBackRest's configuration is, and which server of it is meant. */
export interface StanzaOptions {
  /** Default: /etc/pgbackrest/pgbackrest.conf, else /etc/pgbackrest.conf. */
  readonly config?: string | undefined;
  /** pgBackRest's name for a server with its backups. Default: the only one of the configuration. */
  readonly stanza?: string | undefined;
}

/** A server and its backups, as pgBackRest's configuration describes them. */
export interface Stanza {
  readonly name: string;
  readonly config: string;
  /** On the server's host. */
  readonly dataDirectory: string;
  /** pgBackRest reaches the server's host itself, over SSH or TLS. */
  readonly isRemote: boolean;
  readonly port: number;
  /** The role as which pgBackRest logs in; undefined: the one that is named as the user that runs it. */
  readonly user: string | undefined;
  /** A folder, or `s3://bucket/prefix`. */
  readonly repository: string;
  /** Values that no message may show. */
  readonly secrets: readonly string[];
}

export const configLocations = ['/etc/pgbackrest/pgbackrest.conf', '/etc/pgbackrest.conf'];

type Section = ReadonlyMap<string, string>;

/** Sections of an INI file as pgBackRest reads it: `[name]`, `key=value`, `#` at the start of a comment. */
function parseConfig(text: string): ReadonlyMap<string, Section> {
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, name] = /^\s*\[(.+)\]\s*$/.exec(line) ?? [];
    const [, key = '', value = ''] = /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined) {
      section = sections.get(name) ?? new Map();
      sections.set(name, section);
    } else if (key !== '') section.set(key, value);
  }
  return sections;
}

/** Reads the configuration. Throws `bad-configuration` and `file-problem`. */
export function findStanza(options: StanzaOptions): Stanza {
  const places = options.config === undefined ? configLocations : [resolve(options.config)];
  for (const config of places) {
    const text = readText(config);
    if (text !== undefined) return stanzaOf(text, { config, name: options.stanza });
  }
  throw unconfigured(`no configuration of pgBackRest is at ${places.join(', ')}`);
}

function stanzaOf(
  text: string,
  { config, name }: { readonly config: string; readonly name: string | undefined },
): Stanza {
  const sections = parseConfig(text);
  const names = [...sections.keys()].filter((each) => !/^global(?::|$)/.test(each));
  const [only, ...others] = names;
  const chosen = name ?? (others.length === 0 ? only : undefined);
  if (chosen === undefined) {
    throw unconfigured(
      names.length === 0
        ? `${config} names no server`
        : `${config} names several servers: ${names.join(', ')}`,
      names.length === 0 ? undefined : `choose one with: --stanza ${only}`,
    );
  }
  const own = sections.get(chosen);
  if (!own) throw unconfigured(`${config} has no section [${chosen}]`);
  const read = (key: string) => own.get(key) ?? sections.get('global')?.get(key);
  const dataDirectory = read('pg1-path');
  if (dataDirectory === undefined) {
    throw unconfigured(`[${chosen}] of ${config} has no pg1-path, the server's data directory`);
  }
  return {
    name: chosen,
    config,
    dataDirectory,
    isRemote: read('pg1-host') !== undefined,
    port: parseWhole(read('pg1-port') ?? '', { from: 1, to: 65_535 }) ?? 5432,
    user: read('pg1-user'),
    repository: repositoryOf(read),
    secrets: [...sections.values()].flatMap((section) =>
      [...section].flatMap(([key, value]) => (isSecret(key) && value !== '' ? [value] : [])),
    ),
  };
}

/** Keys of pgBackRest whose values are secret. */
function isSecret(key: string): boolean {
  return /-(?:cipher-pass|s3-key|s3-key-secret|s3-token|azure-key|gcs-key)$/.test(key);
}

function repositoryOf(read: (key: string) => string | undefined): string {
  const path = read('repo1-path') ?? '/var/lib/pgbackrest';
  const type = read('repo1-type') ?? 'posix';
  const bucket = read('repo1-s3-bucket');
  if (type === 's3' && bucket !== undefined) return `s3://${bucket}${path}`;
  return type === 'posix' ? path : `${type}:${path}`;
}

function unconfigured(message: string, hint?: string) {
  return new CryptosenseDbError('bad-configuration', {
    message,
    hint:
      hint ??
      'write one with: cryptosense-db backup wal config PLACE --out /etc/pgbackrest/pgbackrest.conf',
  });
}

/**
 * Makes sure that this process is on the server's host and runs as the server's user, as pgBackRest needs it: another
 * user's files in the archive would make the server's archiving fail. Throws `wal-unavailable`.
 */
export function requireServerHost(stanza: Stanza): void {
  const own = process.getuid?.();
  if (stanza.isRemote) return;
  const owner = ownerOfServer(stanza);
  if (own === undefined || owner === undefined || own === owner) return;
  const name = userName(owner);
  throw new CryptosenseDbError(
    'wal-unavailable',
    {
      message: `pgBackRest has to run as ${name}, the user of the server, and not as ${userName(own)}`,
      hint: `run the same command behind: sudo -u ${quoteShellWord(name)}`,
    },
    { details: { service: undefined } },
  );
}

/** undefined: this user may not see it. */
function ownerOfServer({ dataDirectory, config, name }: Stanza): number | undefined {
  try {
    // A file inside it, because any folder can have the name.
    statSync(join(dataDirectory, 'PG_VERSION'));
  } catch (error) {
    if (!hasCode(error, 'EACCES')) {
      throw new CryptosenseDbError(
        'wal-unavailable',
        {
          message: `the data directory ${dataDirectory} of the server is not on this machine`,
          evidence: [
            `[${name}] of ${config} names it`,
            "physical backups need the server's host, its user, and pgBackRest there",
          ],
          hint: "run the command on the server's host, or correct pg1-path",
        },
        { details: { service: undefined }, cause: error },
      );
    }
  }
  try {
    return statSync(dataDirectory).uid;
  } catch {
    return undefined;
  }
}

/** The name of a user of this machine; `#1000` for one without a name, as sudo writes it. */
function userName(uid: number): string {
  const line = (readText('/etc/passwd') ?? '')
    .split('\n')
    .map((each) => each.split(':'))
    .find(([, , id]) => id === String(uid));
  return line?.[0] ?? `#${uid}`;
}
