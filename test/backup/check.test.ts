import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { findBackup } from '../../src/backup/catalog.ts';
import { check } from '../../src/backup/check.ts';
import { show } from '../../src/backup/list.ts';
import { openStore } from '../../src/backup/open-store.ts';
import { prune } from '../../src/backup/prune.ts';
import type { Store } from '../../src/backup/store.ts';
import { verify } from '../../src/backup/verify.ts';
import { hourMs } from '../../src/runtime/days.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import { hasPgDump, pgDumpMissing } from '../support/backup.ts';
import { writeBackup } from '../support/backups.ts';
import { callCli } from '../support/cli.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

it('a check asks the server of the environment for its WAL only where --rpo is given', async () => {
  const store = join(temporaryFolder(), 'store');
  mkdirSync(store);
  const env = { BACKUP_STORE: store, DATABASE_URL: 'postgresql://127.0.0.1:1/none' };
  const words = ['backup', 'check', '--json'];
  const withoutServer = await callCli(words, { env });
  expect(JSON.parse(withoutServer.stdout)).toMatchObject({ problems: [{ kind: 'no backup' }] });
  expect(withoutServer.code).toBe(1);
  const withServer = await callCli([...words, '--rpo', '1h'], { env });
  expect(JSON.parse(withServer.stdout)).toMatchObject({ error: { code: 'server-unreachable' } });
  expect(withServer.code).toBe(2);
});

describe('of a store', () => {
  let folder: string;
  let store: Store;
  const now = new Date('2026-01-31T12:00:00Z');
  const hoursAgo = (hours: number) => new Date(now.getTime() - hours * hourMs);
  const record = (id: string, text: object) =>
    writeFileSync(join(folder, 'shop', id, 'verified.json'), JSON.stringify(text));

  beforeEach(async () => {
    folder = temporaryFolder();
    store = await openStore(folder);
  });

  it('is fine with a new backup that was verified', async () => {
    const id = await writeBackup(store, { startedAt: hoursAgo(10) });
    record(id, { verifiedAt: hoursAgo(6) });
    expect(await check({ store: folder, now })).toMatchObject({
      problems: [],
      isFine: true,
      databases: [{ newest: { id, ageMs: 10 * hourMs }, verified: { id, ageMs: 6 * hourMs } }],
    });
  });

  it.skipIf(!hasPgDump)(
    `reports a backup whose last verification has failed${pgDumpMissing}`,
    async () => {
      const whole = await writeBackup(store, { startedAt: hoursAgo(20) });
      record(whole, { verifiedAt: hoursAgo(19) });
      const id = await writeBackup(store, { startedAt: hoursAgo(10) });
      record(id, { verifiedAt: hoursAgo(9) });
      const dump = join(folder, 'shop', id, 'dump');
      const text = readFileSync(dump, 'utf8');
      writeFileSync(dump, text.replace('P', 'X'));
      await errorOf('backup-damaged', () => verify({ store: folder, id }));
      expect(await check({ store: folder, now })).toMatchObject({
        problems: [
          {
            kind: 'damaged',
            detail: expect.stringMatching(/^2026-01-31T02.* was not whole .*not what its manifest/),
          },
        ],
        isFine: false,
        databases: [{ newest: { id: whole }, verified: { id: whole } }],
      });
    },
  );

  it('is not calmed by a backup or a verification from the future', async () => {
    const old = await writeBackup(store, { startedAt: hoursAgo(60) });
    const ahead = await writeBackup(store, { startedAt: hoursAgo(-48) });
    record(old, { verifiedAt: hoursAgo(-48) });
    record(ahead, { verifiedAt: hoursAgo(1) });
    const { problems, databases } = await check({ store: folder, now });
    expect(problems.map(({ kind }) => kind)).toEqual([
      'too old',
      'not verified',
      'from the future',
    ]);
    expect(problems.at(-1)?.detail).toContain(ahead);
    expect(databases).toMatchObject([{ newest: { id: old }, verified: null }]);
  });

  it('allows the clocks of two machines a few minutes', async () => {
    const id = await writeBackup(store, { startedAt: hoursAgo(-4 / 60) });
    record(id, { verifiedAt: hoursAgo(-4 / 60) });
    expect(await check({ store: folder, now })).toMatchObject({ problems: [], isFine: true });
  });

  it('latest is the newest up to now, and a warning says so', async () => {
    const id = await writeBackup(store, { startedAt: new Date(Date.now() - hourMs) });
    const ahead = await writeBackup(store, { startedAt: new Date(Date.now() + hourMs) });
    const events: ProgressEvent[] = [];
    const onProgress = (event: ProgressEvent) => void events.push(event);
    expect(await show({ store: folder, id: 'latest', onProgress })).toMatchObject({
      manifest: { id },
    });
    const message = `${ahead} is from the future; latest is ${id}`;
    expect(events).toEqual([{ kind: 'notice', severity: 'WARNING', message }]);
    expect(await show({ store: folder, id: ahead })).toMatchObject({ manifest: { id: ahead } });
  });

  it('latest refuses a store whose backups are all from the future', async () => {
    const id = await writeBackup(store, { startedAt: hoursAgo(-1) });
    const error = await errorOf('no-backup', () => findBackup(store, { id: 'latest', now }));
    expect(wordsOf(error)).toContain(id);
    expect(wordsOf(error)).toContain('2026-01-31T12:00:00.000Z');
  });

  it('prune lets a backup from the future count for no rule, and leaves it', async () => {
    const ids = [];
    for (const hours of [100, 50, 2]) {
      ids.push(await writeBackup(store, { startedAt: hoursAgo(hours) }));
    }
    const ahead = await writeBackup(store, { startedAt: hoursAgo(-48) });
    const { kept, deleted } = await prune({
      store: folder,
      keep: { days: 2, weeks: 0, months: 0 },
      now,
    });
    expect(kept).toMatchObject([
      { id: ahead, rules: [{ rule: 'future' }] },
      { id: ids[2], rules: [{ rule: 'newest' }, { rule: 'day' }] },
      { id: ids[1], rules: [{ rule: 'day' }] },
    ]);
    expect(deleted).toMatchObject([{ id: ids[0] }]);
  });

  it('prune lets a backup whose verification failed count for no rule, and leaves it', async () => {
    const older = await writeBackup(store, { startedAt: hoursAgo(3) });
    const whole = await writeBackup(store, { startedAt: hoursAgo(2) });
    record(whole, { verifiedAt: hoursAgo(1) });
    const broken = await writeBackup(store, { startedAt: hoursAgo(1) });
    record(broken, { failedAt: hoursAgo(1), reason: 'its checksum is another' });
    const { kept, deleted } = await prune({
      store: folder,
      keep: { days: 1, weeks: 0, months: 0 },
      now,
    });
    expect(kept).toMatchObject([
      { id: broken, rules: [{ rule: 'failed verification' }] },
      { id: whole, rules: [{ rule: 'newest' }, { rule: 'day' }] },
    ]);
    expect(deleted).toMatchObject([{ id: older }]);
  });
});
