import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import * as library from '../src/index.ts';
import { cleanEnvironment } from './support/cli.ts';
import { createScratchDatabase, type ScratchDatabase } from './support/databases.ts';
import { codeOf, errorOf } from './support/errors.ts';
import { fixture, temporaryFolder, writePairs } from './support/fixtures.ts';
import { commands } from './support/help.ts';

const { migrate, database: lifecycle, isError } = library;
const basic = fixture('cli-basic');
const slow = { '20260101_000000_sleep': ['SELECT pg_sleep(600);', 'SELECT 1;'] } as const;

let database: ScratchDatabase;
beforeEach(async () => {
  database = await createScratchDatabase(inject('postgresUrl'));
});
afterEach(() => database?.drop());

describe('the exports of the library', () => {
  it('are these names and no others', () => {
    expect(Object.keys(library).sort()).toEqual([
      'CryptosenseDbError',
      'backup',
      'benchmark',
      'createDatabase',
      'database',
      'describeFinding',
      'describeTarget',
      'doctor',
      'inspect',
      'isError',
      'migrate',
      'parseTarget',
      'prices',
      'schema',
      'seed',
      'types',
    ]);
    expect(Object.keys(migrate).sort()).toEqual([
      'baseline',
      'create',
      'down',
      'plan',
      'redo',
      'repair',
      'status',
      'templateNames',
      'up',
    ]);
    expect(Object.keys(library.seed).sort()).toEqual(['dev', 'list', 'production', 'saveMarket']);
    expect(Object.keys(library.types).sort()).toEqual(['check', 'generate']);
    expect(Object.keys(lifecycle).sort()).toEqual(['create', 'drop', 'mark', 'reset', 'wait']);
    expect(Object.keys(library.backup).sort()).toEqual([
      'activate',
      'check',
      'create',
      'drill',
      'list',
      'prune',
      'restore',
      'schedule',
      'show',
      'verify',
      'wal',
    ]);
    expect(Object.keys(library.backup.wal).sort()).toEqual([
      'config',
      'list',
      'restore',
      'run',
      'walState',
    ]);
  });

  it('include no function without a command', () => {
    const paths = commands.map(({ path }) => path.join(' '));
    const namesOf = (group: string, functions: object) =>
      Object.keys(functions)
        .filter((name) => !['templateNames', 'wal', 'walState'].includes(name))
        .map((name) => `${group} ${group === 'migrate' && name === 'create' ? 'new' : name}`);
    const expected = [
      ...namesOf('migrate', migrate),
      ...namesOf('db', lifecycle),
      ...namesOf('types', library.types),
      ...namesOf('backup', library.backup),
      ...namesOf('backup wal', library.backup.wal),
    ];
    expect(expected.filter((name) => !paths.includes(name))).toEqual([]);
  });

  it('include no function without a line in docs/library.md', () => {
    const page = readFileSync('docs/library.md', 'utf8');
    const { backup, seed, types } = library;
    const namespaces = {
      migrate,
      database: lifecycle,
      types,
      seed,
      backup,
      'backup.wal': backup.wal,
    };
    for (const [name, functions] of Object.entries(namespaces)) {
      const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\` |`)) ?? '';
      expect(Object.keys(functions).filter((each) => !row.includes(`\`${each}\``))).toEqual([]);
    }
  });

  it('load neither the grammar nor the embedded engine nor the type generator', () => {
    const isSeen = new Set<string>();
    const packages = new Set<string>();
    const follow = (name: string) => {
      if (isSeen.has(name)) return;
      isSeen.add(name);
      const text = readFileSync(join('dist', name), 'utf8');
      for (const [, from = ''] of text.matchAll(
        /^(?:import (?:.* from )?|\} from )"([^"]+)";$/gm,
      )) {
        if (from.startsWith('./')) follow(from);
        else packages.add(from);
      }
    };
    follow('index.js');
    const own = [...packages].filter((name) => !isBuiltin(name));
    expect(own.sort()).toEqual(['kysely', 'kysely-postgres-js', 'postgres']);
  });

  it('accepts a URL or a parsed target', async () => {
    const target = library.parseTarget(database.url, { user: 'nobody' });
    expect(await migrate.up({ target, ...basic })).toMatchObject({ applied: 3 });
    expect(await migrate.status({ target: database.url, ...basic })).toMatchObject({
      isCurrent: true,
    });
  });

  it('refuses a target without a user when the process has no user name, as in a container', () => {
    expect(() => library.parseTarget('postgresql://host/db', { user: '' })).toThrow(
      expect.toSatisfy((error: unknown) => isError(error, 'bad-configuration')),
    );
  });

  it('returns plain data', async () => {
    const options = { target: database.url, ...basic };
    const results = [
      await migrate.up(options),
      await migrate.status(options),
      await migrate.redo(options),
      await migrate.repair(options),
      await migrate.down(options),
      await lifecycle.create(options),
      await lifecycle.wait(options),
    ];
    for (const result of results) expect(structuredClone(result)).toStrictEqual(result);
  });

  it('reports progress through the callback', async () => {
    const kinds: string[] = [];
    await migrate.up({
      target: database.url,
      ...basic,
      onProgress: (event) => kinds.push(event.kind),
    });
    expect(kinds.filter((kind) => kind !== 'notice')).toEqual([
      'connected',
      'unmarked',
      ...Array.from({ length: 3 }, () => ['step-started', 'step-finished']).flat(),
    ]);
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses %d steps', async (steps) => {
    const options = { target: database.url, ...basic, steps };
    for (const operation of [migrate.up, migrate.down, migrate.redo]) {
      expect(await codeOf(operation(options))).toBe('bad-configuration');
    }
  });
});

