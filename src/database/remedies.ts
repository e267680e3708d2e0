import { quoteIdentifier } from './quote.ts';
import type { SqlError } from './sql-errors.ts';

/** What a remedy can name. */
export interface Situation {
  /** The role that runs the statement. */
  readonly user?: string | undefined;
}

const endings: Readonly<Record<string, string>> = {
  '57P01':
    'an administrator ended the session (pg_terminate_backend), or the server shuts down or restarts',
  '57P02': 'a process of the server crashed, and the server restarts; its log says why',
  '57P05':
    'idle_session_timeout ended the session; raise it for the role, or lift it: PGOPTIONS="-c idle_session_timeout=0"',
  '25P03':
    'idle_in_transaction_session_timeout ended the session; raise it for the role, or lift it: PGOPTIONS="-c idle_in_transaction_session_timeout=0"',
  '25P04':
    'transaction_timeout ended the session; raise it for the role, or lift it: PGOPTIONS="-c transaction_timeout=0"',
};

/**
 * What to do about an error of the server that comes from a right, a limit or a timeout. undefined: the error is of
 * another kind. The words of the error are English, or not asked for.
 */
export function remedyOf(error: SqlError, { user }: Situation = {}): string | undefined {
  const { code, message } = error;
  const role = user === undefined ? 'ROLE' : quoteIdentifier(user);
  switch (code) {
    case '57014':
      return message.includes('user request')
        ? 'another session cancelled the statement (pg_cancel_backend); run the command again'
        : `statement_timeout of the role, the database or the server ended the statement; lift it for this command: PGOPTIONS="-c statement_timeout=0", or for the role: alter role ${role} set statement_timeout = 0`;
    case '25006':
      return `the session is read-only: the server is a standby, or default_transaction_read_only is on; for the role: alter role ${role} set default_transaction_read_only = off`;
    case '42501':
      return missingRight(message, role);
    case '55006':
      return 'end the other sessions in the database; a pooler keeps its sessions open, so connect to the server itself';
    case '08P01':
      return message.includes('default_transaction_read_only')
        ? 'a pooler refuses the setting of a connection for reading: name the server itself, or let PgBouncer take it: ignore_startup_parameters = default_transaction_read_only, in front of standbys alone'
        : undefined;
    case '53300':
      return `there are too many connections: close some, ask for fewer at once, or raise the limit (max_connections; alter role ${role} connection limit N; alter database … connection limit N)`;
    default:
      return endings[code];
  }
}

/** A right that is missing, and who can give it. PostgreSQL 15 and later give CREATE on `public` to its owner only. */
function missingRight(message: string, role: string): string | undefined {
  const [, kind, name] = /permission denied for (schema|database) (\S+)/.exec(message) ?? [];
  if (kind === undefined || name === undefined) {
    return message.startsWith('must be owner')
      ? `run the command as the owner, or let a superuser make ${role} a member of the owner's role: grant OWNER to ${role}`
      : undefined;
  }
  const object = quoteIdentifier(name.replaceAll('"', ''));
  return `let the owner of the ${kind} run: grant create on ${kind} ${object} to ${role}`;
}
