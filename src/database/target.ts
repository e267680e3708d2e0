import { isIP, isIPv6 } from 'node:net';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { loginName } from '../runtime/login-name.ts';
import { describeRange, parseWhole } from '../runtime/whole-numbers.ts';
import type { EmbeddedEngine } from './embedded/engine.ts';
import { findFormFault, findParameterFault, sslModes, tlsVersions } from './parameters.ts';

/** A database, and how to reach it. */
export type Target = ServerTarget | EmbeddedTarget;

export interface ServerTarget {
  readonly kind: 'server';
  /** Tried in order until one is a primary. A host that starts with `/` is the folder of a Unix socket. */
  readonly hosts: readonly Host[];
  readonly user: string;
  readonly password: string | undefined;
  /** Where the password is looked up if there is none. Default: ~/.pgpass. */
  readonly passwordFile?: string | undefined;
  /** The program, and its arguments, that prints the password of each new connection. */
  readonly passwordCommand?: readonly string[] | undefined;
  /** Gives the password of each new connection. It counts before every other. */
  readonly passwordFunction?: PasswordFunction | undefined;
  readonly database: string;
  readonly applicationName: string;
  readonly tls: TlsOptions;
  readonly connectTimeoutMs: number;
  /** Settings of the session that the server gets with the login, such as `options` and `TimeZone`. */
  readonly settings: Readonly<Record<string, string>>;
  /** How long a connection is idle before the system asks whether the server is still there; undefined: never. */
  readonly keepAliveMs: number | undefined;
  /** Try the hosts in a random order. */
  readonly isOrderRandom: boolean;
}

/** Where a new connection logs in: a token may be for one host, port and user only. */
export interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** Returns the password of one new connection. */
export type PasswordFunction = (login: Login) => Promise<string> | string;

export interface Host {
  readonly host: string;
  readonly port: number;
  /** Where to connect to, if not to `host`, which then is the name to verify. */
  readonly address?: string | undefined;
}

export interface TlsOptions {
  /** As libpq's `sslmode`. */
  readonly mode: SslMode;
  /** Paths of PEM files. */
  readonly rootCertificate: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly passphrase?: string | undefined;
  readonly revocationList?: string | undefined;
  readonly minVersion?: TlsVersion | undefined;
  readonly maxVersion?: TlsVersion | undefined;
  /** Default true. */
  readonly isNameSent?: boolean | undefined;
  /** Default true, where there is a certificate. */
  readonly isCertificateSent?: boolean | undefined;
  /** Default false. */
  readonly isDirect?: boolean | undefined;
}

export interface EmbeddedTarget {
  readonly kind: 'embedded';
  /** Undefined: in memory; the data is lost when the process ends. */
  readonly folder: string | undefined;
  /** One that is open already. Sessions use it, and leave it open. Default: a session starts the engine and ends it. */
  readonly engine?: EmbeddedEngine | undefined;
}

type TlsVersion = (typeof tlsVersions)[number];
type SslMode = (typeof sslModes)[number];

export const defaultEmbeddedFolder = '.cryptosense';
const defaultSslMode: SslMode = 'prefer';
const defaultConnectTimeoutMs = 10_000;
const defaultKeepAliveMs = 60_000;
const defaultApplicationName = 'cryptosense-db';
const defaultPort = 5432;
/** The ports that a server can listen on. */
export const portRange = { from: 1, to: 65_535 };

