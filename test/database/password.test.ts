import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readTarget } from '../../src/config.ts';
import { findPassword, passwordFor } from '../../src/database/password.ts';
import {
  type Login,
  type PasswordFunction,
  parseTarget,
  type ServerTarget,
} from '../../src/database/target.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const host = { host: 'h', port: 5432 };
const key = { ...host, database: 'd', user: 'u' };

function target(given: Partial<ServerTarget> = {}): ServerTarget {
  const read = parseTarget('postgresql://u@h/d', { user: 'u' });
  if (read.kind !== 'server') throw new Error('the URL names a server');
  return { ...read, ...given };
}

describe('a line of the password file', () => {
  it.each([
    ['h:5432:d:u:p', 'p'],
    ['*:*:*:*:p', 'p'],
    ['# h:5432:d:u:q\nh:5432:d:u:p', 'p'],
    ['h:5432:d:u:first\nh:5432:d:u:second', 'first'],
    ['other:5432:d:u:q\nh:5432:d:u:p', 'p'],
    ['h:5432:d:u:p\r\n', 'p'],
    ['h:5432:d:u:a\\:b\\\\c', 'a:b\\c'],
    ['h:5432:d:u:a b ', 'a b '],
    ['h:5432:d:u:', ''],
    ['h:5432:d:u', undefined],
    ['h:5433:d:u:p', undefined],
    ['h:5432:e:u:p', undefined],
    ['h:5432:d:v:p', undefined],
    ['', undefined],
  ])('%j gives %j', (text, password) => {
    expect(findPassword(text, key)).toBe(password);
  });

  it('calls a socket in the default folder localhost, and an address by itself', () => {
    const line = 'localhost:5432:d:u:p';
    expect(findPassword(line, { ...key, host: '/run/postgresql' })).toBe('p');
    expect(findPassword('\\:\\:1:5432:d:u:p', { ...key, host: '::1' })).toBe('p');
  });
});

describe('the password file', () => {
  const write = (mode: number) => {
    const path = join(temporaryFolder(), 'pgpass');
    writeFileSync(path, 'h:5432:d:u:p\n');
    chmodSync(path, mode);
    return path;
  };
  const warningsFor = async (passwordFile: string) => {
    const events: ProgressEvent[] = [];
    const onProgress = (event: ProgressEvent) => events.push(event);
    const password = await passwordFor(target({ passwordFile }), host, { onProgress });
    return { password, kinds: events.map(({ kind }) => kind) };
  };

  it('is read when its owner alone has access to it', async () => {
    expect(await warningsFor(write(0o600))).toEqual({ password: 'p', kinds: [] });
    expect(await warningsFor(write(0o400))).toEqual({ password: 'p', kinds: [] });
  });

  it.each([0o640, 0o604, 0o660, 0o644])(
    'is passed over with a warning under mode %o',
    async (mode) => {
      expect(await warningsFor(write(mode))).toEqual({ password: undefined, kinds: ['notice'] });
    },
  );

  it('is passed over with a warning when it is named and missing, or no plain file', async () => {
    for (const path of [join(temporaryFolder(), 'gone'), temporaryFolder()]) {
      expect(await warningsFor(path)).toEqual({ password: undefined, kinds: ['notice'] });
    }
  });

  it('comes after a password that the target has', async () => {
    expect(await passwordFor(target({ password: 'q', passwordFile: write(0o600) }), host, {})).toBe(
      'q',
    );
  });
});

describe('--password-command', () => {
  const run = (script: string) => {
    const flags = {
      url: 'postgresql://u:other@h/d',
      passwordCommand: `'${process.execPath}' -e '${script}'`,
    };
    const read = readTarget(flags, { environment: {}, folder: temporaryFolder(), osUser: 'me' });
    if (read.kind !== 'server') throw new Error('the URL names a server');
    return passwordFor(read, host, {});
  };

  it('gives what the program prints, without its line end, each time', async () => {
    expect(await run('console.log("p w")')).toBe('p w');
    const [first, second] = [
      await run('console.log(process.pid)'),
      await run('console.log(process.pid)'),
    ];
    expect(first).not.toBe(second);
  });

  it('runs without a shell', async () => {
    expect(await run('console.log(process.argv.length, "$HOME")')).toBe('1 $HOME');
  });

  it.each([
    ['fails', 'console.log("hunter2"); console.error("hunter2"); process.exit(3)'],
    ['prints nothing', 'console.log("")'],
    ['prints several lines', 'console.log("hunter2\\nhunter2")'],
    ['prints without end', 'for (;;) process.stdout.write("hunter2".repeat(10000))'],
    ['is killed', 'process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1000)'],
  ])('names the program, and not its output, when it %s', async (_, script) => {
    const error = await errorOf('bad-configuration', () => run(script));
    expect(wordsOf(error)).toContain(process.execPath);
    expect(wordsOf(error)).not.toContain('hunter2');
  });

  it.each(['/not/there', '', '"open', process.cwd()])('refuses the command %j', async (command) => {
    await errorOf('bad-configuration', async () => {
      const flags = { url: 'postgresql://u@h/d', passwordCommand: command };
      const read = readTarget(flags, { environment: {}, folder: temporaryFolder(), osUser: 'me' });
      if (read.kind === 'server') await passwordFor(read, host, {});
    });
  });
});

describe('the function that a program gives', () => {
  const ask = (passwordFunction: unknown, given: Partial<ServerTarget> = {}) =>
    passwordFor(
      target({ ...given, passwordFunction: passwordFunction as PasswordFunction }),
      host,
      {},
    );

  it('is told where the connection goes, and counts before every other password', async () => {
    const told: Login[] = [];
    const give = (login: Login) => {
      told.push(login);
      return 'token';
    };
    const others = { password: 'other', passwordCommand: ['echo', 'other'] };
    expect(await ask(give, others)).toBe('token');
    expect(await ask(async (login: Login) => give(login))).toBe('token');
    expect(told).toEqual([
      { host: 'h', port: 5432, user: 'u', database: 'd' },
      { host: 'h', port: 5432, user: 'u', database: 'd' },
    ]);
  });

  it.each([
    ['undefined', undefined, 'returned undefined, not a text'],
    ['null', null, 'returned null, not a text'],
    ['a number', 4711, 'returned number, not a text'],
    ['an empty text', '', 'returned an empty text'],
    ['a zero byte', 'se\0cret', 'returned a text with a zero byte'],
  ])('may not return %s', async (_, value, message) => {
    const error = await errorOf('no-password', () => ask(() => value));
    expect(error.problems[0]?.message).toBe(`the function "password" of createDatabase ${message}`);
    expect(inspect(error)).not.toContain('cret');
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no role for se-cret');
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('no role for se-cret');
      },
    ],
  ])('is named when it %s, and its error is the cause alone', async (_, give) => {
    const error = await errorOf('no-password', () => ask(give));
    expect(error.cause).toMatchObject({ message: 'no role for se-cret' });
    expect(wordsOf(error) + error.message).not.toContain('cret');
  });
});
