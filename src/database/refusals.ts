import {
  type Completion,
  CryptosenseDbError,
  hasCode,
  isError,
  messageOf,
  type Problem,
  withSensitive,
} from '../runtime/errors.ts';
import { quoteIdentifier } from './quote.ts';
import { remedyOf, type Situation } from './remedies.ts';
import type { ServerFacts } from './server-facts.ts';
import { serverWords } from './server-words.ts';
import { isSqlError, type SqlError, sqlErrorCodes, sqlState } from './sql-errors.ts';
import {
  describeHost,
  describeTarget,
  type Host,
  type ServerTarget,
  type Target,
} from './target.ts';

/** A host that gave no session, and the error. */
export interface Refusal {
  readonly host: Host;
  readonly error: unknown;
  readonly hasPassword: boolean;
}

/** A host that answered, and takes no writes. */
export interface ReadOnlyHost {
  readonly host: Host;
  readonly server: ServerFacts;
}

export interface Refusals {
  readonly refusals: readonly Refusal[];
  readonly standbys: readonly ReadOnlyHost[];
  readonly waitedMs: number;
}

/** The error to throw when no host of the target gave a session. */
export function refused(
  target: ServerTarget,
  { refusals, standbys, waitedMs }: Refusals,
): CryptosenseDbError | unknown {
  const own = refusals.find(({ error }) => isError(error));
  if (own) return own.error;

  const answered = refusals.find(({ error }) => sqlState(error) !== undefined);
  if (answered && standbys.length === 0) return loginRefused(target, answered);

  const hosts = target.hosts.map(describeHost);
  const evidence = [
    ...standbys.map(({ host, server }) => `${describeHost(host)}  ${readOnlyReason(server)}`),
    ...refusals.map(({ host, error }) => `${describeHost(host)}  ${messageOf(error)}`),
  ];
  if (standbys.length > 0) {
    return new CryptosenseDbError(
      'no-primary',
      {
        message: `no primary that accepts writes among ${hosts.join(', ')}`,
        evidence,
        hint: standbys.every(({ server }) => isByRole(server))
          ? `let the session write: alter role ${quoteIdentifier(target.user)} set default_transaction_read_only = off`
          : 'name the primary, or every host of the cluster: postgresql://user@host1,host2/database',
      },
      { details: { hosts } },
    );
  }
  return new CryptosenseDbError(
    'server-unreachable',
    {
      message: refusals.some(({ error }) => hintOf(error) && !hasCode(error, 'ETIMEDOUT'))
        ? `no connection to ${hosts.join(', ')}`
        : `no server answered at ${hosts.join(', ')} (tried for ${duration(waitedMs)})`,
      evidence,
      hint:
        refusals.map(({ error }) => hintOf(error)).find((hint) => hint !== undefined) ??
        'start the server, or wait for it with: cryptosense-db db wait',
    },
    {
      details: { hosts, waitedMs, isLasting: refusals.every(({ error }) => isLasting(error)) },
      cause: refusals[0]?.error,
    },
  );
}

function readOnlyReason(server: ServerFacts): string {
  return isByRole(server)
    ? `is read-only for the role "${server.user}": default_transaction_read_only is on for the ${server.readOnlySource}`
    : 'is a standby or read-only';
}

/** True where role or database make a server read-only that takes writes of others. */
function isByRole({ readOnlySource }: ServerFacts): boolean {
  return ['user', 'database', 'database user', 'client'].some(
    (source) => source === readOnlySource,
  );
}

/** A fault of TLS says more than that there is no answer. */
function hintOf(error: unknown): string | undefined {
  const isHinted = typeof error === 'object' && error !== null && 'hint' in error;
  return isHinted && typeof error.hint === 'string' ? error.hint : undefined;
}

/** True where the server answers, and its TLS or the settings that the target sends do not fit: time changes neither. */
function isLasting(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return state.startsWith('22') || state.startsWith('42');
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : '';
  return lastingFaults.test(String(code));
}

