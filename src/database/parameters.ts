import { parseWhole } from '../runtime/whole-numbers.ts';

/** How a parameter of libpq is treated here. Every one is honoured or refused, never passed over in silence. */
interface Rule {
  /** libpq's variable for it. */
  readonly variable?: string;
  /** Completes "NAME …" for a value that cannot be honoured; undefined: it can. Default: every value can. */
  readonly fault?: (value: string) => string | undefined;
}

export const sslModes = [
  'disable',
  'allow',
  'prefer',
  'require',
  'verify-ca',
  'verify-full',
] as const;
export const tlsVersions = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

const oneOf =
  (allowed: readonly string[], note = '') =>
  (value: string) =>
    allowed.includes(value)
      ? undefined
      : `is "${value}"; it can be ${allowed.join(', ')}${note && `: ${note}`}`;
const never = (why: string) => () => `cannot be honoured: ${why}`;
const onlyDefault = (value: string, why: string) => (given: string) =>
  given === value ? undefined : `cannot be honoured: ${why}`;
const seconds = (value: string) =>
  parseWhole(value, { from: 0, to: 999_999 }) === undefined
    ? `is "${value}", which is not a number of seconds`
    : undefined;

const noGssapi = 'this tool logs in with a password or a certificate, and has no GSSAPI';
const noOauth =
  'this tool has no OAuth; a token that serves as password comes from --password-command';
const bySystem = (name: string) =>
  `Node cannot set it for one connection; set ${name} of the system`;

/** The parameters of libpq (PostgreSQL documentation, 34.1.2) and their variables (34.15). */
export const rules: Readonly<Record<string, Rule>> = {
  host: {},
  hostaddr: {},
  port: {},
  dbname: {},
  user: {},
  password: {},
  passfile: { variable: 'PGPASSFILE' },
  require_auth: {
    variable: 'PGREQUIREAUTH',
    fault: never('this tool accepts every login by password; use sslmode=verify-full'),
  },
  channel_binding: {
    variable: 'PGCHANNELBINDING',
    fault: oneOf(
      ['disable', 'prefer'],
      'this tool has no channel binding; sslmode=verify-full protects against the same',
    ),
  },
  connect_timeout: { variable: 'PGCONNECT_TIMEOUT', fault: seconds },
  client_encoding: {
    variable: 'PGCLIENTENCODING',
    fault: (value) =>
      /^(utf-?8|unicode|auto)$/i.test(value) ? undefined : `is "${value}"; this tool speaks UTF8`,
  },
  options: {
    variable: 'PGOPTIONS',
    fault: (value) =>
      /^(endpoint|project)=/.test(value)
        ? 'names an endpoint of Neon; leave it out: Neon knows the endpoint from the host that this tool tells it (SNI)'
        : undefined,
  },
  application_name: { variable: 'PGAPPNAME' },
  fallback_application_name: {},
  keepalives: { fault: oneOf(['0', '1']) },
  keepalives_idle: { fault: seconds },
  keepalives_interval: { fault: onlyDefault('0', bySystem('net.ipv4.tcp_keepalive_intvl')) },
  keepalives_count: { fault: onlyDefault('0', bySystem('net.ipv4.tcp_keepalive_probes')) },
  tcp_user_timeout: { fault: onlyDefault('0', bySystem('net.ipv4.tcp_retries2')) },
  replication: {
    fault: oneOf(['false', 'off', 'no', '0'], 'this tool runs no replication commands'),
  },
  gssencmode: { variable: 'PGGSSENCMODE', fault: oneOf(['disable', 'prefer'], noGssapi) },
  krbsrvname: { variable: 'PGKRBSRVNAME', fault: never(noGssapi) },
  gsslib: { variable: 'PGGSSLIB', fault: never(noGssapi) },
  gssdelegation: { variable: 'PGGSSDELEGATION', fault: onlyDefault('0', noGssapi) },
  sslmode: {
    variable: 'PGSSLMODE',
    fault: (value) =>
      value === 'no-verify'
        ? 'is "no-verify", which is a word of node-postgres; write require, which does not verify either'
        : oneOf(sslModes)(value),
  },
  requiressl: { variable: 'PGREQUIRESSL', fault: oneOf(['0', '1']) },
  sslnegotiation: { variable: 'PGSSLNEGOTIATION', fault: oneOf(['postgres', 'direct']) },
  sslcompression: {
    variable: 'PGSSLCOMPRESSION',
    fault: onlyDefault('0', 'TLS has no compression in Node'),
  },
  sslcert: { variable: 'PGSSLCERT' },
  sslkey: { variable: 'PGSSLKEY' },
  sslpassword: {},
  sslcertmode: {
    variable: 'PGSSLCERTMODE',
    fault: oneOf(
      ['disable', 'allow'],
      'Node does not tell whether the server asked for a certificate',
    ),
  },
  sslrootcert: { variable: 'PGSSLROOTCERT' },
  sslcrl: { variable: 'PGSSLCRL' },
  sslcrldir: { variable: 'PGSSLCRLDIR', fault: never('name one file with sslcrl') },
  sslkeylogfile: { fault: never('start Node with --tls-keylog=FILE') },
  sslsni: { variable: 'PGSSLSNI', fault: oneOf(['0', '1']) },
  ssl_min_protocol_version: { variable: 'PGSSLMINPROTOCOLVERSION', fault: oneOf(tlsVersions) },
  ssl_max_protocol_version: { variable: 'PGSSLMAXPROTOCOLVERSION', fault: oneOf(tlsVersions) },
  min_protocol_version: {
    variable: 'PGMINPROTOCOLVERSION',
    fault: oneOf(['3.0'], 'this tool speaks version 3.0 of the protocol'),
  },
  max_protocol_version: {
    variable: 'PGMAXPROTOCOLVERSION',
    fault: oneOf(['3.0', '3.2', 'latest']),
  },
  requirepeer: {
    variable: 'PGREQUIREPEER',
    fault: never('Node does not tell who serves a Unix socket'),
  },
  scram_client_key: { fault: never('give the password') },
  scram_server_key: { fault: never('give the password') },
  oauth_issuer: { fault: never(noOauth) },
  oauth_client_id: { fault: never(noOauth) },
  oauth_client_secret: { fault: never(noOauth) },
  oauth_scope: { fault: never(noOauth) },
  service: {
    variable: 'PGSERVICE',
    fault: never('this tool reads no pg_service.conf; write the parts of the service into a URL'),
  },
  servicefile: {
    variable: 'PGSERVICEFILE',
    fault: never('this tool reads no pg_service.conf; write the parts of the service into a URL'),
  },
  target_session_attrs: {
    variable: 'PGTARGETSESSIONATTRS',
    fault: oneOf(
      ['any', 'read-write', 'primary'],
      "this tool connects to a primary only; a program reads from standbys with createDatabase({ role: 'replica' })",
    ),
  },
  load_balance_hosts: { variable: 'PGLOADBALANCEHOSTS', fault: oneOf(['disable', 'random']) },
};

