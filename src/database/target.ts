import { isIPv6 } from 'node:net';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { loginName } from '../runtime/login-name.ts';
import { describeRange, parseWhole } from '../runtime/whole-numbers.ts';

/** A database, and how to reach it. */
export type Target = ServerTarget | EmbeddedTarget;

export interface ServerTarget {
  readonly kind: 'server';
  /** Tried in order until one is a primary. A host that starts with `/` is the folder of a Unix socket. */
  readonly hosts: readonly Host[];
  readonly user: string;
  readonly password: string | undefined;
  readonly database: string;
  readonly applicationName: string;
  readonly tls: TlsOptions;
  readonly connectTimeoutMs: number;
}

export interface Host {
  readonly host: string;
  readonly port: number;
}

export interface TlsOptions {
  /** As libpq's `sslmode`. */
  readonly mode: SslMode;
  /** Paths of PEM files. */
  readonly rootCertificate: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

export interface EmbeddedTarget {
  readonly kind: 'embedded';
  /** Undefined: in memory; the data is lost when the process ends. */
  readonly folder: string | undefined;
}

export const sslModes = [
  'disable',
  'allow',
  'prefer',
  'require',
  'verify-ca',
  'verify-full',
] as const;
type SslMode = (typeof sslModes)[number];

export const defaultEmbeddedFolder = '.cryptosense';
const defaultSslMode: SslMode = 'prefer';
const defaultConnectTimeoutMs = 10_000;
const defaultApplicationName = 'cryptosense-db';
const defaultPort = 5432;
/** The ports that a server can listen on. */
export const portRange = { from: 1, to: 65_535 };

/** Values for parts that a URL leaves out. */
export interface TargetDefaults {
  /** Empty when the process's user id has no name, as in some containers. */
  readonly user: string;
  readonly password?: string | undefined;
  readonly sslMode?: string | undefined;
  readonly rootCertificate?: string | undefined;
}

/** The parts of a server target as texts, for `serverTarget`. */
interface TargetParts {
  /** A host, or several with commas; default `localhost`. */
  readonly hosts: string | undefined;
  /** A port, or one for each host. */
  readonly ports: string | undefined;
  readonly user: string | undefined;
  readonly password?: string | undefined;
  /** Default: the name of the user. */
  readonly database: string | undefined;
  /** Parameters of a URL. */
  readonly parameters?: ReadonlyMap<string, string>;
}

/**
 * Reads `postgresql://user:password@host:port,host:port/database?sslmode=…` (the forms of libpq,
 * socket folders included), `embedded:FOLDER`, `embedded:` and `embedded::memory:`.
 * Throws `bad-configuration`. The error never repeats the URL, which may hold a password.
 */
export function parseTarget(url: string, defaults: TargetDefaults): Target {
  const embedded = parseEmbedded(url);
  if (embedded) return embedded;

  const match =
    /^postgres(?:ql)?:\/\/(?:(?<login>[^/?#]*)@)?(?<hosts>[^/?#@]*)(?:\/(?<database>[^?#]*))?(?:\?(?<query>[^#]*))?$/.exec(
      url,
    );
  if (!match?.groups) throw malformed('it is not of the form postgresql://user@host:5432/database');

  const { login = '', hosts = '', database = '', query = '' } = match.groups;
  if (`${database}${query}`.includes('@') || database.includes('/')) {
    throw malformed('a / or ? is in the user, the password or the database name');
  }
  const colon = login.indexOf(':');
  const user = decode(colon < 0 ? login : login.slice(0, colon), 'the user');
  const password = colon < 0 ? undefined : decode(login.slice(colon + 1), 'the password');
  const parameters = parseQuery(query);
  return serverTarget(
    {
      hosts: parameters.get('host') ?? decode(hosts, 'the host'),
      ports: parameters.get('port'),
      user: parameters.get('user') ?? user,
      password: parameters.get('password') ?? password,
      database: parameters.get('dbname') ?? decode(database, 'the database'),
      parameters,
    },
    defaults,
  );
}

/** The target that these parts name. Throws `bad-configuration`. */
export function serverTarget(
  { hosts, ports, password, parameters = new Map(), ...parts }: TargetParts,
  defaults: TargetDefaults,
): ServerTarget {
  const user = parts.user || defaults.user;
  if (user === '') throw malformed('it names no user, and this process has no login name');
  return {
    kind: 'server',
    hosts: parseHosts(hosts, ports),
    user,
    password: password ?? defaults.password,
    database: parts.database || user,
    applicationName: parameters.get('application_name') ?? defaultApplicationName,
    tls: parseTls(parameters, defaults),
    connectTimeoutMs: parseConnectTimeout(parameters.get('connect_timeout')),
  };
}

/** Returns a target unchanged, and reads a URL. The user defaults to the login name of this process. */
export function resolveTarget(target: Target | string): Target {
  return typeof target === 'string' ? parseTarget(target, { user: loginName() }) : target;
}

/** The target as text for messages and logs, without the password. */
export function describeTarget(target: Target): string {
  if (target.kind === 'embedded') {
    return target.folder === undefined ? 'embedded::memory:' : `embedded:${target.folder}`;
  }
  return `${target.hosts.map(describeHost).join(',')}/${target.database}`;
}

/**
 * The URL of the target, with the password, in a form that drivers of other languages read too.
 * Leaves out parameters that have their default value.
 */
export function targetUrl(target: ServerTarget): string {
  const { hosts, user, password, database, applicationName, tls, connectTimeoutMs } = target;
  const login = [user, ...(password === undefined ? [] : [password])].map(encodeURIComponent);
  const isSocket = hosts.some(({ host }) => host.startsWith('/'));
  const parameters = {
    // The folder of a socket cannot stand in the host part of a URL.
    ...(isSocket && { host: hosts.map(({ host }) => host).join(',') }),
    ...(isSocket && { port: hosts.map(({ port }) => port).join(',') }),
    ...(tls.mode !== defaultSslMode && { sslmode: tls.mode }),
    ...(tls.rootCertificate !== undefined && { sslrootcert: tls.rootCertificate }),
    ...(tls.certificate !== undefined && { sslcert: tls.certificate }),
    ...(tls.key !== undefined && { sslkey: tls.key }),
    ...(connectTimeoutMs !== defaultConnectTimeoutMs && {
      connect_timeout: String(connectTimeoutMs / 1000),
    }),
    ...(applicationName !== defaultApplicationName && { application_name: applicationName }),
  };
  const query = new URLSearchParams(parameters).toString().replaceAll('+', '%20');
  const place = isSocket ? '' : hosts.map(describeHost).join(',');
  return `postgresql://${login.join(':')}@${place}/${encodeURIComponent(database)}${query && `?${query}`}`;
}

export function describeHost({ host, port }: Host): string {
  if (host.startsWith('/')) return `${host}/.s.PGSQL.${port}`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Reads `h1:5432,[::1]:5433,/run/postgresql`. `ports` (libpq's `port`) fills in missing ports.
 * Errors repeat no part of the text: in a malformed URL it may be part of the password.
 */
function parseHosts(hosts: string | undefined, ports: string | undefined): Host[] {
  const names = (hosts || 'localhost').split(',');
  const fallback = ports?.split(',') ?? [];
  if (fallback.length > 1 && fallback.length !== names.length) {
    throw malformed(`it names ${names.length} hosts and ${fallback.length} ports`);
  }
  return names.map((name, index) => {
    if (/:.*:/.test(name) && isIPv6(name)) {
      return { host: name, port: parsePort(fallback[index] ?? fallback[0]) };
    }
    const match = /^(?:\[(?<v6>[^\]]+)\]|(?<name>\/[^:]*|[^:/]+))(?::(?<port>[^:]*))?$/.exec(name);
    const host = match?.groups?.v6 ?? match?.groups?.name;
    if (host === undefined) throw malformed('a host in it is empty or not host:port');
    const port = match?.groups?.port ?? fallback[index] ?? fallback[0];
    return { host, port: parsePort(port) };
  });
}

function parsePort(text: string | undefined): number {
  if (text === undefined || text === '') return defaultPort;
  const port = parseWhole(text, portRange);
  if (port === undefined) throw malformed(`a port in it is not ${describeRange(portRange)}`);
  return port;
}

function parseEmbedded(url: string): EmbeddedTarget | undefined {
  if (!url.startsWith('embedded:')) return undefined;
  const folder = url.slice('embedded:'.length);
  if (folder === ':memory:') return { kind: 'embedded', folder: undefined };
  return { kind: 'embedded', folder: folder === '' ? defaultEmbeddedFolder : folder };
}

const understoodParameters = new Set([
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'connect_timeout',
  'application_name',
  'target_session_attrs',
]);

function parseQuery(query: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const part of query.split('&').filter((text) => text !== '')) {
    const equals = part.indexOf('=');
    const name = decode(equals < 0 ? part : part.slice(0, equals), 'a parameter');
    if (!understoodParameters.has(name)) {
      // If the password contains a bare &, this "name" is the rest of the password.
      const which = parameters.has('password') ? 'a parameter' : `the parameter "${name}"`;
      throw malformed(
        `it has ${which}, which is not one of ${[...understoodParameters].join(', ')}`,
      );
    }
    parameters.set(name, equals < 0 ? '' : decode(part.slice(equals + 1), `the parameter ${name}`));
  }
  const attributes = parameters.get('target_session_attrs');
  if (attributes !== undefined && !['any', 'read-write', 'primary'].includes(attributes)) {
    throw malformed(
      `target_session_attrs is "${attributes}"; this tool connects to a primary only`,
    );
  }
  return parameters;
}

function parseTls(parameters: ReadonlyMap<string, string>, defaults: TargetDefaults): TlsOptions {
  const mode = parameters.get('sslmode') ?? defaults.sslMode ?? defaultSslMode;
  if (!isSslMode(mode)) {
    throw malformed(`sslmode is "${mode}"; it can be ${sslModes.join(', ')}`);
  }
  return {
    mode,
    rootCertificate: parameters.get('sslrootcert') ?? defaults.rootCertificate,
    certificate: parameters.get('sslcert'),
    key: parameters.get('sslkey'),
  };
}

export function isSslMode(text: string): text is SslMode {
  return sslModes.some((mode) => mode === text);
}

/** libpq's `connect_timeout`, in seconds. Zero means the default. */
function parseConnectTimeout(text: string | undefined): number {
  if (text === undefined) return defaultConnectTimeoutMs;
  const seconds = parseWhole(text, { from: 0, to: 999_999 });
  if (seconds === undefined) {
    throw malformed(`connect_timeout is "${text}", which is not a number of seconds`);
  }
  return seconds === 0 ? defaultConnectTimeoutMs : seconds * 1000;
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed(`${what} has a % that does not start an escape; write it as %25`);
  }
}

function malformed(reason: string): CryptosenseDbError<'bad-configuration'> {
  const problem: Problem = {
    message: `the database URL cannot be read: ${reason}`,
    hint: 'percent-encode the characters @ : / ? # % & in user names and passwords',
  };
  return new CryptosenseDbError('bad-configuration', problem);
}
