import { cpSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Sql } from 'postgres';
import { describe, expect, it, onTestFinished } from 'vitest';
import { migrate, seed, types } from '../../src/index.ts';
import { ledgerFormat } from '../../src/ledger/format.ts';
import { createScratchRole, type ScratchDatabase } from '../support/databases.ts';
import { codeOf } from '../support/errors.ts';
import { type Folders, fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { publicTables, recordedVersions, scratchDatabase } from '../support/recovery.ts';
import { writeSeeders } from '../support/seeding.ts';

/** The SQL that release 0.1 ran, rows that it left, and the two migrations that it applied. */
const old = fixture('ledger-0.1');

const withSeedTables = ['seed-runs.sql', 'seed-history.sql'];
const ledgers = [
  ['without its seed tables', []],
  ['with its seed tables', withSeedTables],
] as const;

/** A database as release 0.1 left it. */
async function oldDatabase(files: readonly string[]): Promise<ScratchDatabase> {
  const database = await scratchDatabase();
  await runFiles(database.sql, ['ledger.sql', 'history.sql', ...files]);
  return database;
}

async function runFiles(sql: Sql, files: readonly string[]): Promise<void> {
  for (const file of files) {
    await sql.unsafe(readFileSync(join(dirname(old.migrations), file), 'utf8'));
  }
}

/** The folders of the old release with a third migration. */
function nextRelease(): Folders {
  const root = temporaryFolder();
  cpSync(dirname(old.migrations), root, { recursive: true });
  const up = 'CREATE TABLE alerts (coin_id text REFERENCES coins);\n';
  return writePairs({ '20260103_000000_create_alerts': [up, 'DROP TABLE alerts;\n'] }, root);
}

/** A seeder that adds a coin with each run. */
function coinSeeder(): string {
  const insert = "await db.insertInto('coins').values({ id: String(now.getTime()) }).execute();";
  return writeSeeders({ dev: { '01_coins': insert } });
}

/** What the catalog says of schema cryptosense_db, one line for each fact. */
async function definitionOf(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ fact: string }[]>`
    with classes as (
      select * from pg_class where relnamespace = 'cryptosense_db'::regnamespace
    )
    select concat_ws(' ', relname, relkind, relpersistence, obj_description(oid, 'pg_class')) as fact
    from classes
    union all
    select concat_ws(' ', relname, attnum, attname, format_type(atttypid, atttypmod), attnotnull,
      attidentity, attcollation::regcollation, pg_get_expr(adbin, adrelid))
    from classes
      join pg_attribute on attrelid = classes.oid and attnum > 0
      left join pg_attrdef on adrelid = attrelid and adnum = attnum
    union all
    select concat_ws(' ', relname, conname, pg_get_constraintdef(c.oid))
    from classes join pg_constraint c on conrelid = classes.oid
    union all
    select pg_get_triggerdef(t.oid) from classes join pg_trigger t on tgrelid = classes.oid
    union all
    select pg_get_indexdef(oid) from classes where relkind = 'i'
    union all
    select pg_get_functiondef(oid) from pg_proc
    where pronamespace = 'cryptosense_db'::regnamespace
    union all
    select obj_description('cryptosense_db'::regnamespace, 'pg_namespace')
    union all
    select 'format ' || format from cryptosense_db.ledger
    order by 1`;
  return rows.map(({ fact }) => fact);
}

async function newDefinition(): Promise<readonly string[]> {
  const database = await scratchDatabase();
  await migrate.up({ target: database.url, ...old });
  return definitionOf(database.sql);
}

/** Every row of the ledger's tables that a run adds to, as `table row`, without columns that are NULL. */
async function rowsOf(sql: Sql): Promise<readonly string[]> {
  const tables = await sql<{ name: string }[]>`
    select tablename as name from pg_tables
    where schemaname = 'cryptosense_db' and tablename <> 'ledger' order by 1`;
  const rows = await Promise.all(
    tables.map(async ({ name }) => {
      const found = await sql<{ row: string }[]>`
        select jsonb_strip_nulls(to_jsonb(t))::text as row from ${sql(`cryptosense_db.${name}`)} t order by 1`;
      return found.map(({ row }) => `${name} ${row}`);
    }),
  );
  return rows.flat();
}

