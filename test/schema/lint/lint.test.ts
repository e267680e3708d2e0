import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { create, templateNames, up } from '../../../src/migrations/migrate.ts';
import { ownRules, squawkRules, squawkRulesOff } from '../../../src/schema/lint/rules.ts';
import { lint } from '../../../src/schema/schema.ts';
import { callCli } from '../../support/cli.ts';
import { errorOf } from '../../support/errors.ts';
import { folderFlags, temporaryFolder, writePairs } from '../../support/fixtures.ts';
import { scratchDatabase } from '../../support/recovery.ts';
import { alone, caseVersion, lintPair } from './lint-case.ts';

const index = 'create index idx_users_rank on users (rank);';

describe('the files of this package', () => {
  it('migrations and rollbacks break no rule without an allowance', async () => {
    expect(await lint({})).toMatchObject({ findings: [], notRun: [], target: null, unseen: [] });
  });

  it('what migrate new writes breaks no rule, from each template', async () => {
    const folders = writePairs({});
    for (const template of templateNames()) {
      const description = `add price ${template}`;
      await create({ ...folders, template, description, author: 'somebody' });
    }
    const { findings, files } = await lint(folders);
    expect(files).toBe(2 * templateNames().length);
    // The last word of the description is that of the template, and the table has its name.
    expect(findings.filter(({ rule }) => rule !== 'plural-table-name')).toEqual([]);
    expect(findings.map(({ lineText }) => lineText)).toEqual([
      'CREATE TABLE price (',
      'CREATE TABLE price (',
    ]);
  });
});

it('docs/lint.md has each rule, and each rule of squawk that is off', () => {
  const page = readFileSync('docs/lint.md', 'utf8');
  const anchors = Object.keys(ownRules).filter((name) => !page.includes(`<a id="${name}"></a>`));
  const names = [...Object.keys(squawkRules), ...squawkRulesOff];
  expect([...anchors, ...names.filter((name) => !page.includes(`\`${name}\``))]).toEqual([]);
});

describe('-- lint: allow', () => {
  it('takes the findings of a rule out of the file, and counts them', async () => {
    expect(
      await lintPair(`-- lint: allow require-concurrent-index-creation small table\n${index}`),
    ).toMatchObject({ findings: [], allowed: 1 });
  });

  it.each([
    ['no reason', 'allow ban-drop-table', 'no reason says why ban-drop-table may be broken'],
    ['an unknown rule', 'allow ban-drop-tables why not', 'there is no rule "ban-drop-tables"'],
    ['no rule', 'allow', 'no rule is named'],
    ['another word', 'ignore ban-drop-table why not', '"-- lint: ignore" is not a known directive'],
  ])('is a finding itself with %s', async (_, directive, message) => {
    const { findings } = await lintPair(`-- About\n-- lint: ${directive}\nselect 1`);
    expect(findings).toMatchObject([
      { rule: 'lint-directive', severity: 'error', line: 2, message },
    ]);
  });

  it('is a finding where it allows nothing', async () => {
    const { findings } = await lintPair(
      '-- lint: allow ban-drop-table the rows are copied\nselect 1',
    );
    expect(findings).toMatchObject([{ rule: 'unused-allow', severity: 'warning', line: 1 }]);
  });

  it('without a reason allows nothing', async () => {
    const { findings } = await lintPair('-- lint: allow ban-drop-table\ndrop table orders');
    expect(findings.map(({ rule }) => rule)).toEqual(['lint-directive', 'ban-drop-table']);
  });
});

describe('lint-allow.txt', () => {
  const folders = (lines: string) => {
    const written = writePairs({
      '20260101_000000_add_coins': ['create table coins (id uuid);', 'drop table coins;'],
    });
    writeFileSync(join(written.migrations, 'lint-allow.txt'), lines);
    return written;
  };

  it('allows what a released file cannot say itself', async () => {
    const lines = '# Why\n\n20260101_000000_add_coins.sql table-comment released without one\n';
    expect(await lint(folders(lines))).toMatchObject({ findings: [], allowed: 1 });
  });

  it('has findings of its own, by its lines', async () => {
    const lines = [
      '20260101_000000_add_coins.sql table-comment',
      '20260101_000000_add_coins_rollback.sql ban-drop-table why not',
      '20260102_000000_gone.sql table-comment it was there once',
      'whatever',
    ].join('\n');
    const { findings } = await lint(folders(lines));
    const own = findings.filter(({ file }) => file.endsWith('lint-allow.txt'));
    expect(own.map(({ line, rule }) => [line, rule])).toEqual([
      [1, 'lint-directive'],
      [2, 'unused-allow'],
      [3, 'lint-directive'],
      [4, 'lint-directive'],
    ]);
  });
});

it('since leaves the files before it out, and refuses a version that is not there', async () => {
  const folders = writePairs({
    '20260101_000000_start': ['create table users (id uuid)', 'drop table users'],
    [`${caseVersion}_case`]: ['select 1', 'select 1'],
  });
  expect(await lint({ ...folders, since: caseVersion })).toMatchObject({ findings: [], files: 2 });
  await errorOf('unknown-version', () => lint({ ...folders, since: '20260103_000000' }));
});

