import { readdirSync } from 'node:fs';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { callCli, runCli, startCli } from '../support/cli.ts';
import { connect, createScratchRole, databaseUrl } from '../support/databases.ts';
import { fixture, folderFlags, writePairs } from '../support/fixtures.ts';
import { until } from '../support/recovery.ts';
import { ownTestServer } from '../support/test-databases.ts';

const chain = fixture('recovery-chain');
const folders = folderFlags(chain);
const chainFiles = readdirSync(chain.migrations).sort();

/** The command line, with TEST_DATABASE_URL naming the test's own role. */
async function ownCommandLine() {
  const own = await ownTestServer();
  const env = { TEST_DATABASE_URL: own.url };
  const testDb = (...args: readonly string[]) => callCli(['test-db', ...args], { env });
  return { ...own, env, testDb };
}

describe('test-db create', () => {
  it('prints one URL a line and nothing else on stdout', async () => {
    const { url, env } = await ownCommandLine();
    const { code, stdout, stderr } = await runCli(
      ['test-db', 'create', '--count', '2', ...folders],
      { env },
    );
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      expect(line.startsWith(url.replace(/postgres$/, 'cryptosense_test_'))).toBe(true);
      const sql = connect(line, 1);
      expect(await sql`select count(*)::int as n from cryptosense_db.migrations`).toEqual([
        { n: 4 },
      ]);
      await sql.end();
    }
    expect(stderr).toMatch(/^server: \S+ \(TEST_DATABASE_URL\)\n/);
    expect(stderr).toMatch(
      /\nmade the template [0-9a-f]{8} of the test databases in [\d.]+ m?s\n$/,
    );
    expect(stderr).not.toContain(new URL(url).password);
  });

  it('stops after the migration that --to names', async () => {
    const { testDb } = await ownCommandLine();
    const [version = ''] = /^\d+_\d+/.exec(chainFiles[1] ?? '') ?? [];
    const { stdout } = await testDb('create', '--to', version, ...folders);
    const sql = connect(stdout.trim(), 1);
    onTestFinished(() => sql.end());
    expect(
      await sql`select max(version) as newest, count(*)::int as n from cryptosense_db.migrations`,
    ).toEqual([{ newest: version, n: 2 }]);
  });

  it('prints variables for a pipeline', async () => {
    const { testDb } = await ownCommandLine();
    const one = await testDb('create', '--variable', ...folders);
    expect(one.stdout).toMatch(/^DATABASE_URL=postgresql:\S+\n$/);
    const two = await testDb('create', '--variable', 'TEST_DB', '--count', '2', ...folders);
    expect(two.stdout).toMatch(/^TEST_DB_1=postgresql:\S+\nTEST_DB_2=postgresql:\S+\n$/);
    const bad = await testDb('create', '--variable', 'A B', ...folders);
    expect(bad).toMatchObject({ code: 2, stdout: '' });
    expect(bad.stderr).toContain('Use the name of a variable');
  });

  it('prints one JSON document, with the name beside the URL', async () => {
    const { url, testDb } = await ownCommandLine();
    const { stdout, stderr } = await testDb('create', '--json', ...folders);
    const document = JSON.parse(stdout);
    expect(document).toEqual({
      origin: 'TEST_DATABASE_URL',
      server: new URL(url).host,
      databases: [{ name: expect.any(String), url: expect.any(String) }],
    });
    expect(document.databases[0].url).toBe(databaseUrl(url, document.databases[0].name));
    expect(stderr).toBe('');
  });

  it('uses the server of --url instead of the server of TEST_DATABASE_URL', async () => {
    const { url } = await ownTestServer();
    const { code, stderr } = await callCli(['test-db', 'create', '--url', url, ...folders], {
      env: { TEST_DATABASE_URL: 'postgresql://nobody@127.0.0.1:9/none' },
    });
    expect({ code, server: stderr.split('\n')[0] }).toEqual({
      code: 0,
      server: `server: ${new URL(url).host}`,
    });
  });

  it('makes ready clones in the background and ends before they are made', async () => {
    const { kinds, env, testDb } = await ownCommandLine();
    const slow = folderFlags(
      writePairs({ '20260101_000000_one': ['create table one ();', 'drop table one;'] }),
    );
    // Only a process shows that it ends while clones are still made.
    const { code, stdout } = await runCli(['test-db', 'create', '--ahead', '3', ...slow], { env });
    expect({ code, lines: stdout.match(/\n/g)?.length }).toEqual({ code: 0, lines: 1 });
    const readyOf = async () => (await kinds()).filter((kind) => kind === 'ready').length;
    await until('three are ready', async () => (await readyOf()) === 3);
    await testDb('create', ...slow);
    expect(await readyOf()).toBe(2);
    expect((await testDb('fill', '3', ...slow)).stdout).toMatch(/^1 test database made ahead on /);
    expect((await testDb('fill', '3', ...slow)).stdout).toMatch(/^nothing to do/);
  });

  it('ends on SIGINT during the making of a template, and leaves nothing behind', async () => {
    const { env, kinds } = await ownCommandLine();
    const waiting = folderFlags(
      writePairs({ '20260101_000000_wait': ['select pg_sleep(30);', 'select 1;'] }),
    );
    const { process: child, finished } = startCli(['test-db', 'create', ...waiting], { env });
    await until('it is being made', async () => (await kinds()).includes('building'));
    child.kill('SIGINT');
    expect(await finished).toMatchObject({ code: 130, stdout: '' });
    expect(await kinds()).toEqual([]);
  });

  it.each([
    [['create', '--count', '0'], 'Use a whole number from 1.'],
    [['create', '--seed', 'production'], 'Allowed choices are dev.'],
    [['create', '--now', '2026-01-01'], 'a moment is given'],
    [['create', '--url', 'embedded:x'], 'the embedded engine has one database'],
    [['create', '--url', 'mysql://x'], 'the database URL cannot be read'],
    [['create', '--migrations', '/nowhere'], 'no folder of rollbacks'],
    [['fill'], "missing required argument 'n'"],
    [['fill', 'many'], 'Use a whole number from 1.'],
    [['drop'], 'no database is named'],
    [['drop', ''], 'no database is named'],
    [['drop', 'x', '--all'], '--all and databases are given'],
    [['prune', '--older-than', 'yesterday'], 'Use a time such as'],
    [['list', 'x'], 'too many arguments'],
  ])('refuses %j', async (args, words) => {
    const nobody = { TEST_DATABASE_URL: 'postgresql://nobody@127.0.0.1:9/none' };
    const { code, stdout, stderr } = await callCli(['test-db', ...args], { env: nobody });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(words);
  });

  it('names the grant that a role lacks', async () => {
    const role = await createScratchRole(inject('postgresUrl'));
    onTestFinished(role.drop);
    const env = { TEST_DATABASE_URL: role.urlOf(inject('postgresUrl')) };
    const { code, stderr } = await callCli(['test-db', 'create', ...folders], { env });
    expect(code).toBe(2);
    expect(stderr).toContain(`hint: let a superuser run: alter role "${role.name}" createdb`);
    expect(stderr).not.toContain('warning');
  });

  it('says how to get a server when there is no server and no Docker', async () => {
    const { code, stderr } = await callCli(['test-db', 'create'], {
      env: { DOCKER_HOST: 'tcp://127.0.0.1:9' },
    });
    expect(code).toBe(2);
    expect(stderr).toContain('there is no server to make test databases on');
    expect(stderr).toContain('hint: name a server with TimescaleDB in TEST_DATABASE_URL');
  });
});

