import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { create } from '../../src/migrations/scaffold.ts';
import { readScripts } from '../../src/migrations/scripts.ts';
import { readMigrations, resolveFolders } from '../../src/migrations/source.ts';
import { templateNames } from '../../src/migrations/templates.ts';
import { packagedMigrations, packagedRollbacks } from '../../src/runtime/package.ts';
import { runCli } from '../support/cli.ts';
import { createScratchDatabase } from '../support/databases.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { type Folders, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { createMigratedDatabase } from '../support/schema-database.ts';

const now = new Date('2026-03-01T10:20:30.999Z');
const sql = 'SELECT 1;\n';

function write(folders: Folders, description: string, template?: string) {
  return create({ ...folders, description, template, author: 'Ada Lovelace', now });
}

/** Copies of the packaged pairs in new folders, or of the pairs with these descriptions. */
function copySchema(descriptions?: readonly string[]): Folders {
  const folders = writePairs({});
  const pairs = readMigrations(resolveFolders({}));
  for (const { description, up, down } of pairs) {
    if (descriptions && !descriptions.includes(description)) continue;
    cpSync(join(packagedMigrations, up.name), join(folders.migrations, up.name));
    cpSync(join(packagedRollbacks, down.name), join(folders.rollbacks, down.name));
  }
  return folders;
}

