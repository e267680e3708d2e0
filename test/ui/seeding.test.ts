import { Chalk } from 'chalk';
import { expect, it } from 'vitest';
import { renderDevSeed } from '../../src/ui/seeding.ts';

it.each([
  [1, ['--scale 10']],
  [10, []],
  [200, []],
])('after a seed with scale %i, the next commands propose no smaller one', (scale, proposed) => {
  const text = renderDevSeed(
    {
      target: 'localhost:5432/app',
      database: 'app',
      environment: 'dev',
      now: new Date('2026-11-22T10:00:00Z'),
      isDryRun: false,
      seeders: [],
      seed: 1,
      scale,
      candles: [],
    },
    { chalk: new Chalk({ level: 0 }), columns: undefined },
  );
  expect(text.match(/--scale \d+/g) ?? []).toEqual(proposed);
  expect(text).toContain('cryptosense-db migrate status');
});
