import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { rules, settingVariables } from './database/parameters.ts';
import {
  defaultEmbeddedFolder,
  parseTarget,
  portRange,
  type ServerTarget,
  serverTarget,
  type Target,
  type TargetDefaults,
} from './database/target.ts';
import { CryptosenseDbError, isError, type Problem } from './runtime/errors.ts';
import { readSecret, readText } from './runtime/files.ts';
import { loginName } from './runtime/login-name.ts';
import { splitShellWords } from './runtime/shell-words.ts';
import { describeRange, parseWhole } from './runtime/whole-numbers.ts';

/** The flags of the command line that name a target. */
export interface TargetFlags {
  readonly url?: string | undefined;
  /** true: the default folder, `.cryptosense`. */
  readonly embedded?: string | true | undefined;
  /** A program and its arguments, as a shell would split them. Its output is the password. */
  readonly passwordCommand?: string | undefined;
}

/** Where settings come from. The environment overrides `.env` in the working folder. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
  readonly osUser: string;
}

/** The surroundings of this process. */
export function surroundings(): Surroundings {
  return { environment: process.env, folder: process.cwd(), osUser: loginName() };
}

type Variables = Readonly<Record<string, string | undefined>>;

/** The groups of variables that name a database without a URL. */
const groups = {
  database: {
    hosts: 'DATABASE_HOST',
    ports: 'DATABASE_PORT',
    addresses: undefined,
    database: 'DATABASE_NAME',
    user: 'DATABASE_USER',
  },
  libpq: {
    hosts: 'PGHOST',
    ports: 'PGPORT',
    addresses: 'PGHOSTADDR',
    database: 'PGDATABASE',
    user: 'PGUSER',
  },
} as const;
type Level = 'url' | keyof typeof groups;

/**
 * Reads the database from, in this order: `--url` or `--embedded`, `DATABASE_URL`, `DATABASE_HOST`
 * and its group, libpq's variables. `.env` names the database only if flags and environment do not,
 * but it may always supply user, password and TLS settings.
 * Throws `no-target`, or `bad-configuration` with all problems of the variables in use.
 */
export function readTarget(flags: TargetFlags, surroundings: Surroundings): Target {
  if (flags.url !== undefined && flags.embedded !== undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: '--url and --embedded exclude each other',
    });
  }
  if (flags.embedded !== undefined) {
    if (String(flags.embedded).includes('://')) {
      throw new CryptosenseDbError('bad-configuration', {
        message: '--embedded takes a folder, not a URL',
        hint: 'name a server with --url',
      });
    }
    const folder = flags.embedded === true ? defaultEmbeddedFolder : flags.embedded;
    return { kind: 'embedded', folder: folder === ':memory:' ? undefined : folder };
  }

  const url = flags.url?.trim();
  const own: Variables = {
    ...withoutEmpty(surroundings.environment),
    ...(url !== undefined && { DATABASE_URL: url }),
  };
  const ownLevel = levelOf(own);
  // DATABASE_HOST alone names no database. `.env` may supply the rest for that host.
  const isNamed =
    ownLevel !== undefined && (ownLevel !== 'database' || own.DATABASE_NAME !== undefined);
  const dotEnv = readDotEnv(surroundings.folder, { isNeeded: !isNamed });
  const merged: Variables = { ...dotEnv, ...own };
  const level = ownLevel ?? levelOf(merged);
  if (level === undefined) throw noTarget();

  const named: Variables = isNamed ? own : merged;
  // Variables for a server do not apply to the embedded engine.
  const isEmbedded = level === 'url' && named.DATABASE_URL?.trimStart().startsWith('embedded:');
  const session = isEmbedded ? {} : merged;
  requireValid(level, { named, session });
  const defaults = {
    user: userOf(own) ?? userOf(dotEnv) ?? surroundings.osUser,
    password: passwordOf(own) ?? passwordOf(dotEnv),
    ...(flags.passwordCommand !== undefined && {
      passwordCommand: splitCommand(flags.passwordCommand),
    }),
    ...sessionDefaults(session),
  };
  if (level === 'url') return parseTarget(named.DATABASE_URL ?? '', defaults);
  const { hosts, ports, addresses, database, user } = groups[level];
  const parts = {
    hosts: named[hosts],
    ports: named[ports],
    addresses: addresses && named[addresses],
    database: named[database],
    user: named[user],
  };
  return serverTarget(parts, defaults);
}

