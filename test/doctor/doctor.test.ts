import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { examine } from '../../src/doctor/doctor.ts';
import { callCli } from '../support/cli.ts';
import {
  connect,
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
} from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { copySavedEngine } from '../support/saved-engines.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

const timescaleUrl = inject('timescaleUrl');

/** Rules about the server and its settings, which a test does not choose. */
const ofTheServer = [
  'background-workers',
  'no-scheduler',
  'fsync-off',
  'full-page-writes-off',
  'idle-in-transaction-timeout',
  'random-page-cost',
  'data-checksums-off',
  'shared-buffers',
  'powerful-roles',
  'end-of-life',
  'transaction-ids',
  'old-transaction',
  'connections-run-out',
];

describe('the doctor in a database with the packaged schema', () => {
  let database: TimescaleDatabase;
  beforeAll(async () => {
    database = await createMigratedDatabase();
  });
  afterAll(() => database?.drop());

  const findings = async (options: { readonly store?: { readonly store: string } } = {}) => {
    const examined = await examine({ target: database.url, ...options });
    expect(examined.unseen).toEqual([]);
    return examined.findings.filter(({ rule }) => !ofTheServer.includes(rule));
  };

  it('finds nothing but missing comments, and on a server the jobs that test databases pause', async () => {
    const rules = (await findings()).map(({ rule }) => rule);
    const paused = database.engine === 'server' ? ['job-paused'] : [];
    expect([...new Set(rules)].sort()).toEqual([...paused, 'no-comments']);
  });

  it('finds a store without a backup of the database', async () => {
    const found = await findings({ store: { store: temporaryFolder() } });
    expect(found[0]).toMatchObject({ rule: 'backup-stale', severity: 'critical' });
  });

  it('finds a store that cannot be read, and judges by all other rules', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    const found = await findings({ store: { store: file } });
    expect(found.find(({ rule }) => rule === 'backup-stale')).toMatchObject({
      severity: 'warning',
      message: expect.stringContaining('whether there is a backup is not known'),
    });
    expect(found.map(({ rule }) => rule)).toContain('no-comments');
  });

  it('says what the sequence of a column has left, also by its DEFAULT and downwards', async () => {
    const run = (text: string) => database.withSql((sql) => sql.unsafe(text));
    const judge = () => examine({ target: database.url, only: ['sequence-runs-out'] });
    await run(`
      create schema "Odd";
      create sequence shared; select setval('shared', 2100000000);
      create table "Odd"."Orders" ("Id" int default nextval('shared'), other bigint default nextval('shared'));
      create sequence downwards increment -1 minvalue -100 maxvalue -1; select setval('downwards', -95);
      create sequence round maxvalue 100 cycle; select setval('round', 99)`);
    const { findings: found } = await judge();
    expect(found.map(({ message }) => message.split(' of its numbers')[0])).toEqual([
      'public.downwards has given 95 %',
      'public.shared has given 98 %',
    ]);
    // What it says can be run without a change.
    for (const { hint } of found) await run(hint.replace(/^.*?: /, ''));
    expect((await judge()).sound).toEqual(['sequence-runs-out']);
    await run('drop schema "Odd" cascade; drop sequence shared, downwards, round');
  });

  it('finds a changed history', async () => {
    await database.withSql(
      (sql) => sql`update cryptosense_db.migrations set checksum = repeat('0', 64) where version = (
        select max(version) from cryptosense_db.migrations)`,
    );
    expect((await findings())[0]).toMatchObject({ rule: 'history-mismatch' });
  });

  it('judges by the rules that are named, and refuses an unknown one', async () => {
    const { findings: found, sound } = await examine({
      target: database.url,
      only: ['history-mismatch', 'sequence-runs-out'],
    });
    expect(found.map(({ rule }) => rule)).toEqual(['history-mismatch']);
    expect(sound).toEqual(['sequence-runs-out']);
    await expect(examine({ target: database.url, only: ['nope'] })).rejects.toMatchObject({
      code: 'bad-configuration',
    });
  });

  it('leaves out the rules that are excepted, and refuses an unknown one', async () => {
    const { findings: found, sound } = await examine({
      target: database.url,
      except: ['history-mismatch'],
    });
    expect([...found.map(({ rule }) => rule), ...sound]).not.toContain('history-mismatch');
    expect(sound).toContain('migrations-pending');
    await expect(examine({ target: database.url, except: ['nope'] })).rejects.toMatchObject({
      code: 'bad-configuration',
    });
  });

  it.skipIf(!timescaleUrl)(
    `tells a role with pg_monitor what it cannot see, without a false alarm${timescaleUrl ? '' : ' (skipped: it needs a server with TimescaleDB)'}`,
    async () => {
      const role = await createScratchRole(timescaleUrl ?? '');
      try {
        await database.withSql(async (sql) => {
          await sql.unsafe(`grant pg_monitor to ${role.name}`);
          await sql.unsafe(`
            create procedure fails(job_id int, config jsonb) language plpgsql
              as $$ begin raise exception 'planted'; end $$;
            select add_job('fails', '1 hour');
            update _timescaledb_internal.bgw_job_stat set last_run_success = false, consecutive_failures = 2`);
        });
        const { findings: found, unseen } = await examine({ target: role.urlOf(database.url) });
        expect(
          found.filter(({ rule }) => rule === 'job-fails').map((each) => each.severity),
        ).not.toContain('critical');
        const hidden = unseen.flatMap(({ rules }) => rules);
        expect(hidden).toEqual(
          expect.arrayContaining([
            ...['sequence-runs-out', 'md5-passwords', 'import-left-policy-paused'],
            ...['migrations-pending', 'history-mismatch'],
          ]),
        );
        expect(hidden).not.toContain('old-transaction');
      } finally {
        await database.withSql((sql) => sql.unsafe('drop procedure fails(int, jsonb)'));
        await role.drop();
      }
    },
  );

  it('ends with exit code 1 under --check when a finding is more than a note', async () => {
    const of = (rule: string) =>
      callCli(['doctor', '--check', '--only', rule, '--url', database.url]);
    expect(await of('no-comments')).toMatchObject({ code: 0 });
    const { code, stdout } = await of('history-mismatch');
    expect(code).toBe(1);
    expect(stdout).toContain('why: docs/doctor.md#history-mismatch');
  });
});

