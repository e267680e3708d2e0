import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { cleanEnvironment, nodeFlags } from '../support/cli.ts';
import { connect } from '../support/databases.ts';
import { fixture, temporaryFolder } from '../support/fixtures.ts';
import { type OwnTestServer, ownTestServer } from '../support/test-databases.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const options = JSON.stringify(fixture('recovery-chain'));

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numTotalTests: number;
  readonly success: boolean;
  readonly text: string;
}

/** Runs the tests of a project that has this package and Vitest installed. */
async function runTests(
  files: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string>>,
): Promise<Report> {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules', 'cryptosense-db'), 'dir');
  for (const name of ['vitest', 'kysely']) {
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name), 'dir');
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const program = join(root, 'node_modules/vitest/vitest.mjs');
  const workerFlags = nodeFlags.map((flag) => `--execArgv=${flag}`);
  const flags = ['run', '--root', folder, '--reporter=json', ...workerFlags];
  const child = spawn(process.execPath, [...nodeFlags, program, ...flags], {
    cwd: folder,
    env: { ...cleanEnvironment(), VITEST: '', ...env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  await once(child, 'close');
  const document = /^\{"numTotalTestSuites.*$/m.exec(stdout)?.[0];
  if (document === undefined) throw new Error(`no report:\n${stdout}\n${stderr}`);
  return { ...JSON.parse(document), text: stderr };
}

const config = `
  import { defineConfig } from 'vitest/config';
  export default defineConfig({ test: { globalSetup: 'setup.mjs', include: ['*.test.mjs'] } });
`;
const setup = `
  import { globalSetup } from 'cryptosense-db/testing';
  export const setup = globalSetup(${options});
`;
const withFixtures = (per: 'test' | 'file') => `
  import { expect, test as base } from 'vitest';
  import { sql } from 'kysely';
  import { databaseFixtures } from 'cryptosense-db/testing';
  const test = base.extend(databaseFixtures({ ...${options}, per: '${per}' }));
  const fill = async ({ db }) => {
    await sql\`create table mine (id int)\`.execute(db);
  };
`;

describe('databaseFixtures', () => {
  /** Exactly one database is kept: the one of the failed test. */
  async function expectKept(report: Report, own: OwnTestServer): Promise<void> {
    expect(await own.kinds()).toEqual(['clone', 'template']);
    const kept = (await own.list()).find(({ kind }) => kind === 'clone')?.name;
    const { host, username, password } = new URL(own.url);
    expect(report.text).toContain(
      `"is not" failed; the database is kept: postgresql://${username}@${host}/${kept}\n`,
    );
    expect(report.text).not.toContain(password);
    const sql = connect(own.url.replace(/postgres$/, `${kept}`), 1);
    expect(await sql`select * from mine`).toEqual([]);
    await sql.end();
  }

  it('give each test a database, and drop it unless the test failed', async () => {
    const own = await ownTestServer();
    const report = await runTests(
      {
        'vitest.config.mjs': config,
        'setup.mjs': setup,
        'one.test.mjs': `${withFixtures('test')}
          test('a', async ({ database }) => { await fill(database); });
          test('b', async ({ database }) => { await fill(database); });
          test('c', () => {});
          test.fails('d', async ({ database }) => { await fill(database); expect(1).toBe(2); });
          let tries = 0;
          test('f', { retry: 2 }, async ({ database }) => {
            await fill(database);
            tries += 1;
            expect(tries).toBe(2);
          });
        `,
        'two.test.mjs': `${withFixtures('test')}
          test('e', async ({ database }) => { await fill(database); });
          test('is not', async ({ database }) => { await fill(database); expect(1).toBe(2); });
        `,
      },
      { TEST_DATABASE_URL: own.url },
    );
    expect(report).toMatchObject({ numPassedTests: 6, numFailedTests: 1 });
    expect(report.text).toContain(`test databases: `);
    await expectKept(report, own);
  });

  it('give each file a database, and drop it unless a test of the file failed', async () => {
    const own = await ownTestServer();
    const report = await runTests(
      {
        'one.test.mjs': `${withFixtures('file')}
          test('a', async ({ database }) => { await fill(database); });
          test('b', async ({ database }) => {
            expect((await sql\`select * from mine\`.execute(database.db)).rows).toEqual([]);
          });
        `,
        'two.test.mjs': `${withFixtures('file')}
          test('c', async ({ database }) => {});
          test('is not', async ({ database }) => { await fill(database); expect(1).toBe(2); });
        `,
      },
      { TEST_DATABASE_URL: own.url },
    );
    expect(report).toMatchObject({ numPassedTests: 3, numFailedTests: 1 });
    await expectKept(report, own);
  });
});

describe('globalSetup', () => {
  it('fails the run without a server, and the error says how to get one', async () => {
    const report = await runTests(
      {
        'vitest.config.mjs': config,
        'setup.mjs': setup,
        'one.test.mjs': `${withFixtures('test')} test('a', async ({ database }) => {});`,
      },
      { DOCKER_HOST: 'tcp://127.0.0.1:9', TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE: '/nowhere' },
    );
    expect(report).toMatchObject({ numTotalTests: 0, success: false });
    expect(report.text).toContain('there is no server to make test databases on');
  });

  it('makes the image of the embedded engine for the tests', {
    timeout: 120_000,
  }, async () => {
    const embedded = `{
      ...${options},
      engine: 'embedded',
      onProgress: ({ kind }) => { if (kind === 'template-finished') process.stderr.write('made\\n'); },
    }`;
    const report = await runTests(
      {
        'vitest.config.mjs': config,
        'setup.mjs': `
          import { globalSetup } from 'cryptosense-db/testing';
          export const setup = globalSetup(${embedded});
        `,
        'one.test.mjs': `
          import { expect, test as base } from 'vitest';
          import { databaseFixtures } from 'cryptosense-db/testing';
          const test = base.extend(databaseFixtures(${embedded}));
          test('a', { timeout: 60_000 }, async ({ database: { db } }) => {
            expect(await db.selectFrom('first_a').selectAll().execute()).toEqual([]);
            await db.insertInto('first_a').values({ id: 1 }).execute();
          });
        `,
      },
      {},
    );
    expect(report).toMatchObject({ numPassedTests: 1, numFailedTests: 0 });
    expect(report.text.match(/^made$/gm)).toHaveLength(1);
    expect(report.text).toContain('test databases: the embedded engine\n');
  });
});