describe('test-db drop', () => {
  it('accepts names, and URLs that name their server', async () => {
    const { testDb, kinds, list } = await ownCommandLine();
    const { stdout: url } = await testDb('create', ...folders);
    await testDb('create', ...folders);
    const byUrl = await callCli(['test-db', 'drop', url.trim()]);
    expect(byUrl).toMatchObject({ code: 0 });
    expect(byUrl.stdout).toMatch(/^dropped cryptosense_test_clone_\w+\n1 database dropped on /);
    const name = (await list()).find(({ kind }) => kind === 'clone')?.name ?? '';
    const byName = await testDb('drop', name, 'nobody');
    expect(byName.stdout).toMatch(new RegExp(`^dropped ${name}\nthere is no nobody\n1 database`));
    expect(await kinds()).toEqual(['template']);
    expect((await testDb('drop', '--all')).stdout).toMatch(/^dropped cryptosense_test_template_/);
    expect(await kinds()).toEqual([]);
  });

  it('takes the password that a URL lacks from TEST_DATABASE_URL when both name the same server', async () => {
    const { testDb, kinds } = await ownCommandLine();
    const { stdout } = await testDb('create', '--quiet', ...folders);
    const url = new URL(stdout.trim());
    url.password = '';
    expect(await testDb('drop', url.href)).toMatchObject({ code: 0 });
    expect(await kinds()).toEqual(['template']);
  });

  it('refuses URLs of two servers', async () => {
    const { url, testDb } = await ownCommandLine();
    const { code, stderr } = await testDb('drop', url, 'postgresql://u@127.0.0.1:9/x');
    expect(code).toBe(2);
    expect(stderr).toContain('the URLs name databases on different servers');
  });

  it('leaves other databases alone', async () => {
    const { testDb } = await ownCommandLine();
    const { code, stderr } = await testDb('drop', 'postgres');
    expect(code).toBe(2);
    expect(stderr).toContain('"postgres" is not a test database of this tool; it was left alone');
  });
});

describe('test-db list and prune', () => {
  it('show the existing and the dropped test databases', async () => {
    const { testDb, role } = await ownCommandLine();
    await testDb('create', ...folders);
    const { stdout } = await testDb('list');
    const [head = ''] = stdout.split('\n');
    expect(head.trim().split(/\s{2,}/)).toEqual(['age', 'by', 'in use', 'name']);
    expect(stdout).toMatch(
      new RegExp(`\\d+ s  ${role.slice(0, 7)}\\S* +cryptosense_test_clone_\\w+\n`),
    );
    const { databases } = JSON.parse((await testDb('list', '--json')).stdout);
    const own = databases.filter(({ owner }: { owner: string }) => owner === role);
    expect(own.map(({ kind }: { kind: string }) => kind)).toEqual(['template', 'clone']);
    expect((await testDb('prune')).stdout).toMatch(/^0 databases dropped on /);
    expect((await testDb('prune', '--older-than', '0s')).stdout).toMatch(
      /^dropped cryptosense_test_clone_\w+\n1 database dropped on /,
    );
    expect(
      JSON.parse((await testDb('prune', '--json', '--templates', '--older-than', '0s')).stdout),
    ).toMatchObject({
      dropped: [expect.stringMatching(/^cryptosense_test_template_/)],
      inUse: [],
    });
  });
});