/** Values for parts that a URL leaves out. */
export interface TargetDefaults {
  /** Empty when the process's user id has no name, as in some containers. */
  readonly user: string;
  readonly password?: string | undefined;
  readonly passwordCommand?: readonly string[] | undefined;
  /** Parameters of libpq, as its variables give them. */
  readonly parameters?: ReadonlyMap<string, string> | undefined;
  /** Settings of the session, as libpq's variables give them. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/** The parts of a server target as texts, for `serverTarget`. */
interface TargetParts {
  /** A host, or several with commas; default `localhost`. */
  readonly hosts: string | undefined;
  /** A port, or one for each host. */
  readonly ports: string | undefined;
  /** Where to connect to for each host, if not to its name. */
  readonly addresses?: string | undefined;
  readonly user: string | undefined;
  readonly password?: string | undefined;
  /** Default: the name of the user. */
  readonly database: string | undefined;
  /** Parameters of a URL. */
  readonly parameters?: ReadonlyMap<string, string>;
}

/**
 * Reads `postgresql://user:password@host:port,host:port/database?sslmode=…` (the forms of libpq,
 * socket folders included), `embedded:FOLDER`, `embedded:` and `embedded::memory:`. Blanks and line ends around it,
 * as a mounted secret has them, are taken off.
 * Throws `bad-configuration`. The error never repeats the URL, which may hold a password.
 */
export function parseTarget(text: string, defaults: TargetDefaults): Target {
  const url = text.trim();
  const embedded = parseEmbedded(url);
  if (embedded) return embedded;

  const fault = findFormFault(url);
  if (fault) throw malformed(fault.reason, fault.hint);
  const match =
    /^postgres(?:ql)?:\/\/(?:(?<login>[^/?#]*)@)?(?<hosts>[^/?#@]*)(?:\/(?<database>[^?#]*))?(?:\?(?<query>[^#]*))?$/.exec(
      url,
    );
  if (!match?.groups) throw unreadable(url);

  const { login = '', hosts = '', database = '', query = '' } = match.groups;
  if (`${database}${query}`.includes('@') || database.includes('/')) {
    throw malformed('a / or ? is in the user, the password or the database name', encoding);
  }
  const colon = login.indexOf(':');
  const user = decode(colon < 0 ? login : login.slice(0, colon), 'the user');
  const password = colon < 0 ? undefined : decode(login.slice(colon + 1), 'the password');
  const parameters = parseQuery(query);
  return serverTarget(
    {
      hosts: parameters.get('host') ?? decode(hosts, 'the host'),
      ports: parameters.get('port'),
      addresses: parameters.get('hostaddr'),
      user: parameters.get('user') ?? user,
      password: parameters.get('password') ?? password,
      database: parameters.get('dbname') ?? decode(database, 'the database'),
      parameters,
    },
    defaults,
  );
}

const encoding =
  'percent-encode the characters @ : / ? # % & in user names and passwords: %40 %3A %2F %3F %23 %25 %26';

/** The fault of a text that begins as a URL of PostgreSQL does. */
function unreadable(url: string): CryptosenseDbError<'bad-configuration'> {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    return malformed(
      'it lacks the // after the scheme',
      'write postgresql://user@host:5432/database',
    );
  }
  if (url.includes('#')) {
    return malformed('it has a #, which a URL of PostgreSQL does not have', encoding);
  }
  return malformed('it is not of the form postgresql://user@host:5432/database', encoding);
}

/** The target that these parts name. Throws `bad-configuration`. */
export function serverTarget(
  { hosts, ports, addresses, password, parameters = new Map(), ...parts }: TargetParts,
  defaults: TargetDefaults,
): ServerTarget {
  const user = parts.user || defaults.user;
  if (user === '') {
    throw malformed(
      'it names no user, and this process has no login name',
      'name the user in the URL, or in DATABASE_USER or PGUSER',
    );
  }
  const given = new Map([...(defaults.parameters ?? []), ...parameters]);
  const options = given.get('options');
  return {
    kind: 'server',
    hosts: withAddresses(parseHosts(hosts, ports), addresses),
    user,
    password: password ?? defaults.password,
    passwordFile: given.get('passfile'),
    passwordCommand: defaults.passwordCommand,
    database: parts.database || user,
    applicationName:
      given.get('application_name') ??
      given.get('fallback_application_name') ??
      defaultApplicationName,
    tls: parseTls(given),
    connectTimeoutMs: parseConnectTimeout(given.get('connect_timeout')),
    settings: { ...defaults.settings, ...(options && { options }) },
    keepAliveMs: parseKeepAlive(given),
    isOrderRandom: given.get('load_balance_hosts') === 'random',
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
  const { settings, keepAliveMs } = target;
  const login = [user, ...(password === undefined ? [] : [password])].map(encodeURIComponent);
  const isSocket = hosts.some(({ host }) => host.startsWith('/'));
  const isAddressed = hosts.some(({ address }) => address !== undefined);
  const parameters = {
    // The folder of a socket cannot stand in the host part of a URL.
    ...(isSocket && { host: hosts.map(({ host }) => host).join(',') }),
    ...(isSocket && { port: hosts.map(({ port }) => port).join(',') }),
    ...(isAddressed && { hostaddr: hosts.map(({ address = '' }) => address).join(',') }),
    ...(target.passwordFile !== undefined && { passfile: target.passwordFile }),
    ...tlsParameters(tls),
    ...(connectTimeoutMs !== defaultConnectTimeoutMs && {
      connect_timeout: String(connectTimeoutMs / 1000),
    }),
    ...(applicationName !== defaultApplicationName && { application_name: applicationName }),
    ...(settings.options !== undefined && { options: settings.options }),
    ...(keepAliveMs === undefined && { keepalives: '0' }),
    ...(keepAliveMs !== undefined &&
      keepAliveMs !== defaultKeepAliveMs && { keepalives_idle: String(keepAliveMs / 1000) }),
    ...(target.isOrderRandom && { load_balance_hosts: 'random' }),
  };
  const query = new URLSearchParams(parameters).toString().replaceAll('+', '%20');
  const place = isSocket ? '' : hosts.map(describeHost).join(',');
  return `postgresql://${login.join(':')}@${place}/${encodeURIComponent(database)}${query && `?${query}`}`;
}

function tlsParameters(tls: TlsOptions): Readonly<Record<string, string>> {
  const { mode, rootCertificate, certificate, key, passphrase, revocationList } = tls;
  return {
    ...(mode !== defaultSslMode && { sslmode: mode }),
    ...(rootCertificate !== undefined && { sslrootcert: rootCertificate }),
    ...(certificate !== undefined && { sslcert: certificate }),
    ...(key !== undefined && { sslkey: key }),
    ...(passphrase !== undefined && { sslpassword: passphrase }),
    ...(revocationList !== undefined && { sslcrl: revocationList }),
    ...(tls.minVersion && { ssl_min_protocol_version: tls.minVersion }),
    ...(tls.maxVersion && { ssl_max_protocol_version: tls.maxVersion }),
    ...(tls.isNameSent === false && { sslsni: '0' }),
    ...(tls.isCertificateSent === false && { sslcertmode: 'disable' }),
    ...(tls.isDirect && { sslnegotiation: 'direct' }),
  };
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
    throw malformed(
      `it names ${names.length} hosts and ${fallback.length} ports`,
      'name one port for all hosts, or one for each',
    );
  }
  return names.map((name, index) => {
    if (/:.*:/.test(name) && isIPv6(name)) {
      return { host: name, port: parsePort(fallback[index] ?? fallback[0]) };
    }
    const match = /^(?:\[(?<v6>[^\]]+)\]|(?<name>\/[^:]*|[^:/]+))(?::(?<port>[^:]*))?$/.exec(name);
    const host = match?.groups?.v6 ?? match?.groups?.name;
    if (host === undefined) {
      throw malformed(
        'a host in it is empty or not host:port',
        `write hosts as host:port,host:port and an IPv6 address as [::1]:port; ${encoding}`,
      );
    }
    const port = match?.groups?.port ?? fallback[index] ?? fallback[0];
    return { host, port: parsePort(port) };
  });
}

function parsePort(text: string | undefined): number {
  if (text === undefined || text === '') return defaultPort;
  const port = parseWhole(text, portRange);
  if (port === undefined) {
    throw malformed(
      `a port in it is not ${describeRange(portRange)}`,
      `if it is a part of the password, ${encoding}`,
    );
  }
  return port;
}

function parseEmbedded(url: string): EmbeddedTarget | undefined {
  if (!url.startsWith('embedded:')) return undefined;
  const folder = url.slice('embedded:'.length);
  if (folder === ':memory:') return { kind: 'embedded', folder: undefined };
  return { kind: 'embedded', folder: folder === '' ? defaultEmbeddedFolder : folder };
}

function withAddresses(hosts: readonly Host[], addresses: string | undefined): readonly Host[] {
  const list = addresses?.split(',');
  if (list === undefined) return hosts;
  if (list.length !== hosts.length) {
    throw malformed(
      `it names ${hosts.length} hosts and ${list.length} addresses in hostaddr`,
      'name an address for each host; it can be empty',
    );
  }
  return hosts.map((host, index) => {
    const address = list[index] ?? '';
    if (address === '') return host;
    if (isIP(address) === 0) {
      throw malformed('hostaddr is not an IP address', 'name a host by its name with host');
    }
    return { ...host, address };
  });
}

function parseQuery(query: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const part of query.split('&').filter((text) => text !== '')) {
    const equals = part.indexOf('=');
    const name = decode(equals < 0 ? part : part.slice(0, equals), 'a parameter');
    const value = equals < 0 ? '' : decode(part.slice(equals + 1), `the parameter ${name}`);
    const fault = findParameterFault(name, { value, isSecret: parameters.has('password') });
    if (fault) throw malformed(fault.reason, fault.hint);
    parameters.set(name, value);
  }
  return parameters;
}

