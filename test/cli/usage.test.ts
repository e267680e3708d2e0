import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const commands = [
  ['migrate', 'up'],
  ['migrate', 'down'],
  ['migrate', 'redo'],
  ['migrate', 'status'],
  ['migrate', 'new'],
  ['migrate', 'repair'],
  ['migrate', 'baseline'],
  ['db', 'create'],
  ['db', 'drop'],
  ['db', 'reset'],
  ['db', 'wait'],
  ['types', 'generate'],
  ['types', 'check'],
  ['test-db', 'create'],
  ['test-db', 'fill'],
  ['test-db', 'drop'],
  ['test-db', 'list'],
  ['test-db', 'prune'],
] as const;

describe('--help', () => {
  it.each<readonly string[]>([...commands, ['seed']])(
    'of %s %s shows examples and the flags of every command',
    async (...command) => {
      const { code, stdout, stderr } = await runCli([...command, '--help']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(`Usage: cryptosense-db ${command.join(' ')}`);
      expect(stdout).toMatch(/^Examples:\n {2}cryptosense-db /m);
      for (const flag of ['--json', '--quiet', '--verbose', '--no-color']) {
        expect(stdout).toContain(`  ${flag} `);
      }
    },
  );

  it('of every command names every command of its group', async () => {
    for (const group of ['migrate', 'db', 'types', 'test-db']) {
      const { code, stdout } = await runCli([group, '--help']);
      expect(code).toBe(0);
      for (const [, name] of commands.filter(([of]) => of === group)) {
        expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
      }
    }
  });

  it.each([[[]], [['migrate']], [['db']], [['test-db']]])(
    'stands on stderr, and nothing succeeds, for want of a command: %j',
    async (args) => {
      const { code, stdout, stderr } = await runCli(args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('Usage: cryptosense-db');
    },
  );
});

describe('--version', () => {
  it('is the one of package.json', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(await runCli(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('arguments that cannot be', () => {
  const target = ['--url', 'postgresql://nobody@127.0.0.1:1/nowhere'];
  const faults: readonly (readonly [args: readonly string[], message: string, of: string])[] = [
    [['migrate', 'up', '--nope'], "unknown option '--nope'", ' migrate up'],
    [['migrate', 'upp'], "unknown command 'upp'\n  (Did you mean up?)", ' migrate'],
    [['nope'], "unknown command 'nope'", ''],
    [['migrate', 'up', 'x'], "too many arguments for 'up'", ' migrate up'],
    [['migrate', 'new'], "missing required argument 'description'", ' migrate new'],
    [['migrate', 'baseline'], "missing required argument 'version'", ' migrate baseline'],
    [['migrate', 'baseline', 'latest'], 'It is a version such as', ' migrate baseline'],
    [['migrate', 'up', '--to', 'latest'], 'It is a version such as', ' migrate up'],
    [['migrate', 'up', '--to'], 'argument missing', ' migrate up'],
    [['migrate', 'up', '--steps', '0'], 'It is a whole number from 1', ' migrate up'],
    [['migrate', 'up', '--steps', '-1'], 'It is a whole number', ' migrate up'],
    [['migrate', 'redo', '--steps', '1.5'], 'It is a whole number', ' migrate redo'],
    [['migrate', 'up', '--env', 'staging'], 'Allowed choices are dev, test, prod', ' migrate up'],
    [['migrate', 'up', '--lock-timeout', 'soon'], 'It is a time such as', ' migrate up'],
    [['migrate', 'up', '--lock-timeout', '-5s'], 'It is a time such as', ' migrate up'],
    [['migrate', 'up', '--table-lock-timeout', '5 s'], 'It is a time such as', ' migrate up'],
    [['db', 'wait', '--timeout', '1y'], 'It is a time such as', ' db wait'],
    [['db', 'wait', '--timeout', '99999999h'], 'It is a time such as', ' db wait'],
    [['db', 'drop', '--force'], 'argument missing', ' db drop'],
    [
      ['migrate', 'up', '--to', '20260101_000000', '--steps', '1'],
      "'--to <version>' cannot be used with option '--steps <n>'",
      ' migrate up',
    ],
    [
      ['migrate', 'down', '--all', '--steps', '1'],
      "'--steps <n>' cannot be used with option '--all'",
      ' migrate down',
    ],
  ];

  it.each(faults)('%j: exit code 2, the fact and where to look', async (args, message, of) => {
    const { code, stdout, stderr } = await runCli([
      ...args.slice(0, 2),
      ...(of.includes('new') ? [] : target),
      ...args.slice(2),
    ]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).toMatch(new RegExp(`^hint: see: cryptosense-db${of} --help$`, 'm'));
    expect(stderr).not.toMatch(/^error:|at .*\.js/m);
  });

  it.each(faults)('%j with --json: one document on stdout, nothing on stderr', async (args) => {
    const { code, stdout, stderr } = await runCli([
      ...args.slice(0, 2),
      '--json',
      ...args.slice(2),
    ]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'bad-configuration' } });
  });

  it('--json without a command is told as a document too', async () => {
    for (const args of [['--json'], ['migrate', '--json'], ['db', '--json']]) {
      const { code, stdout, stderr } = await runCli(args);
      expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
      expect(JSON.parse(stdout)).toHaveProperty('error.code', 'bad-configuration');
    }
  });
});

it('a run that waits for nothing any more without having ended is no success', async () => {
  const preload = join(temporaryFolder(), 'strand.cjs');
  // Sockets that never connect, and timers that keep no process alive.
  writeFileSync(
    preload,
    `require('node:net').Socket.prototype.connect = function () { return this; };
     const { setTimeout: start } = globalThis;
     globalThis.setTimeout = (...parameters) => start(...parameters).unref();`,
  );
  const { code, stdout, stderr } = await runCli(
    ['migrate', 'up', '--url', 'postgresql://u@127.0.0.1:1/d'],
    { env: { NODE_OPTIONS: `--require ${preload}` } },
  );
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('the run ended without an outcome');
});
