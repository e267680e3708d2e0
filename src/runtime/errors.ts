import { type Finding, summariseFinding } from './findings.ts';

/** One thing that is wrong: the fact, the evidence line by line, and what to do about it. */
export interface Problem {
  readonly message: string;
  readonly evidence?: readonly string[];
  readonly hint?: string;
}

/** What each error code carries besides its problems. */
export interface ErrorDetails {
  /** Flags, environment or `.env` do not add up; nothing was connected to. */
  'bad-configuration': undefined;
  /** No database was named anywhere. */
  'no-target': undefined;
  /** No host of the target answered, or none in time. */
  'server-unreachable': {
    readonly hosts: readonly string[];
    readonly waitedMs: number;
    /** Each host answered, and does not fit: its TLS, or a setting of the target. To wait does not help. */
    readonly isLasting: boolean;
  };
  /** The function that a program has given for passwords gave none. */
  'no-password': undefined;
  /** The server refused the role or its password. */
  'login-refused': { readonly user: string };
  /** The server is there, the database is not. */
  'no-such-database': { readonly database: string };
  /** Every host that answered is a standby or read only. */
  'no-primary': { readonly hosts: readonly string[] };
  /** The server cannot run what is asked of it: too old, TimescaleDB missing or under Apache licence. */
  'server-unsuitable': undefined;
  /** The role lacks a right that the operation needs. */
  'not-permitted': undefined;
  /** The server refused a statement of the tool's own. */
  'statement-refused': { readonly sqlState: string } & Sensitive;
  /** A fault of this tool. */
  unexpected: undefined;
  /** A pooler in transaction mode stands between the tool and the server. */
  'pooler-refused': undefined;
  /** The connection broke. `completed` is committed; the first of `pending` may be: the server was running it. */
  'connection-lost': Completion;
  /** Another run held the lock until the time was up. */
  'lock-timeout': { readonly holder: LockHolder | undefined; readonly waitedMs: number };
  /** Folders of migrations, rollbacks or seeders break rules; no connection was opened. */
  'faulty-folder': { readonly findings: readonly Finding[] };
  /** Files of migrations or rollbacks cannot run as they are written. */
  'faulty-statements': { readonly findings: readonly Finding[] };
  /** History and files disagree; nothing was run. */
  'history-mismatch': { readonly versions: readonly string[] };
  /** The database lacks migrations of the folder. */
  'pending-migrations': { readonly versions: readonly string[] };
  /** A seeder stopped; it is rolled back, those before it stay. */
  'seed-failed': SeedFailure;
  /** CoinGecko gave no answer, or refused. Pieces of an import before it are written. */
  'coingecko-failed': {
    /** undefined: no answer came. */
    readonly status: number | undefined;
    /** CoinGecko's own number, where it gave one. */
    readonly errorCode: number | undefined;
    readonly attempts: number;
  };
  /** The database lacks tables or views of prices. */
  'no-price-tables': { readonly names: readonly string[] };
  /** Coins that the table `assets` does not have, or has several of. */
  'unknown-asset': undefined;
  /** Another host of prices gave no answer, refused, or sent a damaged file. Pieces before it are written. */
  'source-failed': {
    readonly host: string;
    /** undefined: no answer came. */
    readonly status: number | undefined;
    readonly attempts: number;
  };
  /** A source of prices does not know these assets, or has no price of them in the range. Those of others are written. */
  'no-prices': { readonly source: string; readonly symbols: readonly string[] };
  /** An answer of CoinGecko's, or a file of prices, does not hold what it should. Pieces before it are written. */
  'faulty-answer': { readonly source: string };
  /** Tables or columns have names that Kysely or JavaScript cannot use; no types were written. */
  'unusable-name': { readonly names: readonly string[] };
  /** The named version is not in the files or the history, where the operation looks for it. */
  'unknown-version': { readonly version: string };
  /** A statement of a migration or rollback was refused by the server. */
  'migration-failed': MigrationFailure;
  /** SIGHUP, SIGINT, SIGTERM or an aborted signal; the running step was rolled back. */
  interrupted: Completion;
  /** The mark or the content of the database refuses the operation, or `force` names another database. */
  'environment-refused': { readonly environment: string | undefined };
  /** Another role owns the ledger, or has changed its definition: its code would run as this role. Nothing was run. */
  'ledger-untrusted': { readonly reasons: readonly string[] };
  /** Functions, operators, types or relations of another role stand where a migration would use them. Nothing was run. */
  'schema-untrusted': { readonly names: readonly string[] };
  /** Tables that migrations have made stand in another schema than public. Nothing was run. */
  'schema-elsewhere': { readonly names: readonly string[] };
  /** The ledger was written by a newer release of this tool. */
  'ledger-newer': { readonly format: number };
  /** A file or folder cannot be read or written. */
  'file-problem': { readonly path: string };
  /** No server for test databases is named, and no container can be had. */
  'no-test-server': undefined;
  /** The name of the database is not a test database's; it was left alone. */
  'not-a-test-database': { readonly database: string };
  /** Every connection of a pool was in use until the time was up. */
  'pool-exhausted': { readonly connections: number; readonly waitedMs: number };
  /** A write through a connection for reading. */
  'read-only': undefined;
  /** The pool was closed before. */
  'pool-closed': undefined;
  /** A column holds a value that its type in JavaScript cannot hold, such as infinity for a Date. */
  'unreadable-value': { readonly column: string };
  /** A folder or a bucket cannot be reached, read or written. */
  'store-failed': { readonly store: string };
  /** The store has no such backup, or none at all. */
  'no-backup': { readonly id: string };
  /** A part of a backup is missing, cut off, changed, or of a newer release. */
  'backup-damaged': { readonly key: string };
  /** No identity of age that was given decrypts the backup. */
  'backup-locked': { readonly key: string };
  /** The database that was to be created exists. It was left alone. */
  'database-exists': { readonly database: string };
  /** What was restored is not what the manifest says. */
  'restore-differs': {
    readonly differences: readonly string[];
    /** The database that was kept, or could not be dropped; undefined when none is left. */
    readonly leftDatabase: string | undefined;
  };
  /** A program that the operation runs, such as pg_dump, is not installed, or of another version. */
  'program-missing': { readonly program: string };
  /** A program that the operation runs has failed. */
  'program-failed': { readonly program: string; readonly exitCode: number | undefined };
  /** Physical backups and WAL cannot be had here: the server is elsewhere, another user's, or of a managed service. */
  'wal-unavailable': { readonly service: string | undefined };
  /** The WAL does not reach the moment that was asked for: no backup before it, a gap, or the moment is too late. */
  'moment-unreachable': { readonly from: Date | undefined; readonly to: Date | undefined };
  /** Redis did not do what it was asked. What is in PostgreSQL is not touched by it. */
  'cache-unavailable': { readonly cache: string; readonly reason: CacheFailure };
  /** `destroyAllOf` ran for the user while this session was made; the session does not exist. */
  'session-revoked': undefined;
  /** An optional package that the operation needs is not installed. */
  'package-missing': { readonly package: string };
  /** The optional package of the embedded engine is not installed. */
  'embedded-missing': undefined;
  /** Another process has the embedded engine's folder open. */
  'embedded-locked': { readonly folder: string; readonly pid: number };
  /** The embedded engine's folder is not one of its own, or the engine stopped. */
  'embedded-broken': { readonly folder: string | undefined };
}