function parseTls(parameters: ReadonlyMap<string, string>): TlsOptions {
  const rootCertificate = parameters.get('sslrootcert');
  const isSystem = rootCertificate === 'system';
  const requested =
    parameters.get('sslmode') ?? (parameters.get('requiressl') === '1' ? 'require' : undefined);
  const mode = requested ?? (isSystem ? 'verify-full' : defaultSslMode);
  if (!isSslMode(mode)) {
    throw malformed(`sslmode is "${mode}"`, `write one of ${sslModes.join(', ')}`);
  }
  if (isSystem && mode !== 'verify-full') {
    throw malformed(
      `sslrootcert=system needs sslmode=verify-full, and sslmode is "${mode}"`,
      'a public CA gives certificates to everyone, so the host has to be checked',
    );
  }
  const isDirect = parameters.get('sslnegotiation') === 'direct';
  if (isDirect && !['require', 'verify-ca', 'verify-full'].includes(mode)) {
    throw malformed(
      `sslnegotiation=direct needs TLS, and sslmode is "${mode}"`,
      'write sslmode=require or higher',
    );
  }
  return {
    mode,
    rootCertificate,
    certificate: parameters.get('sslcert'),
    key: parameters.get('sslkey'),
    ...(parameters.has('sslpassword') && { passphrase: parameters.get('sslpassword') }),
    ...(parameters.has('sslcrl') && { revocationList: parameters.get('sslcrl') }),
    ...tlsVersion('minVersion', parameters.get('ssl_min_protocol_version')),
    ...tlsVersion('maxVersion', parameters.get('ssl_max_protocol_version')),
    ...(parameters.get('sslsni') === '0' && { isNameSent: false }),
    ...(parameters.get('sslcertmode') === 'disable' && { isCertificateSent: false }),
    ...(isDirect && { isDirect }),
  };
}