describe('the stamp of a new migration', () => {
  it.each([
    ['now, in an empty folder', [], '20260301_102030'],
    ['now, after older migrations', ['20260301_102029'], '20260301_102030'],
    ['one second after a migration of this second', ['20260301_102030'], '20260301_102031'],
    ['one second after a migration of the future', ['20991231_235959'], '21000101_000000'],
  ])('is %s', async (_, existing, stamp) => {
    const folders = writePairs(Object.fromEntries(existing.map((at) => [`${at}_a`, [sql, sql]])));
    expect((await write(folders, 'b')).version).toBe(stamp);
  });

  it('is different for each migration that is written within one second', async () => {
    const folders = writePairs({});
    const versions: string[] = [];
    for (const name of ['a', 'b', 'c']) versions.push((await write(folders, name)).version);
    expect(versions).toEqual(['20260301_102030', '20260301_102031', '20260301_102032']);
  });

  it('differs for migrations that are written at the same moment', async () => {
    const folders = writePairs({ '20260301_102030_before': [sql, sql] });
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const made = await Promise.all(names.map((name) => write(folders, name)));
    expect(new Set(made.map(({ version }) => version)).size).toBe(names.length);
    expect(readMigrations(folders)).toHaveLength(names.length + 1);
    expect(readdirSync(folders.migrations).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('passes over one that another call has reserved', async () => {
    const folders = writePairs({});
    writeFileSync(join(folders.migrations, '.20260301_102030.new'), '');
    expect((await write(folders, 'a')).version).toBe('20260301_102031');
  });

  it('cannot follow the last possible stamp', async () => {
    const folders = writePairs({ '99991231_235959_a': [sql, sql] });
    await errorOf('bad-configuration', () => write(folders, 'b'));
  });
});

it('the flags with the names of the folders are quoted for a shell', async () => {
  const migrations = join(temporaryFolder(), 'my migrations');
  const rollbacks = join(temporaryFolder(), "what's undone");
  for (const folder of [migrations, rollbacks]) mkdirSync(folder);
  const { folderFlags } = await write({ migrations, rollbacks }, 'b');
  const words = execFileSync('sh', ['-c', `printf '%s|'${folderFlags}`], { encoding: 'utf8' });
  expect(words).toBe(`--migrations|${migrations}|--rollbacks|${rollbacks}|`);
});

describe('the name and the header of a new migration', () => {
  it.each([
    ['add_price_alerts', 'add_price_alerts', 'add price alerts'],
    ['add price alerts', 'add_price_alerts', 'add price alerts'],
    ['  Add  price-alerts! ', 'add_price_alerts', 'Add price-alerts!'],
    ["users' e-mail (déjà vu)", 'users_e_mail_deja_vu', "users' e-mail (déjà vu)"],
    ['two\nlines', 'two_lines', 'two lines'],
    ['{{author}} $& $1 */ --', 'author_1', '{{author}} $& $1 */ --'],
    ['-- Transaction: none', 'transaction_none', '-- Transaction: none'],
    ['🚀 launch', 'launch', '🚀 launch'],
    ['2 factor', '2_factor', '2 factor'],
  ])('are made from %j: the file name has %s', async (description, name, header) => {
    const folders = writePairs({});
    const { migration, rollback } = await write(folders, description);
    expect(basename(migration)).toBe(`20260301_102030_${name}.sql`);
    expect(basename(rollback)).toBe(`20260301_102030_${name}_rollback.sql`);
    expect(readFileSync(migration, 'utf8').split('\n').slice(0, 4)).toEqual([
      `-- Migration: 20260301_102030_${name}.sql`,
      `-- Description: ${header}`,
      '-- Author: Ada Lovelace',
      '',
    ]);
    expect(readFileSync(rollback, 'utf8')).toMatch(
      new RegExp(
        `^-- Rollback: 20260301_102030_${name}_rollback.sql\n-- Description: .+\n-- Author`,
      ),
    );
    expect(await readScripts(readMigrations(folders))).toMatchObject([
      { up: { transaction: 'own' }, down: { transaction: 'own' } },
    ]);
  });

  it.each(['', ' _ ', '🚀', '漢字', 'x'.repeat(101), 'fix the rollback', 'fix_rollback'])(
    'are not made from the description %j, and nothing is written',
    async (description) => {
      const folders = writePairs({});
      await errorOf('bad-configuration', () => write(folders, description));
      expect(readdirSync(folders.migrations)).toEqual([]);
    },
  );

  it('hold a name of an author with a line break in one line', async () => {
    const folders = writePairs({});
    const { migration } = await create({
      ...folders,
      description: 'a',
      author: 'Eve\nDROP TABLE users;',
    });
    expect(readFileSync(migration, 'utf8')).toContain('-- Author: Eve DROP TABLE users;\n');
  });

  it('an unknown template is refused with the names of the templates', async () => {
    const error = await errorOf('bad-configuration', () => write(writePairs({}), 'a', '../secret'));
    for (const name of templateNames()) expect(wordsOf(error)).toContain(name);
  });

  it('a table name that SQL reserves is refused, and nothing is written', async () => {
    const folders = writePairs({});
    const error = await errorOf('bad-configuration', () => write(folders, 'add order', 'table'));
    expect(wordsOf(error)).toContain('"order" cannot be the name of a table');
    expect(readdirSync(folders.migrations)).toEqual([]);
  });

  it('a folder with findings is reported, and no file is written', async () => {
    const folders = writePairs({});
    writeFileSync(join(folders.migrations, '20250101_120000_alone.sql'), sql);
    await errorOf('faulty-folder', () => write(folders, 'b'));
    expect(readdirSync(folders.migrations)).toHaveLength(1);
  });

  it('a rollback that cannot be written leaves no migration behind', async () => {
    const { migrations } = writePairs({});
    // A folder has the name of the rollback; readMigrations() skips folders.
    const rollbacks = join(temporaryFolder(), 'rollbacks');
    mkdirSync(join(rollbacks, '20260301_102030_b_rollback.sql'), { recursive: true });
    await errorOf('file-problem', () => write({ migrations, rollbacks }, 'b'));
    expect(readdirSync(migrations)).toEqual([]);
  });
});

describe('cryptosense-db migrate new', () => {
  it('writes a pair into the folders that are named, with the author from git', async () => {
    const cwd = temporaryFolder();
    writePairs({}, cwd);
    execFileSync('git', ['init', '--quiet'], { cwd });
    execFileSync('git', ['config', 'user.name', 'Grace "Amazing" Hopper'], { cwd });
    const folders = ['--migrations', 'migrations', '--rollbacks', 'rollbacks'];
    const { code, stdout } = await runCli(
      ['migrate', 'new', 'add', 'price', 'alerts', '--template', 'table', ...folders, '--json'],
      { cwd },
    );
    expect(code).toBe(0);
    const { migration, version, folderFlags } = JSON.parse(stdout);
    expect(folderFlags).toBe(` ${folders.join(' ')}`);
    expect(migration).toBe(join('migrations', `${version}_add_price_alerts.sql`));
    const text = readFileSync(join(cwd, migration), 'utf8');
    expect(text).toContain('-- Author: Grace "Amazing" Hopper\n');
    expect(text).toContain('CREATE TABLE price_alerts (');
  });
});

describe('without folders', () => {
  it('a call outside a checkout of this package is refused, and nothing is written', async () => {
    const cwd = temporaryFolder();
    writePairs({}, cwd);
    const { code, stdout } = await runCli(['migrate', 'new', 'add', 'coins', '--json'], { cwd });
    expect(code).toBe(2);
    expect(JSON.parse(stdout).error).toMatchObject({ code: 'bad-configuration' });
    expect(readdirSync(join(cwd, 'migrations'))).toEqual([]);
  });

  it('a call in a checkout of this package is for the packaged schema', async () => {
    const options = { description: 'add order', template: 'table', author: 'Ada' };
    const error = await errorOf('bad-configuration', () => create(options));
    expect(wordsOf(error)).toContain('"order" cannot be the name of a table');
  });
});

const descriptions: Readonly<Record<string, string>> = {
  migration: 'Change of "all" sorts; it\'s an example',
  table: 'add_price_alerts',
  hypertable: 'create order book hypertable',
  index: 'index users country',
  data: 'fill in time zones',
};

describe('templates', () => {
  it('are the templates that the command lists', () => {
    expect(templateNames()).toEqual(Object.keys(descriptions).sort());
  });

  it('run up, down and up again on the packaged schema', async () => {
    const database = await createMigratedDatabase();
    onTestFinished(database.drop);
    const folders = copySchema();
    const made: string[] = [];
    for (const [template, description] of Object.entries(descriptions)) {
      made.push((await write(folders, description, template)).version);
    }
    const options = { target: database.url, ...folders };
    const versionsOf = ({ steps }: migrate.RunResult) => steps.map(({ version }) => version);

    expect(versionsOf(await migrate.up(options)).slice(-made.length)).toEqual(made);
    expect(versionsOf(await migrate.down({ ...options, steps: made.length }))).toEqual(
      [...made].reverse(),
    );
    expect(versionsOf(await migrate.up(options))).toEqual(made);
    expect((await migrate.status(options)).isCurrent).toBe(true);
  });

  it('include a rollback of data that restores the changed rows, except rows that changed again', async () => {
    const database = await createScratchDatabase(inject('postgresUrl'));
    onTestFinished(database.drop);
    const { sql: db } = database;
    const folders = copySchema(['create_functions', 'create_users_table']);
    const { version } = await write(folders, 'fill in time zones', 'data');
    const options = { target: database.url, ...folders };
    const zones = async () => {
      const rows = await db`select timezone from users order by email`;
      return rows.map(({ timezone }) => timezone);
    };
    // A rollback would ask for --force in a database with users and without a mark.
    await migrate.up({ ...options, to: '20251007_120000', environment: 'test' });
    await db`
      insert into users (email, password_hash, timezone) values
        ('kept@example.com', '', 'Europe/Berlin'), ('filled@example.com', '', null),
        ('moved@example.com', '', null)`;

    await migrate.up({ ...options, to: version });
    expect(await zones()).toEqual(['UTC', 'Europe/Berlin', 'UTC']);
    await db`update users set timezone = 'Asia/Tokyo' where email like 'moved%'`;
    await migrate.down(options);
    expect(await zones()).toEqual([null, 'Europe/Berlin', 'Asia/Tokyo']);
  });

  const lacksPsql = spawnSync('psql', ['--version']).error !== undefined;
  const timescaleUrl = inject('timescaleUrl');
  const noPsql = lacksPsql ? ' (skipped: psql is not installed)' : '';
  const noServer = timescaleUrl ? '' : ' (skipped: no server with TimescaleDB)';

  /** Runs the files with psql in a database that has the table users. */
  async function runWithPsql(serverUrl: string, templates: readonly string[]): Promise<void> {
    const database = await createScratchDatabase(serverUrl);
    onTestFinished(database.drop);
    const psql = (...args: readonly string[]) =>
      execFileSync(
        'psql',
        ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', `--dbname=${database.url}`, ...args],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
    const base = copySchema(['create_functions', 'create_users_table']);
    for (const { up } of readMigrations(base)) psql(`--file=${join(base.migrations, up.name)}`);
    if (templates.includes('hypertable'))
      psql('--command=create extension if not exists timescaledb');
    for (const template of templates) {
      const { migration, rollback } = await write(base, descriptions[template] ?? '', template);
      for (const file of [migration, rollback, migration]) psql(`--file=${file}`);
    }
  }

  it.skipIf(noPsql !== '')(`except for the hypertable run with psql${noPsql}`, async () => {
    const plain = templateNames().filter((name) => name !== 'hypertable');
    await expect(runWithPsql(inject('postgresUrl'), plain)).resolves.toBeUndefined();
  });

  it.skipIf(noPsql !== '' || noServer !== '')(
    `including the hypertable run with psql${noPsql || noServer}`,
    async () => expect(runWithPsql(timescaleUrl ?? '', templateNames())).resolves.toBeUndefined(),
  );
});