export type ErrorCode = keyof ErrorDetails;

/**
 * `slow`: no answer in time. `full`: the memory that it may use is used. `loading`: it starts, or its cluster lacks
 * nodes. `refused`: an answer that says none of the others.
 */
export type CacheFailure =
  | 'unreachable'
  | 'slow'
  | 'login-refused'
  | 'not-permitted'
  | 'full'
  | 'read-only'
  | 'loading'
  | 'refused'
  | 'closed';

/** The steps of a run that stopped: `completed` is committed, `pending` untouched. */
export interface Completion {
  readonly completed: readonly string[];
  readonly pending: readonly string[];
}

/** Who holds the migration lock, as the server tells it; null is what it keeps from this role. */
export interface LockHolder {
  readonly pid: number;
  readonly applicationName: string;
  readonly address: string | null;
  readonly since: Date | null;
  /** How its query begins, without values. */
  readonly query?: string | null;
  readonly queryStartedAt?: Date | null;
}

/** `pid 4711, cryptosense-db from 10.0.0.7, since 2026-11-20 14:02:11 UTC` */
export function describeHolder(holder: LockHolder): string {
  const { pid, applicationName, address, since, query, queryStartedAt } = holder;
  const from = address === null ? '' : ` from ${address}`;
  const connected = since === null ? '' : `, connected since ${formatSecond(since)}`;
  const started = queryStartedAt ? ` (started ${formatSecond(queryStartedAt)})` : '';
  const running = query ? `, query: ${query}${started}` : '';
  return `pid ${pid}, ${applicationName || 'unnamed'}${from}${connected}${running}`;
}

function formatSecond(time: Date): string {
  return `${time.toISOString().replace('T', ' ').slice(0, 19)} UTC`;
}

/** Words of the server that may hold values of rows, such as a password's hash. */
export interface SensitiveWords {
  readonly message?: string;
  readonly detail?: string;
  /** The context: functions, statements, the row of a COPY. */
  readonly where?: string;
  /** A statement that a function put together. */
  readonly query?: string;
}