/** What libpq's variables say about every connection. */
function sessionDefaults(variables: Variables): Pick<TargetDefaults, 'parameters' | 'settings'> {
  const given = (name: string | undefined, key: string): readonly (readonly [string, string])[] => {
    const value = name === undefined ? undefined : variables[name];
    return value === undefined ? [] : [[key, value]];
  };
  return {
    parameters: new Map(
      Object.entries(rules).flatMap(([name, { variable }]) => given(variable, name)),
    ),
    settings: Object.fromEntries(
      Object.entries(settingVariables).flatMap(([name, key]) => given(name, key)),
    ),
  };
}

/** The words of `--password-command`. Throws `bad-configuration` for none. */
function splitCommand(command: string): readonly string[] {
  const words = splitShellWords(command);
  if (words !== undefined && words.length > 0) return words;
  throw new CryptosenseDbError('bad-configuration', {
    message: words
      ? '--password-command names no program'
      : '--password-command has a quote that does not end',
    hint: "name a program and its arguments, as in: --password-command 'vault read -field=password secret/db'",
  });
}

/** True when flags, environment or `.env` name a database. */
export function isTargetNamed(flags: TargetFlags, surroundings: Surroundings): boolean {
  try {
    readTarget(flags, surroundings);
    return true;
  } catch (error) {
    if (isError(error, 'no-target')) return false;
    throw error;
  }
}

/** A server for test databases, and how it was named. */
export interface NamedTestServer {
  readonly target: ServerTarget;
  readonly origin: 'option' | 'TEST_DATABASE_URL';
}

/**
 * The server that `url` names, else TEST_DATABASE_URL in the environment or in `.env`; undefined if
 * neither is set. DATABASE_URL and its like are ignored, so that the password of an application's
 * database never reaches a test server. Throws `bad-configuration`.
 */
export function readTestServer(
  { url, passwordCommand }: Pick<TargetFlags, 'url' | 'passwordCommand'>,
  surroundings: Surroundings,
): NamedTestServer | undefined {
  const own = withoutEmpty(surroundings.environment);
  const isNamed = (url ?? own.TEST_DATABASE_URL) !== undefined;
  const dotEnv = isNamed ? {} : readDotEnv(surroundings.folder, { isNeeded: true });
  const named = url ?? own.TEST_DATABASE_URL ?? dotEnv.TEST_DATABASE_URL;
  if (named === undefined) return undefined;
  requireValid('url', { named: own, session: own });
  const target = parseTarget(named, {
    user: own.PGUSER ?? surroundings.osUser,
    password: own.PGPASSWORD,
    ...(passwordCommand !== undefined && { passwordCommand: splitCommand(passwordCommand) }),
    ...sessionDefaults(own),
  });
  if (target.kind === 'embedded') {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'the embedded engine has one database and cannot be the server for test databases',
      hint: "name a server; in a program, use createTestDatabase({ engine: 'embedded' })",
    });
  }
  return { target, origin: url === undefined ? 'TEST_DATABASE_URL' : 'option' };
}

/** Sets TEST_DATABASE_URL for this process and for the processes that it starts. */
export function nameTestServer(url: string): void {
  process.env.TEST_DATABASE_URL = url;
}

/**
 * Runs `work` while the variable is set that keeps the AWS SDK from writing to stderr that its later releases will need
 * a newer Node: this package names the exact release that it uses.
 */
export function withoutAwsWarning<T>(work: () => T): T {
  const name = 'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED';
  const { [name]: before } = process.env;
  process.env[name] = 'true';
  try {
    return work();
  } finally {
    if (before === undefined) delete process.env[name];
    else process.env[name] = before;
  }
}

