import type { Session } from '../database/connection.ts';
import { type LedgerEntry, readRollbacks } from '../ledger/ledger.ts';
import { findStrangers } from '../ledger/trust.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { type MigrationPair, rollbackNameOf, type SqlFile, sqlFile } from './source.ts';

/**
 * The rollbacks that the ledger records, in the order of the entries. A text that does not have its recorded checksum
 * is refused. Where a role that the run does not trust may write to the history, a text counts only if the file of the
 * rollback has it too: the run would execute what that role wrote.
 * Throws `ledger-untrusted` with every rollback that fails.
 */
export async function readRecordedRollbacks(
  session: Session,
  entries: readonly LedgerEntry[],
  pairs: readonly MigrationPair[],
): Promise<readonly SqlFile[]> {
  const texts = await readRollbacks(
    session,
    entries.map(({ version }) => version),
  );
  const strangers = await findStrangers(session);
  const checksumOf = new Map(pairs.map(({ version, down }) => [version, down.checksum]));
  const problems: Problem[] = [];
  const files = entries.map((entry) => {
    const file = sqlFile(rollbackNameOf(entry), texts.get(entry.version) ?? '');
    if (file.checksum !== entry.rollbackChecksum) problems.push(tampered(file));
    else if (strangers.length > 0 && file.checksum !== checksumOf.get(entry.version)) {
      problems.push(unconfirmed(session, file, strangers));
    }
    return file;
  });
  if (problems.length === 0) return files;
  const reasons = problems.map(({ message }) => message);
  throw new CryptosenseDbError('ledger-untrusted', problems, { details: { reasons } });
}

function tampered({ name }: SqlFile): Problem {
  return {
    message: `the recorded text of ${name} does not have its recorded checksum`,
    evidence: ['it was changed in cryptosense_db.migrations, and not by this tool'],
    hint: 'find out who wrote to the table; then put the text of the file into its column rollback_sql',
  };
}

function unconfirmed(
  { server: { user } }: Session,
  { name }: SqlFile,
  strangers: readonly string[],
): Problem {
  return {
    message: `the recorded text of ${name} may be of a role that "${user}" does not trust, and the folder has no such file with that text`,
    evidence: strangers.map((role) => `cryptosense_db.migrations can be written by ${role}`),
    hint: 'restore the file; or run the command as the role that owns the ledger',
  };
}
