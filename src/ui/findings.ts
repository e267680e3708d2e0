import type { Problem } from '../runtime/errors.ts';
import { excerpt } from '../runtime/excerpt.ts';
import { type Fault, type Finding, placeOf } from '../runtime/findings.ts';

/** Describes a finding in words: its place and fact, the line with a caret, and what to do. */
export function describeFinding(finding: Finding): Problem {
  const { line, column, lineText } = finding;
  const [fact, hint, ...evidence] = describe(finding);
  const isLocated = line !== undefined && column !== undefined && lineText !== undefined;
  return {
    message: `${placeOf(finding)} ${fact}`,
    evidence: [...(isLocated ? excerpt({ line, column, lineText }) : []), ...evidence],
    ...(hint !== undefined && { hint }),
  };
}

/** The fact continues the place: `a.sql` `is empty`. */
type Description = readonly [fact: string, hint?: string | undefined, ...evidence: string[]];

/** The rules whose description depends on nothing but the rule. */
const descriptions = {
  'misplaced-rollback': ['is a rollback in the folder of migrations'],
  'missing-migration': ['is the rollback of a migration that does not exist'],
  'not-utf8': ['is not UTF-8', 'save it as UTF-8'],
  'nul-character': ['contains a NUL character, which PostgreSQL does not accept'],
  empty: ['is empty'],
  'bad-seeder-name': [
    'is not named like a seeder',
    'name it with a number, an underscore and words: 01_users.js',
  ],
  'no-seeders': ['contains no seeders', 'write one, such as 01_users.js'],
  'not-a-seeder': [
    'exports no seeder',
    "export const seeder = { description: '…', run: async (context) => { … } }",
  ],
  'changed-seeders': [
    'has seeders that changed after this process loaded them',
    'restart the process',
    'Node does not load a module a second time',
  ],
  'copy-from-stdin': [
    'COPY FROM STDIN needs a client that sends the rows',
    'write the rows as INSERT … VALUES',
  ],
  'backslash-quote': [
    'standard_conforming_strings is off, so that the server would end strings elsewhere than the tool',
    "remove the setting, and write a quote in a string as '' or the string as E'…'",
  ],
  'copy-to-stdout': [
    'COPY TO STDOUT needs a client that reads the rows',
    'run it with psql instead',
  ],
  'missing-reason': [
    '"-- Irreversible:" gives no reason',
    'write why the migration cannot be undone',
  ],
  'unfinished-transaction': [
    'opens a transaction that the last statement does not commit',
    'end the file with COMMIT;',
  ],
  'chained-commit': ['COMMIT AND CHAIN leaves a transaction open', 'end the file with COMMIT;'],
  'late-set-transaction': [
    'SET TRANSACTION comes too late: the transaction has begun',
    'set it in the first statement, as in: BEGIN ISOLATION LEVEL SERIALIZABLE;',
  ],
  'late-update': [
    'ALTER EXTENSION timescaledb UPDATE comes after other statements, which load the old version',
    'make it the first statement of a file of its own',
  ],
  'own-session': [
    'updates TimescaleDB, which needs a session of its own',
    'run without --single-transaction',
  ],
  'not-in-script': [
    'updates TimescaleDB, which needs a session that a script cannot open',
    'apply it with migrate up, and print the script of the others',
  ],
  'discard-all': [
    'DISCARD ALL releases the lock that the run holds',
    'use RESET ALL, DISCARD TEMP, DISCARD PLANS or DISCARD SEQUENCES',
  ],
  'unlock-all': [
    'pg_advisory_unlock_all() releases the lock that the run holds',
    'release the locks of the file one by one: pg_advisory_unlock(key)',
  ],
  'deallocate-all': [
    "DEALLOCATE ALL drops the tool's own prepared statements",
    'deallocate the prepared statements of the file by their names',
  ],
  'unnamed-index': [
    'an index that is built outside a transaction has no name',
    'name the index, so that the next run finds an interrupted build',
  ],
} as const;

/** A run that resumes a file has a new session. */
const notResumable = {
  setting: ['set_config() is not repeated when the next run resumes the file', 'use SET'],
  temporary: [
    'a temporary object is gone when the next run resumes the file',
    'create a permanent one, and drop it in the last statement',
  ],
  session: [
    'what the statement leaves in its session is gone when the next run resumes the file: a prepared statement, a cursor, LISTEN, LOAD, an advisory lock, setseed()',
    'move it and the statements that use it into a DO block, or into a file with a transaction',
  ],
} as const;

