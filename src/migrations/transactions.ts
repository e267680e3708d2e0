import type { Session } from '../database/connection.ts';
import { recordStep, tagTransaction } from '../ledger/history.ts';
import type { Around } from './batch.ts';
import {
  freshSession,
  ownSession,
  type Step,
  type StepOptions,
  settingsAfterReset,
} from './step.ts';

/** COMMIT would run deferred work with the tool's own settings. As in COMMIT, statement_timeout does not end it. */
const runDeferred = ['set local statement_timeout = 0', 'set constraints all immediate'];

/** What runs around the statements of a step in a transaction of its own, without its COMMIT. */
export function ownTransaction(session: Session, step: Step, options: StepOptions): Around {
  const shared = sharedTransaction(session, step, options);
  return {
    ...shared,
    opening: [step.script.begin],
    leaving: [...runDeferred, ...shared.leaving],
  };
}

/** What runs around the statements of a step in a transaction that is open. */
export function sharedTransaction(session: Session, step: Step, options: StepOptions): Around {
  return {
    opening: [],
    tagging: [tagTransaction(step)],
    afterReset: (resets) => [
      // RESET ALL takes the tag of the transaction away too.
      ...(resets === 'all' ? [tagTransaction(step)] : []),
      ...settingsAfterReset(session, resets, options),
    ],
    leaving: ownSession,
    ending: [recordStep(step, options.writer), ...freshSession(session, options)],
  };
}
