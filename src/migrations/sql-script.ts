import { createHash } from 'node:crypto';
import type { Session } from '../database/connection.ts';
import { migrationLockSql } from '../database/lock.ts';
import { firstMark } from '../ledger/environment.ts';
import { ledgerChanges, ledgerFormat } from '../ledger/format.ts';
import { recordStep, tagTransaction } from '../ledger/history.ts';
import { journalClear, journalFinish, journalledSince, journalStart } from '../ledger/journal.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Environment } from '../ledger/marks.ts';
import type { Run } from '../ledger/run.ts';
import { compareVersions } from '../ledger/version.ts';
import { CryptosenseDbError, faultyFiles } from '../runtime/errors.ts';
import { withoutVariables } from '../sql/psql.ts';
import type { Manner } from './apply.ts';
import { listTexts } from './batch.ts';
import { localOwnRole } from './journalled.ts';
import type { RunControl, ScriptStep, SqlScript } from './options.ts';
import type { Statement } from './parse.ts';
import { isPatient } from './patience.ts';
import { checksumOf } from './source.ts';
import {
  defaultTableLockTimeoutMs,
  freshSession,
  needsOwnSession,
  ownSession,
  type Step,
  type StepOptions,
  settingsAfterReset,
  tableLockSetting,
} from './step.ts';
import { mayLeaveTraces } from './traces.ts';
import { ownTransaction, sharedTransaction } from './transactions.ts';
import { requireValid } from './valid-indexes.ts';

/** What a script expects of the database at a moment of its run. */
interface Expected {
  readonly format: number;
  readonly entries: readonly Pick<LedgerEntry, 'version' | 'checksum' | 'rollbackChecksum'>[];
  readonly mark: Environment | undefined;
}

export interface ScriptOptions extends Pick<RunControl, 'tableLockTimeoutMs'> {
  /** The script marks the database as this environment, where it has no mark. */
  readonly environment?: Environment | undefined;
  readonly manner: Manner;
}

/**
 * The SQL of steps, as a run sends it, for a session of psql. The script takes the migration lock, and stops where it is
 * taken, or where the history or the mark of the database is not that of `run`.
 *
 * Throws `history-mismatch` for a database in which a file has run in part, and `faulty-statements` for a file that
 * updates TimescaleDB.
 */
export function writeScript(
  { session, ledger, writer: { toolVersion } }: Run,
  steps: readonly Step[],
  { environment, manner, tableLockTimeoutMs = defaultTableLockTimeoutMs }: ScriptOptions,
): SqlScript {
  refuseUnprintable(ledger, steps);
  const writer = { pid: undefined, toolVersion };
  const options: StepOptions = { writer, tableLockTimeoutMs, tableLockRetries: 0 };
  const fresh = freshSession(session, options);
  const isTogether = manner === 'together';
  const opening = [
    ...opensWith({ ...ledger, mark: ledger.environment }),
    ...(ledger.format < ledgerFormat
      ? ['begin', ...ledgerChanges({ from: ledger.format }), 'commit']
      : []),
    ...(environment && !ledger.environment ? [firstMark(environment)] : []),
    ...fresh,
    ...(isTogether ? ['begin'] : []),
  ];
  const expectedBefore = (index: number): Expected => ({
    format: ledgerFormat,
    entries: steps.slice(0, index).reduce(entriesAfter, ledger.entries),
    mark: ledger.environment ?? environment,
  });
  const written = steps.map((step, index): ScriptStep => {
    const { direction, version, description, script } = step;
    const before = steps[index - 1];
    const opensSession = !isTogether && before !== undefined && mayLeaveTraces(before.script);
    const texts = isTogether
      ? listTexts(step, sharedTransaction(session, step, options))
      : script.transaction === 'own'
        ? [...listTexts(step, ownTransaction(session, step, options)), 'commit']
        : listJournalled(session, step, options);
    const opened = opensSession ? [...opensWith(expectedBefore(index)), ...fresh] : [];
    const { transaction } = script;
    const sql = joined([...opened, ...texts]);
    return { direction, version, description, transaction, opensSession, sql };
  });
  const closing = joined([...(isTogether ? ['commit'] : []), `select ${migrationLockSql.release}`]);
  return { opening: joined(opening), steps: written, closing };
}

function refuseUnprintable({ journal }: Ledger, steps: readonly Step[]): void {
  const [begun] = journal;
  if (begun) {
    throw new CryptosenseDbError(
      'history-mismatch',
      {
        message: `${begun.version} has run in part, and a script cannot tell what is left to do`,
        hint: `finish it with: cryptosense-db migrate ${begun.direction}; then print the script`,
      },
      { details: { versions: [begun.version] } },
    );
  }
  const updates = steps.filter(({ script }) => needsOwnSession(script));
  if (updates.length === 0) return;
  throw faultyFiles(
    'faulty-statements',
    updates.map(({ script }) => ({ file: script.file.name, rule: 'not-in-script' })),
  );
}