/** CoinGecko's key and plan, from the environment and `.env`. No key is needed. */
export interface CoinGeckoSettings {
  readonly apiKey: string | undefined;
  readonly plan: 'demo' | 'pro' | undefined;
}

/** Throws `bad-configuration` for an unknown plan. */
export function readCoinGecko({ environment, folder }: Surroundings): CoinGeckoSettings {
  const { COINGECKO_API_KEY: apiKey, COINGECKO_PLAN: plan }: Variables = {
    ...readDotEnv(folder, { isNeeded: false }),
    ...withoutEmpty(environment),
  };
  if (plan === undefined || plan === 'demo' || plan === 'pro') return { apiKey, plan };
  throw new CryptosenseDbError('bad-configuration', {
    message: `COINGECKO_PLAN is "${plan}"; it can be demo, pro`,
  });
}

/**
 * The store of backups that `--store` names, else BACKUP_STORE in the environment or in `.env`. Throws
 * `bad-configuration` when none is named.
 */
export function readStore(flags: StoreFlag, around: Surroundings): string {
  const store = findStore(flags, around, { isNeeded: true });
  if (store !== undefined) return store;
  throw new CryptosenseDbError('bad-configuration', {
    message: 'no store of backups is named',
    evidence: ['--store s3://bucket/prefix, or a folder', 'BACKUP_STORE'],
    hint: 'name it in one of these ways; the variable may also be in .env',
  });
}

interface StoreFlag {
  readonly store?: string | undefined;
}

/** As `readStore`; undefined when no store is named. */
export function findStore(
  { store }: StoreFlag,
  { environment, folder }: Surroundings,
  { isNeeded }: { readonly isNeeded: boolean },
): string | undefined {
  // An empty flag comes from a script whose variable is not set. It does not mean the store of the environment.
  if (store !== undefined) return store.trim() === '' ? undefined : store;
  const { BACKUP_STORE: own } = withoutEmpty(environment);
  return own ?? readDotEnv(folder, { isNeeded }).BACKUP_STORE;
}

/**
 * The URL of Redis that `--cache-url` names, else REDIS_URL in the environment or in `.env`. Throws `bad-configuration`
 * when none is named.
 */
export function readCacheUrl(flags: CacheFlag, around: Surroundings): string {
  const url = findCacheUrl(flags, around, { isNeeded: true });
  if (url !== undefined) return url;
  throw new CryptosenseDbError('bad-configuration', {
    message: 'no cache is named',
    evidence: ['--cache-url redis://user:password@host:6379', 'REDIS_URL'],
    hint: 'name it in one of these ways; the variable may also be in .env',
  });
}

interface CacheFlag {
  readonly cacheUrl?: string | undefined;
}

/** As `readCacheUrl`; undefined when no cache is named. An empty flag names none, even where the variable is set. */
export function findCacheUrl(
  { cacheUrl }: CacheFlag,
  { environment, folder }: Surroundings,
  { isNeeded }: { readonly isNeeded: boolean },
): string | undefined {
  if (cacheUrl !== undefined) return cacheUrl.trim() === '' ? undefined : cacheUrl;
  const { REDIS_URL: own } = withoutEmpty(environment);
  return own ?? readDotEnv(folder, { isNeeded }).REDIS_URL;
}

/** The URL of a Redis for tests: TEST_REDIS_URL in the environment or in `.env`; undefined where it is not set. */
export function readTestCacheUrl({ environment, folder }: Surroundings): string | undefined {
  const { TEST_REDIS_URL: own } = withoutEmpty(environment);
  return own ?? readDotEnv(folder, { isNeeded: false }).TEST_REDIS_URL;
}

/** What the configuration of physical backups needs and no flag may hold, and the region, from the environment. */
export interface WalSecrets {
  readonly passphrase: string | undefined;
  readonly accessKey: string | undefined;
  readonly secretKey: string | undefined;
  readonly region: string | undefined;
}

