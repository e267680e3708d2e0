import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import { faultyFiles } from '../../src/runtime/errors.ts';
import { width } from '../../src/runtime/excerpt.ts';
import type { Fault, Finding, FindingRule } from '../../src/runtime/findings.ts';
import { describeFinding } from '../../src/ui/findings.ts';
import { errorDocument, problemsOf, renderProblems } from '../../src/ui/render.ts';

/** A finding of each rule. The compiler reports a rule without one. */
const faults: { readonly [R in FindingRule]: Fault & { readonly rule: R } } = {
  'unreadable-folder': { rule: 'unreadable-folder', of: 'migrations', reason: 'ENOENT' },
  'unreadable-file': { rule: 'unreadable-file', reason: 'EACCES' },
  'bad-name': { rule: 'bad-name', expected: 'YYYYMMDD_HHMMSS_description.sql' },
  'misplaced-rollback': { rule: 'misplaced-rollback' },
  'impossible-date': { rule: 'impossible-date', stamp: '20250230_120000' },
  'same-stamp': { rule: 'same-stamp', other: 'b.sql' },
  'missing-rollback': { rule: 'missing-rollback', expected: 'rollbacks/a_rollback.sql' },
  'missing-migration': { rule: 'missing-migration' },
  'other-name': { rule: 'other-name', expected: 'b.sql' },
  'not-utf8': { rule: 'not-utf8' },
  'nul-character': { rule: 'nul-character' },
  empty: { rule: 'empty' },
  'bad-seeder-name': { rule: 'bad-seeder-name' },
  'same-seeder': { rule: 'same-seeder', seeder: '01_users' },
  'no-seeders': { rule: 'no-seeders' },
  'not-a-seeder': { rule: 'not-a-seeder' },
  'unloadable-seeder': { rule: 'unloadable-seeder', reason: 'no module', isTypeScript: true },
  'changed-seeders': { rule: 'changed-seeders' },
  'syntax-error': { rule: 'syntax-error', reason: 'syntax error at or near "FRM"' },
  'other-tool': {
    rule: 'other-tool',
    tool: 'dbmate',
    mark: '-- migrate:down',
    direction: 'up',
  },
  'too-large': { rule: 'too-large', bytes: 24_000_000 },
  'backslash-quote': { rule: 'backslash-quote' },
  'psql-command': { rule: 'psql-command', command: '\\i' },
  'copy-from-stdin': { rule: 'copy-from-stdin' },
  'copy-to-stdout': { rule: 'copy-to-stdout' },
  'unknown-directive': { rule: 'unknown-directive', directive: '-- Transaction: off' },
  'missing-reason': { rule: 'missing-reason' },
  'no-statement': { rule: 'no-statement', direction: 'down' },
  'unfinished-transaction': { rule: 'unfinished-transaction' },
  'chained-commit': { rule: 'chained-commit' },
  'late-set-transaction': { rule: 'late-set-transaction' },
  'late-update': { rule: 'late-update' },
  'own-session': { rule: 'own-session' },
  'not-in-script': { rule: 'not-in-script' },
  'transaction-control': { rule: 'transaction-control', command: 'COMMIT', transaction: 'own' },
  'needs-no-transaction': { rule: 'needs-no-transaction', statement: 'VACUUM' },
  'discard-all': { rule: 'discard-all' },
  'unlock-all': { rule: 'unlock-all' },
  'deallocate-all': { rule: 'deallocate-all' },
  'unnamed-index': { rule: 'unnamed-index' },
  'not-resumable': { rule: 'not-resumable', object: 'temporary' },
  irreversible: { rule: 'irreversible', reason: 'the rows are gone' },
  'own-transaction': { rule: 'own-transaction', begin: undefined },
  'left-transaction': { rule: 'left-transaction', transaction: 'own' },
};

const located = { file: 'a.sql', line: 3, column: 10, lineText: 'SELECT 1 FRM t;' };