/** What a session runs first: it reads what follows as the grammar does, and it is the only run on the database. */
function opensWith(expected: Expected): readonly string[] {
  return [
    "set client_encoding = 'UTF8'",
    'set standard_conforming_strings = on',
    'set search_path = pg_catalog',
    requireExpected(expected),
  ];
}

/** A statement that takes the lock, or fails; and that fails where the ledger is not the expected one. */
function requireExpected({ format, entries, mark }: Expected): string {
  const isOther =
    format === 0
      ? "to_regclass('cryptosense_db.migrations') is not null"
      : `${hashOfHistory} <> '${hashOf(entries)}'
    or (select coalesce(max(format), 1) from cryptosense_db.ledger) <> ${format}
    or exists (select from cryptosense_db.migration_journal)`;
  const [message, hint] =
    format === 0
      ? [
          'this script is for a database without a history of migrations',
          'print it for this database',
        ]
      : ['this script is for another history of migrations', 'print it again, for this database'];
  const checkMark =
    format === 0
      ? ''
      : `
  if (select max(name) from cryptosense_db.environment) is distinct from ${mark ? `'${mark}'` : 'null'} then
    raise exception 'this script is for a database ${mark ? `that is marked as ${mark}` : 'without a mark'}';
  end if;`;
  return `do $check$ begin
  if not (${migrationLockSql.take}) then
    raise exception 'another run holds the migration lock' using hint = 'run the script again when it has ended';
  end if;
  if ${isOther} then
    raise exception '${message}' using hint = '${hint}';
  end if;${checkMark}
end $check$`;
}

const hashOfHistory = `(select encode(sha256(convert_to(coalesce(string_agg(
      concat_ws(' ', version, checksum, rollback_checksum), ',' order by version collate "C"), ''), 'UTF8')), 'hex')
    from cryptosense_db.migrations)`;

/** As `hashOfHistory` in the database; the entries are in order of version. */
function hashOf(entries: Expected['entries']): string {
  const lines = entries.map(({ version, checksum, rollbackChecksum }) =>
    [version, checksum, rollbackChecksum].join(' '),
  );
  return createHash('sha256').update(lines.join(',')).digest('hex');
}

function entriesAfter(entries: Expected['entries'], { version, pair }: Step): Expected['entries'] {
  const others = entries.filter((entry) => entry.version !== version);
  if (!pair) return others;
  const entry = { version, checksum: pair.up.checksum, rollbackChecksum: pair.down.checksum };
  return [...others, entry].sort((a, b) => compareVersions(a.version, b.version));
}

/** The texts of a file that says `-- Transaction: none`, as `runStatementByStatement` sends them. */
function listJournalled(session: Session, step: Step, options: StepOptions): readonly string[] {
  const { version, script } = step;
  return [
    ...script.statements.flatMap((statement, position) =>
      statement.run.kind === 'session'
        ? [statement.text, ...resetAgain(session, statement, options)]
        : journalled(step, { statement, position }, options),
    ),
    ...ownSession,
    'begin',
    tagTransaction(step, { startedAt: journalledSince(step) }),
    recordStep(step, options.writer),
    journalClear(version),
    ...freshSession(session, options),
    'commit',
  ];
}

function resetAgain(
  session: Session,
  { run: { resets } }: Statement,
  options: StepOptions,
): readonly string[] {
  return resets === undefined ? [] : settingsAfterReset(session, resets, options);
}

function journalled(
  { version, direction, script }: Step,
  { statement, position }: { readonly statement: Statement; readonly position: number },
  { writer, tableLockTimeoutMs }: StepOptions,
): readonly string[] {
  const { run, text, indexes } = statement;
  const checksum = checksumOf(text);
  // No run can tell later what the statement has left: the schemas of its names are known in its session only.
  const row = { version, direction, position, checksum, remains: undefined };
  const [start, finish] = [journalStart(row, writer), journalFinish(row, writer)];
  const check = indexes ? [requireValid(indexes)] : [];
  if (run.kind === 'in-transaction') {
    return ['begin', text, ...check, localOwnRole, start, finish, 'commit'];
  }
  const patient = isPatient(script, run.remains)
    ? ['set lock_timeout = 0', text, `set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`]
    : [text];
  const noted = (entry: string) => ['begin', localOwnRole, entry, 'commit'];
  return [...noted(start), ...patient, ...check, ...noted(finish)];
}

/** One statement after the other, each with its semicolon. */
function joined(texts: readonly string[]): string {
  return texts.map((text) => `${terminated(withoutVariables(text.trim()))}\n`).join('');
}

function terminated(text: string): string {
  // The statement may end in a comment.
  return text.slice(text.lastIndexOf('\n') + 1).includes('--') ? `${text}\n;` : `${text};`;
}
