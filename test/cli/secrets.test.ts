import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { type CliOptions, callCli, startCli } from '../support/cli.ts';
import {
  createScratchDatabase,
  createScratchRole,
  onServer,
  type ScratchDatabase,
  type ScratchRole,
} from '../support/databases.ts';
import { fixture, folderFlags, temporaryFolder, writePairs } from '../support/fixtures.ts';

/** Pieces of the password. No output may hold any of them, so a part of the password is found too. */
const pieces = ['xK9v', 'Q2mW', '7tRp', 'L8nB', '3jHz', 'D5qF'];
const password = 'xK9v#Q2mW/7tRp?L8nB%&3jHz=@ :\'"D5qF';

const server = inject('postgresUrl');
let database: ScratchDatabase;
let role: ScratchRole;
let url: string;

beforeAll(async () => {
  role = await createScratchRole(server, { password });
});

afterAll(() => role?.drop());

beforeEach(async () => {
  database = await createScratchDatabase(server);
  await onServer(server, (admin) =>
    admin.unsafe(`alter database ${database.name} owner to ${role.name}`),
  );
  url = role.urlOf(database.url);
});

afterEach(() => database?.drop());

function expectNoSecret(text: string): void {
  for (const piece of pieces) expect(text).not.toContain(piece);
}

async function run(args: readonly string[], options?: CliOptions) {
  const result = await callCli(args, options);
  expectNoSecret(result.stdout + result.stderr);
  return result;
}

/** Every way to give a password: flags, environment variables and a .env file. Each takes a URL. */
const ways: readonly (readonly [
  name: string,
  give: (url: string) => { readonly flags?: readonly string[] } & CliOptions,
])[] = [
  ['--url', (text) => ({ flags: ['--url', text] })],
  ['--url=', (text) => ({ flags: [`--url=${text}`] })],
  ['DATABASE_URL', (text) => ({ env: { DATABASE_URL: text } })],
  ['DATABASE_PASSWORD', (text) => ({ env: variables('DATABASE_', text) })],
  ['PGPASSWORD', (text) => ({ env: variables('PG', text) })],
  ['.env', (text) => ({ cwd: folderWithEnv(`DATABASE_URL='${text.replaceAll("'", '%27')}'\n`) })],
  [
    'a parameter of the URL',
    (text) => {
      const { host, pathname } = new URL(text);
      const encoded = encodeURIComponent(password);
      return {
        flags: ['--url', `postgresql://${role.name}@${host}${pathname}?password=${encoded}`],
      };
    },
  ],
];

function variables(prefix: 'DATABASE_' | 'PG', text: string): Record<string, string> {
  const { hostname, port, pathname } = new URL(text);
  return {
    [`${prefix}HOST`]: hostname,
    [`${prefix}PORT`]: port,
    [prefix === 'PG' ? 'PGDATABASE' : 'DATABASE_NAME']: pathname.slice(1),
    [`${prefix}USER`]: role.name,
    [`${prefix}PASSWORD`]: password,
  };
}

function folderWithEnv(text: string): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, '.env'), text);
  return folder;
}

describe.each(ways)('a password given by %s', (_, give) => {
  it.each(['--verbose', '--json'])(
    'does not appear in the output of any command with %s',
    async (flag) => {
      const basic = folderFlags(fixture('cli-basic'));
      const failing = folderFlags(fixture('cli-failing'));
      const elsewhere = (change: (url: URL) => void) => {
        const changed = new URL(url);
        changed.protocol = 'postgresql:';
        change(changed);
        return changed.href.replaceAll("'", '%27');
      };
      const runs: readonly (readonly [code: number, args: readonly string[], at?: string])[] = [
        [0, ['migrate', 'up', ...basic]],
        [0, ['migrate', 'status', ...basic]],
        [2, ['migrate', 'up', ...failing]],
        [2, ['migrate', 'up', '--to', '20300101_000000', ...basic]],
        [0, ['migrate', 'down', '--all', ...basic]],
        [0, ['db', 'create']],
        [0, ['db', 'wait']],
        [2, ['db', 'reset', ...basic]],
        [
          2,
          ['migrate', 'status'],
          elsewhere((at) => {
            at.pathname = '/nowhere_to_be_found';
          }),
        ],
        [
          2,
          ['migrate', 'status'],
          elsewhere((at) => {
            at.hostname = '127.0.0.1';
            at.port = '1';
          }),
        ],
      ];
      for (const [code, args, at = url] of runs) {
        const { flags = [], ...options } = give(at);
        const result = await run([...args, ...flags, flag], options);
        expect(result.code, `${args.join(' ')}\n${result.stdout}${result.stderr}`).toBe(code);
      }
    },
  );
});