describe('the text of a finding', () => {
  it.each(Object.values(faults))('begins with the place for the rule $rule', (fault) => {
    const { message, hint } = describeFinding({ folder: 'migrations', file: 'a.sql', ...fault });
    expect(message).toMatch(/^migrations\/a\.sql \S/);
    expect(`${message} ${hint}`).not.toMatch(/!|failed to|please|\.$/i);
  });

  it.each<[Finding, string, string | undefined]>([
    [
      { folder: 'migrations', file: 'a.sql', ...faults['missing-rollback'] },
      'migrations/a.sql has no rollback',
      'write rollbacks/a_rollback.sql; if the migration cannot be undone, the file says "-- Irreversible: <why>"',
    ],
    [
      { folder: '.', file: 'migrations', ...faults['unreadable-folder'] },
      'migrations cannot be read',
      'create the folder, or name others with --migrations and --rollbacks',
    ],
    [
      { ...located, ...faults['needs-no-transaction'] },
      'a.sql:3:10 VACUUM cannot run inside a transaction',
      'write "-- Transaction: none" at the top of the file, and remove BEGIN and COMMIT',
    ],
    [
      { file: 'a.sql', rule: 'own-transaction', begin: 'BEGIN ISOLATION LEVEL SERIALIZABLE' },
      'a.sql begins its transaction with options of its own: BEGIN ISOLATION LEVEL SERIALIZABLE',
      'run without --single-transaction',
    ],
    [
      { file: 'a.sql', rule: 'no-statement', direction: 'up' },
      'a.sql contains no statement',
      undefined,
    ],
  ])('has the message and the hint of the rule: %j', (finding, message, hint) => {
    expect(describeFinding(finding)).toMatchObject({ message, ...(hint && { hint }) });
  });

  it('includes the line and a caret below the column', () => {
    expect(describeFinding({ ...located, ...faults['syntax-error'] })).toEqual({
      message: 'a.sql:3:10 syntax error at or near "FRM"',
      evidence: ['3 | SELECT 1 FRM t;', '             ^'],
    });
  });

  it('includes a long line only around the column', () => {
    const lineText = `SELECT '${'x'.repeat(5_000_000)}' 1;`;
    const column = lineText.length - 1;
    const place = { file: 'a.sql', line: 1, column, lineText };
    const { evidence = [] } = describeFinding({ ...place, ...faults['syntax-error'] });
    expect(evidence[0]).toMatch(/^1 \| … x+' 1;$/);
    expect(evidence[1]?.indexOf('^')).toBe(evidence[0]?.indexOf('1;'));
    expect(width(evidence[0] ?? '')).toBeLessThanOrEqual(80);
  });
});

describe('an error with findings', () => {
  const finding: Finding = { ...located, ...faults['syntax-error'] };
  const error = faultyFiles('faulty-statements', [finding]).with({
    message: 'rolled back, and not applied again: 20250101_120000',
  });

  it('has a message that includes the findings', () => {
    expect(error.message).toBe(
      [
        'a.sql:3:10 syntax-error (reason: syntax error at or near "FRM")',
        '3 | SELECT 1 FRM t;',
        '             ^',
        'rolled back, and not applied again: 20250101_120000',
      ].join('\n'),
    );
  });

  it('is rendered as the findings and then the problems', () => {
    const look = { chalk: new Chalk({ level: 0 }), columns: undefined };
    expect(renderProblems(problemsOf(error), look)).toBe(
      [
        'a.sql:3:10 syntax error at or near "FRM"',
        '  3 | SELECT 1 FRM t;',
        '               ^',
        'rolled back, and not applied again: 20250101_120000',
        '',
      ].join('\n'),
    );
  });

  it('is a JSON document with the data and the text', () => {
    expect(JSON.parse(JSON.stringify(errorDocument(error)))).toEqual({
      error: {
        code: 'faulty-statements',
        message: error.message,
        problems: problemsOf(error),
        details: { findings: [finding] },
      },
    });
  });
});
