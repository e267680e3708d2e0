import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type CliOptions, callCli, program, runCli, startCli } from '../support/cli.ts';
import {
  createScratchDatabase,
  createScratchRole,
  databaseUrl,
  type ScratchDatabase,
  type ScratchRole,
} from '../support/databases.ts';
import { freePort } from '../support/embedded-postgres.ts';
import { fixture, folderFlags, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { openPlainServer } from '../support/plain-server.ts';
import { openMutePort } from '../support/sockets.ts';

const server = inject('postgresUrl');
const basic = folderFlags(fixture('cli-basic'));
const dead = 'postgresql://user@127.0.0.1:1/db';
let database: ScratchDatabase;
let role: ScratchRole;

beforeAll(async () => {
  database = await createScratchDatabase(server);
  role = await createScratchRole(server);
});

afterAll(async () => {
  await database?.drop();
  await role?.drop();
});

/** Runs it twice, for the text and for the document, and hands back both. */
async function refuse(
  args: readonly string[],
  { run = callCli, ...options }: CliOptions & { readonly run?: typeof callCli } = {},
) {
  const text = await run(args, options);
  const json = await run([...args, '--json'], options);
  expect(text).toMatchObject({ code: 2, stdout: '' });
  expect(json).toMatchObject({ code: 2, stderr: '' });
  const { error } = JSON.parse(json.stdout);
  // A message starts with the subject and the fact. The hint is on a separate line.
  expect(text.stderr).not.toMatch(/!|failed to|please|^\s+at /im);
  for (const { message, hint } of error.problems) {
    expect(text.stderr).toContain(message.replace(/tried for .*/, 'tried for '));
    if (hint) expect(text.stderr).toContain(`hint: ${hint}\n`);
  }
  return { text: text.stderr, error };
}

async function expectUntouched(): Promise<void> {
  const schemas = await database.sql`
    select nspname from pg_namespace where nspname = 'cryptosense_db'`;
  const tables = await database.sql`select from pg_tables where schemaname = 'public'`;
  expect({ schemas: schemas.length, tables: tables.length }).toEqual({ schemas: 0, tables: 0 });
}

describe('a program with missing files', () => {
  function runCopy(cli: string | undefined) {
    const root = temporaryFolder();
    cpSync(dirname(program), join(root, 'bin'), { recursive: true });
    if (cli !== undefined) {
      mkdirSync(join(root, 'dist'));
      writeFileSync(join(root, 'dist/cli.cjs'), cli);
    }
    const args = [join(root, 'bin/cryptosense-db.js'), 'migrate', 'up'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return { code: status, stdout, stderr };
  }

  it('says how to build it when the build is missing', () => {
    const stderr = 'cryptosense-db is not built; run: npm run build\n';
    expect(runCopy(undefined)).toEqual({ code: 2, stdout: '', stderr });
  });

  it('names the missing package, not the build, when a package is missing', () => {
    const { stderr } = runCopy("require('no-such-package')");
    expect(stderr).toContain("Cannot find module 'no-such-package'");
    expect(stderr).not.toContain('not built');
  });
});

describe('a missing target', () => {
  it.each(['up', 'down', 'redo', 'status', 'repair'])(
    'makes migrate %s list the ways to name one',
    async (name) => {
      const cwd = temporaryFolder();
      const { text, error } = await refuse(['migrate', name], { cwd });
      expect(error.code).toBe('no-target');
      for (const way of ['--url', 'DATABASE_URL', 'DATABASE_HOST', 'PGHOST', '--embedded']) {
        expect(text).toContain(way);
      }
    },
  );

  it('is also reported when the variables are empty', async () => {
    const env = { DATABASE_URL: '', PGHOST: '' };
    const { error } = await refuse(['migrate', 'up'], { cwd: temporaryFolder(), env });
    expect(error.code).toBe('no-target');
  });
});

describe('a wrong target', () => {
  it.each([
    ['postgresql://user@host:port/db', 'a port in it is not a whole number from 1 to 65535'],
    ['postgresql://user@host:99999/db', 'a port in it is not a whole number from 1 to 65535'],
    ['postgresql://us%er@host/db', 'has a % that does not start an escape'],
    ['postgresql://user@host/db?ssl=on', 'the parameter "ssl" is one of JDBC'],
    ['postgresql://user@host/db?pgbouncer=true', 'the parameter "pgbouncer" is one of Prisma'],
    ['postgresql://user@host/db?unknown=1', 'it has the parameter "unknown"'],
    ['postgresql://user@host/db?channel_binding=require', 'this tool has no channel binding'],
    ['jdbc:postgresql://host/db', 'its scheme is one of JDBC'],
    ['"postgresql://user@host/db"', 'it has quotes around it'],
    ['postgresql://user@host/db?sslmode=on', 'sslmode is "on"; it can be disable'],
    ['postgresql://user@host/db?target_session_attrs=standby', 'connects to a primary only'],
    ['postgresql://user@h1,,h2/db', 'a host in it is empty'],
    ['mysql://user@host/db', 'its scheme is not postgresql://'],
    ['host=localhost dbname=x', "it is libpq's form of keywords and values"],
    ['', 'it is empty'],
  ])('is refused in --url: %s', async (url, fact) => {
    const { text, error } = await refuse(['migrate', 'up', '--url', url]);
    expect(error.code).toBe('bad-configuration');
    expect(text).toContain(fact);
  });

  it.each<[string, Record<string, string>, string]>([
    ['DATABASE_PORT', { DATABASE_HOST: 'h', DATABASE_PORT: 'x' }, 'DATABASE_PORT is "x"'],
    ['DATABASE_HOST alone', { DATABASE_HOST: 'h' }, 'DATABASE_NAME is not'],
    ['PGSSLMODE', { PGHOST: 'h', PGSSLMODE: 'yes' }, 'PGSSLMODE is "yes"; it can be disable'],
  ])('is refused in the environment: %s', async (_, env, fact) => {
    const { text, error } = await refuse(['migrate', 'up'], { env });
    expect(error.code).toBe('bad-configuration');
    expect(text).toContain(fact);
  });

  it('is reported with all wrong variables at once', async () => {
    const env = { DATABASE_HOST: 'h', DATABASE_PORT: '-1', PGSSLMODE: 'maybe', PGPORT: '0' };
    const { error } = await refuse(['migrate', 'up'], { env });
    expect(error.problems).toHaveLength(3);
  });

  it('--url together with --embedded is refused', async () => {
    const { error } = await refuse(['migrate', 'up', '--url', database.url, '--embedded']);
    expect(error.code).toBe('bad-configuration');
    await expectUntouched();
  });

  it('is reported when the tool cannot read .env', async () => {
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, '.env'));
    const { error } = await refuse(['migrate', 'up'], { cwd });
    expect(error).toMatchObject({ code: 'file-problem', details: { path: join(cwd, '.env') } });
  });

  it.each<[string, string]>([
    ['quotes and CRLF', 'DATABASE_URL="URL"\r\n'],
    ['export and a remark', 'export DATABASE_URL=URL # here\n'],
    ['a byte-order mark', '\uFEFFDATABASE_URL=URL\n'],
    ['single variables', 'DATABASE_HOST=127.0.0.1\nDATABASE_PORT=1\nDATABASE_NAME=db\n'],
  ])('the program reads a .env with %s, and environment variables override it', async (_, text) => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, '.env'), text.replace(/(?<=="?)URL/, dead));
    expect((await refuse(['migrate', 'status'], { cwd })).error.details.hosts).toEqual([
      '127.0.0.1:1',
    ]);
    const env = { DATABASE_URL: 'postgresql://user@127.0.0.1:2/db' };
    expect((await refuse(['migrate', 'status'], { cwd, env })).error.details.hosts).toEqual([
      '127.0.0.1:2',
    ]);
  });

  it('an embedded folder with other files is refused, and its files are unchanged', async () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, 'notes.txt'), 'mine');
    const { error } = await refuse(['migrate', 'up', '--embedded', cwd]);
    expect(error.code).toBe('embedded-broken');
  });
});

