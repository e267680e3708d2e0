import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { WalList } from '../../src/backup/wal/list.ts';
import type { WalRestore } from '../../src/backup/wal/restore.ts';
import type { WalRun } from '../../src/backup/wal/run.ts';
import { walState } from '../../src/backup/wal/state.ts';
import { list, restore, run, config as writeConfig } from '../../src/backup/wal/wal.ts';
import { connect } from '../support/databases.ts';
import { freePort } from '../support/embedded-postgres.ts';
import {
  hasTimescale,
  passSecond,
  startArchiving,
  startWalServer,
  type WalArchive,
  type WalServer,
  walObstacle,
} from '../support/wal-server.ts';

const obstacle = walObstacle();
const isRoot = process.getuid?.() === 0;
const passphrase = 'a passphrase of the test';
const secondMs = 1_000;

describe.skipIf(obstacle !== undefined)(
  `WAL and points in time${obstacle ? ` (skipped: ${obstacle})` : ''}`,
  () => {
    let server: WalServer;
    let config: string;
    let repository: string;
    let segments: WalArchive['segments'];
    let archiveAll: WalArchive['archiveAll'];
    let full: WalRun;
    let incremental: WalRun;
    /** Before the rows were deleted. */
    let before: Date;
    const texts: string[] = [];

    /** The document that a command prints, or the error in it. */
    async function call<T>(
      args: readonly string[],
      env: Readonly<Record<string, string>> = {},
    ): Promise<T> {
      const { stdout, stderr } = await server.cli(
        ['backup', 'wal', ...args, '--json', '--config', config],
        env,
      );
      texts.push(stdout, stderr);
      return JSON.parse(stdout);
    }

    beforeAll(async () => {
      server = await startWalServer();
      process.env.PGBACKREST_LOG_PATH = server.environment.PGBACKREST_LOG_PATH;
      const archive = await startArchiving(server, { passphrase });
      ({ config, repository, segments, archiveAll } = archive);
      texts.push(...archive.texts);
      full = await call(['run', 'full']);
      await server.sql`create table coins as select i from generate_series(1, 10000) i`;
      if (hasTimescale) await server.sql.unsafe('create extension timescaledb');
      incremental = await call(['run', 'incremental']);
      await passSecond(new Date(incremental.backup.stoppedAt).getTime());
      before = new Date();
      await passSecond();
      await server.sql`delete from coins`;
      await archiveAll();
    });
    afterAll(() => server?.stop());

    interface Copy {
      readonly result: WalRestore;
      readonly sql: ReturnType<typeof connect>;
    }

    /** Restores a copy, and starts it with the command that the result names. */
    async function startCopy(name: string, args: readonly string[]): Promise<Copy> {
      const port = await freePort();
      const folder = join(server.folder, name);
      const result: WalRestore = await call([
        'restore',
        '--target',
        folder,
        '--port',
        `${port}`,
        ...args,
      ]);
      server.shell(result.startCommand);
      const sql = connect(`postgresql://postgres:test@127.0.0.1:${port}/postgres`);
      onTestFinished(async () => {
        await sql.end({ timeout: 1 });
        server.shell(result.stopCommand);
      });
      return { result, sql };
    }

    const count = async (sql: Copy['sql']) =>
      (await sql<[{ count: number }]>`select count(*)::int as count from coins`)[0].count;

    it('the first backup is full, and the next one has the changes alone', () => {
      expect(full).toMatchObject({
        stanza: 'main',
        backup: { type: 'full' },
        expired: [],
        kept: 1,
      });
      expect(incremental).toMatchObject({
        kept: 2,
        backup: { type: 'incremental', prior: full.backup.label },
      });
      expect(incremental.backup.storedBytes).toBeLessThan(full.backup.storedBytes / 2);
    });

    it('the list has the backups with the rules that keep them, and every moment since the first one', async () => {
      const listed: WalList = await call(['list']);
      expect(listed.backups.map(({ label }) => label)).toEqual([
        full.backup.label,
        incremental.backup.label,
      ]);
      expect(listed.backups[0]?.rules).toContainEqual({ rule: 'newest' });
      expect(listed.wal).toMatchObject({ archive: '15-1', gaps: [], segments: segments().length });
      expect(listed.wal.windows).toHaveLength(1);
      expect(new Date(listed.wal.windows[0]?.to ?? 0).getTime()).toBeGreaterThan(before.getTime());
    });

    it('rows that were deleted are back at the moment before, and the copy archives nothing', async () => {
      const inArchive = segments();
      const { sql, result } = await startCopy('copy', ['--to', before.toISOString()]);
      expect(result.backup.label).toBe(incremental.backup.label);
      // The server has its own outside the data directory.
      expect(result.hasOwnConfig).toBe(true);
      const paused = async () =>
        (await sql<[{ state: string }]>`select pg_get_wal_replay_pause_state() as state`)[0].state;
      await expect.poll(paused, { timeout: 20_000, interval: 50 }).toBe('paused');
      expect(await count(sql)).toBe(10_000);
      expect(await count(server.sql)).toBe(0);
      await expect(sql`delete from coins`).rejects.toThrow('read-only');
      const settings = await sql<{ name: string; setting: string }[]>`
        select name, setting from pg_settings
        where name in ('archive_mode', 'timescaledb.max_background_workers') order by name`;
      expect(settings.map(({ setting }) => setting)).toEqual(hasTimescale ? ['off', '0'] : ['off']);
      // Also once it takes writes and fills segments.
      await sql`select pg_wal_replay_resume()`;
      await expect
        .poll(async () => (await sql<[{ is: boolean }]>`select pg_is_in_recovery() as is`)[0].is)
        .toBe(false);
      await sql`create table of_the_copy as select 1 as one`;
      await sql`select pg_switch_wal()`;
      await sql`checkpoint`;
      const waiting = await sql`select from pg_ls_archive_statusdir()`;
      expect(waiting).toHaveLength(0);
      expect(segments()).toEqual(inArchive);
    });

    it('a restore to the end of the WAL has all of it', async () => {
      const { sql } = await startCopy('latest', ['--to', 'latest']);
      expect(await count(sql)).toBe(0);
    });

    it('a backup is restored as it was when it ended', async () => {
      const { sql } = await startCopy('backup-alone', ['--backup', full.backup.label]);
      const [table] = await sql<
        [{ name: string | null }]
      >`select to_regclass('coins')::text as name`;
      expect(table.name).toBeNull();
    });

    it.each([
      [
        'before the first backup',
        () => new Date(new Date(full.backup.stoppedAt).getTime() - secondMs),
      ],
      ['after the newest WAL', () => new Date(Date.now() + 60 * secondMs)],
    ])('a moment %s is refused, and no folder is made', async (_, moment) => {
      const folder = join(server.folder, 'refused');
      const answer = await call(['restore', '--to', moment().toISOString(), '--target', folder]);
      expect(answer).toMatchObject({ error: { code: 'moment-unreachable' } });
      expect(existsSync(folder)).toBe(false);
    });

    it('a disk without room for the files is refused, before anything is written', async () => {
      const args = ['restore', '--to', 'latest', '--target', '/proc/none/copy'];
      expect(await call(args)).toMatchObject({
        error: { code: 'file-problem', message: expect.stringContaining('has no room') },
      });
    });

    it('a folder that is not empty is refused and left alone', async () => {
      const folder = join(server.folder, 'home');
      server.shell(`touch ${folder}/mine`);
      const answer = await call(['restore', '--to', 'latest', '--target', folder]);
      expect(answer).toMatchObject({ error: { code: 'file-problem' } });
      expect(readdirSync(folder)).toContain('mine');
    });

    it('a machine without pgBackRest says so', async () => {
      const { PATH } = process.env;
      onTestFinished(() => {
        process.env.PATH = PATH;
      });
      process.env.PATH = server.folder;
      const folder = join(server.folder, 'without');
      for (const call of [
        () => run({ kind: 'full', config }),
        () => list({ config }),
        () => restore({ to: 'latest', folder, config }),
        () => walState({ config }),
      ]) {
        await expect(call()).rejects.toMatchObject({
          code: 'program-missing',
          details: { program: 'pgbackrest' },
        });
      }
    });

    it('a repository that cannot be reached says why, without its keys', async () => {
      const unreachable = join(server.folder, 'unreachable.conf');
      await writeConfig({
        store: 's3://bucket/wal',
        s3: {
          region: 'eu-west-1',
          endpoint: `https://127.0.0.1:${await freePort()}`,
          accessKey: 'the-access-key',
          secretKey: 'the-secret-key',
        },
        dataDirectory: server.dataDirectory,
        passphrase,
        out: unreachable,
      });
      // Not for the half minute for which pgBackRest would try.
      process.env.PGBACKREST_IO_TIMEOUT = '0.1';
      onTestFinished(() => {
        delete process.env.PGBACKREST_IO_TIMEOUT;
      });
      const error: unknown = await list({ config: unreachable }).then(String, (reason) => reason);
      expect(error).toMatchObject({ code: 'program-failed' });
      expect(String(error)).toContain('127.0.0.1');
      expect(String(error)).not.toMatch(/the-(access|secret)-key|a passphrase/);
    });

    it('a data directory that is not here is refused, and says what is needed', async () => {
      const elsewhere = join(server.folder, 'elsewhere.conf');
      const text = readFileSync(config, 'utf8').replace(server.dataDirectory, '/nowhere/data');
      writeFileSync(elsewhere, text);
      await expect(run({ kind: 'full', config: elsewhere })).rejects.toMatchObject({
        code: 'wal-unavailable',
        message: expect.stringContaining('/nowhere/data of the server is not on this machine'),
      });
    });

    it.skipIf(!isRoot)(
      `another user than the server's is refused${isRoot ? '' : ' (skipped: only root can be another user)'}`,
      async () => {
        await expect(run({ kind: 'full', config })).rejects.toMatchObject({
          code: 'wal-unavailable',
          problems: [{ hint: expect.stringContaining('sudo -u') }],
        });
        const folder = join(server.folder, 'of-root');
        await expect(restore({ to: 'latest', folder, config })).rejects.toMatchObject({
          code: 'wal-unavailable',
        });
      },
    );

    it('the state is well while the server archives', async () => {
      const state = await walState({ config, target: server.url });
      expect(state).toMatchObject({ problems: [], gaps: [], unread: undefined });
      expect(state.newest?.name).toBe(state.archiver?.lastArchived);
      expect(await walState({ config })).toMatchObject({ archiver: undefined, problems: [] });
      const late = await walState({ config, rpoMs: 0 });
      expect(late.problems).toMatchObject([{ kind: 'old-wal', rpoMs: 0 }]);
    });

    it('without pgBackRest the state is what the server says', async () => {
      const missing = join(server.folder, 'missing.conf');
      const state = await walState({ config: missing, target: server.url });
      expect(state).toMatchObject({ newest: undefined, problems: [] });
      expect(state.unread).toContain('missing.conf');
      await expect(walState({ config: missing })).rejects.toMatchObject({
        code: 'bad-configuration',
      });
    });

    it('a segment that is taken away is reported, and a restore beyond it is refused', async () => {
      const first = basename(
        segments().find((path) => path.includes(incremental.backup.wal.stop)) ?? '',
      );
      const taken = segments().find((path) => basename(path) > first) ?? '';
      const name = basename(taken).slice(0, 24);
      await archiveAll();
      const path = join(repository, 'archive/main', taken);
      renameSync(path, `${server.folder}/taken`);
      onTestFinished(() => {
        cpSync(`${server.folder}/taken`, path, { preserveTimestamps: true });
      });
      const listed: WalList = await call(['list']);
      expect(listed.wal.gaps).toMatchObject([{ first: name, last: name, segments: 1 }]);
      const state = await walState({ config, target: server.url });
      expect(state.problems).toMatchObject([{ kind: 'gap', gap: { first: name } }]);
      const args = ['restore', '--target', join(server.folder, 'beyond')];
      for (const to of [before.toISOString(), 'latest']) {
        expect(await call([...args, '--to', to])).toMatchObject({
          error: { code: 'moment-unreachable', message: expect.stringContaining(name) },
        });
      }
      const { sql, result } = await startCopy('up-to-the-gap', ['--to', 'latest', '--allow-gap']);
      expect(result.gap).toMatchObject({ first: name });
      expect(await count(sql)).toBe(10_000);
    });

    it('a segment that a backup itself needs is missed for both actions', async () => {
      const { label, wal } = incremental.backup;
      const path = join(
        repository,
        'archive/main',
        segments().find((each) => each.includes(wal.stop)) ?? '',
      );
      renameSync(path, `${server.folder}/own`);
      onTestFinished(() => {
        cpSync(`${server.folder}/own`, path, { preserveTimestamps: true });
      });
      for (const action of ['pause', 'promote']) {
        const folder = join(server.folder, `own-${action}`);
        const words = ['restore', '--backup', label, '--action', action, '--target', folder];
        expect(await call(words)).toMatchObject({
          error: { code: 'moment-unreachable', message: expect.stringContaining(wal.stop) },
        });
        expect(existsSync(folder)).toBe(false);
      }
    });

    it('a newest segment that the server has archived is missed too', async () => {
      const newest = join(repository, 'archive/main', segments().at(-1) ?? '');
      renameSync(newest, `${server.folder}/newest`);
      onTestFinished(() => {
        cpSync(`${server.folder}/newest`, newest, { preserveTimestamps: true });
      });
      const { problems } = await walState({ config, target: server.url });
      expect(problems).toMatchObject([
        { kind: 'not-in-repository', segment: basename(newest).slice(0, 24) },
      ]);
    });

    it('ten days later a backup drops what no rule keeps, and its WAL', async () => {
      const later = join(server.folder, 'later.cjs');
      writeFileSync(
        later,
        `const { Date: Real } = globalThis;
         globalThis.Date = class extends Real {
           constructor(...given) { super(...(given.length > 0 ? given : [Real.now() + 864e6])); }
           static now() { return Real.now() + 864e6; }
         };`,
      );
      const result: WalRun = await call(['run', 'full'], { NODE_OPTIONS: `--require ${later}` });
      expect(result).toMatchObject({
        kept: 1,
        expired: [full.backup.label, incremental.backup.label],
      });
      const listed: WalList = await call(['list']);
      expect(listed.backups.map(({ label }) => label)).toEqual([result.backup.label]);
      expect(listed.wal.first?.name).toBe(result.backup.wal.start);
    });

    it('an archiver that fails is reported', async () => {
      await server.sql`alter system set archive_command = 'false'`;
      await server.sql`select pg_reload_conf()`;
      const failing = async () => {
        // The archiver may still have copied the segment before with its old command.
        await server.sql`select pg_logical_emit_message(false, 'test', 'more')`;
        await server.sql`select pg_switch_wal()`;
        return (await walState({ config, target: server.url })).problems.map(({ kind }) => kind);
      };
      await expect
        .poll(failing, { timeout: 40_000, interval: 1_000 })
        .toEqual(['archiver-failing']);
    });

    it('the configuration names the role of the URL', async () => {
      await server.sql`create role admin superuser login password 'test'`;
      const target = server.url.replace('postgres:test@', 'admin:test@');
      const named = await writeConfig({ store: repository, target });
      expect(named.config).toMatch(/^pg1-user=admin$/m);
      expect(named.config).not.toContain('test@');
      const own = await writeConfig({ store: repository, dataDirectory: server.dataDirectory });
      expect(own.config).not.toContain('pg1-user');
    });

    it('the passphrase is in the configuration, and in no output', () => {
      expect(readFileSync(config, 'utf8')).toContain(`repo1-cipher-pass=${passphrase}`);
      expect(texts.join('')).not.toContain(passphrase);
      expect(texts.length).toBeGreaterThan(10);
    });
  },
);
