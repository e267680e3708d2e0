import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { build } from 'esbuild';
import { afterAll, describe, expect, it } from 'vitest';
import { cleanEnvironment } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { hasRedis, startRedis, stopRedis, withoutRedis } from '../support/redis.ts';

afterAll(stopRedis);

/** A service, as its author writes it. */
const service = `
  import { createCache, isError } from 'cryptosense-db/cache';
  async function serve() {
    const cache = createCache({ prefix: 'bundle' });
    const answer = await cache.prices
      .set([{ symbol: 'BTC', priceUsd: '1', time: new Date() }])
      .catch((error) => (isError(error, 'package-missing') ? error.problems[0].hint : error.message));
    await cache.close();
    console.log(JSON.stringify(answer));
  }
  serve();`;

async function bundle(format: 'esm' | 'cjs', external: readonly string[] = []) {
  const folder = temporaryFolder();
  const outfile = join(folder, format === 'esm' ? 'service.mjs' : 'service.cjs');
  const { metafile, warnings } = await build({
    stdin: { contents: service, resolveDir: process.cwd() },
    ...{ bundle: true, platform: 'node', format, outfile, metafile: true, logLevel: 'silent' },
    external: [...external],
  });
  expect(warnings).toEqual([]);
  const inputs = Object.keys(metafile.inputs).filter((path) => path !== '<stdin>');
  const packages = inputs.map(
    (path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? 'dist',
  );
  return { outfile, packages: [...new Set(packages)].sort() };
}

const run = (outfile: string, env: Readonly<Record<string, string>>) =>
  JSON.parse(
    execFileSync(process.execPath, [outfile], {
      env: { ...cleanEnvironment(), ...env },
      encoding: 'utf8',
    }),
  );

describe.skipIf(!hasRedis)(`cryptosense-db/cache${withoutRedis}`, () => {
  it('bundled as CommonJS has nothing of the tool in it, and runs where no package is installed', async () => {
    const redis = await startRedis();
    const { outfile, packages } = await bundle('cjs');
    expect(packages).toEqual(['@redis/client', 'dist', 'kysely']);
    const foreign = /chalk|kysely-codegen|libpg-query|WebAssembly|pglite|testcontainers/i;
    expect(foreign.exec(readFileSync(outfile, 'utf8'))?.[0]).toBeUndefined();
    expect(run(outfile, { REDIS_URL: redis.url })).toBe(1);
  });

  it('bundled as an ECMAScript module runs beside @redis/client, which is CommonJS', async () => {
    const redis = await startRedis();
    const { outfile, packages } = await bundle('esm', ['@redis/client']);
    expect(packages).toEqual(['dist', 'kysely']);
    const place = join(dirname(outfile), 'node_modules/@redis');
    mkdirSync(place, { recursive: true });
    symlinkSync(resolve('node_modules/@redis/client'), join(place, 'client'));
    expect(run(outfile, { REDIS_URL: redis.url })).toBe(1);
  });
});

it('cryptosense-db/cache says what to install where @redis/client is missing', async () => {
  const { outfile } = await bundle('esm', ['@redis/client']);
  expect(run(outfile, { REDIS_URL: 'redis://127.0.0.1:1' })).toBe('npm install @redis/client@6');
});
