import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { encodePackagedScripts } from '../../src/migrations/packaged-scripts.ts';
import { filesOf, readMigrations, resolveFolders } from '../../src/migrations/source.ts';
import { parseScripts } from '../../src/migrations/statements.ts';

it('what the build knows of the packaged schema is what the grammar says', async () => {
  const files = filesOf(readMigrations(resolveFolders({})));
  const scripts = await parseScripts(files);
  const built = JSON.parse(readFileSync('dist/packaged-scripts.json', 'utf8'));
  expect(built).toEqual(JSON.parse(encodePackagedScripts(files, scripts)));
  expect(Object.keys(built)).toHaveLength(files.length);
  for (const { file, statements } of scripts) {
    const known =
      built[`${file.name.endsWith('_rollback.sql') ? 'rollback' : 'migration'} ${file.checksum}`];
    const texts = known.statements.map(({ index, length }: { index: number; length: number }) =>
      file.text.slice(index, index + length),
    );
    expect(texts).toEqual(statements.map(({ text }) => text));
  }
});
