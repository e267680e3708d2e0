import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import * as v from 'valibot';
import {
  defaultEmbeddedFolder,
  parseTarget,
  sslModes,
  type Target,
  type TargetDefaults,
} from './database/target.ts';
import { CryptosenseDbError, type Problem } from './errors.ts';

/** What the command line says of the target. */
export interface TargetFlags {
  readonly url?: string | undefined;
  /** true: the folder of its own. */
  readonly embedded?: string | true | undefined;
}

/** Where the settings come from: the environment wins over `.env` in the working folder. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
  readonly osUser: string;
}

const text = v.optional(v.string());
/** One, or one for each host. */
const port = v.optional(
  v.pipe(
    v.string(),
    v.check((value) => value.split(',').every(isPort)),
  ),
);

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65_536;
}

const Variables = v.object({
  DATABASE_URL: text,
  DATABASE_HOST: text,
  DATABASE_PORT: port,
  DATABASE_NAME: text,
  DATABASE_USER: text,
  DATABASE_PASSWORD: text,
  PGHOST: text,
  PGPORT: port,
  PGDATABASE: text,
  PGUSER: text,
  PGPASSWORD: text,
  PGSSLMODE: v.optional(v.picklist(sslModes)),
  PGSSLROOTCERT: text,
});
type Variables = v.InferOutput<typeof Variables>;

/**
 * The database that flags, environment and `.env` name, in this order: `--url` or `--embedded`,
 * `DATABASE_URL`, `DATABASE_HOST` and its like, libpq's variables.
 * Throws `no-target`, and `bad-configuration` with every problem at once.
 */
export function readTarget(flags: TargetFlags, surroundings: Surroundings): Target {
  const variables = readVariables(surroundings);
  if (flags.url !== undefined && flags.embedded !== undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: '--url and --embedded are given; only one of them can be',
    });
  }
  if (flags.embedded !== undefined) {
    if (String(flags.embedded).includes('://')) {
      throw new CryptosenseDbError('bad-configuration', {
        message: '--embedded takes a folder, and a URL is given',
        hint: 'name a server with --url',
      });
    }
    const folder = flags.embedded === true ? defaultEmbeddedFolder : flags.embedded;
    return { kind: 'embedded', folder: folder === ':memory:' ? undefined : folder };
  }
  const url = flags.url ?? variables.DATABASE_URL ?? composeUrl(variables);
  if (url === undefined) throw noTarget();
  return parseTarget(url, defaultsFor(variables, surroundings));
}

function readVariables({ environment, folder }: Surroundings): Variables {
  const known = Object.keys(Variables.entries);
  const merged = { ...readDotEnv(folder), ...withoutEmpty(environment) };
  const { issues, output, success } = v.safeParse(
    Variables,
    Object.fromEntries(known.map((name) => [name, merged[name]])),
  );
  if (success) return output;
  throw new CryptosenseDbError('bad-configuration', issues.map(describeIssue));
}

function describeIssue(issue: v.BaseIssue<unknown>): Problem {
  const name = v.getDotPath(issue) ?? '';
  const allowed = name.endsWith('PORT') ? 'a number from 1 to 65535' : sslModes.join(', ');
  return { message: `${name} is "${String(issue.input)}"; it can be ${allowed}` };
}

function readDotEnv(folder: string): Readonly<Record<string, string | undefined>> {
  try {
    // Editors on Windows put a byte-order mark first.
    const text = readFileSync(join(folder, '.env'), 'utf8').replace(/^\uFEFF/, '');
    return withoutEmpty(parseEnv(text));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw new CryptosenseDbError(
      'file-problem',
      { message: '.env cannot be read', evidence: [String(error)] },
      { details: { path: join(folder, '.env') }, cause: error },
    );
  }
}

/** An empty variable is one that is not set, as in libpq. */
function withoutEmpty(
  variables: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
}

/** The URL that the single variables amount to, without the password; undefined when none names a database. */
function composeUrl(variables: Variables): string | undefined {
  const { DATABASE_HOST, DATABASE_PORT, DATABASE_NAME, DATABASE_USER } = variables;
  if (DATABASE_HOST !== undefined || DATABASE_NAME !== undefined) {
    if (DATABASE_NAME === undefined) {
      throw new CryptosenseDbError('bad-configuration', {
        message: 'DATABASE_HOST is set, but DATABASE_NAME is not',
        hint: 'set both, or DATABASE_URL',
      });
    }
    return urlOf({
      host: DATABASE_HOST ?? 'localhost',
      port: DATABASE_PORT,
      database: DATABASE_NAME,
      user: DATABASE_USER,
    });
  }
  const { PGHOST, PGPORT, PGDATABASE, PGUSER } = variables;
  if (PGHOST === undefined && PGDATABASE === undefined) return undefined;
  return urlOf({
    host: PGHOST ?? 'localhost',
    port: PGPORT,
    database: PGDATABASE ?? '',
    user: PGUSER,
  });
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

function defaultsFor(variables: Variables, { osUser }: Surroundings): TargetDefaults {
  return {
    user: variables.DATABASE_USER ?? variables.PGUSER ?? osUser,
    password: variables.DATABASE_PASSWORD ?? variables.PGPASSWORD,
    sslMode: variables.PGSSLMODE,
    rootCertificate: variables.PGSSLROOTCERT,
  };
}

function noTarget(): CryptosenseDbError<'no-target'> {
  return new CryptosenseDbError('no-target', {
    message: 'no database is named',
    evidence: [
      '--url postgresql://user@host:5432/database',
      'DATABASE_URL, or DATABASE_HOST with DATABASE_NAME, DATABASE_USER, DATABASE_PASSWORD',
      "libpq's PGHOST, PGDATABASE, PGUSER, PGPASSWORD",
      '--embedded, for a database in this folder without a server',
    ],
    hint: 'name it in one of these ways, in the environment or in .env',
  });
}