function tlsVersion(
  end: 'minVersion' | 'maxVersion',
  text: string | undefined,
): Pick<TlsOptions, typeof end> {
  const version = tlsVersions.find((each) => each === text);
  return version === undefined ? {} : { [end]: version };
}

function isSslMode(text: string): text is SslMode {
  return sslModes.some((mode) => mode === text);
}

/** libpq's `keepalives` and `keepalives_idle`, in seconds. Zero means the default. */
function parseKeepAlive(parameters: ReadonlyMap<string, string>): number | undefined {
  if (parameters.get('keepalives') === '0') return undefined;
  return Number(parameters.get('keepalives_idle') ?? 0) * 1000 || defaultKeepAliveMs;
}

/** libpq's `connect_timeout`, in seconds. Zero means the default. */
function parseConnectTimeout(text: string | undefined): number {
  if (text === undefined) return defaultConnectTimeoutMs;
  const seconds = parseWhole(text, { from: 0, to: 999_999 });
  if (seconds === undefined) {
    throw malformed(
      `connect_timeout is "${text}", which is not a number of seconds`,
      'write a whole number; 0 is the default of 10 seconds',
    );
  }
  return seconds === 0 ? defaultConnectTimeoutMs : seconds * 1000;
}

function decode(text: string, what: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(text);
  } catch {
    throw malformed(
      `${what} has a % that does not start an escape of UTF-8`,
      'write a % in user names and passwords as %25',
    );
  }
  // The server reads a zero byte as the end of the text, and what follows as a setting.
  if (decoded.includes('\0')) {
    throw malformed(`${what} has a zero byte (%00)`, 'PostgreSQL has no text with zero bytes');
  }
  return decoded;
}

function malformed(reason: string, hint: string): CryptosenseDbError<'bad-configuration'> {
  const problem: Problem = { message: `the database URL cannot be read: ${reason}`, hint };
  return new CryptosenseDbError('bad-configuration', problem);
}
