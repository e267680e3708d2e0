import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import * as v from 'valibot';
import {
  defaultEmbeddedFolder,
  parseTarget,
  portRange,
  type ServerTarget,
  sslModes,
  type Target,
} from './database/target.ts';
import { CryptosenseDbError, isError, type Problem } from './runtime/errors.ts';
import { loginName } from './runtime/login-name.ts';
import { describeRange, parseWhole } from './runtime/whole-numbers.ts';

/** The flags of the command line that name a target. */
export interface TargetFlags {
  readonly url?: string | undefined;
  /** true: the default folder, `.cryptosense`. */
  readonly embedded?: string | true | undefined;
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

const text = v.optional(v.string());
const host = v.optional(v.string(), 'localhost');
/** One port, or one for each host. */
const port = v.optional(
  v.pipe(
    v.string(),
    v.check((value) => value.split(',').every((each) => parseWhole(each, portRange) !== undefined)),
  ),
);
const tls = { PGSSLMODE: v.optional(v.picklist(sslModes)) };

/** The ways to name a database by variables. Each one turns its variables into a URL without a password. */
const levels = {
  url: v.pipe(
    v.object({ DATABASE_URL: v.string(), ...tls }),
    v.transform(({ DATABASE_URL: url, PGSSLMODE: sslMode }) => ({ url, sslMode })),
  ),
  database: v.pipe(
    v.object({
      DATABASE_HOST: host,
      DATABASE_PORT: port,
      DATABASE_NAME: v.string(),
      DATABASE_USER: text,
      ...tls,
    }),
    v.transform((variables) => ({
      url: urlOf({
        host: variables.DATABASE_HOST,
        port: variables.DATABASE_PORT,
        database: variables.DATABASE_NAME,
        user: variables.DATABASE_USER,
      }),
      sslMode: variables.PGSSLMODE,
    })),
  ),
  libpq: v.pipe(
    v.object({
      PGHOST: host,
      PGPORT: port,
      PGDATABASE: v.optional(v.string(), ''),
      PGUSER: text,
      ...tls,
    }),
    v.transform((variables) => ({
      url: urlOf({
        host: variables.PGHOST,
        port: variables.PGPORT,
        database: variables.PGDATABASE,
        user: variables.PGUSER,
      }),
      sslMode: variables.PGSSLMODE,
    })),
  ),
};
type Level = keyof typeof levels;

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

  const { url } = flags;
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
  const isEmbedded = level === 'url' && named.DATABASE_URL?.startsWith('embedded:');
  const PGSSLMODE = isEmbedded ? undefined : merged.PGSSLMODE;
  const { issues, output, success } = v.safeParse(levels[level], { ...named, PGSSLMODE });
  if (!success) throw new CryptosenseDbError('bad-configuration', issues.map(describeIssue));
  return parseTarget(output.url, {
    user: userOf(own) ?? userOf(dotEnv) ?? surroundings.osUser,
    password: passwordOf(own) ?? passwordOf(dotEnv),
    sslMode: output.sslMode,
    rootCertificate: merged.PGSSLROOTCERT,
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
  { url }: Pick<TargetFlags, 'url'>,
  surroundings: Surroundings,
): NamedTestServer | undefined {
  const own = withoutEmpty(surroundings.environment);
  const isNamed = (url ?? own.TEST_DATABASE_URL) !== undefined;
  const dotEnv = isNamed ? {} : readDotEnv(surroundings.folder, { isNeeded: true });
  const named = url ?? own.TEST_DATABASE_URL ?? dotEnv.TEST_DATABASE_URL;
  if (named === undefined) return undefined;
  const { PGSSLMODE } = own;
  const { issues, output, success } = v.safeParse(levels.url, { DATABASE_URL: named, PGSSLMODE });
  if (!success) throw new CryptosenseDbError('bad-configuration', issues.map(describeIssue));
  const target = parseTarget(output.url, {
    user: own.PGUSER ?? surroundings.osUser,
    password: own.PGPASSWORD,
    sslMode: output.sslMode,
    rootCertificate: own.PGSSLROOTCERT,
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

/** CoinGecko's key and plan, from the environment and `.env`. No key is needed. */
export interface CoinGeckoSettings {
  readonly apiKey: string | undefined;
  readonly plan: 'demo' | 'pro' | undefined;
}

const coinGeckoVariables = v.object({
  COINGECKO_API_KEY: text,
  COINGECKO_PLAN: v.optional(v.picklist(['demo', 'pro'])),
});

/** Throws `bad-configuration` for an unknown plan. */
export function readCoinGecko(surroundings: Surroundings): CoinGeckoSettings {
  const own = withoutEmpty(surroundings.environment);
  const isNeeded = own.COINGECKO_API_KEY === undefined || own.COINGECKO_PLAN === undefined;
  const variables = {
    ...(isNeeded ? readDotEnv(surroundings.folder, { isNeeded: false }) : {}),
    ...own,
  };
  const { success, output } = v.safeParse(coinGeckoVariables, variables);
  if (!success) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `COINGECKO_PLAN is "${variables.COINGECKO_PLAN}"; it can be demo, pro`,
    });
  }
  return { apiKey: output.COINGECKO_API_KEY, plan: output.COINGECKO_PLAN };
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

function describeIssue(issue: v.BaseIssue<unknown>): Problem {
  const name = v.getDotPath(issue) ?? '';
  if (name === 'DATABASE_NAME') {
    return {
      message: 'DATABASE_HOST is set, but DATABASE_NAME is not',
      hint: 'set both, or DATABASE_URL',
    };
  }
  const allowed = name.endsWith('PORT') ? describeRange(portRange) : sslModes.join(', ');
  return { message: `${name} is "${String(issue.input)}"; it can be ${allowed}` };
}

/** An unreadable `.env` is an error only if it is needed. */
function readDotEnv(folder: string, { isNeeded }: { readonly isNeeded: boolean }): Variables {
  try {
    // Some editors on Windows write a byte-order mark.
    const text = readFileSync(join(folder, '.env'), 'utf8').replace(/^\uFEFF/, '');
    return withoutEmpty(parseEnv(text));
  } catch (error) {
    if (!isNeeded) return {};
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw new CryptosenseDbError(
      'file-problem',
      { message: '.env cannot be read', evidence: [String(error)] },
      { details: { path: join(folder, '.env') }, cause: error },
    );
  }
}

/** As in libpq, an empty variable counts as not set. */
function withoutEmpty(variables: Variables): Variables {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
}

interface UrlParts {
  readonly host: string;
  readonly port: string | undefined;
  readonly database: string;
  readonly user: string | undefined;
}

function urlOf({ host, port, database, user }: UrlParts): string {
  const login = user === undefined ? '' : `${encodeURIComponent(user)}@`;
  const query = new URLSearchParams({ host, ...(port !== undefined && { port }) });
  const encoded = query.toString().replaceAll('+', '%20');
  return `postgresql://${login}/${encodeURIComponent(database)}?${encoded}`;
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
