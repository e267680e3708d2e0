import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { encodePackagedScripts, readScripts } from '../../src/migrations/scripts.ts';
import { readMigrations, resolveFolders } from '../../src/migrations/source.ts';

it('the scripts in the build equal the scripts that the grammar returns', async () => {
  const scripts = await readScripts(readMigrations(resolveFolders({})));
  const built = JSON.parse(readFileSync('dist/packaged-scripts.json', 'utf8'));
  expect(built).toEqual(JSON.parse(encodePackagedScripts(scripts)));
  expect(Object.keys(built)).toHaveLength(scripts.length * 2);
  for (const { up, down } of scripts) {
    for (const [direction, { file, statements }] of Object.entries({ up, down })) {
      const known = built[`${direction} ${file.checksum}`];
      const texts = known.statements.map(({ index, length }: { index: number; length: number }) =>
        file.text.slice(index, index + length),
      );
      expect(texts).toEqual(statements.map(({ text }) => text));
    }
  }
});

it('the program prepares the grammar once, and only for files that need the grammar', async () => {
  const calls: string[] = [];
  const beforeGrammar = async () => {
    calls.push('called');
  };
  await readScripts([], { beforeGrammar });
  expect(calls).toEqual([]);
  await readScripts(readMigrations(resolveFolders({})), { beforeGrammar });
  expect(calls).toEqual(['called']);
});
