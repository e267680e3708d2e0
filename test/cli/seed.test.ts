import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callCli, cleanEnvironment, runCli } from '../support/cli.ts';
import { coins, startCoinGecko } from '../support/coingecko.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';
import { migratedDatabase } from '../support/seeding.ts';
import { hasTerminal, runInTerminal } from '../support/terminal.ts';

const nowhere = ['--url', 'postgresql://nobody@127.0.0.1:1/nowhere'];
const now = '2026-11-22T10:00:00Z';

describe('seed --list', () => {
  it('lists each seeder on a line of at most 80 columns and needs no database', async () => {
    const { code, stdout, stderr } = await callCli(['seed', '--list']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^--env dev\n {2}01_users +three users/m);
    expect(stdout).toMatch(/^--env production\n {2}01_assets +the largest assets/m);
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it.skipIf(!hasTerminal)(
    'cuts no line on a terminal of 80 columns (skipped: no util-linux script)',
    async () => {
      const { screen } = await runInTerminal(['seed', '--list']);
      expect(screen).not.toContain('…');
    },
  );

  it('lists the chosen seeders as one JSON document with --env, --only and --json', async () => {
    const { stdout } = await callCli([
      'seed',
      '--list',
      '--env',
      'dev',
      '--only',
      'prices',
      '--json',
    ]);
    expect(JSON.parse(stdout)).toEqual([
      { environment: 'dev', name: '08_prices', description: expect.any(String) },
    ]);
  });
});

describe('seed with wrong arguments', () => {
  it.each<[readonly string[], string]>([
    [[], 'no environment is named: dev or production'],
    [['--env', 'staging'], 'Allowed choices are dev, production'],
    [['--env', 'dev', '--only', 'nope'], 'there is no seeder "nope"'],
    [['--env', 'dev', '--scale', '0'], 'Use a whole number from 1'],
    [['--env', 'dev', '--scale', '5000001'], 'scale is 5000001'],
    [['--env', 'dev', '--seed', 'x'], 'Use a whole number'],
    [['--env', 'dev', '--seed', '-1'], 'Use a whole number'],
    [['--env', 'dev', '--now', 'yesterday'], 'Use a moment such as'],
    [['--env', 'dev', '--now', '2026-02-31T00:00:00Z'], 'Use a moment such as'],
    [['--env', 'dev', '--now', '2026-01-01T00:00:00'], 'Use a moment such as'],
    [['--env', 'dev', '--top', '5', '--offline'], '--top, --offline cannot be used with --env dev'],
    [['--env', 'production', '--scale', '2'], '--scale cannot be used with --env production'],
    [['--list', '--scale', '2'], '--scale cannot be used with --list'],
    [['--env', 'production', '--from', 'a', '--save', 'b'], 'cannot be used with'],
    [['--env', 'production', '--from', 'a', '--offline'], 'cannot be used with'],
    [['--env', 'production', '--top', '1.5'], 'Use a whole number'],
    [['--env', 'production', '--base-url', 'mirror'], 'not an http:// or https:// URL'],
    [['--env', 'dev', '--seeds', '/nowhere'], '/nowhere/dev cannot be read'],
    [['--env', 'dev', 'extra'], "too many arguments for 'seed'"],
  ])('%j ends with exit code 2 and a message with the reason', async (args, fact) => {
    const { code, stdout, stderr } = await callCli(['seed', ...args, ...nowhere]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(fact);
    expect(stderr).not.toMatch(/^\s+at .*\.[cm]?js/m);
  });

  it('says how to name a database when none is named', async () => {
    const { code, stderr } = await callCli(['seed', '--env', 'dev'], { cwd: temporaryFolder() });
    expect(code).toBe(2);
    expect(stderr).toContain('no database is named');
  });

  it.each([
    [{ COINGECKO_PLAN: 'gold' }, 'COINGECKO_PLAN is "gold"; it can be demo, pro'],
    [{ COINGECKO_PLAN: 'pro' }, "CoinGecko's Pro plan needs its key"],
  ])('refuses the environment %j', async (env, fact) => {
    const { code, stderr } = await callCli(['seed', '--env', 'production', ...nowhere], { env });
    expect(code).toBe(2);
    expect(stderr).toContain(fact);
  });

  it('says that this Node does not run seeders in TypeScript', async (context) => {
    const { typescript } = process.features as unknown as Record<string, unknown>;
    if (typescript) context.skip('this Node runs TypeScript');
    const root = temporaryFolder();
    mkdirSync(join(root, 'dev'));
    writeFileSync(join(root, 'dev', '01_users.ts'), 'export const seeder = {};');
    const { code, stderr } = await runCli(['seed', '--env', 'dev', '--seeds', root, ...nowhere]);
    expect(code).toBe(2);
    expect(stderr).toContain('this Node does not run TypeScript');
  });
});

describe('seed --env dev', () => {
  let database: TimescaleDatabase;
  beforeAll(async () => {
    database = await createMigratedDatabase();
  });
  afterAll(() => database?.drop());

  const flags = () => ['seed', '--env', 'dev', '--url', database.url, '--now', now];
  const seed = (...args: readonly string[]) => callCli([...flags(), ...args]);

  it('shows a line for each seeder, then the rows, the candles and the next commands to try', async () => {
    const { code, stdout, stderr } = await runCli(flags());
    expect(code).toBe(0);
    expect(stderr).toMatch(/^seed 01_users +3 rows +[\d.]+ m?s$/m);
    expect(stderr).toMatch(/^seed 08_prices +4,632 rows +/m);
    expect(stderr.trim().split('\n')).toHaveLength(13);
    expect(stdout).toMatch(/^price_history +4,632$/m);
    expect(stdout).toMatch(/^BTC +open +high +low +close$/m);
    expect(stdout).toMatch(/^2026-11-21( +4[23],\d{3}\.\d{2}){4}$/m);
    expect(stdout).toMatch(/^2026-11-22( +4[23],\d{3}\.\d{2}){3} +43,000\.00$/m);
    expect(stdout).toMatch(/^note: log in as admin@, .*password cryptosense-dev$/m);
    expect(stdout).toMatch(/^5,806 rows by 13 seeders in .+, /m);
    expect(stdout).toContain('seed 1, scale 1, as of 2026-11-22 10:00:00 UTC');
    expect(stdout).toContain('next:\n  cryptosense-db seed --env dev --scale 10');
  });

  it('writes one JSON document and nothing else with --json', async () => {
    const { code, stdout, stderr } = await seed('--json', '--only', 'users', '--seed', '4');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      environment: 'dev',
      seed: 4,
      scale: 1,
      now: '2026-11-22T10:00:00.000Z',
      isDryRun: false,
      seeders: [{ name: '01_users', tables: [{ table: 'users', rows: 3 }] }],
      candles: [{ close: expect.any(String) }, { close: expect.stringMatching(/^43000/) }],
    });
  });

  it('writes nothing with --quiet', async () => {
    const { code, stdout, stderr } = await seed(
      '--quiet',
      '--only',
      'users',
      '--only',
      'risk_scores',
    );
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('says with --dry-run that the run changed nothing', async () => {
    const { code, stdout } = await seed('--dry-run', '--scale', '2');
    expect(code).toBe(0);
    expect(stdout).toMatch(/rolled back in .*; nothing was changed$/m);
    expect(stdout).not.toContain('next:');
    const [row] = await database.withSql((sql) => sql`select count(*)::int from users`);
    expect(row).toEqual({ count: 3 });
  });

  it('refuses a production database, with and without --json', async () => {
    const production = await migratedDatabase({ environment: 'production' });
    const args = ['seed', '--env', 'dev', '--url', production.url];
    const { code, stderr } = await callCli(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/is marked as production and refuses development data$/m);
    const { code: again, stdout } = await callCli([...args, '--json']);
    expect(again).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'environment-refused' } });
  });

  it.skipIf(!hasTerminal)(
    'draws a bar with rows, rows a second and the time left (skipped: no util-linux script)',
    async () => {
      const { code, screen } = await runInTerminal([
        'seed',
        '--env',
        'dev',
        '--url',
        database.url,
        '--now',
        now,
        '--scale',
        '40',
      ]);
      expect(code).toBe(0);
      expect(screen).toMatch(/━.* +\d+% {2}[\d,]+ rows {2}[\d,]+\/s {2}\d+:\d\d left/);
    },
  );
});