describe('a signal', () => {
  it('ends a call before it changes anything when it fired before the call', async () => {
    const options = { target: database.url, ...basic, signal: AbortSignal.abort() };
    for (const operation of [migrate.up, migrate.down, migrate.status, lifecycle.drop]) {
      expect(await codeOf(operation(options))).toBe('interrupted');
    }
    expect(await database.sql`select from pg_tables where schemaname = 'public'`).toHaveLength(0);
  });

  it('ends a run between two steps, and the error names the committed step', async () => {
    const stop = new AbortController();
    const error = await errorOf('interrupted', () =>
      migrate.up({
        target: database.url,
        ...basic,
        signal: stop.signal,
        onProgress: ({ kind }) => kind === 'step-finished' && stop.abort(),
      }),
    );
    expect(error.details).toEqual({
      completed: ['20260101_000000'],
      pending: ['20260102_000000', '20260103_000000'],
    });
    expect(await database.sql`select version from cryptosense_db.migrations`).toEqual([
      { version: '20260101_000000' },
    ]);
  });
});

/** Starts a program that uses the built library. Returns its output and the results that it records. */
async function runProgram(body: string, options: Readonly<Record<string, unknown>>) {
  const folder = temporaryFolder();
  const output = join(folder, 'output.json');
  const file = join(folder, 'program.mjs');
  const entry = pathToFileURL('dist/index.js').href;
  writeFileSync(
    file,
    `import { writeFileSync } from 'node:fs';
import { migrate, database, isError } from ${JSON.stringify(entry)};
const options = ${JSON.stringify(options)};
const codeOf = (work) => work.then(() => 'success', (error) => (isError(error) ? error.code : String(error)));
const results = [];
${body}
writeFileSync(${JSON.stringify(output)}, JSON.stringify(results));
`,
  );
  const child = spawn(process.execPath, [file], { cwd: folder, env: cleanEnvironment() });
  const printed: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => printed.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => printed.push(chunk));
  const finished = once(child, 'close').then(([code]) => ({
    code,
    printed: Buffer.concat(printed).toString(),
    results: () => JSON.parse(readFileSync(output, 'utf8')),
  }));
  return { stdin: child.stdin, finished };
}

describe('a program that uses the library', () => {
  it('ends by itself, and the library prints nothing', async () => {
    const program = await runProgram(
      `
      results.push((await migrate.up(options)).applied);
      results.push((await migrate.status(options)).isCurrent);
      results.push((await migrate.redo(options)).applied);
      results.push(await codeOf(migrate.up({ ...options, to: '20300101_000000' })));
      results.push(await codeOf(migrate.baseline({ ...options, version: '20260101_000000' })));
      results.push((await migrate.down({ ...options, all: true })).applied);
      results.push(await codeOf(migrate.up({ ...options, ...options.failing })));
      results.push(await codeOf(migrate.status({ ...options, target: options.dead })));
      results.push(await codeOf(migrate.status({ ...options, target: 'nonsense' })));
      results.push((await database.wait(options)).isReady);
      results.push((await database.wait({ target: options.dead, timeoutMs: 1 })).isReady);
      results.push((await database.create(options)).isCreated);
      `,
      {
        target: database.url,
        ...basic,
        failing: fixture('cli-failing'),
        dead: 'postgresql://u@127.0.0.1:1/x',
      },
    );
    const { code, printed, results } = await program.finished;
    expect({ code, printed }).toEqual({ code: 0, printed: '' });
    expect(results()).toEqual([
      3,
      true,
      3,
      'unknown-version',
      'history-mismatch',
      0,
      'migration-failed',
      'server-unreachable',
      'bad-configuration',
      true,
      false,
      false,
    ]);
  });

  it('can catch the error of a lost connection, and its next call succeeds', async () => {
    const program = await runProgram(
      `
      results.push(await codeOf(migrate.up({ ...options, ...options.slow })));
      results.push((await migrate.up(options)).applied);
      `,
      { target: database.url, ...basic, slow: writePairs(slow) },
    );
    await expect.poll(terminateSleepers, { timeout: 20_000 }).toBe(1);
    const { code, printed, results } = await program.finished;
    expect({ code, printed }).toEqual({ code: 0, printed: '' });
    expect(results()).toEqual(['connection-lost', 3]);
  });

  it('can cancel a running statement, and its next call succeeds', async () => {
    const program = await runProgram(
      `
      const stop = new AbortController();
      process.stdin.once('data', () => {
        process.stdin.destroy();
        stop.abort();
      });
      const { signal } = stop;
      results.push(await codeOf(migrate.up({ ...options, ...options.slow, signal })));
      results.push((await migrate.up(options)).applied);
      `,
      { target: database.url, ...basic, slow: writePairs(slow) },
    );
    await expect.poll(findSleepers, { timeout: 20_000 }).toHaveLength(1);
    program.stdin.write('abort\n');
    const { code, printed, results } = await program.finished;
    expect({ code, printed }).toEqual({ code: 0, printed: '' });
    expect(results()).toEqual(['interrupted', 3]);
    expect(await findSleepers()).toEqual([]);
  });
});

/** The backends of this test's database that run pg_sleep. */
async function findSleepers(): Promise<readonly { readonly pid: number }[]> {
  return database.sql<{ pid: number }[]>`
    select pid from pg_stat_activity
    where datname = current_database() and wait_event = 'PgSleep'`;
}

/** Ends the backends that run pg_sleep; returns how many there were. */
async function terminateSleepers(): Promise<number> {
  const sleepers = await findSleepers();
  for (const { pid } of sleepers) await database.sql`select pg_terminate_backend(${pid})`;
  return sleepers.length;
}
