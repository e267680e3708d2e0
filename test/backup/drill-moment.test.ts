import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { drill } from '../../src/backup/drill.ts';
import type { DrillResult } from '../../src/backup/report.ts';
import type { WalRun } from '../../src/backup/wal/run.ts';
import { callCli } from '../support/cli.ts';
import { connect, databaseUrl } from '../support/databases.ts';
import { freePort } from '../support/embedded-postgres.ts';
import { until } from '../support/recovery.ts';
import {
  hasTimescale,
  passSecond,
  startArchiving,
  startWalServer,
  type WalArchive,
  type WalServer,
  walObstacle,
} from '../support/wal-server.ts';

const obstacle =
  walObstacle() ?? (hasTimescale ? undefined : 'PostgreSQL 15 of Debian has no TimescaleDB');
const isRoot = process.getuid?.() === 0;
const email = 'ada@example.com';
const password = 'correct horse battery staple';
const secondMs = 1_000;

describe.skipIf(obstacle !== undefined)(
  `a drill of a moment${obstacle ? ` (skipped: ${obstacle})` : ''}`,
  () => {
    let server: WalServer;
    let archive: WalArchive;
    let shop: Sql;
    let backup: WalRun['backup'];
    /** Before the account was deleted. */
    let before: Date;
    /** In which the copies get their folders. */
    let copies: string;

    const wordsOf = (to: Date) => [
      ...['backup', 'drill', '--pitr', to.toISOString()],
      ...['--config', archive.config, '--json'],
    ];
    const words = (to: Date, more: readonly string[] = []) => [
      ...wordsOf(to),
      ...['--target', copies],
      ...more,
    ];

    /** Runs a drill of the database `shop`. */
    async function run(to: Date, more: readonly string[] = []) {
      const { code, stdout, stderr } = await server.cli(words(to, ['--database', 'shop', ...more]));
      expect(stdout + stderr).not.toContain(password);
      const result: DrillResult = JSON.parse(stdout);
      return { code, result };
    }

    /** What is there of copies: their folders, and the process ids of their servers. */
    function copiesNow() {
      const servers = readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .filter((pid) => new RegExp(`postgres .*${copies}`).test(commandOf(pid)));
      return { folders: readdirSync(copies), servers: servers.map(Number) };
    }
    const nothing = { folders: [], servers: [] };

    beforeAll(async () => {
      server = await startWalServer();
      archive = await startArchiving(server, { passphrase: 'a passphrase of the test' });
      copies = join(server.folder, 'copies');
      server.shell(`mkdir ${copies}`);
      await server.sql`create database shop`;
      await server.sql`create database damaged`;
      const url = databaseUrl(server.url, 'shop');
      shop = connect(url);
      const { code } = await server.cli(['migrate', 'up', '--env', 'production', '--url', url]);
      expect(code).toBe(0);
      await shop.unsafe(`
        with account as (
          insert into users (email, password_hash)
          values ('${email}', public.crypt('${password}', public.gen_salt('bf', 4))) returning id
        )
        insert into portfolios (user_id, name) select id, 'mine' from account;
        insert into price_history (time, asset_symbol, price_usd)
          select time, 'BTC', 1 from generate_series(now() - interval '3 days', now(), interval '1 hour') time;
        create unlogged table not_in_the_wal as select 1 as one;`);
      await damageTable();
      const { stdout } = await server.cli([
        ...['backup', 'wal', 'run', 'full', '--json'],
        ...['--config', archive.config],
      ]);
      ({ backup } = JSON.parse(stdout));
      await shop`
        insert into predictions
          (asset_symbol, prediction_type, timeframe, model_version, prediction_date, target_date)
        values ('BTC', 'trend', '7d', '1', now(), now() + interval '7 days')`;
      await passSecond(new Date(backup.stoppedAt).getTime());
      before = new Date();
      await passSecond();
      await shop`delete from users`;
      await archive.archiveAll();
    });
    afterAll(async () => {
      await shop?.end({ timeout: 1 });
      await server?.stop();
    });

    /** Writes over the first page of a table, as a disk that fails does. */
    async function damageTable(): Promise<void> {
      const sql = connect(databaseUrl(server.url, 'damaged'), 1);
      await sql.unsafe(
        'create table broken as select 1 as one; create table whole as select 2 as two',
      );
      await sql`checkpoint`;
      const [{ path }] = await sql<
        [{ path: string }]
      >`select pg_relation_filepath('broken') as path`;
      await sql.end({ timeout: 1 });
      server.shell(`head -c 8192 /dev/urandom >${join(server.dataDirectory, path)}`);
    }

    it('passes when the services find what was there at the moment, and leaves nothing', async () => {
      const reports = ['drill.md', 'drill.json'].map((name) => join(server.folder, 'home', name));
      const login = join(server.folder, 'home', 'password');
      server.shell(`printf '%s\\n' '${password}' >${login}`);
      const { code, result } = await run(before, [
        ...reports.flatMap((file) => ['--report', file]),
        ...['--login', email.toUpperCase(), '--login-password-file', login],
      ]);
      expect(result).toMatchObject({
        id: backup.label,
        store: archive.repository,
        source: 'shop',
        environment: 'production',
        differences: [],
        hasPassed: true,
        moment: { to: before.toISOString() },
      });
      expect(result.smokeTests).toMatchObject([
        { name: 'login', outcome: 'passed', detail: expect.stringContaining('password fits') },
        { name: 'portfolio view', outcome: 'passed', detail: '1 portfolio with 0 holdings' },
        { name: 'predictions', outcome: 'passed' },
        { name: 'candles of today', outcome: 'passed' },
      ]);
      expect(result.phases.map(({ name }) => name)).toEqual(['restore', 'replay', 'read']);
      expect(result.tables).toContainEqual(
        expect.objectContaining({ name: 'public.users', rows: 1 }),
      );
      expect(await shop`select from users`).toHaveLength(0);
      const newest = new Date(result.moment?.newestTransactionAt ?? Number.NaN).getTime();
      expect(newest).toBeGreaterThan(new Date(backup.startedAt).getTime());
      expect(newest).toBeLessThanOrEqual(before.getTime());
      expect(result.moment?.newestEntry).toMatchObject({ event: 'apply' });
      expect(code).toBe(0);
      const [text = '', json = ''] = reports.map((file) => readFileSync(file, 'utf8'));
      expect(JSON.parse(json)).toEqual(result);
      expect(text).toContain(`# Drill of shop`);
      expect(text).toContain(`- Moment: ${before.toISOString()}`);
      expect(text).toContain('- users: 1 rows');
      expect(copiesNow()).toEqual(nothing);
    });

    it('reports that the account of a later moment is gone, from a copy in /var/tmp', async () => {
      await passSecond();
      const after = new Date();
      await shop`insert into assets (symbol, coingecko_id, name) values ('NEW', 'new', 'after the moment')`;
      await archive.archiveAll();
      const { stdout } = await server.cli([...wordsOf(after), '--database', 'shop']);
      const result: DrillResult = JSON.parse(stdout);
      expect(dirname(dirname(result.copy))).toBe('/var/tmp');
      expect(existsSync(dirname(result.copy))).toBe(false);
      expect(result.smokeTests).toContainEqual(
        expect.objectContaining({ name: 'login', outcome: 'not run' }),
      );
      expect(result.tables).toContainEqual(
        expect.objectContaining({ name: 'public.assets', rows: 0 }),
      );
    });

    it('fails with a password that does not fit, and leaves nothing', async () => {
      const login = join(server.folder, 'home', 'wrong');
      server.shell(`echo wrong >${login}`);
      const { code, result } = await run(before, [
        ...['--login', email, '--login-password-file', login],
      ]);
      expect(result.hasPassed).toBe(false);
      expect(result.smokeTests[0]).toMatchObject({ name: 'login', outcome: 'failed' });
      expect(code).toBe(1);
      expect(copiesNow()).toEqual(nothing);
    });

    it('fails when the time is over', async () => {
      const report = join(server.folder, 'home', 'slow.md');
      const { code, result } = await run(before, ['--rto', '1ms', '--report', report]);
      expect(result).toMatchObject({ hasPassed: false, rtoMs: 1, differences: [] });
      expect(readFileSync(report, 'utf8')).toMatch(/FAILED\n.*too slow/s);
      expect(code).toBe(1);
      expect(copiesNow()).toEqual(nothing);
    });

    it('fails when a table cannot be read, names it, and reads the others', async () => {
      const { code, stdout } = await server.cli(words(before, ['--database', 'damaged']));
      const result: DrillResult = JSON.parse(stdout);
      expect(result.differences).toEqual([
        expect.stringMatching(/^table public\.broken cannot be read: invalid page/),
      ]);
      expect(result.tables).toMatchObject([{ name: 'public.whole', rows: 1 }]);
      expect(code).toBe(1);
      expect(copiesNow()).toEqual(nothing);
    });

    it('names the databases of the server when it has several and none is chosen', async () => {
      const { code, stdout } = await server.cli(words(before));
      expect(JSON.parse(stdout)).toMatchObject({
        error: { code: 'bad-configuration', message: expect.stringContaining('damaged, shop') },
      });
      expect(code).toBe(2);
      expect(copiesNow()).toEqual(nothing);
    });

    it.each([
      ['before the first backup', () => new Date(Date.parse(`${backup.stoppedAt}`) - secondMs)],
      ['after the newest WAL', () => new Date(Date.now() + 60 * secondMs)],
    ])('refuses a moment %s', async (_, moment) => {
      const { code, result } = await run(moment());
      expect(result).toMatchObject({ error: { code: 'moment-unreachable' } });
      expect(code).toBe(2);
      expect(copiesNow()).toEqual(nothing);
    });

    const isRunning = () => copiesNow().servers.length > 0;
    it.each([
      ['its files are restored', () => copiesNow().folders.length > 0],
      ['the copy runs', isRunning],
      ['the copy runs, and is interrupted too', isRunning],
    ])('leaves nothing when it is interrupted while %s', async (point, isThere) => {
      const drilling = server.start(words(before, ['--database', 'shop']));
      onTestFinished(() => void drilling.process.kill('SIGKILL'));
      await until('the drill at that point', async () => isThere());
      // Ctrl-C reaches every process of the terminal.
      if (point.endsWith('too')) for (const pid of copiesNow().servers) process.kill(pid, 'SIGINT');
      drilling.process.kill('SIGINT');
      const { code, stdout } = await drilling.finished;
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'interrupted' } });
      expect(code).toBe(130);
      expect(copiesNow()).toEqual(nothing);
    });

    it('leaves the copy with --keep, stopped, with the command that starts it', async () => {
      onTestFinished(() => server.shell(`rm -r ${copies}/*`));
      const { result } = await run(before, ['--keep']);
      expect(copiesNow().servers).toEqual([]);
      expect(existsSync(join(result.copy, 'PG_VERSION'))).toBe(true);
      const { startCommand = '', stopCommand = '' } = result.moment?.kept ?? {};
      const port = await freePort();
      server.shell(startCommand.replace('-p 5433', `-p ${port}`));
      const sql = connect(`postgresql://postgres:test@127.0.0.1:${port}/shop`);
      onTestFinished(async () => {
        await sql.end({ timeout: 1 });
        server.shell(stopCommand);
      });
      expect(await sql`select email from users`).toMatchObject([{ email }]);
    });

    it('says where the copy is that a failure leaves with --keep', async () => {
      onTestFinished(() => server.shell(`rm -r ${copies}/*`));
      const { code, stdout } = await server.cli(words(before, ['--keep', '--database', 'nowhere']));
      const { folders, servers } = copiesNow();
      expect(folders).toHaveLength(1);
      expect(servers).toEqual([]);
      expect(JSON.parse(stdout)).toMatchObject({
        error: { code: 'no-such-database', message: expect.stringContaining(folders[0] ?? '') },
      });
      expect(code).toBe(2);
    });

    it('refuses a folder that is not there, and one whose path is too long for a socket', async () => {
      const long = join(server.folder, 'x'.repeat(80));
      mkdirSync(long);
      for (const [folder, reason] of [
        ['/nowhere', /no such file/],
        [long, /too long/],
      ] as const) {
        const attempt = drill({ pitr: before, config: archive.config, folder });
        await expect(attempt).rejects.toMatchObject({
          code: 'file-problem',
          message: expect.stringMatching(reason),
        });
      }
    });

    it.skipIf(!isRoot)(
      `refuses root${isRoot ? '' : ' (skipped: only root can be root)'}`,
      async () => {
        const attempt = drill({ pitr: before, config: archive.config, folder: copies });
        await expect(attempt).rejects.toMatchObject({ code: 'wal-unavailable' });
        expect(copiesNow()).toEqual(nothing);
      },
    );

    it('says that the WAL has no transaction after the moment, and when its newest one was', async () => {
      await shop`select alter_job(job_id, scheduled => false) from timescaledb_information.jobs`;
      await server.sql`alter system set autovacuum = off`;
      await server.sql`select pg_reload_conf()`;
      await passSecond();
      const moment = new Date();
      // WAL of no transaction: its segment is archived after the moment.
      await server.sql`select pg_logical_emit_message(false, 'test', 'idle')`;
      await passSecond();
      await archive.archiveAll();
      const { code, result } = await run(moment);
      expect(result).toMatchObject({
        error: {
          code: 'moment-unreachable',
          message: expect.stringContaining('has no transaction after it'),
          problems: [{ evidence: [expect.stringContaining('its newest transaction is of')] }],
          details: { to: expect.any(String) },
        },
      });
      const { to } = (result as unknown as { error: { details: { to: string } } }).error.details;
      expect(new Date(to).getTime()).toBeGreaterThan(before.getTime());
      expect(new Date(to).getTime()).toBeLessThan(moment.getTime());
      expect(code).toBe(2);
      expect(copiesNow()).toEqual(nothing);
    });

    it('says why a copy cannot follow the server, whose limits are larger by now', async () => {
      await server.sql`alter system set max_connections = 200`;
      server.restart();
      await until('the server', () => server.sql`select 1`.catch(() => false));
      await passSecond();
      const moment = new Date();
      await passSecond();
      await server.sql`create table later as select 1 as one`;
      await archive.archiveAll();
      const { code, result } = await run(moment);
      expect(result).toMatchObject({
        error: {
          code: 'program-failed',
          message: expect.stringContaining('max_connections'),
        },
      });
      expect(code).toBe(2);
      expect(copiesNow()).toEqual(nothing);
    });
  },
);

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

describe('the flags of a drill', () => {
  it.each([
    [['--pitr', '2026-01-31', '--id', 'latest'], /--id.*--pitr/],
    [['--pitr', '2026-01-31', '--url', 'postgresql://h/d'], /--pitr.*--url/],
    [['--pitr', 'yesterday'], /a moment such as/],
    [['--login-password-file', '/file'], /--login-password-file needs --login/],
    [['--keep', '--target', '/copies'], /--target needs --pitr\n.*--keep needs --pitr/s],
  ])('refuse %j', async (words, message) => {
    const { code, stderr } = await callCli(['backup', 'drill', ...words]);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});