/** The variables of pgBackRest and of AWS. Throws `file-problem` for the file. */
export function readWalSecrets(
  { passphraseFile }: { readonly passphraseFile?: string | undefined },
  { environment }: Pick<Surroundings, 'environment'>,
): WalSecrets {
  const own = withoutEmpty(environment);
  // Keys with a session token end within hours. pgBackRest gets such ones itself, by the role of the machine.
  const isLasting = own.AWS_SESSION_TOKEN === undefined;
  return {
    passphrase:
      passphraseFile === undefined ? own.PGBACKREST_REPO1_CIPHER_PASS : readSecret(passphraseFile),
    accessKey: isLasting ? own.AWS_ACCESS_KEY_ID : undefined,
    secretKey: isLasting ? own.AWS_SECRET_ACCESS_KEY : undefined,
    region: own.AWS_REGION ?? own.AWS_DEFAULT_REGION,
  };
}

function levelOf(variables: Variables): Level | undefined {
  const isAnySet = (...names: readonly string[]) =>
    names.some((name) => variables[name] !== undefined);
  if (isAnySet('DATABASE_URL')) return 'url';
  if (isAnySet('DATABASE_HOST', 'DATABASE_NAME')) return 'database';
  if (isAnySet('PGHOST', 'PGDATABASE')) return 'libpq';
  return undefined;
}

function userOf(variables: Variables): string | undefined {
  return variables.DATABASE_USER ?? variables.PGUSER;
}

function passwordOf(variables: Variables): string | undefined {
  return variables.DATABASE_PASSWORD ?? variables.PGPASSWORD;
}

/** Throws `bad-configuration` with all problems of the variables in use. */
function requireValid(
  level: Level,
  { named, session }: { readonly named: Variables; readonly session: Variables },
): void {
  const problems: Problem[] = [];
  const ports = level === 'url' ? undefined : groups[level].ports;
  const port = ports && named[ports];
  if (port !== undefined && !arePorts(port)) {
    problems.push({ message: `${ports} is "${port}"; it can be ${describeRange(portRange)}` });
  }
  for (const { variable, fault } of Object.values(rules)) {
    const value = variable === undefined ? undefined : session[variable];
    const reason = value === undefined ? undefined : fault?.(value);
    if (reason === undefined) continue;
    problems.push({ message: `${variable} ${reason}`, hint: `change ${variable}, or unset it` });
  }
  if (level === 'database' && named.DATABASE_NAME === undefined) {
    problems.push({
      message: 'DATABASE_HOST is set, but DATABASE_NAME is not',
      hint: 'set both, or DATABASE_URL',
    });
  }
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
}

/** One port, or one for each host. */
function arePorts(text: string): boolean {
  return text.split(',').every((port) => parseWhole(port, portRange) !== undefined);
}

/** An unreadable `.env` is an error only if it is needed. */
function readDotEnv(folder: string, { isNeeded }: { readonly isNeeded: boolean }): Variables {
  try {
    // Some editors on Windows write a byte-order mark.
    const text = readText(join(folder, '.env'))?.replace(/^\uFEFF/, '');
    return withoutEmpty(parseEnv(text ?? ''));
  } catch (error) {
    if (isNeeded) throw error;
    return {};
  }
}

/**
 * As in libpq, an empty variable counts as not set. A blank or a line end around a value, which a mounted secret has,
 * is never meant.
 */
function withoutEmpty(variables: Variables): Variables {
  const trimmed = Object.entries(variables).map(([name, value]) => [name, value?.trim()] as const);
  return Object.fromEntries(trimmed.filter(([, value]) => value !== ''));
}

function noTarget(): CryptosenseDbError<'no-target'> {
  return new CryptosenseDbError('no-target', {
    message: 'no database is named',
    evidence: [
      '--url postgresql://user@host:5432/database',
      'DATABASE_URL, or DATABASE_HOST with DATABASE_NAME, DATABASE_USER, DATABASE_PASSWORD',
      "libpq's PGHOST, PGDATABASE, PGUSER, PGPASSWORD",
      '--embedded, for a database in a folder, without a server',
    ],
    hint: 'name it in one of these ways; variables may also be in .env',
  });
}
