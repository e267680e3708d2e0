import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cleanEnvironment, program, runCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const hasFull = existsSync('/dev/full');
const isUnix = process.platform !== 'win32';

function inShell(script: string) {
  const cwd = temporaryFolder();
  const { status, stdout, stderr } = spawnSync(
    'bash',
    ['-c', script, 'bash', process.execPath, program],
    { cwd, env: cleanEnvironment(), encoding: 'utf8', timeout: 60_000 },
  );
  return { code: status, stdout, stderr, cwd };
}

describe.skipIf(!hasFull)(
  `a full disk under standard output${hasFull ? '' : ' (skipped: this system has no /dev/full)'}`,
  () => {
    it.each([
      'seed --list',
      'seed --list --json',
      'migrate up --nope --json',
      '--version',
      '--help',
    ])('%s ends with exit code 2 and says so on stderr', (words) => {
      const { code, stderr } = inShell(`"$1" "$2" ${words} > /dev/full`);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: 'standard output cannot be written\n  ENOSPC: no space left on device, write\n',
      });
    });

    it('and under standard error leaves the exit code', () => {
      expect(inShell('"$1" "$2" seed --list 2> /dev/full')).toMatchObject({ code: 0 });
      expect(inShell('"$1" "$2" migrate up 2> /dev/full > /dev/full')).toMatchObject({ code: 2 });
    });
  },
);

it('a file that takes a part of the result is no success', () => {
  const { code, stderr, cwd } = inShell('ulimit -f 1; "$1" "$2" seed --list --json > a');
  expect(code).toBe(2);
  expect(stderr).toContain('standard output cannot be written\n  EFBIG');
  expect(readFileSync(join(cwd, 'a')).length).toBeGreaterThan(0);
});

describe.runIf(isUnix)('a FIFO in the place of a file', () => {
  const fifo = (...path: readonly string[]) => {
    const place = join(...path);
    execFileSync('mkfifo', [place]);
    return place;
  };
  const cases: readonly (readonly [what: string, prepare: (cwd: string) => readonly string[]])[] = [
    ['.env', (cwd) => (fifo(cwd, '.env') ? ['migrate', 'up'] : [])],
    [
      'a migration',
      (cwd) => {
        mkdirSync(join(cwd, 'm'));
        fifo(cwd, 'm', '20260101_000000_a.sql');
        return ['migrate', 'up', '--embedded', '--migrations', 'm', '--rollbacks', 'm'];
      },
    ],
    ['a folder', (cwd) => ['migrate', 'status', '--embedded', fifo(cwd, 'f')]],
    ['the types', (cwd) => ['migrate', 'up', '--embedded', '--types', fifo(cwd, 'f')]],
    [
      'a seeder',
      (cwd) => {
        for (const name of ['dev', 'production']) mkdirSync(join(cwd, name));
        fifo(cwd, 'dev', '01_users.js');
        return ['seed', '--list', '--seeds', '.'];
      },
    ],
  ];

  it.each(cases)('does not stop the run: %s', async (_, prepare) => {
    const cwd = temporaryFolder();
    const { code, stdout, stderr } = await runCli([...prepare(cwd), '--json'], { cwd });
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
    expect(JSON.parse(stdout).error.code).toMatch(/^(file-problem|faulty-folder|embedded-broken)$/);
  });
});

it.runIf(existsSync('/proc/self'))('a folder that cannot be created ends the run', async () => {
  const { code, stdout } = await runCli(['migrate', 'up', '--embedded', '/proc/x/y', '--json']);
  expect(code).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({
    error: { code: 'file-problem', details: { path: '/proc/x/y' } },
  });
});
