import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import type { ScratchDatabase } from '../support/databases.ts';
import { type Folders, type Pairs, writePairs } from '../support/fixtures.ts';
import {
  expectAgreement,
  loggedEvents,
  publicTables,
  recordedVersions,
  scratchDatabase,
} from '../support/recovery.ts';

const [v1, v2, v3] = ['20260101_000100', '20260101_000200', '20260101_000300'] as const;
const one = pair(`${v1}_create_one`, 'one');
const two = pair(`${v2}_create_two`, 'two');
const three = pair(`${v3}_create_three`, 'three');
const all = { ...one, ...two, ...three };

function pair(name: string, table: string): Pairs {
  return { [name]: [`CREATE TABLE ${table} (id integer);\n`, `DROP TABLE ${table};\n`] };
}

/** A database with these migrations applied, and their folders. */
async function applied(pairs: Pairs) {
  const database = await scratchDatabase();
  const folders = writePairs(pairs);
  await migrate.up({ target: database.url, ...folders });
  return { ...database, ...folders, target: database.url };
}

async function statesOf({ url }: ScratchDatabase, folders: Folders) {
  const { migrations } = await migrate.status({ target: url, ...folders });
  return Object.fromEntries(migrations.map(({ version, state }) => [version, state]));
}

const mismatch = (...versions: readonly string[]) => ({
  code: 'history-mismatch',
  details: { versions },
});

describe('the older of two migrations from merged branches', () => {
  it('is out of order, and is refused until the run allows it', async () => {
    const base = await applied({ ...one, ...three });
    const folders = writePairs(all);
    const options = { target: base.url, ...folders };
    expect(await statesOf(base, folders)).toEqual({
      [v1]: 'applied',
      [v2]: 'out of order',
      [v3]: 'applied',
    });
    await expect(migrate.up(options)).rejects.toMatchObject(mismatch(v2));
    expect(await publicTables(base.sql)).toEqual(['one', 'three']);
    await migrate.up({ ...options, allowOutOfOrder: true });
    expect(await statesOf(base, folders)).toEqual({
      [v1]: 'applied',
      [v2]: 'applied',
      [v3]: 'applied',
    });
    await expectAgreement(base.sql, folders);
  });
});