describe('a password in the wrong place', () => {
  const text = () => url;
  it.each<[string, () => readonly string[]]>([
    ['a bare URL', () => ['migrate', 'up', text()]],
    ['a URL as the command', () => [text()]],
    ['a URL as the command of a group', () => ['db', text()]],
    ['a misspelt flag', () => ['migrate', 'up', `--ulr=${text()}`]],
    ['a flag of another tool', () => ['migrate', 'up', `--password=${password}`]],
    ['a time', () => ['migrate', 'up', '--lock-timeout', text()]],
    ['a time after =', () => ['migrate', 'up', `--lock-timeout=${text()}`]],
    ['a version', () => ['migrate', 'baseline', text()]],
    ['an environment', () => ['migrate', 'up', '--env', text()]],
    ['the embedded folder', () => ['migrate', 'up', '--embedded', text()]],
    ['a template', () => ['migrate', 'new', 'x', '--template', text()]],
    [
      'a folder',
      () => ['migrate', 'status', '--migrations', text(), '--rollbacks', text(), '--embedded'],
    ],
    [
      'a URL that is not encoded',
      () => ['migrate', 'up', '--url', text().replace(encodeURIComponent(password), password)],
    ],
    [
      'a URL of another kind',
      () => ['migrate', 'up', '--url', text().replace('postgresql:', 'mysql:')],
    ],
    [
      'a URL without a host',
      () => ['migrate', 'up', '--url', `postgresql://u:${encodeURIComponent(password)}/db`],
    ],
    [
      'a parameter that is not encoded',
      () => ['migrate', 'up', '--url', `postgresql://h/db?password=${password}`],
    ],
    ['the words of libpq', () => ['migrate', 'up', '--url', `host=h password=${password}`]],
  ])('is refused as %s, and the error does not show it', async (_, args) => {
    for (const flags of [[], ['--json'], ['--verbose']]) {
      const result = await run([...args(), ...flags], { cwd: temporaryFolder() });
      expect(result.code).toBe(2);
    }
  });

  it('is refused as a URL after --force, and the error does not show it', async () => {
    const target = [...folderFlags(fixture('cli-basic')), '--url', url];
    await run(['migrate', 'up', '--env', 'production', ...target]);
    expect(await run(['migrate', 'down', '--force', url, ...target])).toMatchObject({ code: 2 });
  });
});

it('a running command shows no password in the process list, on the server or in the ledger', async () => {
  const folders = writePairs({
    '20260101_000000_wait': ['SELECT pg_advisory_xact_lock(4711);', 'SELECT 1;'],
  });
  const held = await database.sql.reserve();
  await held`select pg_advisory_lock(4711)`;
  const { process: child, finished } = startCli([
    'migrate',
    'up',
    ...folderFlags(folders),
    '--url',
    url,
    '--verbose',
  ]);
  await expect
    .poll(
      () =>
        held`select from pg_stat_activity where wait_event = 'advisory' and datname = current_database()`,
      { timeout: 20_000 },
    )
    .toHaveLength(1);

  const pid = String(child.pid);
  const { stdout: listed } = spawnSync('ps', ['-ww', '-o', 'args=', '-p', pid]);
  expect(listed.toString()).toContain('cryptosense-db');
  expectNoSecret(listed.toString());
  if (existsSync(`/proc/${pid}/cmdline`)) {
    expectNoSecret(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  }
  expectNoSecret(JSON.stringify(await held`select * from pg_stat_activity`));

  await held`select pg_advisory_unlock(4711)`;
  held.release();
  const { code, stdout, stderr } = await finished;
  expect(code).toBe(0);
  expectNoSecret(stdout + stderr);
  for (const table of ['migrations', 'migration_log', 'environment', 'ledger']) {
    expectNoSecret(
      JSON.stringify(await database.sql`select * from cryptosense_db.${database.sql(table)}`),
    );
  }
});

it.each<[string, (text: string) => string]>([
  ['a refused login', (text) => text.replace('D5qF', 'D5qFwrong')],
  ['a missing database', (text) => `${text}_absent`],
  ['an unreachable server', (text) => text.replace(/@[^/]*/, '@127.0.0.1:1')],
])(
  "the library's error about %s holds no password, nor does any of its causes",
  async (_, change) => {
    const error: unknown = await migrate.status({ target: change(url) }).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(Error);
    expectNoSecret(inspect(error, { depth: 20, showHidden: true }));
    expectNoSecret(JSON.stringify(error));
  },
);
