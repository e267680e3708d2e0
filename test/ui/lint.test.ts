import { Chalk } from 'chalk';
import { expect, it } from 'vitest';
import type { LintResult } from '../../src/schema/schema.ts';
import { renderAnnotations, renderFaultAnnotations, renderLint } from '../../src/ui/lint.ts';

const look = { chalk: new Chalk({ level: 0 }), columns: undefined };

const result: LintResult = {
  findings: [
    {
      rule: 'ban-drop-table',
      severity: 'warning',
      file: 'migrations/a,b:c.sql',
      line: 3,
      column: 2,
      lineText: ' DROP TABLE "50%";',
      message: 'drops 50% of it',
      hint: 'keep it',
    },
  ],
  files: 2,
  allowed: 1,
  notRun: [
    { rules: ['renaming-table'], files: [], reason: 'squawk-cli is not installed' },
    { rules: ['renaming-table'], files: ['migrations/d.sql'], reason: 'squawk cannot read it' },
  ],
  target: 'db.example/shop',
  unseen: ['What is in users: a session holds it exclusively.'],
};

it('a finding has its place, the line with a caret, and what to do', () => {
  expect(renderLint(result, look)).toBe(`migrations/a,b:c.sql:3:2 warning ban-drop-table
  drops 50% of it
  3 |  DROP TABLE "50%";
       ^
hint: keep it

not checked: renaming-table: squawk-cli is not installed
not checked: migrations/d.sql: squawk cannot read it
not checked: What is in users: a session holds it exclusively.
2 files: 0 errors, 1 warning, 1 allowed, sizes of db.example/shop
`);
});

it('an annotation has the escapes of a GitHub workflow', () => {
  expect(
    renderAnnotations(result, look),
  ).toBe(`::warning file=migrations/a%2Cb%3Ac.sql,line=3,col=2,title=ban-drop-table::drops 50%25 of it%0Ahint: keep it
::notice title=migrate lint::renaming-table: squawk-cli is not installed
::notice title=migrate lint::migrations/d.sql: squawk cannot read it
::notice title=migrate lint::What is in users: a session holds it exclusively.
2 files: 0 errors, 1 warning, 1 allowed, sizes of db.example/shop
`);
});

it('the fault of a refused file is an annotation, without a line where it has none', () => {
  expect(
    renderFaultAnnotations([
      { rule: 'empty', folder: 'migrations', file: 'a.sql' },
      { rule: 'bad-name', folder: 'migrations', file: 'b.sql', expected: 'STAMP_name.sql' },
      { rule: 'chained-commit', folder: 'rollbacks', file: 'c.sql', line: 4, column: 1 },
    ]),
  ).toBe(`::error file=migrations/a.sql,title=empty::migrations/a.sql is empty
::error file=migrations/b.sql,title=bad-name::migrations/b.sql is not named STAMP_name.sql
::error file=rollbacks/c.sql,line=4,col=1,title=chained-commit::rollbacks/c.sql:4:1 COMMIT AND CHAIN leaves a transaction open%0Ahint: end the file with COMMIT;
`);
});