describe('an applied file', () => {
  it('is refused after an edit until the file is restored or its new text is recorded', async () => {
    const base = await applied({ ...one, ...two });
    const folders = writePairs({
      ...all,
      [`${v2}_create_two`]: ['CREATE TABLE two ();\n', 'DROP TABLE two;\n'],
    });
    const options = { target: base.url, ...folders };
    expect(await statesOf(base, folders)).toMatchObject({ [v2]: 'changed', [v3]: 'pending' });
    for (const run of [migrate.up, migrate.down]) {
      await expect(run(options)).rejects.toMatchObject(mismatch(v2));
    }
    expect(await recordedVersions(base.sql)).toEqual([v1, v2]);
    await migrate.up({ target: base.url, ...writePairs(all), steps: 1 });
    expect(await migrate.repair(options)).toMatchObject({
      repaired: [{ version: v2 }],
      forgotten: [],
      toRepeat: [],
      finished: [],
    });
    expect(await migrate.up(options)).toMatchObject({ steps: [], applied: 3 });
    expect(await loggedEvents(base.sql)).toContain(`repair ${v2}`);
    await expectAgreement(base.sql, folders);
  });

  it('is rolled back as recorded and applied from the edited file by redo of the newest migration', async () => {
    const base = await applied({ ...one, ...two });
    const folders = writePairs({
      ...one,
      [`${v2}_create_two`]: ['CREATE TABLE zwei ();\n', 'DROP TABLE zwei;\n'],
    });
    expect(await migrate.redo({ target: base.url, ...folders })).toMatchObject({
      steps: [
        { direction: 'down', version: v2 },
        { direction: 'up', version: v2 },
      ],
      applied: 2,
    });
    await expectAgreement(base.sql, folders);
    expect(await publicTables(base.sql)).toEqual(['one', 'zwei']);
    await migrate.down({ target: base.url, ...folders });
    await expectAgreement(base.sql, folders);
  });

  it('stays rolled back after a redo when its edited text fails, and the error names it', async () => {
    const base = await applied(all);
    const folders = writePairs({
      ...one,
      ...three,
      [`${v2}_create_two`]: ['SELECT 1 / 0;\n', 'SELECT 1;\n'],
    });
    const run = migrate.redo({ target: base.url, ...folders, steps: 3 });
    await expect(run).rejects.toMatchObject({
      code: 'migration-failed',
      details: { version: v2, direction: 'up', sqlState: '22012', completed: [v1] },
      problems: [
        {},
        {
          message: `rolled back and not applied again: ${v3}, ${v2}`,
          hint: expect.stringContaining('migrate up'),
        },
      ],
    });
    expect(await publicTables(base.sql)).toEqual(['one']);
    expect(await recordedVersions(base.sql)).toEqual([v1]);
  });

  it('is rolled back from the edited rollback after a repair', async () => {
    const base = await applied({ ...one, ...two });
    const folders = writePairs({
      ...one,
      [`${v2}_create_two`]: ['CREATE TABLE two (id integer);\n', 'SELECT 1; DROP TABLE two;\n'],
    });
    const options = { target: base.url, ...folders };
    await expect(migrate.down(options)).rejects.toMatchObject(mismatch(v2));
    await migrate.repair({ ...options, versions: [v2] });
    await migrate.down(options);
    expect(await recordedVersions(base.sql)).toEqual([v1]);
  });

  it('is rolled back from the recorded text when the folder lacks it, as in an older release', async () => {
    const base = await applied(all);
    const folders = writePairs(one);
    const options = { target: base.url, ...folders };
    expect(await statesOf(base, folders)).toMatchObject({ [v2]: 'missing', [v3]: 'missing' });
    await expect(migrate.up(options)).rejects.toMatchObject(mismatch(v2, v3));
    await expect(migrate.redo(options)).rejects.toMatchObject(mismatch(v3));
    const result = await migrate.down({ ...options, to: v1 });
    expect(result.steps.map(({ version }) => version)).toEqual([v3, v2]);
    expect(await publicTables(base.sql)).toEqual(['one']);
    expect(await migrate.up(options)).toMatchObject({ steps: [], applied: 1, pending: [] });
  });

  it('is removed from the history by forget after its deletion, and its tables stay', async () => {
    const base = await applied({ ...one, ...two });
    const options = { target: base.url, ...writePairs(one) };
    await expect(migrate.repair({ ...options, versions: [v2] })).rejects.toMatchObject(
      mismatch(v2),
    );
    expect(await migrate.repair({ ...options, forget: [v2] })).toEqual({
      repaired: [],
      forgotten: [v2],
      toRepeat: [],
      finished: [],
    });
    expect(await migrate.up(options)).toMatchObject({ applied: 1, pending: [] });
    expect(await publicTables(base.sql)).toEqual(['one', 'two']);
  });

  it('is the only migration that forget removes from the history', async () => {
    const base = await applied(all);
    const options = {
      target: base.url,
      ...writePairs({ [`${v1}_create_one`]: ['CREATE TABLE one ();\n', 'DROP TABLE one;\n'] }),
    };
    for (const version of [v2, v3]) {
      expect(await migrate.repair({ ...options, forget: [version] })).toEqual({
        repaired: [],
        forgotten: [version],
        toRepeat: [],
        finished: [],
      });
    }
    expect(await statesOf(base, options)).toEqual({ [v1]: 'changed' });
    expect((await loggedEvents(base.sql)).slice(3)).toEqual([`forget ${v2}`, `forget ${v3}`]);
  });

  it('is refused after a change of its name until the new name is recorded', async () => {
    const base = await applied({ ...one, ...two });
    const folders = writePairs({ ...one, ...pair(`${v2}_create_table_two`, 'two') });
    const options = { target: base.url, ...folders };
    await expect(migrate.up(options)).rejects.toMatchObject(mismatch(v2));
    await migrate.repair(options);
    expect(await migrate.up(options)).toMatchObject({ steps: [], applied: 2 });
  });

  it('is refused after a change of its stamp until the stamp is recorded, and does not run twice', async () => {
    const base = await applied({ ...one, ...two });
    const folders = writePairs({ ...one, ...pair(`${v3}_create_two`, 'two') });
    const options = { target: base.url, ...folders };
    expect(await statesOf(base, folders)).toEqual({
      [v1]: 'applied',
      [v2]: 'missing',
      [v3]: 'pending',
    });
    await expect(migrate.up(options)).rejects.toMatchObject(mismatch(v2));
    await migrate.repair(options);
    expect(await recordedVersions(base.sql)).toEqual([v1, v3]);
    expect(await migrate.up(options)).toMatchObject({ steps: [], applied: 2 });
    await migrate.down(options);
    await expectAgreement(base.sql, folders);
  });
});

describe('a rollback', () => {
  it('makes the folder faulty when only its file is missing, and runs from the history when both files are missing', async () => {
    const base = await applied({ ...one, ...two });
    const rollback = join(base.rollbacks, `${v2}_create_two_rollback.sql`);
    rmSync(rollback);
    await expect(migrate.down(base)).rejects.toMatchObject({ code: 'faulty-folder' });
    expect(await recordedVersions(base.sql)).toEqual([v1, v2]);
    rmSync(join(base.migrations, `${v2}_create_two.sql`));
    await migrate.down(base);
    expect(await publicTables(base.sql)).toEqual(['one']);
  });

  it('is refused before any other rollback runs when it is irreversible', async () => {
    const forGood = {
      [`${v2}_create_two`]: ['CREATE TABLE two ();\n', '-- Irreversible: two is for good\n'],
    } as const;
    const base = await applied({ ...one, ...forGood, ...three });
    await expect(migrate.down({ ...base, all: true })).rejects.toMatchObject({
      code: 'faulty-statements',
      details: { findings: [{ rule: 'irreversible', reason: 'two is for good' }] },
    });
    expect(await recordedVersions(base.sql)).toEqual([v1, v2, v3]);
    await migrate.down(base);
    expect(await recordedVersions(base.sql)).toEqual([v1, v2]);
  });
});