/** Details that keep such words apart. */
export interface Sensitive {
  /**
   * What `message`, `problems` and `cause` leave out; undefined where they leave nothing out. The property is not
   * enumerable, so that no log, `JSON.stringify` or `util.inspect` shows it.
   */
  readonly sensitive?: SensitiveWords | undefined;
}

/** The same details with `sensitive`. */
export function withSensitive<Details extends object>(
  details: Details,
  sensitive: SensitiveWords | undefined,
): Details & Sensitive {
  const copy = { ...details };
  return sensitive === undefined
    ? copy
    : Object.defineProperty(copy, 'sensitive', { value: sensitive, enumerable: false });
}

/** The words in `details.sensitive`; undefined for most errors. */
export function sensitiveOf(details: unknown): SensitiveWords | undefined {
  const isObject = typeof details === 'object' && details !== null;
  return isObject ? (details as Sensitive).sensitive : undefined;
}

/** What the server names of a row that it refused. */
export interface FailedConstraint {
  readonly schema: string | undefined;
  readonly table: string | undefined;
  /** As the server writes them: `email`, `tenant_id, lower(email)`. */
  readonly columns: string | undefined;
  readonly constraint: string | undefined;
}

/** For a failure that names none of them. */
export const noConstraint: FailedConstraint = {
  schema: undefined,
  table: undefined,
  columns: undefined,
  constraint: undefined,
};

/** Where a run stopped, and what it leaves behind. */
export interface MigrationFailure extends Completion, FailedConstraint, Sensitive {
  readonly version: string;
  readonly direction: 'up' | 'down';
  readonly location: { readonly file: string; readonly line: number; readonly column: number };
  readonly sqlState: string;
}

/** Where seeding stopped, and what it leaves behind. */
export interface SeedFailure extends Completion, FailedConstraint, Sensitive {
  readonly seeder: string;
  /** Empty where it was not the server that refused. */
  readonly sqlState: string;
}

type ErrorArguments<C extends ErrorCode> = ErrorDetails[C] extends undefined
  ? [options?: { readonly cause?: unknown }]
  : [options: { readonly details: ErrorDetails[C]; readonly cause?: unknown }];

/**
 * The one error class of this package. `code` names the kind of error and decides the type of
 * `details`. Facts and remedies are in `problems`, or, for files that break rules, in
 * `details.findings`. `message` lists both, without hints.
 */
export class CryptosenseDbError<C extends ErrorCode = ErrorCode> extends Error {
  readonly code: C;
  readonly problems: readonly Problem[];
  readonly details: ErrorDetails[C];

  constructor(code: C, problems: Problem | readonly Problem[], ...rest: ErrorArguments<C>) {
    const options: { readonly details?: ErrorDetails[C]; readonly cause?: unknown } = rest[0] ?? {};
    const list = 'message' in problems ? [problems] : problems;
    const lines = [
      ...findingsOf(options.details).flatMap(summariseFinding),
      ...list.flatMap(({ message, evidence = [] }) => [message, ...evidence]),
    ];
    super(lines.join('\n'), options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'CryptosenseDbError';
    this.code = code;
    this.problems = list;
    this.details = options.details as ErrorDetails[C];
  }

  /** The same error with one more problem. */
  with(problem: Problem): CryptosenseDbError<C> {
    const rest = [{ details: this.details, cause: this.cause }] as unknown as ErrorArguments<C>;
    return new CryptosenseDbError(this.code, [...this.problems, problem], ...rest);
  }
}

/** The error of folders or files that break rules. */
export function faultyFiles(
  code: 'faulty-folder' | 'faulty-statements',
  findings: readonly Finding[],
): CryptosenseDbError<'faulty-folder' | 'faulty-statements'> {
  return new CryptosenseDbError<typeof code>(code, [], { details: { findings } });
}

/** The findings in the details of an error; none for most codes. */
export function findingsOf(details: unknown): readonly Finding[] {
  return hasFindings(details) ? details.findings : [];
}

function hasFindings(details: unknown): details is ErrorDetails['faulty-folder'] {
  return typeof details === 'object' && details !== null && 'findings' in details;
}

/** True for an error of this package, and of the code if one is given. */
export function isError<C extends ErrorCode = ErrorCode>(
  value: unknown,
  code?: C,
): value is CryptosenseDbError<C> {
  return value instanceof CryptosenseDbError && (code === undefined || value.code === code);
}

/** True for an error with that `code`, such as Node's ENOENT. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** The message of an error. An AggregateError gives the message of each part, an object its `message`. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) {
    return [...new Set(error.errors.map(messageOf))].join(', ');
  }
  if (typeof error === 'object' && error !== null && 'message' in error) return `${error.message}`;
  return String(error);
}