describe('a server that does not answer', () => {
  it('is reported with its host, its port and how long the run waited', async () => {
    const port = await freePort();
    const url = `postgresql://user@127.0.0.1:${port}/db`;
    const { text, error } = await refuse(['migrate', 'up', ...basic, '--url', url]);
    expect(error).toMatchObject({
      code: 'server-unreachable',
      details: { hosts: [`127.0.0.1:${port}`] },
    });
    expect(text).toMatch(/no server answered at 127\.0\.0\.1:\d+ \(tried for \d/);
    expect(text).toContain('cryptosense-db db wait');
  });

  it('ends the run after connect_timeout when it accepts the connection and sends nothing', async () => {
    const { port } = await openMutePort();
    const url = `postgresql://user@127.0.0.1:${port}/db?connect_timeout=1`;
    const { error } = await refuse(['migrate', 'status', '--url', url], { run: runCli });
    expect(error.code).toBe('server-unreachable');
    expect(error.details.waitedMs).toBeGreaterThanOrEqual(990);
  });

  it('ends the run at once on SIGINT', async () => {
    const { port, connected } = await openMutePort();
    const url = `postgresql://user@127.0.0.1:${port}/db?connect_timeout=600`;
    const { process: child, finished } = startCli(['migrate', 'up', '--url', url, '--json']);
    await connected;
    child.kill('SIGINT');
    const { code, stdout } = await finished;
    expect(code).toBe(130);
    expect(JSON.parse(stdout)).toHaveProperty('error.code', 'interrupted');
  });

  it('is reported when its name does not resolve', async () => {
    const url = 'postgresql://user@no-such-host.invalid/db?connect_timeout=5';
    const { error } = await refuse(['migrate', 'status', '--url', url]);
    expect(error).toMatchObject({
      code: 'server-unreachable',
      details: { hosts: ['no-such-host.invalid:5432'] },
    });
  });
});

describe('a login that is refused', () => {
  it('is reported with the user when the password is wrong', async () => {
    const url = role.urlOf(database.url).replace(role.password, 'wr0ng-pa55');
    const args = ['migrate', 'up', ...basic, '--url', url];
    const { text, error } = await refuse(args, { run: runCli });
    expect(error).toMatchObject({ code: 'login-refused', details: { user: role.name } });
    expect(text).not.toContain('wr0ng-pa55');
    await expectUntouched();
  });

  it('is reported with the user when the user does not exist', async () => {
    const url = role.urlOf(database.url).replace(role.name, 'nobody_of_that_name');
    const { error } = await refuse(['migrate', 'up', ...basic, '--url', url]);
    expect(error.code).toBe('login-refused');
  });
});

it('the run does not create a missing database, and its hint is db create', async () => {
  const name = `${database.name}_absent`;
  const args = [...basic, '--url', databaseUrl(server, name)];
  for (const command of [
    ['migrate', 'up'],
    ['migrate', 'status'],
    ['migrate', 'down'],
  ]) {
    const { text, error } = await refuse([...command, ...args]);
    expect(error).toMatchObject({ code: 'no-such-database', details: { database: name } });
    expect(text).toContain('hint: create it with: cryptosense-db db create');
  }
  expect(await database.sql`select from pg_database where datname = ${name}`).toHaveLength(0);
});

it('the run refuses a role that may not create a schema, before any change', async () => {
  const url = role.urlOf(database.url);
  const { text, error } = await refuse(['migrate', 'up', ...basic, '--url', url]);
  expect(error.code).toBe('not-permitted');
  expect(text).toContain(`grant create on database "${database.name}" to "${role.name}"`);
  await expectUntouched();
});

describe('a server without TimescaleDB', () => {
  let plain: Awaited<ReturnType<typeof openPlainServer>>;
  beforeAll(async () => {
    plain = await openPlainServer();
  });
  afterAll(() => plain?.stop());

  it.each(['up', 'up --single-transaction', 'up --dry-run', 'baseline 20251007_120000'])(
    'makes migrate %s refuse the packaged schema before any change',
    async (command) => {
      const scratch = await createScratchDatabase(plain.url);
      try {
        const args = ['migrate', ...command.split(' '), '--url', scratch.url];
        const { text, error } = await refuse(args);
        expect(error.code).toBe('server-unsuitable');
        expect(text).toContain('the server does not have TimescaleDB');
        expect(text).toMatch(/^hint: use a server with TimescaleDB/m);
        const schemas = await scratch.sql`
          select from pg_namespace where nspname = 'cryptosense_db'`;
        expect(schemas).toHaveLength(0);
      } finally {
        await scratch.drop();
      }
    },
  );
});

describe('wrong files and versions', () => {
  it.each(['up', 'down', 'redo', 'status', 'repair'])(
    'make migrate %s report every finding in the folders before it connects',
    async (command) => {
      const args = ['migrate', command, ...folderFlags(fixture('cli-faulty')), '--url', dead];
      const { error } = await refuse(args);
      expect(error.code).toBe('faulty-folder');
      expect(error.problems).toHaveLength(3);
      expect(error.details.findings).toMatchObject([
        { rule: 'unreadable-folder', file: 'rollbacks' },
        { rule: 'impossible-date', file: '20260231_000000_no_such_day.sql' },
        { rule: 'bad-name', file: 'second.sql' },
      ]);
    },
  );

  it.each(['--migrations', '--rollbacks'])(
    'are refused when %s is given without the other flag',
    async (flag) => {
      const { error } = await refuse(['migrate', 'up', flag, temporaryFolder(), '--url', dead]);
      expect(error.code).toBe('bad-configuration');
    },
  );

  it('are reported when the folders are missing', async () => {
    const folder = join(temporaryFolder(), 'absent');
    const folders = ['--migrations', folder, '--rollbacks', folder];
    const { error } = await refuse(['migrate', 'up', ...folders, '--url', dead]);
    expect(error.code).toBe('faulty-folder');
  });

  it.each([['up', '--to'], ['down', '--to'], ['baseline'], ['repair'], ['repair', '--forget']])(
    'make migrate %s %s report an unknown version',
    async (...command) => {
      const args = ['migrate', ...command, '20300101_000000', ...basic, '--url', database.url];
      const { error } = await refuse(args);
      expect(error).toMatchObject({
        code: 'unknown-version',
        details: { version: '20300101_000000' },
      });
      await expectUntouched();
    },
  );

  it('are reported when PostgreSQL does not know a statement', async () => {
    const folders = writePairs({ '20260101_000000_typo': ['CREATE TABEL x ();', 'SELECT 1;'] });
    const args = ['migrate', 'up', ...folderFlags(folders), '--url', database.url];
    const { text, error } = await refuse(args);
    expect(error.code).toBe('faulty-statements');
    expect(error.details.findings).toEqual([
      {
        file: '20260101_000000_typo.sql',
        line: 1,
        column: 8,
        lineText: 'CREATE TABEL x ();',
        rule: 'syntax-error',
        reason: 'syntax error at or near "TABEL"',
      },
    ]);
    expect(text).toContain('20260101_000000_typo.sql:1:8 syntax error at or near "TABEL"');
    expect(text).toContain('1 | CREATE TABEL x ();');
    await expectUntouched();
  });

  it('migrate new refuses an unknown template and lists the templates', async () => {
    const args = ['migrate', 'new', 'x', '--template', 'nope', ...basic];
    const { error } = await refuse(args);
    expect(error.code).toBe('bad-configuration');
    expect(error.problems[0].message).toMatch(/Allowed choices are .*migration/);
  });

  it('migrate new refuses to run without the folders that it writes to', async () => {
    const folders = ['--migrations', 'm', '--rollbacks', 'r'];
    const cwd = temporaryFolder();
    const { error } = await refuse(['migrate', 'new', 'add_coins', ...folders], { cwd });
    expect(error.code).toBe('faulty-folder');
  });
});