function describe(fault: Fault): Description {
  switch (fault.rule) {
    case 'unreadable-folder': {
      const names = {
        migrations: 'others with --migrations and --rollbacks',
        seeders: 'another with --seeds',
      };
      return ['cannot be read', `create the folder, or name ${names[fault.of]}`, fault.reason];
    }
    case 'unreadable-file':
      return ['cannot be read', undefined, fault.reason];
    case 'bad-name':
      return [`is not named ${fault.expected}`];
    case 'impossible-date':
      return [`has the stamp ${fault.stamp}, which is not a date and time`];
    case 'same-stamp':
      return [`has the same stamp as ${fault.other}`];
    case 'missing-rollback':
      return [
        'has no rollback',
        `write ${fault.expected}; if the migration cannot be undone, the file says "-- Irreversible: <why>"`,
      ];
    case 'other-name':
      return ['has the stamp of a migration, but another name', `rename it to ${fault.expected}`];
    case 'same-seeder':
      return [`is a second seeder with the name ${fault.seeder}`];
    case 'unloadable-seeder': {
      const hint =
        'this Node does not run TypeScript: compile the seeders, or use Node 22.18 or later';
      return ['cannot be loaded', fault.isTypeScript ? hint : undefined, fault.reason];
    }
    case 'syntax-error': {
      if (!fault.versions) return [fault.reason];
      const { grammar, server } = fault.versions;
      return [
        fault.reason,
        `if the syntax is newer than PostgreSQL ${grammar}, install the grammar of the server beside cryptosense-db: npm install libpg-query@${server}`,
        `the file was read with the grammar of PostgreSQL ${grammar}; the server is PostgreSQL ${server}`,
      ];
    }
    case 'too-large':
      return [
        `a statement of ${(fault.bytes / 1_000_000).toFixed(1)} MB is more than the memory of the parser holds`,
        'write it as several statements; texts and lists of VALUES may have any length',
      ];
    case 'psql-command':
      return [
        `${fault.command} is a command of psql, not a statement`,
        'the tool runs the file without psql; write SQL instead',
      ];
    case 'unknown-directive':
      return [`"${fault.directive}" is not a known directive`, 'the only value is "none"'];
    case 'other-tool': {
      const [holds, other] =
        fault.direction === 'up'
          ? ['what undoes the migration', 'rollback']
          : ['what applies the migration', 'migration'];
      return [
        `is a file of ${fault.tool ?? 'another tool'}: "${fault.mark}" separates ${holds}, and the run would execute both parts`,
        `move that part into the file of the ${other}, and remove the mark`,
      ];
    }
    case 'no-statement':
      return fault.direction === 'up'
        ? ['contains no statement']
        : ['contains no statement, and does not say "-- Irreversible: <why>"'];
    case 'transaction-control':
      return fault.transaction === 'own'
        ? [
            `${fault.command} ends or opens a transaction in the middle of the file`,
            'the whole file is one transaction; split it into two migrations',
          ]
        : [
            `${fault.command} stands in a file that says "-- Transaction: none"`,
            'remove one of the two',
          ];
    case 'needs-no-transaction':
      return [
        `${fault.statement} cannot run inside a transaction`,
        'write "-- Transaction: none" at the top of the file, and remove BEGIN and COMMIT',
      ];
    case 'not-resumable':
      return notResumable[fault.object];
    case 'irreversible':
      return ['says that the migration cannot be undone', undefined, fault.reason];
    case 'own-transaction':
      return [
        fault.begin === undefined
          ? 'says "-- Transaction: none", so it cannot be part of a single transaction'
          : `begins its transaction with options of its own: ${fault.begin}`,
        'run without --single-transaction',
      ];
    case 'left-transaction':
      return [
        'left its transaction or released the lock of the run',
        'remove COMMIT, ROLLBACK, RESET ALL and pg_advisory_unlock_all() from the file and from the functions that it calls',
        fault.transaction === 'own'
          ? 'the migration and its history row are rolled back'
          : 'the statements that ran stay; the journal has recorded them',
      ];
    default:
      return descriptions[fault.rule];
  }
}
