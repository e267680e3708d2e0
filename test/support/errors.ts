import { type CryptosenseDbError, type ErrorCode, isError } from '../../src/errors.ts';

/** The error of that code that the call ends in; whatever else happens fails the test. */
export async function errorOf<C extends ErrorCode>(
  code: C,
  call: () => unknown,
): Promise<CryptosenseDbError<C>> {
  try {
    await call();
  } catch (error) {
    if (isError(error, code)) return error;
    throw error;
  }
  throw new Error(`nothing was thrown; expected an error with the code ${code}`);
}

/** Everything that an error says, hints included. */
export function wordsOf({ problems }: CryptosenseDbError): string {
  return problems
    .flatMap(({ message, evidence = [], hint = '' }) => [message, ...evidence, hint])
    .join('\n');
}
