import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { callCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

const snapshot = ['schema', 'snapshot'];

it('schema snapshot --format sql prints the script, and --json the same in a document', async () => {
  const { url, sql } = await scratchDatabase();
  await sql.unsafe(`create table coins (id int); grant select on coins to public`);
  const plain = await callCli([...snapshot, '--format', 'sql', '--url', url]);
  expect(plain).toMatchObject({ code: 0, stderr: '' });
  expect(plain.stdout).toMatch(
    /^-- The schema of a database[\s\S]*CREATE TABLE public\.coins \(\n/,
  );
  expect(plain.stdout).toMatch(/\nCOMMIT;\n$/);
  expect(plain.stdout).not.toMatch(/GRANT|OWNER/);
  const rights = [...snapshot, '--format', 'sql', '--owners', '--grants', '--url', url];
  const { stdout } = await callCli(rights);
  expect(stdout).toContain('GRANT SELECT ON TABLE public.coins TO PUBLIC;');
  expect(stdout).toContain('ALTER TABLE public.coins OWNER TO ');
  const json = await callCli([...snapshot, '--format', 'sql', '--json', '--url', url]);
  expect(JSON.parse(json.stdout)).toMatchObject({ script: plain.stdout, objects: 2, leftOut: [] });
});

it('schema snapshot --format sql --out writes the file, and says on stderr what is left out', async () => {
  const { url, sql } = await scratchDatabase();
  await sql.unsafe(`create table coins (id int); create collation odd (locale = 'C')`);
  const file = join(temporaryFolder(), 'schema.sql');
  const written = await callCli([...snapshot, '--format', 'sql', '--out', file, '--url', url]);
  const leftOut = { object: 'collation public.odd', reason: 'a snapshot does not have it' };
  const remark = `${leftOut.object}: ${leftOut.reason}`;
  expect(written).toMatchObject({ code: 0, stderr: `left out: ${remark}\n` });
  expect(written.stdout).toMatch(/^2 objects of .* in .*schema\.sql\n$/);
  expect(readFileSync(file, 'utf8')).toContain(`-- Left out:\n--   ${remark}\n`);
  const json = await callCli([
    ...snapshot,
    '--format',
    'sql',
    '--out',
    file,
    '--json',
    '--url',
    url,
  ]);
  expect(json.stderr).toBe('');
  expect(JSON.parse(json.stdout)).toMatchObject({ out: file, objects: 2, leftOut: [leftOut] });
  expect(JSON.parse(json.stdout)).not.toHaveProperty('script');
});

it('schema snapshot refuses a form that it does not know, before it connects', async () => {
  const given = [...snapshot, '--format', 'yaml', '--url', 'postgresql://127.0.0.1:1/x'];
  const { code, stderr } = await callCli(given);
  expect(code).toBe(2);
  expect(stderr).toMatch(/yaml[\s\S]*json, sql/);
});
