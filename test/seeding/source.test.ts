import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chooseSeeders, readSeeders } from '../../src/seeding/source.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const whole = `export const seeder = { description: 'something', run: async () => {} };`;

/** A folder of seeders for `--env dev`, by file name. */
function folderOf(files: Readonly<Record<string, string>>): string {
  const root = temporaryFolder();
  mkdirSync(join(root, 'dev'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, 'dev', name), text);
  return root;
}

describe('readSeeders', () => {
  it('sorts seeders by name', async () => {
    const root = folderOf({ '10_later.mjs': whole, '02_users.mjs': whole, '01_first.mjs': whole });
    const names = (await readSeeders('dev', root)).map(({ name }) => name);
    expect(names).toEqual(['01_first', '02_users', '10_later']);
  });

  it('skips files without code, declarations, maps and hidden files', async () => {
    const root = folderOf({
      '01_users.mjs': whole,
      '01_users.d.ts': 'x',
      '01_users.mjs.map': '{}',
      'README.md': '#',
      '.hidden.mjs': 'x',
      'snapshot.json': '{}',
    });
    expect(await readSeeders('dev', root)).toHaveLength(1);
  });

  it.each([
    ['users.mjs', whole, 'bad-seeder-name'],
    ['1_users.mjs', whole, 'bad-seeder-name'],
    ['01-users.mjs', whole, 'bad-seeder-name'],
    ['01_Users.mjs', whole, 'bad-seeder-name'],
    ['01_users.mjs', 'export const seed = 1;', 'not-a-seeder'],
    ['01_users.mjs', 'export const seeder = { run: async () => {} };', 'not-a-seeder'],
    ['01_users.mjs', "export const seeder = { description: 'x' };", 'not-a-seeder'],
    [
      '01_users.mjs',
      "export const seeder = { description: '', run: async () => {} };",
      'not-a-seeder',
    ],
    ['01_users.mjs', 'export const {', 'unloadable-seeder'],
    ['01_users.mjs', "throw new Error('at once');", 'unloadable-seeder'],
  ])('reports for the seeder %s with %j the rule %s', async (file, text, rule) => {
    const root = folderOf({ [file]: text });
    await expect(readSeeders('dev', root)).rejects.toMatchObject({
      code: 'faulty-folder',
      details: { findings: [{ folder: join(root, 'dev'), file, rule }] },
    });
  });

  it('reports a seeder that cannot be loaded, with its error', async () => {
    const root = folderOf({ '01_users.mjs': "throw new Error('at once');" });
    await expect(readSeeders('dev', root)).rejects.toMatchObject({
      details: { findings: [{ reason: 'at once', isTypeScript: false }] },
    });
  });

  it('reports two seeders with one name', async () => {
    const root = folderOf({ '01_users.mjs': whole, '01_users.js': whole });
    await expect(readSeeders('dev', root)).rejects.toMatchObject({
      details: { findings: [{ rule: 'same-seeder', seeder: '01_users' }] },
    });
  });

  it('reports every finding at once', async () => {
    const root = folderOf({ 'a.mjs': whole, '01_b.mjs': 'export {}', '02_c.mjs': whole });
    await expect(readSeeders('dev', root)).rejects.toMatchObject({
      details: { findings: [{ rule: 'not-a-seeder' }, { rule: 'bad-seeder-name' }] },
    });
  });

  it('reports a folder that does not exist or has no seeders', async () => {
    const nowhere = join(temporaryFolder(), 'nowhere');
    await expect(readSeeders('dev', nowhere)).rejects.toMatchObject({
      code: 'faulty-folder',
      details: { findings: [{ folder: nowhere, file: 'dev', rule: 'unreadable-folder' }] },
    });
    await expect(readSeeders('dev', folderOf({}))).rejects.toMatchObject({
      code: 'faulty-folder',
      details: { findings: [{ file: 'dev', rule: 'no-seeders' }] },
    });
  });

  it('finds the packaged seeders of both environments, each described in one line', async () => {
    for (const environment of ['dev', 'production'] as const) {
      const seeders = await readSeeders(environment);
      expect(seeders.length).toBeGreaterThan(0);
      for (const { description } of seeders) {
        expect(description).toMatch(/^[^\n]{10,52}$/);
      }
    }
  });
});

it('the packaged seeders import only types from the tool', () => {
  const files = ['dev', 'production', 'story'].flatMap((folder) =>
    readdirSync(join('seeds', folder))
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join('seeds', folder, name)),
  );
  for (const file of files) {
    const imports = readFileSync(file, 'utf8').matchAll(/^import (?:.|\n)*?;$/gm);
    for (const [statement] of imports) {
      if (statement.includes('/src/')) expect(statement).toMatch(/^import type /);
    }
  }
});

describe('chooseSeeders', () => {
  const all = ['01_users', '02_prices', '03_spot_prices'].map((name) => ({ name }));

  it.each([
    [[], ['01_users', '02_prices', '03_spot_prices']],
    [['prices'], ['02_prices']],
    [['02_prices'], ['02_prices']],
    [
      ['spot_prices', 'users'],
      ['01_users', '03_spot_prices'],
    ],
    [['users', '01_users'], ['01_users']],
  ])('returns for %j the seeders %j', (only, names) => {
    expect(chooseSeeders(all, only).map(({ name }) => name)).toEqual(names);
  });

  it('refuses an unknown name and lists the known ones', () => {
    expect(() => chooseSeeders(all, ['users', 'price'])).toThrow(
      'there is no seeder "price"\n01_users\n02_prices\n03_spot_prices',
    );
  });
});
