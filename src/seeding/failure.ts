import type { Session } from '../database/connection.ts';
import { connectionLost, interrupted } from '../database/refusals.ts';
import { remedyOf, type Situation } from '../database/remedies.ts';
import { serverWords, withoutValues } from '../database/server-words.ts';
import { isConnectionLost, isSqlError } from '../database/sql-errors.ts';
import {
  type Completion,
  CryptosenseDbError,
  isError,
  messageOf,
  noConstraint,
  withSensitive,
} from '../runtime/errors.ts';

/** `pending` is without the seeder that stopped. */
interface SeederStop extends Completion {
  readonly seeder: string;
  readonly cause: unknown;
  /** Its rows were committed, and its `afterwards` failed. */
  readonly isWritten: boolean;
}

/** The error to throw for a seeder that stopped: which one, why, and what has been seeded. */
export function seederStopped({ target, signal, server }: Session, stop: SeederStop): Error {
  const { seeder, cause, isWritten, completed, pending } = stop;
  const whole = isWritten
    ? { completed: [...completed, seeder], pending }
    : { completed, pending: [seeder, ...pending] };
  if (signal?.aborted) return interrupted(whole);
  if (isConnectionLost(cause)) return connectionLost(target, { cause, ...whole });
  return isError(cause) ? cause : seedFailed(stop, server);
}

function seedFailed(stop: SeederStop, situation: Situation): CryptosenseDbError<'seed-failed'> {
  const { seeder, cause, isWritten, completed, pending } = stop;
  const own = { ownText: '' };
  const error = isSqlError(cause) ? cause : undefined;
  const hint = error && (error.hint ?? remedyOf(error, situation));
  const words = error && serverWords(error, own);
  const shown = words?.cause ?? withoutValues(cause, own);
  const left = isWritten
    ? 'its rows are committed, its remaining work is not done: run it again'
    : 'it is rolled back';
  return new CryptosenseDbError(
    'seed-failed',
    {
      message: `${seeder} stopped: ${messageOf(shown)}`,
      evidence: [
        ...(words?.evidence ?? []),
        `seeded before it: ${completed.length}, ${left}, still to do: ${pending.length}`,
      ],
      ...(hint && { hint }),
    },
    {
      details: withSensitive(
        {
          seeder,
          completed,
          pending,
          sqlState: error?.code ?? '',
          ...(words?.constraint ?? noConstraint),
        },
        words?.sensitive,
      ),
      cause: shown,
    },
  );
}