describe.each(ledgers)('a ledger of release 0.1 %s', (_which, files) => {
  it('is read by status and by types, and left unchanged', async () => {
    const { sql, url: target } = await oldDatabase(files);
    const before = [await definitionOf(sql), await rowsOf(sql)];
    expect(await migrate.status({ target, ...old })).toMatchObject({
      environment: 'dev',
      isCurrent: true,
      migrations: [
        { version: '20260101_000000', appliedAt: new Date('2026-10-01T08:00:00Z'), durationMs: 11 },
        { version: '20260102_000000', appliedAt: new Date('2026-10-02T08:00:00Z'), durationMs: 12 },
      ],
    });
    const file = join(temporaryFolder(), 'types.ts');
    expect(await types.generate({ target, ...old, file })).toMatchObject({ tables: 2 });
    expect([await definitionOf(sql), await rowsOf(sql)]).toEqual(before);
  });

  it('is upgraded in place by migrate up, and keeps its rows', async () => {
    const { sql, url: target } = await oldDatabase(files);
    const before = await rowsOf(sql);
    expect(await migrate.up({ target, ...nextRelease() })).toMatchObject({ applied: 3 });
    expect(await definitionOf(sql)).toEqual(await newDefinition());
    expect(await rowsOf(sql)).toEqual(expect.arrayContaining([...before]));
  });

  it('is upgraded in place by migrate down, and keeps its other rows', async () => {
    const { sql, url: target } = await oldDatabase(files);
    const before = await rowsOf(sql);
    expect(await migrate.down({ target, ...old })).toMatchObject({ applied: 1 });
    expect(await publicTables(sql)).toEqual(['coins']);
    expect(await definitionOf(sql)).toEqual(await newDefinition());
    const kept = before.filter((row) => !/^migrations .*20260102_000000/.test(row));
    expect(kept).toHaveLength(before.length - 1);
    expect(await rowsOf(sql)).toEqual(expect.arrayContaining(kept));
  });

  it('is upgraded in place by seed, and keeps its rows', async () => {
    const { sql, url: target } = await oldDatabase(files);
    const before = await rowsOf(sql);
    await seed.dev({ target, ...old, seeds: coinSeeder() });
    expect(await definitionOf(sql)).toEqual(await newDefinition());
    expect(await rowsOf(sql)).toEqual(expect.arrayContaining([...before]));
    expect(await rowsOf(sql)).toHaveLength(before.length + 1);
  });

  it('is left unchanged by a dry run', async () => {
    const { sql, url: target } = await oldDatabase(files);
    const before = [await definitionOf(sql), await rowsOf(sql)];
    await migrate.up({ target, ...nextRelease(), dryRun: true });
    await migrate.down({ target, ...old, dryRun: true });
    await seed.dev({ target, ...old, seeds: coinSeeder(), dryRun: true });
    expect([await definitionOf(sql), await rowsOf(sql)]).toEqual(before);
  });

  it('is left unchanged by a run without pending migrations', async () => {
    const { sql, url: target } = await oldDatabase(files);
    const before = [await definitionOf(sql), await rowsOf(sql)];
    expect(await migrate.up({ target, ...old })).toMatchObject({ steps: [], applied: 2 });
    expect([await definitionOf(sql), await rowsOf(sql)]).toEqual(before);
  });

  it('is upgraded once when several runs start together', async () => {
    const { sql, url: target } = await oldDatabase(files);
    const release = nextRelease();
    const runs = await Promise.all([1, 2, 3].map(() => migrate.up({ target, ...release })));
    expect(runs.map(({ applied }) => applied)).toEqual([3, 3, 3]);
    expect(runs.map(({ steps }) => steps.length).sort()).toEqual([0, 0, 1]);
    expect(await definitionOf(sql)).toEqual(await newDefinition());
  });

  it('is upgraded when its columns have the types of an earlier build', async () => {
    const { sql, url: target } = await oldDatabase([...files, 'earlier-columns.sql']);
    const before = await rowsOf(sql);
    const release = nextRelease();
    await migrate.up({ target, ...release, environment: 'dev' });
    await seed.dev({ target, ...release, seeds: coinSeeder() });
    expect(await rowsOf(sql)).toEqual(expect.arrayContaining([...before]));
    expect(await definitionOf(sql)).toContain(`format ${ledgerFormat}`);
  });
});

