import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../src/backup/open-store.ts';
import { writeBackup } from '../support/backups.ts';
import { type CliOptions, callCli, program, startCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';

let folder: string;
let newest: string;
beforeEach(async () => {
  folder = temporaryFolder();
  const store = await openStore(folder);
  await writeBackup(store, { startedAt: new Date('2026-01-30T02:00Z') });
  newest = await writeBackup(store, { startedAt: new Date('2026-01-31T02:00Z') });
});

const call = (words: readonly string[], options?: CliOptions) =>
  callCli(['backup', ...words], options);

describe('the store', () => {
  it('is the one of the flag, else of the environment, else of .env', async () => {
    const cwd = temporaryFolder();
    const other = { BACKUP_STORE: join(cwd, 'none') };
    writeFileSync(join(cwd, '.env'), `BACKUP_STORE="${folder}"\n`);
    const listed = [
      await call(['list', '--store', folder, '--json'], { env: other, cwd }),
      await call(['list', '--json'], { env: { BACKUP_STORE: ` ${folder}\n` } }),
      await call(['list', '--json'], { env: { BACKUP_STORE: '' }, cwd }),
    ];
    for (const { code, stdout } of listed) {
      expect(code).toBe(0);
      expect(JSON.parse(stdout).backups.map(({ id }: { id: string }) => id)[0]).toBe(newest);
    }
    expect(JSON.parse((await call(['list', '--json'], { env: other, cwd })).stdout)).toEqual({
      store: other.BACKUP_STORE,
      backups: [],
      damaged: [],
      unfinished: [],
    });
  });

  it('has to be named', async () => {
    const cwd = temporaryFolder();
    for (const words of [['list'], ['show', 'latest'], ['prune']]) {
      const { code, stdout, stderr } = await call(words, { cwd });
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('no store of backups is named\n  --store s3://bucket/prefix');
    }
    const env = { BACKUP_STORE: folder };
    const empty = await call(['prune', '--store', '', '--json'], { cwd, env });
    expect(JSON.parse(empty.stdout)).toMatchObject({ error: { code: 'bad-configuration' } });
  });
});

describe('a store that cannot be read', () => {
  // Root may read everything. The folder of this package may be closed to other users.
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
  const canRun = spawnSync(process.execPath, [program, '--version'], { ...user }).status === 0;
  const note = canRun ? '' : ' (skipped: the user nobody cannot run this package)';

  it.skipIf(!canRun)(`says that this user may not read it${note}`, async () => {
    chmodSync(folder, 0o300);
    const words = ['backup', 'list', '--store', folder];
    const { code, stderr } = await startCli(words, { cwd: '/', user }).finished;
    expect(stderr).toMatch(/EACCES.*\nhint: let this user read the folder/);
    expect(code).toBe(2);
  });
});

describe('the commands of backup', () => {
  it('list, show and prune', async () => {
    const env = { BACKUP_STORE: folder };
    const list = await call(['list'], { env });
    expect(list).toMatchObject({ code: 0, stderr: '' });
    expect(list.stdout).toMatch(
      /^id .*\n2026-01-31T020000Z-aaaaaa +shop +production .*\n2026-01-30/,
    );
    const shown = await call(['show', '2026-01-31', '--json'], { env });
    expect(JSON.parse(shown.stdout)).toMatchObject({ manifest: { id: newest } });
    const planned = await call(['prune', '--keep', '1d', '--dry-run'], { env });
    expect(planned.stdout).toContain('would delete 2026-01-30T020000Z-aaaaaa of shop');
    const pruned = await call(['prune', '--keep', '1d', '--json'], { env });
    expect(JSON.parse(pruned.stdout)).toMatchObject({
      isDryRun: false,
      keep: { days: 1, weeks: 0, months: 0 },
      kept: [{ id: newest, rules: [{ rule: 'newest' }, { rule: 'day', period: '2026-01-31' }] }],
      deleted: [{ id: '2026-01-30T020000Z-aaaaaa' }],
    });
    const missing = await call(['show', '2026-01-30'], { env });
    expect(missing.code).toBe(2);
    expect(missing.stderr).toBe(
      [
        `${folder} has no backup 2026-01-30`,
        `  the newest is ${newest} of shop`,
        'hint: see what is there: cryptosense-db backup list',
        '',
      ].join('\n'),
    );
  });

  it('refuse rules that are none, and change nothing', async () => {
    const { code, stderr } = await call(['prune', '--store', folder, '--keep', '0d']);
    expect(code).toBe(2);
    expect(stderr).toContain('Use counts of days, weeks and months such as 7d,4w,12m');
  });

  it('print a schedule without what the environment has', async () => {
    const env = {
      DATABASE_URL: 'postgresql://app:hidden@db/x',
      BACKUP_STORE: 's3://hidden/x',
      AWS_SECRET_ACCESS_KEY: 'hidden',
    };
    for (const name of ['systemd', 'cron', 'kubernetes', 'github']) {
      const { code, stdout, stderr } = await call(['schedule', '--for', name, '--quiet'], { env });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('backup');
      expect(stdout).not.toContain('hidden');
    }
  });
});
