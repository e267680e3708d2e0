import type { Sql } from '../database/connection.ts';
import { mayRepeat } from '../ledger/history.ts';
import {
  type JournalledStatement,
  journalMove,
  journalWithdraw,
  readJournal,
} from '../ledger/journal.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { excerpt } from '../runtime/excerpt.ts';
import { locate } from '../sql/location.ts';
import { atStatement } from './failure.ts';
import { formatMinute } from './mismatch.ts';
import { isPatient, withPatience } from './patience.ts';
import { cleanUp, type Standing, subjectOf } from './remains.ts';
import type { Remains } from './run-mode.ts';
import { checksumOf } from './source.ts';
import type { Step, StepOptions } from './step.ts';

/** An entry of the journal. Its remains have their schemas. */
export type Entry = JournalledStatement<Remains>;

/**
 * The journal of the attempts before this one, by position. What an interrupted statement has left is removed where
 * the file no longer has the statement.
 *
 * Throws `history-mismatch` for a statement that was changed after it ran, and for one that was interrupted and of
 * which no run can tell how much it has committed.
 */
export async function takeUpJournal(
  sql: Sql,
  step: Step,
  options: StepOptions,
): Promise<ReadonlyMap<number, Entry>> {
  const entries = await readJournal<Remains>(sql, step);
  refuseEdited(step, entries);
  const finished = entries.filter(({ isFinished }) => isFinished);
  const interrupted = entries.find(({ isFinished }) => !isFinished);
  const open = interrupted && (await takeUp(sql, { step, interrupted, finished }, options));
  return new Map([...finished, ...(open ? [open] : [])].map((entry) => [entry.position, entry]));
}

/**
 * The entry of an interrupted statement, at the place that its statement has in the file now; undefined where the file
 * no longer has the statement and nothing of its work stands.
 */
async function takeUp(
  sql: Sql,
  {
    step,
    interrupted,
    finished,
  }: { readonly step: Step; readonly interrupted: Entry; readonly finished: readonly Entry[] },
  options: StepOptions,
): Promise<Entry | undefined> {
  const { checksum, remains } = interrupted;
  const { statements } = step.script;
  const place = checksum === mayRepeat ? undefined : placeNow(step, interrupted, finished);
  if (place !== undefined) {
    if (!remains && !statements[place]?.run.remains) throw unknownWork(step, interrupted, place);
    if (place !== interrupted.position) await journalMove(sql, interrupted, { to: place });
    return { ...interrupted, position: place };
  }
  const standing = remains && (await cleanUpEdited(sql, { step, interrupted, remains }, options));
  // A person has said what the statement has done.
  if (checksum === mayRepeat) return interrupted;
  if (standing !== 'nothing') throw unknownWork(step, interrupted);
  await journalWithdraw(sql, interrupted);
  return undefined;
}

/** Where the statement of the entry stands in the file now; undefined where it was edited or removed. */
function placeNow(
  { script: { statements } }: Step,
  { position, checksum }: Entry,
  finished: readonly Entry[],
): number | undefined {
  const isIt = (at: number) => checksumOf(statements[at]?.text ?? '') === checksum;
  if (isIt(position)) return position;
  const isFinished = (at: number) => finished.some((entry) => entry.position === at);
  const others = [...statements.keys()].filter((at) => !isFinished(at) && isIt(at));
  return others.length === 1 ? others[0] : undefined;
}

/** Removes what a statement has left that the file no longer has. */
async function cleanUpEdited(
  sql: Sql,
  {
    step,
    interrupted,
    remains,
  }: { readonly step: Step; readonly interrupted: Entry; readonly remains: Remains },
  options: StepOptions,
): Promise<Standing> {
  const { statements } = step.script;
  const statement = statements[interrupted.position] ?? statements.at(-1);
  return withPatience(sql, { isWithoutLimit: isPatient(step.script, remains) }, options, () =>
    cleanUp(sql, remains, options),
  ).catch((error: unknown) => {
    throw statement ? atStatement(error, { step, statement }) : error;
  });
}

/** Refuses a file in which a statement that has run was edited, moved or removed. */
function refuseEdited(step: Step, journal: readonly Entry[]): void {
  const { file, statements } = step.script;
  const edited = journal.find(
    ({ position, checksum, isFinished }) =>
      isFinished && checksum !== checksumOf(statements[position]?.text ?? ''),
  );
  if (!edited) return;
  throw new CryptosenseDbError(
    'history-mismatch',
    {
      message: `${file.name} was applied in part, and a statement that has run was changed since`,
      evidence: [`statement ${edited.position + 1} is not the one that ran`],
      hint: `restore it, or repair the schema by hand and drop the record with: cryptosense-db migrate repair --forget ${step.version}`,
    },
    { details: { versions: [step.version] } },
  );
}

/**
 * The refusal to go on behind an interrupted statement of which no run can tell how much it has committed. `place` is
 * where it stands in the file; absent where it was edited or removed.
 */
function unknownWork(
  step: Step,
  { position, startedAt, remains }: Entry,
  place?: number,
): CryptosenseDbError<'history-mismatch'> {
  const { file, statements } = step.script;
  const { version } = step;
  const statement = place === undefined ? undefined : statements[place];
  const name = remains && subjectOf(remains).join('.');
  return new CryptosenseDbError(
    'history-mismatch',
    {
      message: `${file.name} ran in part: its statement ${(place ?? position) + 1} was interrupted, and may have committed all of its work, a part or nothing`,
      evidence: [
        ...(statement
          ? excerpt(locate(file.name, file.text, statement.index))
          : [`the statement was changed or removed since${name ? `; it was about ${name}` : ''}`]),
        `started ${formatMinute(startedAt)}; its end is not recorded; all statements before it have finished`,
      ],
      hint: `look at what the statement has done; then let the next run repeat it, with: cryptosense-db migrate repair --repeat ${version}; or record it as finished, with: cryptosense-db migrate repair --finish ${version}`,
    },
    { details: { versions: [version] } },
  );
}