describe('migrate down', () => {
  it.each([
    { extent: {}, left: [v1, v2] },
    { extent: { steps: 2 }, left: [v1] },
    { extent: { steps: 9 }, left: [] },
    { extent: { to: v2 }, left: [v1, v2] },
    { extent: { to: v3 }, left: [v1, v2, v3] },
    { extent: { all: true }, left: [] },
    { extent: { all: true, dryRun: true }, left: [v1, v2, v3] },
  ])('leaves the migrations $left with the options $extent', async ({ extent, left }) => {
    const base = await applied(all);
    await migrate.down({ ...base, ...extent });
    expect(await recordedVersions(base.sql)).toEqual(left);
    await expectAgreement(base.sql, base);
  });

  it('stops at the rollback that fails, and names the migrations that it rolled back', async () => {
    const stuck = {
      [`${v2}_create_two`]: ['CREATE TABLE two ();\n', 'DROP TABLE two; SELECT 1 / 0;\n'],
    } as const;
    const base = await applied({ ...one, ...stuck, ...three });
    await expect(migrate.down({ ...base, all: true })).rejects.toMatchObject({
      code: 'migration-failed',
      details: { version: v2, direction: 'down', completed: [v3], pending: [v1] },
    });
    expect(await publicTables(base.sql)).toEqual(['one', 'two']);
    expect(await recordedVersions(base.sql)).toEqual([v1, v2]);
  });
});

describe('the history', () => {
  it('starts with a baseline for a schema that was made by hand, and the baseline runs no file', async () => {
    const database = await scratchDatabase();
    await database.sql`create table one (id integer)`;
    await database.sql`create table two (id integer)`;
    const options = { target: database.url, ...writePairs(all) };
    const { recorded } = await migrate.baseline({ ...options, version: v2 });
    expect(recorded.map(({ version }) => version)).toEqual([v1, v2]);
    await expect(migrate.baseline({ ...options, version: v2 })).rejects.toMatchObject(
      mismatch(v1, v2),
    );
    expect(await migrate.up(options)).toMatchObject({ steps: [{ version: v3 }], applied: 3 });
    await migrate.down({ ...options, all: true });
    expect(await publicTables(database.sql)).toEqual([]);
    expect(await loggedEvents(database.sql)).toEqual([
      `baseline ${v1}`,
      `baseline ${v2}`,
      `apply ${v3}`,
      `rollback ${v3}`,
      `rollback ${v2}`,
      `rollback ${v1}`,
    ]);
  });

  it('refuses updates and deletes in its log', async () => {
    const { sql } = await applied(one);
    for (const change of [
      `update cryptosense_db.migration_log set version = ''`,
      'delete from cryptosense_db.migration_log',
      'truncate cryptosense_db.migration_log',
    ]) {
      await expect(sql.unsafe(change)).rejects.toMatchObject({
        message: 'cryptosense_db.migration_log is append-only',
      });
    }
    expect(await loggedEvents(sql)).toEqual([`apply ${v1}`]);
  });

  it.each(['German', 'SQL, DMY'])(
    'has the correct dates in a database with datestyle %s',
    async (style) => {
      const base = await applied(one);
      await base.sql`update cryptosense_db.migrations set applied_at = '2026-03-04 05:06:07.089Z'`;
      await base.sql.unsafe(`alter database ${base.name} set datestyle = ${style}`);
      const folders = writePairs({
        ...two,
        [`${v1}_create_one`]: ['CREATE TABLE one ();\n', 'DROP TABLE one;\n'],
      });
      const options = { target: base.url, ...folders };
      expect((await migrate.status(options)).migrations).toMatchObject([
        { version: v1, state: 'changed', appliedAt: new Date('2026-03-04T05:06:07.089Z') },
        { version: v2, state: 'pending' },
      ]);
      await expect(migrate.up(options)).rejects.toMatchObject({
        ...mismatch(v1),
        problems: [
          {
            evidence: expect.arrayContaining([expect.stringContaining('2026-03-04 05:06 UTC')]),
          },
        ],
      });
      await migrate.repair(options);
      expect(await migrate.up(options)).toMatchObject({ applied: 2 });
    },
  );

  it('records the role, the time, the duration and the release of each migration', async () => {
    const { sql } = await applied(one);
    const [user] = await sql`select session_user as name`;
    expect(await sql`select * from cryptosense_db.migrations`).toEqual([
      {
        version: v1,
        description: 'create_one',
        checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
        rollback_sql: 'DROP TABLE one;\n',
        rollback_checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
        applied_by: user?.name,
        applied_at: expect.any(Date),
        duration_ms: expect.any(Number),
        tool_version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        search_path: 'public',
      },
    ]);
  });
});
