import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { findBackup, readCatalog } from '../../src/backup/catalog.ts';
import { list, show } from '../../src/backup/list.ts';
import { openStore } from '../../src/backup/open-store.ts';
import type { Store } from '../../src/backup/store.ts';
import { bytesOf, manifestFor, writeBackup } from '../support/backups.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const at = (text: string) => new Date(`${text}Z`);
let folder: string;
let store: Store;
beforeEach(async () => {
  folder = temporaryFolder();
  store = await openStore(folder);
});

const idsOf = (places: readonly { readonly id: string; readonly database: string }[]) =>
  places.map(({ id, database }) => `${database} ${id}`);

describe('the catalog', () => {
  it('of a store that is not there is empty', async () => {
    const missing = await openStore(join(folder, 'missing'));
    expect(await readCatalog(missing)).toEqual({ backups: [], damaged: [], unfinished: [] });
  });

  it('has the backups by database, the newest first', async () => {
    await writeBackup(store, { startedAt: at('2026-01-31T02:00') });
    await writeBackup(store, { startedAt: at('2026-02-01T02:00'), recipients: ['age1x'] });
    await writeBackup(store, { startedAt: at('2026-02-01T02:00'), random: 'bbbbbb' });
    await writeBackup(store, { startedAt: at('2026-03-01T02:00'), database: 'a/b.c d%' });
    const { backups } = await readCatalog(store);
    expect(idsOf(backups)).toEqual([
      'a/b.c d% 2026-03-01T020000Z-aaaaaa',
      'shop 2026-02-01T020000Z-bbbbbb',
      'shop 2026-02-01T020000Z-aaaaaa',
      'shop 2026-01-31T020000Z-aaaaaa',
    ]);
    expect(backups[2]).toMatchObject({
      folder: 'shop/2026-02-01T020000Z-aaaaaa/',
      startedAt: at('2026-02-01T02:00'),
      manifest: { dump: { object: 'dump.age' } },
    });
    const { backups: own } = await readCatalog(store, { database: 'a/b.c d%' });
    expect(own).toHaveLength(1);
    expect(await readCatalog(store, { database: 'a' })).toMatchObject({ backups: [] });
  });

  it('reads more manifests than it asks for at the same time', async () => {
    for (let minute = 0; minute < 40; minute++) {
      await writeBackup(store, { startedAt: new Date(Date.UTC(2026, 0, 1, 0, minute)) });
    }
    expect((await readCatalog(store)).backups).toHaveLength(40);
  });

  it('has a folder without a manifest apart, and leaves out what is not of this tool', async () => {
    const id = await writeBackup(store, { startedAt: at('2026-01-31T02:00'), parts: ['dump'] });
    const whole = await writeBackup(store, { startedAt: at('2026-01-30T02:00') });
    for (const key of [
      'README.txt',
      'shop/notes.txt',
      'shop/2026-01-29T020000Z-aaaaaa/notes.txt',
      `shop/${whole}/notes.txt`,
      `shop/${whole}/more/dump`,
      'shop/latest/manifest.json',
      'shop/2026-13-31T020000Z-aaaaaa/manifest.json',
      '100%/2026-01-31T020000Z-aaaaaa/dump',
      'a b/2026-01-31T020000Z-aaaaaa/dump',
    ]) {
      await store.put(key, bytesOf('x'));
    }
    const { backups, damaged, unfinished } = await readCatalog(store);
    expect(idsOf(backups)).toEqual([`shop ${whole}`]);
    expect(backups[0]?.objects.map(({ key }) => key)).toEqual([
      `shop/${whole}/dump`,
      `shop/${whole}/manifest.json`,
    ]);
    expect(damaged).toEqual([]);
    expect(unfinished).toMatchObject([{ database: 'shop', id, bytes: 5 }]);
  });

  it.each<[string, (path: (name: string) => string) => void, RegExp]>([
    [
      'a manifest that is no JSON',
      (path) => writeFileSync(path('manifest.json'), '{"format": 1'),
      /^its manifest cannot be read: .*JSON/,
    ],
    [
      'a manifest of a newer release',
      (path) => writeFileSync(path('manifest.json'), '{"format": 2}'),
      /^its manifest cannot be read: its format is 2, and this release reads 1$/,
    ],
    [
      'a dump that is cut off',
      (path) => truncateSync(path('dump'), 3),
      /^dump has 3 bytes; the manifest says 5$/,
    ],
    [
      'the manifest of another backup',
      (path) => {
        const other = manifestFor({ startedAt: at('2026-01-30T02:00'), database: 'other' });
        writeFileSync(path('manifest.json'), JSON.stringify(other));
      },
      /^its manifest is that of 2026-01-30T020000Z-aaaaaa of other$/,
    ],
  ])('has %s as damaged', async (_, damage, reason) => {
    const id = await writeBackup(store, { startedAt: at('2026-01-31T02:00') });
    damage((name) => join(folder, 'shop', id, name));
    const { backups, damaged } = await readCatalog(store);
    expect({ backups, damaged }).toMatchObject({ backups: [], damaged: [{ id }] });
    expect(damaged[0]?.reason).toMatch(reason);
  });

  it('has a manifest without its dump as damaged', async () => {
    await writeBackup(store, { startedAt: at('2026-01-31T02:00'), parts: ['manifest'] });
    const { damaged } = await readCatalog(store);
    expect(damaged).toMatchObject([{ reason: 'dump is missing' }]);
  });
});