const lastingFaults =
  /^(?:TLS_NOT_OFFERED|TLS_VERSION_REFUSED|CLIENT_CERTIFICATE_REFUSED|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/;

function loginRefused(
  target: ServerTarget,
  { host, error, hasPassword }: Refusal,
): CryptosenseDbError {
  const { user, database } = target;
  const evidence = [`${describeHost(host)}  ${messageOf(error)}`];
  const hint = isSqlError(error) ? remedyOf(error, { user }) : undefined;
  switch (sqlState(error)) {
    case sqlErrorCodes.noSuchDatabase:
      return new CryptosenseDbError(
        'no-such-database',
        {
          message: `the database "${database}" does not exist`,
          evidence,
          hint: 'create it with: cryptosense-db db create',
        },
        { details: { database }, cause: error },
      );
    case sqlErrorCodes.invalidPassword:
    case sqlErrorCodes.invalidAuthorization: {
      const problem: Problem = {
        message: `the server refused the login of the user "${user}"${hasPassword ? '' : ' without a password'}`,
        evidence,
        hint: `check the user, and ${passwordRemedy(target)}`,
      };
      return new CryptosenseDbError('login-refused', problem, { details: { user }, cause: error });
    }
    default:
      return new CryptosenseDbError(
        'server-unreachable',
        {
          message: `the server refused the connection to "${database}"`,
          evidence,
          ...(hint && { hint }),
        },
        {
          details: { hosts: [describeHost(host)], waitedMs: 0, isLasting: isLasting(error) },
          cause: error,
        },
      );
  }
}

function passwordRemedy({ passwordFunction, passwordCommand }: ServerTarget): string {
  if (passwordFunction) return 'what the function "password" of createDatabase returns';
  return passwordCommand
    ? 'run the program of --password-command by hand'
    : 'the password in DATABASE_URL, DATABASE_PASSWORD or ~/.pgpass';
}

const withoutSteps: Completion = { completed: [], pending: [] };

/**
 * `completed` is committed. At most the first of `pending` is committed too: the server was running it when the
 * connection broke. (Steps that share one transaction are committed all, or none is.)
 */
export function connectionLost(
  target: Target,
  { cause, ...progress }: Completion & { readonly cause: unknown },
): CryptosenseDbError<'connection-lost'> {
  const reason = isSqlError(cause) ? remedyOf(cause) : undefined;
  return new CryptosenseDbError(
    'connection-lost',
    {
      message: `the connection to ${describeTarget(target)} was lost`,
      evidence: [
        isSqlError(cause) ? messageOf(cause) : 'the server or the network closed it',
        ...progressLines(progress),
      ],
      hint: [
        ...(reason === undefined ? [] : [reason]),
        'the server rolls uncommitted work back; run the same command again to continue',
      ].join('; '),
    },
    { details: progress, cause },
  );
}

function progressLines({ completed, pending }: Completion): readonly string[] {
  const [running, ...others] = pending;
  return [
    ...(completed.length > 0 ? [`committed: ${completed.join(', ')}`] : []),
    ...(running === undefined
      ? []
      : [`may be committed, the server had it when the connection broke: ${running}`]),
    ...(others.length > 0 ? [`still to do: ${others.join(', ')}`] : []),
  ];
}

/** The error for a refused statement of the tool itself. Failures of migrations have their own error. */
export function statementRefused(error: SqlError, situation: Situation): CryptosenseDbError {
  const { code } = error;
  const hint = error.hint ?? remedyOf(error, situation);
  const { message, evidence, sensitive, cause } = serverWords(error, { ownText: '' });
  const problem: Problem = { message, evidence, ...(hint && { hint }) };
  if (code === sqlErrorCodes.insufficientPrivilege) {
    return new CryptosenseDbError('not-permitted', problem, { cause });
  }
  const details = withSensitive({ sqlState: code }, sensitive);
  return new CryptosenseDbError('statement-refused', problem, { details, cause });
}

/** The error of a run that a signal ended. `completed` is committed, `pending` was not started. */
export function interrupted(
  progress: Completion = withoutSteps,
): CryptosenseDbError<'interrupted'> {
  return new CryptosenseDbError(
    'interrupted',
    {
      message: 'interrupted; uncommitted work is rolled back',
      evidence: countsOf(progress),
    },
    { details: progress },
  );
}

/** Throws `interrupted` once the signal has fired. For work without steps. */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw interrupted();
}

/** Empty for work without steps. */
function countsOf({ completed, pending }: Completion): readonly string[] {
  const total = completed.length + pending.length;
  return total === 0 ? [] : [`${completed.length} done, ${pending.length} still to do`];
}

function duration(ms: number): string {
  return ms < 1_000 ? `${Math.ceil(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