/** Variables of libpq that have no parameter: settings of the session. */
export const settingVariables: Readonly<Record<string, string>> = {
  PGDATESTYLE: 'DateStyle',
  PGTZ: 'TimeZone',
  PGGEQO: 'geqo',
};

/** A parameter, a variable or a scheme of other software, and what to write instead. */
interface Foreign {
  readonly owner: string;
  readonly advice: string;
}

const prisma = 'Prisma';
const jdbc = 'JDBC';
const leaveOut = 'leave it out';
const setting = (name: string) =>
  `write it as a setting of the server: options=-c%20${name}%3DVALUE`;
const bySslmode = 'write sslmode=require, or sslmode=verify-full with sslrootcert';
const inProgram = 'leave it out; a program sets its pool in the options of createDatabase';

const foreignParameters: Readonly<Record<string, Foreign>> = {
  pgbouncer: {
    owner: prisma,
    advice: 'leave it out; this tool needs a pool in session mode, and createDatabase works in any',
  },
  schema: { owner: prisma, advice: 'leave it out; the tables are in the schema public' },
  connection_limit: { owner: prisma, advice: inProgram },
  pool_timeout: { owner: prisma, advice: inProgram },
  socket_timeout: { owner: prisma, advice: setting('statement_timeout') },
  statement_cache_size: { owner: `${prisma} and asyncpg`, advice: inProgram },
  prepared_statement_cache_size: { owner: 'SQLAlchemy', advice: inProgram },
  sslaccept: { owner: prisma, advice: bySslmode },
  sslidentity: { owner: prisma, advice: 'name PEM files with sslcert and sslkey' },
  ssl: { owner: 'JDBC, node-postgres and asyncpg', advice: bySslmode },
  uselibpqcompat: { owner: 'node-postgres', advice: leaveOut },
  encoding: { owner: 'Rails', advice: 'leave it out; the encoding is UTF8' },
  pool: { owner: 'Rails', advice: inProgram },
  pool_size: { owner: 'Ecto', advice: inProgram },
  conn_max_age: { owner: 'Django', advice: inProgram },
  pool_max_conns: { owner: 'pgx', advice: inProgram },
  pool_min_conns: { owner: 'pgx', advice: inProgram },
  default_query_exec_mode: { owner: 'pgx', advice: inProgram },
  statement_cache_capacity: { owner: 'pgx', advice: inProgram },
  binary_parameters: { owner: 'lib/pq', advice: leaveOut },
  command_timeout: { owner: 'asyncpg and Npgsql', advice: setting('statement_timeout') },
  idle_timeout: { owner: 'postgres.js', advice: inProgram },
  max_lifetime: { owner: 'postgres.js', advice: inProgram },
  max: { owner: 'postgres.js', advice: inProgram },
  prepare: { owner: 'postgres.js', advice: inProgram },
  preparethreshold: { owner: jdbc, advice: inProgram },
  preparedstatementcachequeries: { owner: jdbc, advice: inProgram },
  currentschema: { owner: jdbc, advice: 'leave it out; the tables are in the schema public' },
  applicationname: { owner: jdbc, advice: 'write application_name' },
  logintimeout: { owner: jdbc, advice: 'write connect_timeout' },
  connecttimeout: { owner: jdbc, advice: 'write connect_timeout' },
  sockettimeout: { owner: jdbc, advice: setting('statement_timeout') },
  tcpkeepalive: { owner: jdbc, advice: 'write keepalives=1' },
  targetservertype: { owner: jdbc, advice: 'write target_session_attrs' },
  loadbalancehosts: { owner: jdbc, advice: 'write load_balance_hosts' },
  stringtype: { owner: jdbc, advice: leaveOut },
  rewritebatchedinserts: { owner: jdbc, advice: leaveOut },
  sslfactory: { owner: jdbc, advice: bySslmode },
  supa: { owner: 'Supabase', advice: leaveOut },
  workaround: { owner: 'Supabase', advice: leaveOut },
  search_path: { owner: 'the server', advice: 'leave it out; the tables are in the schema public' },
  statement_timeout: { owner: 'the server', advice: setting('statement_timeout') },
  lock_timeout: { owner: 'the server', advice: setting('lock_timeout') },
  timezone: { owner: 'the server', advice: setting('TimeZone') },
};