describe('a role that does not own a ledger of release 0.1', () => {
  /** It may read and write every table of the ledger, and create tables in schema public. */
  async function otherRole({ sql, url }: ScratchDatabase) {
    const role = await createScratchRole(url);
    onTestFinished(async () => {
      await sql.unsafe(`drop owned by ${role.name} cascade`);
      await role.drop();
    });
    await sql.unsafe(
      `grant usage on schema cryptosense_db to ${role.name};
       grant select, insert, update, delete on all tables in schema cryptosense_db to ${role.name};
       grant create on schema public to ${role.name};
       grant select, insert, references on all tables in schema public to ${role.name}`,
    );
    return { ...role, target: role.urlOf(url) };
  }

  it.each(ledgers)('is refused an upgrade %s, and nothing is changed', async (_which, files) => {
    const database = await oldDatabase(files);
    const { target, name } = await otherRole(database);
    const { sql } = database;
    const before = [await definitionOf(sql), await rowsOf(sql), await publicTables(sql)];
    for (const run of [
      () => migrate.up({ target, ...nextRelease() }),
      () => migrate.down({ target, ...old }),
      () => seed.dev({ target, ...old, seeds: coinSeeder() }),
    ]) {
      await expect(run()).rejects.toMatchObject({
        code: 'not-permitted',
        problems: [
          {
            message: `the role "${name}" may not change the ledger in "${database.name}", which has format 1 and needs format ${ledgerFormat}`,
            hint: 'run this command once as the role that owns the schema cryptosense_db',
          },
        ],
      });
    }
    expect([await definitionOf(sql), await rowsOf(sql), await publicTables(sql)]).toEqual(before);

    await migrate.up({ target: database.url, ...nextRelease() });
    expect(await codeOf(migrate.up({ target, ...nextRelease() }))).not.toBe('not-permitted');
  });

  it('keeps the seed tables that it made when the owner upgrades the ledger', async () => {
    const database = await oldDatabase([]);
    const { sql, url } = database;
    const { name } = await otherRole(database);
    await sql.unsafe(`grant create on schema cryptosense_db to ${name}`);
    const maker = await sql.reserve();
    await maker.unsafe(`set role ${name}`);
    await maker.unsafe(readFileSync(join(dirname(old.migrations), 'seed-runs.sql'), 'utf8'));
    await maker.unsafe('reset role');
    maker.release();
    const owner = await createScratchRole(url);
    onTestFinished(async () => {
      await sql.unsafe(`reassign owned by ${owner.name} to session_user`);
      await sql.unsafe(`drop owned by ${owner.name}`);
      await owner.drop();
    });
    await sql.unsafe(
      `alter schema cryptosense_db owner to ${owner.name};
       grant create on schema public to ${owner.name};
       alter table coins owner to ${owner.name}`,
    );
    for (const table of [
      'ledger',
      'migrations',
      'migration_log',
      'migration_journal',
      'environment',
    ]) {
      await sql.unsafe(`alter table cryptosense_db.${table} owner to ${owner.name}`);
    }
    await migrate.up({ target: owner.urlOf(url), ...nextRelease() });
    expect(await definitionOf(sql)).toEqual(await newDefinition());
    const owners = await sql`
      select tableowner as name from pg_tables where tablename = 'seed_runs'`;
    expect(owners).toEqual([{ name }]);
  });
});

describe('a ledger of a newer format', () => {
  it('is refused by every command that reads or writes it, and left unchanged', async () => {
    const { sql, url: target } = await oldDatabase(withSeedTables);
    await sql`update cryptosense_db.ledger set format = ${ledgerFormat + 1}`;
    const before = [await definitionOf(sql), await rowsOf(sql)];
    const file = join(temporaryFolder(), 'types.ts');
    const runs = [
      migrate.status({ target, ...old }),
      types.generate({ target, ...old, file }),
      migrate.up({ target, ...nextRelease() }),
      migrate.down({ target, ...old }),
      migrate.repair({ target, ...old }),
      seed.dev({ target, ...old, seeds: coinSeeder() }),
    ];
    for (const run of await Promise.allSettled(runs)) {
      expect(run).toMatchObject({
        status: 'rejected',
        reason: { code: 'ledger-newer', details: { format: ledgerFormat + 1 } },
      });
    }
    expect([await definitionOf(sql), await rowsOf(sql)]).toEqual(before);
  });
});

describe('a ledger that was restored without its rows', () => {
  it('has no history, and a run writes its format again', async () => {
    const { sql, url: target } = await scratchDatabase();
    await migrate.up({ target, ...old, steps: 1 });
    await migrate.down({ target, ...old });
    await sql`delete from cryptosense_db.ledger`;
    await migrate.up({ target, ...old });
    expect(await recordedVersions(sql)).toHaveLength(2);
    expect(await definitionOf(sql)).toContain(`format ${ledgerFormat}`);
  });
});
