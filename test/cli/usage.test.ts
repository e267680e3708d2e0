import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Argument, choicesOf } from '../../src/commands/command.ts';
import { flagsOf } from '../../src/commands/flags.ts';
import type { ErrorCode } from '../../src/runtime/errors.ts';
import { callCli, runCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { commands, groups, helpOf } from '../support/help.ts';

describe('--help', () => {
  it.each(commands)(
    'shows every flag and example of $path in at most 80 columns',
    ({ path, command }) => {
      const help = helpOf(path);
      expect(help).toContain(`Usage: cryptosense-db ${path.join(' ')}`);
      for (const { usage } of Object.values(flagsOf(command)))
        expect(help).toContain(`  ${usage} `);
      for (const [line] of command.examples) expect(help).toContain(`  ${line}`);
      for (const line of help.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    },
  );

  it.each(groups)('lists the commands of the group $path', ({ path, group }) => {
    for (const { name } of group.commands) {
      expect(helpOf(path)).toMatch(new RegExp(`^ {2}${name} `, 'm'));
    }
  });

  it('prints the help on stdout and exits with 0', async () => {
    expect(await runCli(['migrate', 'up', '--help'])).toEqual({
      code: 0,
      stdout: helpOf(['migrate', 'up']),
      stderr: '',
    });
  });

  it.each([[[]], ...groups.map(({ path }) => [path])])(
    'the help is printed on stderr with exit code 2 when no command is named: %j',
    async (args) => {
      const { code, stdout, stderr } = await callCli(args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('Usage: cryptosense-db');
    },
  );

  it.each([
    [['help', 'migrate', 'up']],
    [['migrate', 'help', 'up']],
    [['help', 'migrate', 'up', 'x']],
  ])('prints the same help as %j', async (args) => {
    expect(await callCli(args)).toEqual({
      code: 0,
      stdout: helpOf(['migrate', 'up']),
      stderr: '',
    });
  });

  it.each([
    [['help', 'foo'], "unknown command 'foo'", ''],
    [['foo', '--help'], "unknown command 'foo'", ''],
    [['help', 'migrate', 'upp'], "unknown command 'upp'\n  (Did you mean up?)", ' migrate'],
    [['migrate', 'upp', '--help'], "unknown command 'upp'\n  (Did you mean up?)", ' migrate'],
  ])('reports an unknown command: %j', async (args, message, of) => {
    expect(await callCli(args)).toEqual({
      code: 2,
      stdout: '',
      stderr: `${message}\nhint: see: cryptosense-db${of} --help\n`,
    });
  });
});

it('every example names its own command, and flags that the command has', () => {
  for (const { path, command } of commands) {
    for (const [line] of command.examples) {
      expect(line).toContain(`cryptosense-db ${path.join(' ')}`);
      const known = Object.values(flagsOf(command)).map(({ usage }) => usage.split(' ')[0]);
      for (const flag of line.match(/--[a-z-]+/g) ?? []) expect(known).toContain(flag);
    }
  }
});

describe('--version', () => {
  it('prints the version in package.json', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(await runCli(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

async function expectDocument(
  args: readonly string[],
  expected: ErrorCode = 'bad-configuration',
): Promise<void> {
  const { code, stdout, stderr } = await callCli(args, { cwd: temporaryFolder() });
  expect({ args, code, stderr }).toEqual({ args, code: 2, stderr: '' });
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: expected } });
}

function isRead({ read, choices }: Pick<Argument<unknown>, 'read' | 'choices'>): boolean {
  return read !== undefined || choices !== undefined;
}

/** A word that the argument takes. */
function wordFor(argument: Argument<unknown>): string {
  if (argument.usage === '<n>') return '1';
  return choicesOf(argument)?.[0] ?? '20260101_000000';
}

describe('wrong arguments', () => {
  const target = ['--url', 'postgresql://nobody@127.0.0.1:1/nowhere'];
  const faults: readonly (readonly [args: readonly string[], message: string, of: string])[] = [
    [['migrate', 'up', '--nope'], "unknown option '--nope'", ' migrate up'],
    [['migrate', 'upp'], "unknown command 'upp'\n  (Did you mean up?)", ' migrate'],
    [['nope'], "unknown command 'nope'", ''],
    [['migrate', 'up', 'x'], "too many arguments for 'up'", ' migrate up'],
    [['migrate', 'new'], "missing required argument 'description'", ' migrate new'],
    [['migrate', 'baseline'], "missing required argument 'version'", ' migrate baseline'],
    [['migrate', 'baseline', 'latest'], 'Use a version such as', ' migrate baseline'],
    [['migrate', 'up', '--to', 'latest'], 'Use a version such as', ' migrate up'],
    [['migrate', 'up', '--to'], 'argument missing', ' migrate up'],
    [['migrate', 'up', '--steps', '0'], 'Use a whole number from 1', ' migrate up'],
    [['migrate', 'up', '--steps', '-1'], 'Use a whole number', ' migrate up'],
    [['migrate', 'redo', '--steps', '1.5'], 'Use a whole number', ' migrate redo'],
    [['migrate', 'up', '--env', 'live'], 'Allowed choices are dev, test, stag', ' migrate up'],
    [['migrate', 'up', '--lock-timeout', 'soon'], 'Use a time such as', ' migrate up'],
    [['migrate', 'up', '--lock-timeout', '-5s'], 'Use a time such as', ' migrate up'],
    [['migrate', 'up', '--table-lock-timeout', '5 s'], 'Use a time such as', ' migrate up'],
    [['db', 'wait', '--timeout', '1y'], 'Use a time such as', ' db wait'],
    [['db', 'wait', '--timeout', '99999999h'], 'Use a time such as', ' db wait'],
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

  it.each(faults)(
    'give exit code 2, the reason and the command that shows the help: %j',
    async (args, message, of) => {
      const { code, stdout, stderr } = await callCli([
        ...args.slice(0, 2),
        ...(of.includes('new') ? [] : target),
        ...args.slice(2),
      ]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain(message);
      expect(stderr).toMatch(new RegExp(`^hint: see: cryptosense-db${of} --help$`, 'm'));
      expect(stderr).not.toMatch(/^error:|at .*\.js/m);
    },
  );

  it.each<{ args: readonly string[] }>([
    { args: ['migrate', 'upp', '--json'] },
    { args: ['migrate', 'up', '--to', '20260101_000000', '--steps', '1', '--json'] },
    { args: ['help', 'foo', '--json'] },
    { args: ['seed', '--json'] },
    { args: ['seed', '--env', 'dev', '--top', '5', '--json'] },
    { args: ['test-db', 'drop', '--json'] },
    { args: ['test-db', 'drop', 'x', '--all', '--json'] },
    { args: ['--json', 'migrate', 'up'] },
    { args: ['migrate', '--json', 'up'] },
    { args: ['migrate', 'up', '--json=1'] },
    { args: ['migrate', 'up', '--types', '--json'] },
    { args: ['seed', '--env', 'dev', '--only', '--json'] },
  ])('$args: one document on stdout, nothing on stderr', async ({ args }) => {
    await expectDocument(args);
  });

  it.each(commands)(
    '$path --json prints one document for every wrong flag, word and value',
    async ({ path, command }) => {
      const words = Object.values(command.arguments ?? {});
      const needed = words.filter(({ usage }) => usage.startsWith('<'));
      const given = needed.map(wordFor);
      await expectDocument([...path, ...given, '--nope', '--json']);
      const takesMany = words.some(({ usage }) => usage.includes('...'));
      if (!takesMany) await expectDocument([...path, ...given, 'x', '--json']);
      if (needed.length > 0) await expectDocument([...path, '--json']);
      if (needed.some(isRead)) await expectDocument([...path, '!', '--json']);
      for (const flag of Object.values(flagsOf(command))) {
        const [name = '', value] = flag.usage.split(' ');
        if (!value?.startsWith('<')) continue;
        await expectDocument([...path, ...given, '--json', name]);
        await expectDocument([...path, ...given, name, '--json']);
        if (isRead(flag)) await expectDocument([...path, ...given, name, '!', '--json']);
      }
    },
  );

  const needsDatabase = commands.filter(
    // lint reads files, and asks a database only where a flag names one.
    ({ command: { name, flags } }) => 'embedded' in flags && name !== 'lint',
  );
  it.each(needsDatabase)(
    '$path --json prints one document where no database is named',
    async ({ path, command }) => {
      const words = Object.values(command.arguments ?? {}).map(wordFor);
      const store = 'store' in command.flags ? ['--store', 'backups'] : [];
      const others = path.includes('seed') ? ['--env', 'dev'] : store;
      const args = [...path, ...words, ...others];
      await expectDocument([...args, '--json'], 'no-target');
    },
  );

  it.each([
    [['migrate', 'up', '--help', '--json'], { help: helpOf(['migrate', 'up']).trimEnd() }],
    [['--version', '--json'], { version: expect.stringMatching(/^\d+\.\d+\.\d+/) }],
  ])('what %j asks for is a document too', async (args, document) => {
    const { code, stdout, stderr } = await callCli(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual(document);
  });

  it('the last value of a repeated flag is used', async () => {
    const { stderr } = await callCli(['migrate', 'up', '--to', '20260101_000000', '--to', 'x']);
    expect(stderr).toContain("argument 'x' is invalid");
  });

  it('--json without a command prints one document', async () => {
    for (const args of [['--json'], ['migrate', '--json'], ['db', '--json']]) {
      const { code, stdout, stderr } = await callCli(args);
      expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
      expect(JSON.parse(stdout)).toHaveProperty('error.code', 'bad-configuration');
    }
  });
});

describe('a run whose process ends before the run has an outcome', () => {
  const runStranded = async (...flags: readonly string[]) => {
    const preload = join(temporaryFolder(), 'strand.cjs');
    // Sockets that never connect, and timers that keep no process alive.
    writeFileSync(
      preload,
      `require('node:net').Socket.prototype.connect = function () { return this; };
       const { setTimeout: start } = globalThis;
       globalThis.setTimeout = (...parameters) => start(...parameters).unref();`,
    );
    return runCli(['migrate', 'up', '--url', 'postgresql://u@127.0.0.1:1/d', ...flags], {
      env: { NODE_OPTIONS: `--require ${preload}` },
    });
  };
  const message = 'the run ended without an outcome';
  const hint = 'see what is done: cryptosense-db migrate status';

  it('ends with exit code 2 and an error that has no stack', async () => {
    const stderr = `${message}\nhint: ${hint}\n`;
    expect(await runStranded()).toEqual({ code: 2, stdout: '', stderr });
  });

  it('prints one document and nothing else with --json', async () => {
    const { code, stdout, stderr } = await runStranded('--json');
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
    const problems = [{ message, hint }];
    expect(JSON.parse(stdout)).toEqual({ error: { code: 'unexpected', message, problems } });
  });

  it('shows its stack with --json and --verbose', async () => {
    const { stdout, stderr } = await runStranded('--json', '--verbose');
    expect(JSON.parse(stdout)).toMatchObject({ error: { message } });
    expect(stderr).toMatch(new RegExp(`${message}\n +at `));
  });
});
