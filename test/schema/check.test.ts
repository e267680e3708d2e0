import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { check, diff, snapshot } from '../../src/schema/schema.ts';
import { runCli } from '../support/cli.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { type Folders, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';
import { createMigratedDatabase } from '../support/schema-database.ts';

const scratch = inject('postgresUrl');

function coins(): Folders {
  return writePairs({
    '20260101_120000_create_coins': [
      'create table coins (symbol text primary key, rank int); create index coins_rank on coins (rank);',
      'drop table coins;',
    ],
    '20260102_120000_add_name': [
      "alter table coins add column name text not null default 'none';",
      'alter table coins drop column name;',
    ],
  });
}

it('finds what was changed by hand, and names the migrations that last named it', async () => {
  const folders = coins();
  const { url, sql } = await scratchDatabase();
  await migrate.up({ target: url, ...folders });
  expect(await check({ target: url, ...folders, scratch })).toMatchObject({
    version: '20260102_120000',
    drift: [],
  });
  await sql`drop index coins_rank`;
  await sql`create view extra as select 1 as one`;
  expect((await check({ target: url, ...folders, scratch })).drift).toMatchObject([
    {
      difference: {
        change: 'changed',
        name: 'public.coins',
        parts: [{ change: 'removed', kind: 'index', name: 'coins_rank' }],
      },
      definedIn: ['20260101_120000_create_coins.sql'],
    },
    { difference: { change: 'added', kind: 'view', name: 'public.extra' }, definedIn: [] },
  ]);
  await sql`drop view extra`;
  await sql`alter table coins alter name drop default`;
  const { drift } = await check({ target: url, ...folders, scratch });
  expect(drift).toMatchObject([
    { definedIn: ['20260101_120000_create_coins.sql', '20260102_120000_add_name.sql'] },
  ]);
});

it('compares a database that is behind with the migrations that it has', async () => {
  const folders = coins();
  const { url } = await scratchDatabase();
  await migrate.up({ target: url, ...folders, to: '20260101_120000' });
  expect(await check({ target: url, ...folders, scratch })).toMatchObject({ drift: [] });
});

it('refuses files that are not those of the history, and a database without one', async () => {
  const folders = coins();
  const { url } = await scratchDatabase();
  await errorOf('history-mismatch', () => check({ target: url, ...folders, scratch }));
  await migrate.up({ target: url, ...folders });
  const file = join(folders.migrations, '20260101_120000_create_coins.sql');
  writeFileSync(file, `${readFileSync(file, 'utf8')} -- another text`);
  const error = await errorOf('history-mismatch', () =>
    check({ target: url, ...folders, scratch }),
  );
  expect(wordsOf(error)).toContain('20260101_120000_create_coins  changed');
});

it('two chains of migrations that make the same schema have no difference', async () => {
  const { url } = await scratchDatabase();
  const other = await scratchDatabase();
  await migrate.up({ target: url, ...coins() });
  await other.sql.unsafe(`
    create table coins (gone int, rank int, symbol text);
    alter table coins drop column gone, drop column rank, add column rank int, add primary key (symbol),
      add column name text default 'none' not null;
    create index coins_rank on coins (rank)`);
  const result = await diff({ before: url, after: other.url });
  expect(result.differences).toEqual([]);
});

it('a snapshot file, a database and the migrations can be compared, and exit code 1 says that they differ', async () => {
  const folders = coins();
  const words = ['--migrations', folders.migrations, '--rollbacks', folders.rollbacks];
  const { url, sql } = await scratchDatabase();
  await migrate.up({ target: url, ...folders });
  const file = join(temporaryFolder(), 'schema.json');
  expect(await runCli(['schema', 'snapshot', '--url', url, '--out', file])).toMatchObject({
    code: 0,
  });
  const same = await runCli(['schema', 'diff', file, 'migrations', '--scratch', scratch, ...words]);
  expect(same).toMatchObject({ code: 0, stdout: `the same schema: ${file} and migrations\n` });
  await sql`alter table coins add column extra int`;
  const other = await runCli(['schema', 'diff', file, url]);
  expect(other).toMatchObject({ code: 1 });
  expect(other.stdout).toContain('  + column extra  integer\n');
  const against = await runCli([
    'schema',
    'check',
    '--against',
    file,
    '--url',
    url,
    '--json',
    ...words,
  ]);
  expect(against.code).toBe(1);
  expect(JSON.parse(against.stdout)).toMatchObject({
    against: file,
    drift: [{ difference: { name: 'public.coins' } }],
  });
});

it('refuses a file that is no snapshot, by its name', async () => {
  const file = join(temporaryFolder(), 'other.json');
  const compare = () => diff({ before: file, after: file });
  expect(wordsOf(await errorOf('file-problem', compare))).toContain(`${file} is not there`);
  writeFileSync(file, '{"format": 2, "objects": []}');
  expect(wordsOf(await errorOf('file-problem', compare))).toContain(`${file} is no snapshot`);
});

it('refuses a scratch database and folders that no side needs', async () => {
  const sides = { before: 'embedded:a', after: 'embedded:b' };
  await errorOf('bad-configuration', () => diff({ ...sides, scratch: 'embedded' }));
  await errorOf('bad-configuration', () => diff({ ...sides, migrations: 'migrations' }));
});

it('refuses to compare grants with a file that has none', async () => {
  const file = join(temporaryFolder(), 'schema.json');
  writeFileSync(file, '{"format": 1, "owners": false, "grants": false, "objects": []}');
  const error = await errorOf('bad-configuration', () =>
    diff({ before: file, after: scratch, grants: true }),
  );
  expect(wordsOf(error)).toContain('--grants --out FILE');
});

it('chunks and rows are not schema, and each setting of TimescaleDB is', async () => {
  const database = await createMigratedDatabase();
  const read = async () => (await snapshot({ target: database.url, grants: true })).snapshot;
  const before = await read();
  await database.withSql(
    (sql) => sql`
      insert into price_history (time, asset_symbol, price_usd)
      select now() - i * interval '7 days', 'BTC', 1 from generate_series(1, 20) as i`,
  );
  expect(await read()).toEqual(before);
  const file = join(temporaryFolder(), 'schema.json');
  writeFileSync(file, JSON.stringify(before));
  await database.withSql((sql) =>
    sql.unsafe(`
      select set_chunk_time_interval('price_history', interval '3 days');
      select alter_job(job_id, schedule_interval => interval '5 hours', scheduled => not scheduled)
        from timescaledb_information.jobs where proc_name = 'policy_retention';
      select remove_compression_policy('social_sentiment_history');
      alter table social_sentiment_history set (timescaledb.compress = false);
      alter materialized view price_history_daily set (timescaledb.materialized_only = true)`),
  );
  const { drift } = await check({ target: database.url, against: file });
  await database.drop();
  expect(drift.map(({ difference: { change, kind, name } }) => [change, kind, name])).toEqual([
    ['changed', 'table', 'public.price_history'],
    ['changed', 'table', 'public.social_sentiment_history'],
    ['changed', 'view', 'public.price_history_daily'],
    ['removed', 'job', 'policy_compression on public.social_sentiment_history'],
    ['changed', 'job', 'policy_retention on public.price_history'],
  ]);
});
