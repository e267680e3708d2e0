import { expect } from 'vitest';
import { type CryptosenseDbError, type ErrorCode, isError } from '../../src/runtime/errors.ts';

/** The error with which the call ends. The test fails when the call succeeds or the error has another code. */
export async function errorOf<C extends ErrorCode>(
  code: C,
  call: () => unknown,
): Promise<CryptosenseDbError<C>> {
  try {
    await call();
  } catch (error) {
    if (!isError(error, code)) throw error;
    expect(error.code).toBe(code);
    return error;
  }
  throw new Error(`nothing was thrown; expected an error with the code ${code}`);
}

/** Everything that an error says, hints included. */
export function wordsOf({ problems }: CryptosenseDbError): string {
  return problems
    .flatMap(({ message, evidence = [], hint = '' }) => [message, ...evidence, hint])
    .join('\n');
}

/** The code of the error that the work ends in. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return isError(error) ? error.code : `no error of ours: ${String(error)}`;
}