describe('a backup that is looked for', () => {
  it('is found by its id, by the beginning of it, and as the latest', async () => {
    await writeBackup(store, { startedAt: at('2026-01-30T02:00') });
    const newest = await writeBackup(store, { startedAt: at('2026-01-31T02:00') });
    await writeBackup(store, { startedAt: at('2026-02-01T02:00'), parts: ['dump'] });
    for (const id of ['latest', newest, '2026-01-31', '2026-01-31T02']) {
      expect((await findBackup(store, { id })).id).toBe(newest);
    }
    for (const id of ['', '2', '2026', '2026-01-29', 'aaaaaa', '../shop', `${newest}/dump`]) {
      expect((await errorOf('no-backup', () => findBackup(store, { id }))).details).toEqual({ id });
    }
  });

  it('is none of an empty store, of another database, or an unfinished one', async () => {
    const empty = await errorOf('no-backup', () => findBackup(store, { id: 'latest' }));
    expect(empty.message).toBe(`${folder} has no backup`);
    const id = await writeBackup(store, { startedAt: at('2026-01-31T02:00'), parts: ['dump'] });
    const unfinished = await errorOf('no-backup', () => findBackup(store, { id }));
    expect(unfinished.message).toContain('was begun and not finished: it has no manifest');
    await writeBackup(store, { startedAt: at('2026-01-30T02:00') });
    const other = await errorOf('no-backup', () =>
      findBackup(store, { id: 'latest', database: "o'hara" }),
    );
    expect(wordsOf(other)).toContain(`has no backup of o'hara`);
    expect(wordsOf(other)).toContain(`backup list --store ${folder} --database 'o'\\''hara'`);
  });

  it('is not chosen by a month, and those of the month are named', async () => {
    for (const day of ['01', '02', '03', '04', '05', '06', '07']) {
      await writeBackup(store, { startedAt: at(`2026-01-${day}T02:00`) });
    }
    await writeBackup(store, { startedAt: at('2026-02-01T02:00') });
    const month = await errorOf('no-backup', () => findBackup(store, { id: '2026-01' }));
    expect(month.problems[0]?.evidence).toEqual([
      ...['07', '06', '05', '04', '03'].map(
        (day) => `2026-01-${day}T020000Z-aaaaaa of shop begins so`,
      ),
      'and 2 more begin so',
      'the newest is 2026-02-01T020000Z-aaaaaa of shop',
    ]);
    expect(wordsOf(month)).toContain('2026-01-31');
  });

  it('that is missing has a hint with the store and its endpoint', async () => {
    const compatible = { ...store, name: 's3://backups/db', endpoint: 'https://minio.example' };
    const error = await errorOf('no-backup', () => findBackup(compatible, { id: 'latest' }));
    expect(wordsOf(error)).toContain(
      'backup list --store s3://backups/db --endpoint https://minio.example',
    );
  });

  it('has to name the database of a store with several', async () => {
    const startedAt = at('2026-01-31T02:00');
    const id = await writeBackup(store, { startedAt });
    await writeBackup(store, { startedAt, database: 'ledger' });
    for (const named of ['latest', id, '2026-01-31']) {
      const error = await errorOf('bad-configuration', () => findBackup(store, { id: named }));
      expect(wordsOf(error)).toMatch(/several.*\n.*ledger\n.*shop\n.*--database/s);
      expect(await findBackup(store, { id: named, database: 'ledger' })).toMatchObject({
        id,
        database: 'ledger',
      });
    }
  });

  it('has to be named whole where several ids begin so', async () => {
    await writeBackup(store, { startedAt: at('2026-01-31T02:00') });
    await writeBackup(store, { startedAt: at('2026-01-31T15:00') });
    const error = await errorOf('bad-configuration', () => findBackup(store, { id: '2026-01-31' }));
    expect(wordsOf(error)).toContain('2026-01-31T150000Z-aaaaaa of shop');
    expect(wordsOf(error)).toContain('name the whole id');
  });

  it('is damaged rather than an older one', async () => {
    const older = await writeBackup(store, { startedAt: at('2026-01-30T02:00') });
    const id = await writeBackup(store, { startedAt: at('2026-01-31T02:00') });
    truncateSync(join(folder, 'shop', id, 'dump'), 0);
    const error = await errorOf('backup-damaged', () => findBackup(store, { id: 'latest' }));
    expect(wordsOf(error)).toContain(`the one before it is ${older}`);
    expect(error.details.key).toBe(`shop/${id}/manifest.json`);
    expect((await findBackup(store, { id: older })).id).toBe(older);
  });
});

describe('list and show', () => {
  it('give plain data', async () => {
    const startedAt = at('2026-01-31T02:00');
    const id = await writeBackup(store, { startedAt, recipients: ['age1x'] });
    await writeBackup(store, { startedAt: at('2026-02-01T02:00'), parts: ['dump'] });
    const listed = await list({ store: folder, now: at('2026-02-01T03:00') });
    expect(listed).toMatchObject({
      store: folder,
      backups: [
        {
          database: 'shop',
          id,
          environment: 'production',
          startedAt,
          finishedAt: new Date(startedAt.getTime() + 90_000),
          ageMs: 25 * 3_600_000,
          isEncrypted: true,
          tables: 2,
          rows: 1_049_925,
          migration: '20251007_120000',
        },
      ],
      damaged: [],
      unfinished: [{ id: '2026-02-01T020000Z-aaaaaa', ageMs: 3_600_000, bytes: 5 }],
    });
    const shown = await show({ store: folder, id: 'latest' });
    expect(shown).toEqual({
      store: folder,
      key: `shop/${id}/manifest.json`,
      manifest: manifestFor({ startedAt, recipients: ['age1x'] }),
    });
    for (const result of [listed, shown]) expect(structuredClone(result)).toStrictEqual(result);
  });
});