describe('the doctor in an empty database of PostgreSQL', () => {
  let database: ScratchDatabase;
  beforeAll(async () => {
    database = await createScratchDatabase(inject('postgresUrl'));
  });
  afterAll(() => database?.drop());

  it('says which rules need TimescaleDB or a store', async () => {
    const { notApplicable, findings } = await examine({
      target: database.url,
      only: ['job-fails', 'timescaledb-license', 'backup-stale', 'migrations-pending'],
    });
    expect(notApplicable).toEqual(['timescaledb-license', 'job-fails', 'backup-stale']);
    expect(findings.map(({ rule }) => rule)).toEqual(['migrations-pending']);
  });

  it('lists what a role without pg_monitor cannot see', async () => {
    const role = await createScratchRole(inject('postgresUrl'));
    try {
      const { unseen } = await examine({ target: role.urlOf(database.url) });
      expect(unseen.map(({ topic }) => topic)).toEqual(['replication', 'sessions', 'roles']);
      expect(unseen[0]?.remedy).toBe(`grant pg_monitor to "${role.name}"`);
    } finally {
      await role.drop();
    }
  });

  it('says nothing of an index that a session builds, also to a role that does not see which one', async () => {
    const role = await createScratchRole(inject('postgresUrl'));
    const holder = connect(database.url, 1);
    const builder = connect(database.url, 1);
    try {
      await database.sql.unsafe('create table built as select 1 as id');
      await holder.unsafe('begin; select from built');
      await holder.unsafe('lock table built in row exclusive mode');
      const build = builder.unsafe('create index concurrently built_id on built (id)').execute();
      const isStarted = () =>
        database.sql`select from pg_index where indexrelid = to_regclass('built_id') and not indisvalid`;
      await expect.poll(async () => (await isStarted()).length).toBe(1);
      for (const target of [database.url, role.urlOf(database.url)]) {
        const { sound } = await examine({ target, only: ['invalid-index'] });
        expect(sound).toEqual(['invalid-index']);
      }
      await holder.unsafe('rollback');
      await build;
    } finally {
      await holder.end({ timeout: 1 });
      await builder.end({ timeout: 1 });
      await role.drop();
    }
  });
});

describe('the doctor on the embedded engine', () => {
  it('finds nothing but missing comments in a database that was just migrated', async () => {
    const folder = await copySavedEngine('migrated');
    const { findings, notApplicable } = await examine({ target: `embedded:${folder}` });
    rmSync(dirname(folder), { recursive: true });
    expect(findings.map(({ rule }) => rule)).toEqual(['no-comments']);
    expect(notApplicable).toEqual(expect.arrayContaining(['fsync-off', 'random-page-cost']));
  });
});
