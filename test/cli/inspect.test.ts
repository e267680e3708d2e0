import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { callCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

it('inspect prints a table and advice, --json one document, and --limit cuts both', async () => {
  const { url, sql } = await scratchDatabase();
  await sql.unsafe(
    'create table owners (id int primary key); create table items (owner int references owners)',
  );
  const text = await callCli(['inspect', 'indexes', '--url', url]);
  expect(text).toMatchObject({ code: 0, stderr: '' });
  expect(text.stdout).toContain('items  items_owner_fkey');
  expect(text.stdout).toContain('`create index concurrently on items (owner)`');
  expect(text.stdout).toMatch(/: 1 thing to do\n$/);
  const json = await callCli(['inspect', 'sizes', '--limit', '1', '--json', '--url', url]);
  expect(JSON.parse(json.stdout)).toMatchObject({
    answers: [{ question: 'sizes', rows: [{ table: 'owners' }], rowsLeftOut: 1 }],
  });
});

it('inspect all --html writes a page with every question, and refuses a folder that is not there first', async () => {
  const { url } = await scratchDatabase();
  const file = join(temporaryFolder(), 'report.html');
  const { code, stdout } = await callCli(['inspect', 'all', '--html', file, '--url', url]);
  expect(code).toBe(0);
  expect(stdout).toContain(`${file} written: 10 questions`);
  const page = readFileSync(file, 'utf8');
  expect(page.match(/<section id="/g)).toHaveLength(10);
  const missing = join(temporaryFolder(), 'none', 'report.html');
  const refused = await callCli([
    'inspect',
    'all',
    '--html',
    missing,
    '--url',
    'postgresql://127.0.0.1:1/x',
  ]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot be written') });
  expect(existsSync(missing)).toBe(false);
});