it('files that could not run are refused with the faults that a run would have', async () => {
  const folders = writePairs({ '20260101_000000_faulty': ['create tabel users', 'select 1'] });
  expect(await errorOf('faulty-statements', () => lint(folders))).toMatchObject({
    details: { findings: [{ rule: 'syntax-error', line: 1 }] },
  });
});

it('a configuration of squawk in the surroundings, and names with spaces, change nothing', async () => {
  const root = join(temporaryFolder(), 'a folder');
  mkdirSync(root);
  writeFileSync(join(root, '.squawk.toml'), 'excluded_rules = ["ban-drop-table"]');
  const folders = writePairs({ '20260101_000000_drop it': ['drop table users', 'select 1'] }, root);
  const { stdout } = await callCli(['migrate', 'lint', '--json', ...folderFlags(folders)], {
    cwd: root,
  });
  expect(JSON.parse(stdout).findings).toMatchObject([
    { rule: 'ban-drop-table', file: 'migrations/20260101_000000_drop it.sql' },
  ]);
});

it('the size of a table in a live database decides between an error and a warning', async () => {
  const folders = writePairs({
    '20260101_000000_start': [
      `create table users (id uuid, rank int); create table orders (id bigint, note text);
      insert into users select null, n from generate_series(1, 12) n;
      insert into orders select n, repeat(md5(n::text), 5) from generate_series(1, 60000) n;
      analyze users; analyze orders`,
      'drop table users, orders',
    ],
    '20260102_000000_index': [
      `${index} create index idx_orders_id on orders (id); create index idx_coins_id on coins (id);`,
      '-- Irreversible: a case of a test',
    ],
  });
  const { url } = await scratchDatabase(inject('postgresUrl'));
  await up({ target: url, ...folders, to: '20260101_000000' });
  const since = '20260102_000000';
  const { findings, target, unseen } = await lint({ ...folders, since, target: url });
  expect(unseen).toEqual([]);
  expect(target).not.toBeNull();
  expect(findings).toMatchObject([
    { severity: 'warning', message: expect.stringMatching(/\(users: 12 rows, 8\.2 kB\)$/) },
    { severity: 'error', message: expect.stringMatching(/\(orders: 60,000 rows, \d+\.\d MB\)$/) },
    { severity: 'warning', message: expect.stringMatching(/\(coins: not in the database\)$/) },
  ]);
  const without = await lint({ ...folders, since });
  expect(without.findings.map(({ severity }) => severity)).toEqual(['error', 'error', 'error']);
});

describe('the command', () => {
  const pair = (sql: string) => writePairs({ '20260101_000000_case': [sql, '-- Irreversible: x'] });
  const run = (sql: string, ...flags: readonly string[]) =>
    callCli(['migrate', 'lint', ...folderFlags(pair(sql)), ...flags]);

  it('ends with 1 for an error, and for a warning with --fail-on warning', async () => {
    const warned = 'drop table users';
    expect((await run('select 1')).code).toBe(0);
    expect((await run(warned)).code).toBe(0);
    expect((await run(warned, '--fail-on', 'warning')).code).toBe(1);
    expect((await run(index)).code).toBe(1);
  });

  it('prints the findings as one JSON document with --json', async () => {
    const { stdout } = await run(index, '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      files: 2,
      findings: [
        {
          rule: 'require-concurrent-index-creation',
          severity: 'error',
          file: expect.stringMatching(/20260101_000000_case\.sql$/),
          line: 1,
          column: 1,
          message: expect.any(String),
          hint: expect.stringContaining('https://squawkhq.com/docs/'),
        },
      ],
    });
  });

  it('prints annotations on stdout with --format github', async () => {
    const { stdout, code } = await run(alone(`\n${index}`), '--format', 'github');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^::error file=\S+20260101_000000_case\.sql,line=3,col=1,title=require-concurrent-index-creation::/,
    );
  });

  it('annotates a file that is refused too, and ends with 2', async () => {
    const files = pair('select 1;\nvacuum users;');
    const flags = ['--format', 'github', ...folderFlags(files)];
    const { stdout, stderr, code } = await callCli(['migrate', 'lint', ...flags]);
    expect(code).toBe(2);
    expect(stdout).toMatch(
      /^::error file=\S+migrations\/20260101_000000_case\.sql,line=2,col=1,title=needs-no-transaction::/,
    );
    expect(stderr).toContain('cannot run inside a transaction');
    const json = await callCli(['migrate', 'lint', '--json', ...flags]);
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'faulty-statements' } });
  });

  it('asks no database that only the environment names', async () => {
    const env = { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/nowhere' };
    const { code, stdout } = await callCli(['migrate', 'lint', ...folderFlags(pair('select 1'))], {
      env,
    });
    expect([code, stdout]).toEqual([0, '2 files: 0 errors, 0 warnings\n']);
  });
});
