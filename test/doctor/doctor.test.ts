import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { examine } from '../../src/doctor/doctor.ts';
import { callCli } from '../support/cli.ts';
import {
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
} from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

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

  it('finds an invalid index, and a sequence that runs out', async () => {
    await database.withSql(async (sql) => {
      await sql.unsafe(`
        create table planted (id int generated always as identity, word text);
        insert into planted (word) values ('twice'), ('twice');
        select setval('planted_id_seq', 2000000000)`);
      const build = sql.unsafe('create unique index concurrently planted_word on planted (word)');
      await expect(build).rejects.toThrow('could not create unique index');
    });
    const found = await findings();
    expect(found.filter(({ severity }) => severity === 'critical')).toMatchObject([
      { rule: 'sequence-runs-out', message: expect.stringContaining('93 %') },
      { rule: 'invalid-index', hint: 'reindex index concurrently "public"."planted_word"' },
    ]);
    await database.withSql((sql) => sql.unsafe('drop table planted'));
  });

  it('finds a store without a backup of the database', async () => {
    const found = await findings({ store: { store: temporaryFolder() } });
    expect(found[0]).toMatchObject({ rule: 'backup-stale', severity: 'critical' });
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
      expect(unseen.map(({ topic }) => topic)).toEqual(['replication', 'sessions']);
      expect(unseen[0]?.remedy).toContain('pg_monitor');
    } finally {
      await role.drop();
    }
  });

  it('finds a schema in which every role may create', async () => {
    await database.sql.unsafe('grant create on schema public to public');
    const { findings } = await examine({ target: database.url, only: ['public-schema-open'] });
    expect(findings).toMatchObject([{ rule: 'public-schema-open', severity: 'warning' }]);
  });
});
