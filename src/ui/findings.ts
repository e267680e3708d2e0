import type { Problem } from '../runtime/errors.ts';
import { excerpt } from '../runtime/excerpt.ts';
import { type Fault, type Finding, placeOf } from '../runtime/findings.ts';

/** A finding in words: its place and fact, the line with a caret, and what to do. */
export function describeFinding(finding: Finding): Problem {
  const { line, column, lineText } = finding;
  const { fact, evidence = [], hint } = describe(finding);
  const isLocated = line !== undefined && column !== undefined && lineText !== undefined;
  return {
    message: `${placeOf(finding)} ${fact}`,
    evidence: [...(isLocated ? excerpt({ line, column, lineText }) : []), ...evidence],
    ...(hint !== undefined && { hint }),
  };
}

interface Description {
  /** Continues the place: `a.sql` `is empty`. */
  readonly fact: string;
  readonly evidence?: readonly string[];
  readonly hint?: string;
}

function describe(fault: Fault): Description {
  switch (fault.rule) {
    case 'unreadable-folder':
      return {
        fact: 'cannot be read',
        evidence: [fault.reason],
        hint:
          fault.of === 'migrations'
            ? 'create the folder, or name others with --migrations and --rollbacks'
            : 'create the folder, or name another with --seeds',
      };
    case 'unreadable-file':
      return { fact: 'cannot be read', evidence: [fault.reason] };
    case 'bad-name':
      return { fact: `is not named ${fault.expected}` };
    case 'misplaced-rollback':
      return { fact: 'is a rollback in the folder of migrations' };
    case 'impossible-date':
      return { fact: `has the stamp ${fault.stamp}, which is not a date and time` };
    case 'same-stamp':
      return { fact: `has the same stamp as ${fault.other}` };
    case 'missing-rollback':
      return {
        fact: 'has no rollback',
        hint: `write ${fault.expected}; if the migration cannot be undone, the file says "-- Irreversible: <why>"`,
      };
    case 'missing-migration':
      return { fact: 'is the rollback of a migration that does not exist' };
    case 'other-name':
      return {
        fact: 'has the stamp of a migration, but another name',
        hint: `rename it to ${fault.expected}`,
      };
    case 'not-utf8':
      return { fact: 'is not UTF-8', hint: 'save it as UTF-8' };
    case 'nul-character':
      return { fact: 'contains a NUL character, which PostgreSQL does not accept' };
    case 'empty':
      return { fact: 'is empty' };
    case 'bad-seeder-name':
      return {
        fact: 'is not named like a seeder',
        hint: 'name it with a number, an underscore and words: 01_users.js',
      };
    case 'same-seeder':
      return { fact: `is a second seeder with the name ${fault.seeder}` };
    case 'no-seeders':
      return { fact: 'contains no seeders', hint: 'write one, such as 01_users.js' };
    case 'not-a-seeder':
      return {
        fact: 'exports no seeder',
        hint: "export const seeder = { description: '…', run: async (context) => { … } }",
      };
    case 'unloadable-seeder':
      return {
        fact: 'cannot be loaded',
        evidence: [fault.reason],
        ...(fault.isTypeScript && {
          hint: 'this Node does not run TypeScript: compile the seeders, or use Node 22.18 or later',
        }),
      };
    case 'changed-seeders':
      return {
        fact: 'has seeders that changed after this process loaded them',
        evidence: ['Node does not load a module a second time'],
        hint: 'restart the process',
      };
    case 'syntax-error':
      return { fact: fault.reason };
    case 'psql-command':
      return {
        fact: `${fault.command} is a command of psql, not a statement`,
        hint: 'the tool runs the file without psql; write SQL instead',
      };
    case 'copy-from-stdin':
      return {
        fact: 'COPY FROM STDIN needs a client that sends the rows',
        hint: 'write the rows as INSERT … VALUES',
      };
    case 'copy-to-stdout':
      return {
        fact: 'COPY TO STDOUT needs a client that reads the rows',
        hint: 'run it with psql instead',
      };
    case 'unknown-directive':
      return {
        fact: `"${fault.directive}" is not a known directive`,
        hint: 'the only value is "none"',
      };
    case 'missing-reason':
      return {
        fact: '"-- Irreversible:" gives no reason',
        hint: 'write why the migration cannot be undone',
      };
    case 'no-statement':
      return fault.direction === 'up'
        ? { fact: 'contains no statement' }
        : { fact: 'contains no statement, and does not say "-- Irreversible: <why>"' };
    case 'unfinished-transaction':
      return {
        fact: 'opens a transaction that the last statement does not commit',
        hint: 'end the file with COMMIT;',
      };
    case 'chained-commit':
      return {
        fact: 'COMMIT AND CHAIN leaves a transaction open',
        hint: 'end the file with COMMIT;',
      };
    case 'late-set-transaction':
      return {
        fact: 'SET TRANSACTION comes too late: the transaction has begun',
        hint: 'set it in the first statement, as in: BEGIN ISOLATION LEVEL SERIALIZABLE;',
      };
    case 'transaction-control':
      return fault.transaction === 'own'
        ? {
            fact: `${fault.command} ends or opens a transaction in the middle of the file`,
            hint: 'the whole file is one transaction; split it into two migrations',
          }
        : {
            fact: `${fault.command} stands in a file that says "-- Transaction: none"`,
            hint: 'remove one of the two',
          };
    case 'needs-no-transaction':
      return {
        fact: `${fault.statement} cannot run inside a transaction`,
        hint: 'write "-- Transaction: none" at the top of the file, and remove BEGIN and COMMIT',
      };
    case 'discard-all':
      return {
        fact: 'DISCARD ALL releases the lock that the run holds',
        hint: 'use RESET ALL, DISCARD TEMP, DISCARD PLANS or DISCARD SEQUENCES',
      };
    case 'unlock-all':
      return {
        fact: 'pg_advisory_unlock_all() releases the lock that the run holds',
        hint: 'release the locks of the file one by one: pg_advisory_unlock(key)',
      };
    case 'deallocate-all':
      return {
        fact: "DEALLOCATE ALL drops the tool's own prepared statements",
        hint: 'deallocate the prepared statements of the file by their names',
      };
    case 'unnamed-index':
      return {
        fact: 'an index that is built outside a transaction has no name',
        hint: 'name the index, so that the next run finds an interrupted build',
      };
    case 'not-resumable':
      return describeNotResumable(fault.object);
    case 'irreversible':
      return { fact: 'says that the migration cannot be undone', evidence: [fault.reason] };
    case 'own-transaction':
      return {
        fact:
          fault.begin === undefined
            ? 'says "-- Transaction: none", so it cannot be part of a single transaction'
            : `begins its transaction with options of its own: ${fault.begin}`,
        hint: 'run without --single-transaction',
      };
    case 'left-transaction':
      return {
        fact: 'left its transaction or released the lock of the run',
        evidence: [
          fault.transaction === 'own'
            ? 'the migration and its history row are rolled back'
            : 'the statements that ran stay; the journal has recorded them',
        ],
        hint: 'remove COMMIT, ROLLBACK, RESET ALL and pg_advisory_unlock_all() from the file and from the functions that it calls',
      };
    default:
      return fault satisfies never;
  }
}

/** A run that resumes a file has a new session. */
function describeNotResumable(object: 'setting' | 'temporary' | 'session'): Description {
  switch (object) {
    case 'setting':
      return {
        fact: 'set_config() is not repeated when the next run resumes the file',
        hint: 'use SET',
      };
    case 'temporary':
      return {
        fact: 'a temporary table, view or sequence is gone when the next run resumes the file',
        hint: 'use a permanent table, and drop it in the last statement',
      };
    case 'session':
      return {
        fact: 'a prepared statement, cursor or LISTEN is gone when the next run resumes the file',
        hint: 'move it and the statements that use it into a DO block, or into a file with a transaction',
      };
    default:
      return object satisfies never;
  }
}
