/** The SQLSTATEs that the tool handles (PostgreSQL documentation, appendix A). */
export const sqlErrorCodes = {
  invalidPassword: '28P01',
  invalidAuthorization: '28000',
  noSuchDatabase: '3D000',
  databaseExists: '42P04',
  uniqueViolation: '23505',
  duplicateTable: '42P07',
  noSuchTable: '42P01',
  cannotConnectNow: '57P03',
  insufficientPrivilege: '42501',
  objectInUse: '55006',
  lockNotAvailable: '55P03',
  deadlockDetected: '40P01',
  serializationFailure: '40001',
  readOnlyTransaction: '25006',
  noTransaction: '25P01',
  activeTransaction: '25001',
  invalidTransactionEnd: '2D000',
  syntaxError: '42601',
  notNullViolation: '23502',
  queryCanceled: '57014',
} as const;

/** An error of the server, as postgres.js reports it. */
export interface SqlError extends Error {
  /** The SQLSTATE. */
  readonly code: string;
  readonly severity: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly where?: string;
  /** The character in the query text, from 1. Errors at run time have none. */
  readonly position?: string;
  readonly internal_query?: string;
  /** The text that was sent; parameters are not in it. */
  readonly query?: string;
  readonly schema_name?: string;
  readonly table_name?: string;
  readonly column_name?: string;
  readonly constraint_name?: string;
  readonly 'data type_name'?: string;
}

/** The SQLSTATE of an error of the server; undefined for any other error. */
export function sqlState(error: unknown): string | undefined {
  return isSqlError(error) ? error.code : undefined;
}

/**
 * True when the server refuses a statement because it runs in a transaction, or because it would end the transaction:
 * PreventInTransactionBlock() in the server's source, and COMMIT in a procedure.
 */
export function isRefusedInTransaction(error: unknown): boolean {
  const state = sqlState(error);
  return state === sqlErrorCodes.activeTransaction || state === sqlErrorCodes.invalidTransactionEnd;
}

/**
 * True for the error of a query on a standby that had to make way for the replay of WAL: "canceling statement due to
 * conflict with recovery", or "terminating connection …" where the query was in a subtransaction. A standby has no
 * other failures of serialization, since it takes no writes (PostgreSQL documentation, 27.4.2).
 */
export function isReplayConflict(error: unknown): boolean {
  const state = sqlState(error);
  // A deadlock over a buffer.
  return state === sqlErrorCodes.serializationFailure || state === sqlErrorCodes.deadlockDetected;
}

export function isSqlError(error: unknown): error is SqlError {
  return error instanceof Error && 'severity_local' in error && 'code' in error;
}

/** True when the backend is gone: killed, crashed, restarted or unreachable. */
export function isConnectionLost(error: unknown): boolean {
  if (isSqlError(error)) {
    // A pooler may report the end of a connection (class 08) as an ERROR.
    return ['FATAL', 'PANIC'].includes(error.severity) || error.code.startsWith('08');
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return [
    'CONNECTION_CLOSED',
    'CONNECTION_DESTROYED',
    'CONNECTION_ENDED',
    'ECONNRESET',
    'EPIPE',
  ].some((known) => known === code);
}