/** A fault of a parameter: what is wrong, and what to write. */
export interface ParameterFault {
  readonly reason: string;
  readonly hint: string;
}

/**
 * The fault of a parameter of a URL; undefined for one that is honoured. `isSecret` says that the name may be the rest
 * of a password with a bare `&`; the fault does not repeat it then.
 */
export function findParameterFault(
  name: string,
  { value, isSecret }: { readonly value: string; readonly isSecret: boolean },
): ParameterFault | undefined {
  const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
  if (rule) {
    const fault = rule.fault?.(value);
    return fault === undefined
      ? undefined
      : { reason: `${name} ${fault}`, hint: `change or leave out the parameter ${name}` };
  }
  const key = name.toLowerCase();
  const foreign = Object.hasOwn(foreignParameters, key) ? foreignParameters[key] : undefined;
  if (foreign) {
    return {
      reason: `the parameter "${key}" is one of ${foreign.owner}, which libpq does not know`,
      hint: foreign.advice,
    };
  }
  const known = Object.keys(rules).filter((each) => isHonoured(each));
  return {
    reason: `it has ${isSecret ? 'a parameter' : `the parameter "${name}"`}, which libpq does not know`,
    hint: `the parameters are ${known.join(', ')}; an & in a password is written as %26`,
  };
}

/** True for a parameter of which some value can be honoured. */
function isHonoured(name: string): boolean {
  const probe = rules[name]?.fault?.('');
  return probe === undefined || !probe.startsWith('cannot be honoured');
}

/** The schemes of other software's URLs that mean PostgreSQL. */
const foreignSchemes: readonly { readonly pattern: RegExp; readonly owner: string }[] = [
  { pattern: /^jdbc:/i, owner: 'JDBC' },
  { pattern: /^postgres(ql)?\+\w+:/i, owner: 'SQLAlchemy' },
  { pattern: /^(postgis|psql|pgsql|pg|timescaledb?|cockroachdb):/i, owner: 'another library' },
  { pattern: /^prisma(\+postgres)?:/i, owner: 'Prisma Accelerate' },
  { pattern: /^r2dbc:/i, owner: 'R2DBC' },
];

/** The fault of a text that does not begin as a URL of PostgreSQL. It repeats no part of it. */
export function findFormFault(url: string): ParameterFault | undefined {
  const whole = 'write postgresql://user@host:5432/database';
  if (url === '') return { reason: 'it is empty', hint: whole };
  if (/^(["'`]).*\1$|^["'`]|["'`]$/s.test(url)) {
    return {
      reason: 'it has quotes around it',
      hint: 'leave the quotes out: docker --env-file and Kubernetes pass them on',
    };
  }
  if (/[\r\n\t]/.test(url)) {
    return {
      reason: 'it has a line end or a tab inside',
      hint: 'write it on one line; in a password these are %0A, %0D and %09',
    };
  }
  const scheme = foreignSchemes.find(({ pattern }) => pattern.test(url));
  if (scheme) {
    return {
      reason: `its scheme is one of ${scheme.owner}`,
      hint: 'write postgresql:// instead; user and password stand before the host, as in postgresql://user:password@host:5432/database',
    };
  }
  if (/^postgres(ql)?:/.test(url)) return undefined;
  if (/^\s*(host|server|data source|hostaddr|dbname|user|user id|port)\s*=/i.test(url)) {
    return {
      reason: url.includes(';')
        ? 'it is a connection string of ADO.NET'
        : "it is libpq's form of keywords and values",
      hint: 'write it as a URL: postgresql://user@host:5432/database',
    };
  }
  if (/^postgres(ql)?:/i.test(url)) {
    return {
      reason: 'its scheme has capital letters',
      hint: 'write postgresql:// in small letters',
    };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) {
    return { reason: 'its scheme is not postgresql://', hint: whole };
  }
  return { reason: 'it does not begin with postgresql://', hint: whole };
}
