import { randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { restore } from '../../src/backup/restore.ts';
import { verify } from '../../src/backup/verify.ts';
import { drop } from '../../src/databases/lifecycle.ts';
import {
  ageKeys,
  attemptsOf,
  connectTo,
  dropRestored,
  hasPgDump,
  pgDumpMissing,
  restoredName,
} from '../support/backup.ts';
import { callCli, startCli } from '../support/cli.ts';
import {
  createScratchDatabase,
  createScratchRole,
  databaseUrl,
  type ScratchDatabase,
} from '../support/databases.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase, until } from '../support/recovery.ts';
import { hasSmallDisk, smallDisk, smallDiskNote } from '../support/small-disk.ts';
import { rounds } from '../support/soak.ts';

const rows = 60_000;
let database: ScratchDatabase;

beforeAll(async () => {
  if (!hasPgDump) return;
  database = await createScratchDatabase(inject('postgresUrl'));
  await database.sql.unsafe(`
    create table readings as
    select n, md5(n::text) || md5((n + 1)::text) as text from generate_series(1, ${rows}) n`);
});
afterAll(() => database?.drop());

function emptyStore(): string {
  const folder = join(temporaryFolder(), 'backups');
  mkdirSync(folder);
  return folder;
}

const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);

describe.skipIf(!hasPgDump)(`a backup that fails${pgDumpMissing}`, () => {
  it.each([0, 0.2])('leaves nothing when pg_dump is killed after %d s', async (seconds) => {
    const store = emptyStore();
    let hasEnded = false;
    const ended = create({ target: database.url, store })
      .catch((error: unknown) => error)
      .finally(() => {
        hasEnded = true;
      });
    await until('pg_dump, or the end', async () => {
      const killed = await database.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'cryptosense-db pg_dump'
          and clock_timestamp() - backend_start > make_interval(secs => ${seconds})`;
      return killed.length > 0 || hasEnded;
    });
    const outcome = await ended;
    if (seconds > 0 && !(outcome instanceof Error)) {
      return expect(filesOf(store)).toEqual(['dump', 'manifest.json']);
    }
    expect(outcome).toMatchObject({ code: 'program-failed' });
    expect(filesOf(store)).toEqual([]);
  });

  it('leaves nothing when the store cannot be written', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    await expect(create({ target: database.url, store: join(file, 'in') })).rejects.toMatchObject({
      code: 'store-failed',
    });
  });

  it.skipIf(!hasSmallDisk)(
    `leaves nothing when the disk of the store gets full${smallDiskNote}`,
    async () => {
      const disk = smallDisk({ bytes: 1024 * 1024 });
      const store = join(disk, 'backups');
      const { code, stdout, stderr } = await callCli([
        ...['backup', 'create', '--store', store, '--url', database.url],
      ]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(
        /ENOSPC[\s\S]*hint: make room on its disk: cryptosense-db backup prune/,
      );
      expect(filesOf(disk)).toEqual([]);
    },
  );

  it('leaves no manifest when the dump is removed before the manifest is written', async () => {
    const store = emptyStore();
    const removed: string[] = [];
    const watch = () => {
      for (const file of readdirSync(store, { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('/dump')) continue;
        rmSync(join(store, file));
        removed.push(file);
      }
      if (removed.length === 0) setImmediate(watch);
    };
    watch();
    await expect(create({ target: database.url, store })).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringContaining('was removed'),
    });
    expect(removed).toHaveLength(1);
    expect(filesOf(store)).toEqual([]);
  });

  it('leaves nothing when a table cannot be read', async () => {
    const store = emptyStore();
    const name = `cryptosense_scratch_${randomBytes(6).toString('hex')}`;
    await database.sql.unsafe(
      `create role ${name} login password 'x'; grant connect on database ${database.name} to ${name}`,
    );
    onTestFinished(async () => {
      await database.sql.unsafe(`drop owned by ${name}; drop role ${name}`);
    });
    const url = new URL(database.url);
    url.username = name;
    url.password = 'x';
    await expect(create({ target: url.href, store })).rejects.toThrow(/permission denied/);
    expect(filesOf(store)).toEqual([]);
  });

  it('leaves no half of a backup when it is interrupted at any moment', {
    timeout: 600_000,
  }, async () => {
    const moments = rounds(3);
    const role = await createScratchRole(database.url);
    await database.sql.unsafe(`grant pg_read_all_data to ${role.name}`);
    onTestFinished(role.drop);
    let interrupted = 0;
    for (let moment = 0; moment < moments; moment += 1) {
      const store = emptyStore();
      const run = startCli([
        'backup',
        'create',
        '--store',
        store,
        '--url',
        role.urlOf(database.url),
      ]);
      onTestFinished(() => void run.process.kill('SIGKILL'));
      await new Promise((resolve) => setTimeout(resolve, 150 + (moment * 1_500) / moments));
      run.process.kill('SIGINT');
      const { code, stdout, stderr } = await run.finished;
      const files = filesOf(store);
      // null: before the program listens to signals, or at its end. A backup that was finished stays.
      expect(files.length === 0 ? [130, null] : [0, 130, null]).toContain(code);
      if (files.length === 0) {
        interrupted += 1;
        if (code === 130) expect(stderr).toContain('no backup was left');
      } else {
        expect(await verify({ store, id: 'latest' })).toMatchObject({ database: database.name });
      }
      expect(stdout + stderr).not.toContain(role.password);
    }
    expect(interrupted).toBeGreaterThan(0);
  });
});

describe.skipIf(!hasPgDump)(`a restore that fails${pgDumpMissing}`, () => {
  let whole = '';
  let id = '';

  beforeAll(async () => {
    if (!hasPgDump) return;
    whole = mkdtempSync(join(tmpdir(), 'backup-'));
    ({ id } = await create({ target: database.url, store: whole }));
  });
  afterAll(() => whole && rmSync(whole, { recursive: true, force: true }));

  /** A copy of the backup, which a test can change. */
  function backedUp() {
    const store = emptyStore();
    cpSync(whole, store, { recursive: true });
    const folder = join(store, database.name, id);
    const dump = join(folder, 'dump');
    const change = (file: string, edit: (bytes: Buffer) => Buffer | string) =>
      writeFileSync(file, edit(readFileSync(file)));
    const manifest = join(folder, 'manifest.json');
    return { store, dump, manifest, change };
  }

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['cut off', (bytes) => bytes.subarray(0, bytes.length - 1_000)],
    [
      'changed in one byte',
      (bytes) => {
        const at = Math.floor(bytes.length / 2);
        return Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from([(bytes[at] ?? 0) ^ 1]),
          bytes.subarray(at + 1),
        ]);
      },
    ],
  ])('names an archive that is %s, and leaves no database', async (_, edit) => {
    const { store, dump, change } = backedUp();
    change(dump, edit);
    const into = restoredName(database.sql);
    await expect(verify({ store, id: 'latest' })).rejects.toMatchObject({ code: 'backup-damaged' });
    await expect(
      restore({ target: database.url, store, id: 'latest', into }),
    ).rejects.toMatchObject({
      code: 'backup-damaged',
    });
    expect(await database.sql`select from pg_database where datname = ${into}`).toEqual([]);
    expect(await attemptsOf(database.sql, into)).toEqual([]);
  });

  it('names a wrong key, and one that is missing', async () => {
    const { recipient, identityFile } = await ageKeys();
    const other = await ageKeys();
    const store = emptyStore();
    await create({ target: database.url, store, recipients: [recipient] });
    const options = { target: database.url, store, id: 'latest' };
    const into = restoredName(database.sql);
    await expect(restore({ ...options, into })).rejects.toMatchObject({ code: 'backup-locked' });
    await expect(
      restore({ ...options, into, identityFile: other.identityFile }),
    ).rejects.toMatchObject({ code: 'backup-locked' });
    expect(await attemptsOf(database.sql, into)).toEqual([]);
    expect(await restore({ ...options, into, identityFile })).toMatchObject({ database: into });
    await expect(restore({ ...options, into, identityFile })).rejects.toMatchObject({
      code: 'database-exists',
    });
  });

  it.each<
    [
      string,
      (manifest: {
        roles: string[];
        versions: { postgresql: string; timescaledb: string | null };
      }) => void,
      RegExp,
    ]
  >([
    [
      'a role that is missing',
      ({ roles }) => roles.push('nobody_of_that_name'),
      /lacks a role of the backup: nobody_of_that_name/,
    ],
    [
      'another major version',
      ({ versions }) => {
        versions.postgresql = '14.9';
      },
      /backup is of PostgreSQL 14\.9/,
    ],
    [
      'a version of TimescaleDB that the server lacks',
      ({ versions }) => {
        versions.timescaledb = '1.2.3';
      },
      /backup has TimescaleDB 1\.2\.3/,
    ],
  ])('names %s, before anything is created', async (_, edit, message) => {
    const { store, manifest, change } = backedUp();
    change(manifest, (bytes) => {
      const document = JSON.parse(bytes.toString());
      edit(document);
      return JSON.stringify(document);
    });
    const into = restoredName(database.sql);
    await expect(
      restore({ target: database.url, store, id: 'latest', into }),
    ).rejects.toMatchObject({
      code: 'server-unsuitable',
      message: expect.stringMatching(message),
    });
    expect(await attemptsOf(database.sql, into)).toEqual([]);
  });

  it('names each table that differs, and keeps the copy only when it is asked to', async () => {
    const { store, manifest, change } = backedUp();
    change(manifest, (bytes) => bytes.toString().replace(`"rows": ${rows}`, `"rows": ${rows + 1}`));
    const into = restoredName(database.sql);
    const options = { target: database.url, store, id: 'latest', into };
    const differs = {
      code: 'restore-differs',
      details: {
        differences: [`table public.readings: rows ${rows + 1} in the backup, ${rows} restored`],
      },
    };
    await expect(restore(options)).rejects.toMatchObject(differs);
    expect(await attemptsOf(database.sql, into)).toEqual([]);
    const error = await errorOf('restore-differs', () => restore({ ...options, keep: true }));
    const [kept = ''] = await attemptsOf(database.sql, into);
    onTestFinished(() => dropRestored(database.sql, kept));
    expect(error.details).toMatchObject({ leftDatabase: kept });
    expect(wordsOf(error)).toContain(`the database "${kept}" is left behind`);
    // It is a template, which PostgreSQL does not drop.
    const target = databaseUrl(database.url, kept);
    await expect(drop({ target })).rejects.toMatchObject({ code: 'environment-refused' });
    expect(await drop({ target, force: kept })).toMatchObject({ isDropped: true });
    expect(await attemptsOf(database.sql, into)).toEqual([]);
  });

  it.skipIf(!hasSmallDisk)(
    `leaves no database when the disk of the server gets full${smallDiskNote}`,
    async ({ skip }) => {
      const [{ folder }] = await database.sql<[{ folder: string }]>`
        select current_setting('data_directory') as folder`;
      if (!existsSync(folder)) return skip('the server is on another machine');
      // Room for the table, and not for a second one.
      const [{ bytes }] = await database.sql<[{ bytes: number }]>`
        select pg_relation_size('readings')::int as bytes`;
      const disk = smallDisk({ bytes: bytes * 1.5, uid: statSync(folder).uid });
      const { url, sql, name } = await scratchDatabase();
      await sql.unsafe(`create tablespace ${name} location '${disk}'`);
      onTestFinished(async () => {
        await sql`drop table if exists readings`;
        await sql.unsafe(`drop tablespace ${name}`);
      });
      await sql.unsafe(
        `create table readings tablespace ${name} as select n, repeat(md5(n::text), 2) as text from generate_series(1, ${rows}) n`,
      );
      const store = emptyStore();
      await create({ target: url, store });
      const into = restoredName(sql);
      const { code, stdout, stderr } = await callCli([
        ...['backup', 'restore', 'latest', '--into', into, '--store', store, '--url', url],
      ]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(
        /pg_restore ended with exit code 1[\s\S]*(No space left|Check free disk space)/,
      );
      expect(await sql`select from pg_database where datname = ${into}`).toEqual([]);
      expect(await attemptsOf(sql, into)).toEqual([]);
    },
  );

  it('leaves no half of a database under the name when it is interrupted', {
    timeout: 600_000,
  }, async () => {
    const { store } = backedUp();
    const moments = rounds(3);
    for (let moment = 0; moment < moments; moment += 1) {
      const into = restoredName(database.sql);
      const run = startCli([
        'backup',
        'restore',
        'latest',
        '--into',
        into,
        '--store',
        store,
        '--url',
        database.url,
      ]);
      onTestFinished(() => void run.process.kill('SIGKILL'));
      await new Promise((resolve) => setTimeout(resolve, 300 + (moment * 1_000) / moments));
      run.process.kill('SIGINT');
      const { code } = await run.finished;
      const [found] = await database.sql`select from pg_database where datname = ${into}`;
      expect(found ? [0, 130, null] : [130, null]).toContain(code);
      if (found) {
        const restored = connectTo(database.url, into);
        expect(await restored`select count(*)::int as rows from readings`).toEqual([{ rows }]);
      }
      expect(await attemptsOf(database.sql, into)).toEqual([]);
    }
  });
});
