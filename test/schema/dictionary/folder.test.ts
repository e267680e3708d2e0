import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { comparePages, writePages } from '../../../src/schema/dictionary/folder.ts';
import { type Page, pageMark } from '../../../src/schema/dictionary/pages.ts';
import { codeOf } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/fixtures.ts';

const page = (name: string, text: string): Page => ({ name, text: `${pageMark}\n\n${text}\n` });

function write(folder: string, pages: readonly Page[]) {
  const changes = comparePages(folder, pages);
  writePages(folder, { pages, changes });
  return changes.map(({ page: name, change }) => `${change} ${name}`);
}

it('creates the folder, writes what differs, and removes what it wrote for tables that are gone', () => {
  const folder = join(temporaryFolder(), 'docs/tables');
  const pages = [page('README.md', 'index'), page('a.md', 'a'), page('b.md', 'b')];
  expect(write(folder, pages)).toEqual(['added README.md', 'added a.md', 'added b.md']);
  expect(write(folder, pages)).toEqual([]);
  const later = [page('README.md', 'index'), page('a.md', 'changed'), page('c.md', 'c')];
  expect(write(folder, later)).toEqual(['changed a.md', 'removed b.md', 'added c.md']);
  expect(readdirSync(folder).sort()).toEqual(['README.md', 'a.md', 'c.md']);
  expect(readFileSync(join(folder, 'a.md'), 'utf8')).toContain('changed');
});

it('leaves files alone that it did not write', () => {
  const folder = temporaryFolder();
  const files = { 'notes.md': '# Mine\n', 'page.txt': `${pageMark}\n`, 'late.md': `\n${pageMark}` };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  expect(write(folder, [page('README.md', 'index')])).toEqual(['added README.md']);
  for (const [name, text] of Object.entries(files)) {
    expect(readFileSync(join(folder, name), 'utf8')).toBe(text);
  }
});

it('refuses to replace a file that it did not write, and writes nothing', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'users.md'), '# Mine\n');
  const pages = [page('README.md', 'index'), page('users.md', 'users')];
  expect(await codeOf((async () => write(folder, pages))())).toBe('file-problem');
  expect(readdirSync(folder)).toEqual(['users.md']);
});
