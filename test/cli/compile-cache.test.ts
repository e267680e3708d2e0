import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { cleanEnvironment, program } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const hasCompileCache = Number.parseInt(process.versions.node, 10) >= 22;
const isRoot = process.getuid?.() === 0;
const otherUser = 65_534;

/** A copy of the package whose program has one line: it prints the folder of Node's compile cache. */
let root: string;
let home: string;

beforeEach(() => {
  root = temporaryFolder();
  home = join(root, 'home');
  mkdirSync(home);
  mkdirSync(join(root, 'dist'));
  cpSync(dirname(program), join(root, 'bin'), { recursive: true });
  writeFileSync(
    join(root, 'dist/cli.cjs'),
    "exports.main = () => process.stdout.write(String(require('node:module').getCompileCacheDir?.()));",
  );
});

interface StartOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
}

/** Starts the program in the package's folder, and returns what it prints. */
function start({ env = { HOME: home }, uid }: StartOptions = {}): string {
  const {
    HOME: _home,
    XDG_CACHE_HOME: _caches,
    NODE_COMPILE_CACHE: _cache,
    NODE_DISABLE_COMPILE_CACHE: _disabled,
    ...surroundings
  } = cleanEnvironment();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'bin/cryptosense-db.js'), 'migrate'],
    {
      cwd: root,
      env: { ...surroundings, ...env },
      encoding: 'utf8',
      ...(uid !== undefined && { uid }),
    },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

/** Creates the folder of the cache with these permissions before the program starts. */
function makeCache(mode: number): string {
  const folder = join(home, '.cache/cryptosense-db');
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, mode);
  return folder;
}

const unlessMissing = hasCompileCache ? '' : ' (skipped: this Node has no compile cache)';
const unlessUser = isRoot ? '' : ' (skipped: only root can give a folder to another user)';

describe.skipIf(!hasCompileCache)(`the compile cache${unlessMissing}`, () => {
  it('is stored in a folder in ~/.cache that only the user can open', () => {
    const folder = join(home, '.cache/cryptosense-db');
    const cache = start();
    expect(dirname(cache)).toBe(folder);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(cache)).not.toEqual([]);
  });

  it('is stored in XDG_CACHE_HOME when the variable is set', () => {
    const caches = join(root, 'caches');
    const cache = start({ env: { HOME: home, XDG_CACHE_HOME: caches } });
    expect(dirname(cache)).toBe(join(caches, 'cryptosense-db'));
    expect(readdirSync(home)).toEqual([]);
  });

  it('is stored in ~/.cache when XDG_CACHE_HOME is not an absolute path', () => {
    const cache = start({ env: { HOME: home, XDG_CACHE_HOME: 'caches' } });
    expect(dirname(cache)).toBe(join(home, '.cache/cryptosense-db'));
    expect(existsSync(join(root, 'caches'))).toBe(false);
  });

  it('is not used when HOME and XDG_CACHE_HOME are not set', () => {
    expect(start({ env: {} })).toBe('undefined');
  });

  it.each([
    ['its group', 0o770],
    ['every user', 0o702],
  ])('is not used when %s can write to the folder', (_, mode) => {
    const folder = makeCache(mode);
    expect(start()).toBe('undefined');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is not used when every user can write to the parent folder', () => {
    makeCache(0o700);
    chmodSync(join(home, '.cache'), 0o777);
    expect(start()).toBe('undefined');
  });

  it('is not used when the folder is a symbolic link', () => {
    const target = join(root, 'target');
    mkdirSync(target, { mode: 0o700 });
    mkdirSync(join(home, '.cache'));
    symlinkSync(target, join(home, '.cache/cryptosense-db'));
    expect(start()).toBe('undefined');
    expect(readdirSync(target)).toEqual([]);
  });

  it('is not used when the path of the folder is a file', () => {
    mkdirSync(join(home, '.cache'));
    writeFileSync(join(home, '.cache/cryptosense-db'), '');
    expect(start()).toBe('undefined');
  });

  it.skipIf(!isRoot)(`is not used when another user owns the folder${unlessUser}`, () => {
    const folder = makeCache(0o700);
    chownSync(folder, otherUser, otherUser);
    expect(start()).toBe('undefined');
    expect(readdirSync(folder)).toEqual([]);
  });

  it.skipIf(!isRoot)(`is not created in the home folder of another user${unlessUser}`, () => {
    chownSync(home, otherUser, otherUser);
    expect(start()).toBe('undefined');
    expect(readdirSync(home)).toEqual([]);
  });

  it('is not used when the home folder is read-only', () => {
    chmodSync(root, 0o755);
    if (isRoot) chownSync(home, otherUser, otherUser);
    chmodSync(home, 0o555);
    expect(start(isRoot ? { uid: otherUser } : {})).toBe('undefined');
    expect(readdirSync(home)).toEqual([]);
  });

  it('is stored in NODE_COMPILE_CACHE when the variable is set', () => {
    const own = join(root, 'own');
    const cache = start({ env: { HOME: home, NODE_COMPILE_CACHE: own } });
    expect(dirname(cache)).toBe(own);
    expect(readdirSync(home)).toEqual([]);
  });

  it('is not used when NODE_DISABLE_COMPILE_CACHE is set', () => {
    expect(start({ env: { HOME: home, NODE_DISABLE_COMPILE_CACHE: '1' } })).toBe('undefined');
    expect(readdirSync(home)).toEqual([]);
  });
});

it.skipIf(hasCompileCache)(
  `the program runs on a Node without a compile cache${hasCompileCache ? ' (skipped: this Node has one)' : ''}`,
  () => {
    expect(start()).toBe('undefined');
    expect(readdirSync(home)).toEqual([]);
  },
);

it('the program runs from a folder whose name a URL encodes', () => {
  const place = join(root, 'h#sh 100% %41 é');
  const own = resolve(dirname(program), '..');
  mkdirSync(place);
  for (const name of ['bin', 'dist', 'templates', 'package.json']) {
    cpSync(join(own, name), join(place, name), { recursive: true });
  }
  symlinkSync(join(own, 'node_modules'), join(place, 'node_modules'));
  const help = spawnSync(
    process.execPath,
    [join(place, 'bin/cryptosense-db.js'), 'migrate', '--help'],
    { env: { ...cleanEnvironment(), NODE_DISABLE_COMPILE_CACHE: '1' }, encoding: 'utf8' },
  );
  expect(help).toMatchObject({ status: 0, stderr: '' });
  expect(help.stdout).toContain('Usage: ');
});
