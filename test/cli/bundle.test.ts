import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { cleanEnvironment, program } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';

/** A program of one line in a folder of its own, started as the real one is. */
let root: string;

beforeEach(() => {
  root = temporaryFolder();
  cpSync(dirname(program), join(root, 'bin'), { recursive: true });
  mkdirSync(join(root, 'dist'));
  writeProgram('one');
  evaluate(`saveCompiled(file, runBundle(file, { name: 'package/dist/cli.cjs' }));`);
});

function writeProgram(word: string): void {
  const main = `exports.main = () => process.stdout.write('${word}')`;
  writeFileSync(join(root, 'dist/cli.cjs'), main);
}

function compiledFile(): string {
  const [name = ''] = readdirSync(join(root, 'dist')).filter((entry) => entry.endsWith('.v8'));
  return join(root, 'dist', name);
}

function runNode(
  args: readonly string[],
  { cwd = root, env = {} }: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): string {
  // Flags of V8's would have it compile anew.
  const { NODE_OPTIONS: _, ...surroundings } = cleanEnvironment();
  const options = { cwd, env: { ...surroundings, ...env }, encoding: 'utf8' } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

/** Runs a script in the package's folder, with what `bin/bundle.js` exports and the program's file. */
function evaluate(script: string, cwd = root): string {
  const preface = `
    const { readCompiled, runBundle, saveCompiled } = require('./bin/bundle.js');
    const file = require('node:path').resolve('dist/cli.cjs');`;
  return runNode(['--eval', preface + script], { cwd });
}

function start(...flags: readonly string[]): string {
  return runNode([...flags, 'bin/cryptosense-db.js', 'migrate']);
}

describe('what V8 compiled at the build', () => {
  it('is there for the program of this build, and V8 takes it', () => {
    const script = `
      process.stdout.write(String(runBundle(file, readCompiled(file)).script.cachedDataRejected));`;
    expect(evaluate(script, resolve(dirname(program), '..'))).toBe('false');
  });

  it('runs', () => {
    expect(start()).toBe('one');
  });

  it('is not run for another text of the same length', () => {
    writeProgram('two');
    expect(start()).toBe('two');
  });

  it.each([
    ['cut short', (whole: Buffer) => whole.subarray(0, -9)],
    ['next to nothing', (whole: Buffer) => whole.subarray(0, 9)],
    ['empty', () => Buffer.alloc(0)],
    ['changed in a bit', (whole: Buffer) => whole.map((byte, at) => (at === 99 ? byte ^ 4 : byte))],
  ])('is not run when it is %s', (_, damage) => {
    writeFileSync(compiledFile(), damage(readFileSync(compiledFile())));
    expect(start()).toBe('one');
    const script = 'process.stdout.write(String(readCompiled(file)));';
    expect(evaluate(script)).toBe('undefined');
  });

  it('is not missed where it cannot be read', () => {
    const path = compiledFile();
    rmSync(path);
    mkdirSync(path);
    expect(start()).toBe('one');
  });

  it('is not run where coverage is measured, which knows the file by its path', () => {
    const coverage = join(root, 'coverage');
    runNode(['bin/cryptosense-db.js', 'migrate'], { env: { NODE_V8_COVERAGE: coverage } });
    const [report = ''] = readdirSync(coverage);
    const { result }: { result: readonly { url: string }[] } = JSON.parse(
      readFileSync(join(coverage, report), 'utf8'),
    );
    const file = pathToFileURL(join(realpathSync(root), 'dist/cli.cjs')).href;
    expect(result.map(({ url }) => url)).toContain(file);
  });

  it('is refused by a V8 with other flags, which compiles anew', () => {
    expect(start('--no-lazy-feedback-allocation', '--no-flush-bytecode')).toBe('one');
  });
});

it('the program runs from a folder whose name a URL would not take as it is', () => {
  const place = join(root, 'h#sh 100% %41 é');
  const own = resolve(dirname(program), '..');
  mkdirSync(place);
  for (const name of ['bin', 'dist', 'package.json']) {
    cpSync(join(own, name), join(place, name), { recursive: true });
  }
  symlinkSync(join(own, 'node_modules'), join(place, 'node_modules'));
  expect(runNode(['bin/cryptosense-db.js', 'migrate', '--help'], { cwd: place })).toContain(
    'Usage: ',
  );
});
