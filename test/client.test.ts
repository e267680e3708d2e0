import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Format } from 'esbuild';
import { describe, expect, inject, it } from 'vitest';
import { createDatabase } from '../src/client.ts';
import { cleanEnvironment } from './support/cli.ts';
import { temporaryFolder } from './support/fixtures.ts';

/** A service, as its author writes it in either module system. */
const services = {
  esm: `import { createDatabase, isError } from 'cryptosense-db/client';
    import { sql } from 'kysely';`,
  cjs: `const { createDatabase, isError } = require('cryptosense-db/client');
    const { sql } = require('kysely');`,
} as const satisfies Partial<Record<Format, string>>;

const body = `
  async function serve() {
    const db = createDatabase({ maxConnections: 1 });
    const { rows } = await sql\`select array['a', null] as words, '\\\\xff'::bytea as raw\`.execute(db);
    const refused = await sql\`select 'infinity'::date as until\`.execute(db).catch((error) => error);
    await db.destroy();
    console.log(JSON.stringify([rows[0].words, rows[0].raw.toString('hex'), isError(refused, 'unreadable-value')]));
  }
  serve();`;

describe.each(['esm', 'cjs'] as const)('cryptosense-db/client, bundled as %s,', (format) => {
  it('has nothing of the tool in it, and runs where no package is installed', async () => {
    const outfile = join(temporaryFolder(), `service.${format === 'esm' ? 'mjs' : 'cjs'}`);
    const { metafile, warnings } = await build({
      stdin: { contents: services[format] + body, resolveDir: process.cwd() },
      bundle: true,
      platform: 'node',
      format,
      outfile,
      metafile: true,
      logLevel: 'silent',
    });
    expect(warnings).toEqual([]);
    const inputs = Object.keys(metafile.inputs).filter((path) => path !== '<stdin>');
    const packages = inputs.map((path) => /node_modules\/([^/]+)/.exec(path)?.[1] ?? 'dist');
    const own = ['dist', 'kysely', 'kysely-postgres-js', 'postgres'];
    expect([...new Set(packages)].sort()).toEqual(own);
    const foreign = /commander|chalk|kysely-codegen|libpg-query|WebAssembly|pglite|testcontainers/i;
    expect(foreign.exec(readFileSync(outfile, 'utf8'))?.[0]).toBeUndefined();
    const env = { ...cleanEnvironment(), DATABASE_URL: inject('postgresUrl') };
    const answer = execFileSync(process.execPath, [outfile], { env, encoding: 'utf8' });
    expect(JSON.parse(answer)).toEqual([['a', null], 'ff', true]);
  });
});

it('cryptosense-db/client refuses the embedded engine, which it does not have', () => {
  expect(() => createDatabase({ target: 'embedded::memory:' })).toThrow(
    expect.objectContaining({ code: 'bad-configuration' }),
  );
});
