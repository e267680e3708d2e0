import { CryptosenseDbError } from '../runtime/errors.ts';
import { parseWhole } from '../runtime/whole-numbers.ts';

export interface CacheHost {
  readonly host: string;
  readonly port: number;
}

/** One server, a cluster, or the primary that Sentinels name. */
export interface CacheTarget {
  readonly kind: 'server' | 'cluster' | 'sentinel';
  /** Of a cluster some nodes, of Sentinel the Sentinels. */
  readonly hosts: readonly CacheHost[];
  /** The name of the primary that the Sentinels watch; empty otherwise. */
  readonly service: string;
  readonly database: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly isTls: boolean;
}

const form =
  /^(?<scheme>rediss?)(?:\+(?<kind>cluster|sentinel))?:\/\/(?:(?<login>[^@/]*)@)?(?<hosts>[^@/?#]+)(?:\/(?<path>[^?#]*))?$/;
const defaultPorts = { server: 6_379, cluster: 6_379, sentinel: 26_379 };
const mostDatabases = 1_000_000;

/**
 * Reads `redis://`, `rediss://`, `redis+cluster://` and `redis+sentinel://`, the last two with several hosts. Throws
 * `bad-configuration`, without the password.
 */
export function parseCacheUrl(url: string): CacheTarget {
  const {
    scheme,
    kind = 'server',
    login,
    hosts = '',
    path = '',
  } = form.exec(url.trim())?.groups ?? {};
  if (scheme === undefined || !isKind(kind)) throw faulty('it is no URL of Redis');
  const list = hosts.split(',').map((text) => parseHost(text, defaultPorts[kind]));
  if (kind === 'server' && list.length > 1) {
    throw faulty('it has several hosts; write redis+cluster:// or redis+sentinel://');
  }
  const [service = '', database = ''] = kind === 'sentinel' ? path.split('/') : ['', path];
  if (kind === 'sentinel' && service === '') {
    throw faulty('it lacks the name of the primary: redis+sentinel://host1,host2/NAME');
  }
  const number = parseWhole(database === '' ? '0' : database, { from: 0, to: mostDatabases });
  if (number === undefined) throw faulty(`"${database}" is no number of a database`);
  if (kind === 'cluster' && number > 0) throw faulty('a cluster has database 0 only');
  const [username = '', ...password] = (login ?? '').split(':');
  return {
    kind,
    hosts: list,
    service: decoded(service),
    database: number,
    username: username === '' ? undefined : decoded(username),
    password: password.length === 0 ? undefined : decoded(password.join(':')),
    isTls: scheme === 'rediss',
  };
}

/** `rediss://cache.example:6379/0`, never with a password. */
export function describeCache({ kind, hosts, service, database, isTls }: CacheTarget): string {
  const scheme = `${isTls ? 'rediss' : 'redis'}${kind === 'server' ? '' : `+${kind}`}`;
  const list = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);
  return `${scheme}://${list.join(',')}${service === '' ? '' : `/${service}`}/${database}`;
}

/** On this machine: no other one can read what is sent. */
export function isLoopback({ hosts }: CacheTarget): boolean {
  return hosts.every(({ host }) => /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host));
}

function isKind(kind: string): kind is CacheTarget['kind'] {
  return Object.hasOwn(defaultPorts, kind);
}

function parseHost(text: string, defaultPort: number): CacheHost {
  const [, inBrackets, name = '', digits] = /^(?:\[([^\]]+)\]|([^:]+))(?::(.*))?$/.exec(text) ?? [];
  const host = inBrackets ?? name;
  const port = digits === undefined ? defaultPort : parseWhole(digits, { from: 1, to: 65_535 });
  if (host === '') throw faulty('it lacks a host');
  if (port === undefined) throw faulty(`"${digits}" is no port`);
  return { host, port };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw faulty('a % in its user, password or name has to be written as %25');
  }
}

function faulty(fact: string): CryptosenseDbError<'bad-configuration'> {
  return new CryptosenseDbError('bad-configuration', {
    message: `the URL of the cache cannot be used: ${fact}`,
    evidence: [
      'redis://user:password@host:6379/0, or rediss:// for TLS',
      'redis+cluster://user:password@host1:6379,host2:6379',
      'redis+sentinel://user:password@host1:26379,host2:26379/NAME/0',
    ],
    hint: 'name it in one of these forms',
  });
}