describe('seed --env production', () => {
  it('asks CoinGecko with the key from the environment, and prints the attribution', async () => {
    const database = await migratedDatabase();
    const server = await startCoinGecko(coins(100));
    const args = ['--url', database.url, '--base-url', server.baseUrl];
    const { code, stdout, stderr } = await callCli(['seed', '--env', 'production', ...args], {
      env: { COINGECKO_API_KEY: 'CG-very-secret', COINGECKO_PLAN: 'pro' },
    });
    expect(code).toBe(0);
    expect(server.asked[0]?.headers['x-cg-pro-api-key']).toBe('CG-very-secret');
    expect(stdout).toContain('note: 100 new, 0 updated');
    expect(stdout).toContain('100 assets from CoinGecko');
    expect(stdout).toContain('Data provided by CoinGecko');
    expect(stderr).toMatch(/^seed 01_assets +200 rows/m);
  });

  it('never shows the key that CoinGecko refuses', async () => {
    const database = await migratedDatabase();
    const faults = [{ status: 401, body: { status: { error_code: 10_002, error_message: 'no' } } }];
    for (const more of [[], ['--json'], ['--verbose']]) {
      const { baseUrl } = await startCoinGecko([], faults);
      const args = ['--url', database.url, '--base-url', baseUrl, ...more];
      const { code, stdout, stderr } = await callCli(['seed', '--env', 'production', ...args], {
        env: { COINGECKO_API_KEY: 'CG-very-secret' },
      });
      expect(code).toBe(2);
      expect(stdout + stderr).toContain('does not accept the key in COINGECKO_API_KEY');
      expect(stdout + stderr).not.toContain('CG-very-secret');
    }
  });

  it('reads the key from .env, and saves an answer without a database', async () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, '.env'), 'COINGECKO_API_KEY=CG-from-file\n');
    const server = await startCoinGecko(coins(2));
    const file = join(cwd, 'answer.json');
    const args = ['--top', '2', '--save', file, '--base-url', server.baseUrl];
    const { code, stdout } = await callCli(['seed', '--env', 'production', ...args], { cwd });
    expect(code).toBe(0);
    expect(server.asked[0]?.headers['x-cg-demo-api-key']).toBe('CG-from-file');
    expect(stdout).toContain(`2 assets saved to ${file}; no database is named, so none was seeded`);
  });

  it('says with --offline what the snapshot holds and how old it is', async () => {
    const database = await migratedDatabase();
    const args = ['seed', '--env', 'production', '--offline', '--url', database.url];
    const { code, stdout } = await runCli(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /100 assets from the snapshot of this package, of 2025-10-23 \(\d+ days old\): ids, symbols and names, no prices/,
    );
    const { stdout: document } = await callCli([...args, '--json']);
    expect(JSON.parse(document).market).toEqual({
      source: 'snapshot',
      takenAt: '2025-10-23T00:00:00.000Z',
      assets: 100,
    });
  });

  it('says that it waits for CoinGecko, and why it waits', async () => {
    const database = await migratedDatabase();
    const fault = { status: 429, headers: { 'retry-after': '0.1' }, body: {} };
    const { baseUrl } = await startCoinGecko(coins(100), [fault]);
    const args = ['seed', '--env', 'production', '--base-url', baseUrl, '--url', database.url];
    const { code, stderr } = await callCli(args);
    expect(code).toBe(0);
    expect(stderr).toContain("CoinGecko's rate limit is used up; asking again in 100 ms");
  });
});

it('the tests pass no COINGECKO_* variable of this process to the program', () => {
  expect(Object.keys(cleanEnvironment()).filter((name) => /COINGECKO/.test(name))).toEqual([]);
});
