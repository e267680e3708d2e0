import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readCatalog } from '../../src/backup/catalog.ts';
import { openStore } from '../../src/backup/open-store.ts';
import { prune, pruneStore } from '../../src/backup/prune.ts';
import type { Store } from '../../src/backup/store.ts';
import { dayMs } from '../../src/runtime/days.ts';
import { bytesOf, keysOf, writeBackup } from '../support/backups.ts';
import { errorOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

const now = new Date('2026-02-01T12:00Z');
/** The moment of the daily backup, so many days before today's. */
const daysAgo = (days: number) => new Date(Date.UTC(2026, 1, 1, 2) - days * dayMs);
const two = { days: 2, weeks: 0, months: 0 };

let folder: string;
let store: Store;
beforeEach(async () => {
  folder = temporaryFolder();
  store = await openStore(folder);
});

const writeDaily = async (days: number, database?: string) => {
  for (let day = 0; day < days; day++) {
    await writeBackup(store, { startedAt: daysAgo(day), ...(database && { database }) });
  }
};
const idsOf = (found: readonly { readonly id: string; readonly database: string }[]) =>
  found.map(({ id, database }) => `${database} ${id.slice(0, 10)}`);

describe('prune', () => {
  it('deletes what no rule keeps, of each database by itself, and says why the rest stays', async () => {
    await writeDaily(4);
    await writeBackup(store, { startedAt: daysAgo(300), database: 'ledger' });
    const result = await prune({ store: folder, keep: two, now });
    expect(result).toMatchObject({ store: folder, isDryRun: false, keep: two, damaged: [] });
    expect(result.kept.map(({ id, rules }) => [id.slice(0, 10), rules])).toEqual([
      ['2025-04-07', [{ rule: 'newest' }, { rule: 'day', period: '2025-04-07' }]],
      ['2026-02-01', [{ rule: 'newest' }, { rule: 'day', period: '2026-02-01' }]],
      ['2026-01-31', [{ rule: 'day', period: '2026-01-31' }]],
    ]);
    expect(idsOf(result.deleted)).toEqual(['shop 2026-01-30', 'shop 2026-01-29']);
    expect(result.deletedBytes).toBe(result.deleted.reduce((sum, { bytes }) => sum + bytes, 0));
    const { backups, damaged, unfinished } = await readCatalog(store);
    expect(idsOf(backups)).toEqual(['ledger 2025-04-07', 'shop 2026-02-01', 'shop 2026-01-31']);
    expect([...damaged, ...unfinished]).toEqual([]);
    expect(await readdir(join(folder, 'shop'))).toHaveLength(2);
    expect(structuredClone(result)).toStrictEqual(result);
  });

  it('keeps 7 days, 4 weeks and 12 months unless told otherwise', async () => {
    await writeDaily(60);
    const result = await prune({ store: folder, now });
    expect(result.keep).toEqual({ days: 7, weeks: 4, months: 12 });
    expect(idsOf(result.kept)).toEqual(
      [
        ...['2026-02-01', '2026-01-31', '2026-01-30', '2026-01-29', '2026-01-28', '2026-01-27'],
        ...['2026-01-26', '2026-01-25', '2026-01-18', '2026-01-11', '2025-12-31'],
      ].map((day) => `shop ${day}`),
    );
    expect(result.deleted).toHaveLength(49);
  });

  it('changes nothing in a dry run, and says the same', async () => {
    await writeDaily(4);
    await writeBackup(store, { startedAt: daysAgo(9), parts: ['dump'] });
    const before = await keysOf(store);
    const planned = await prune({ store: folder, keep: two, now, dryRun: true });
    expect(await keysOf(store)).toEqual(before);
    const done = await prune({ store: folder, keep: two, now });
    expect({ ...planned, isDryRun: false }).toEqual(done);
    expect(done.deleted).toHaveLength(2);
    expect(done.unfinished).toMatchObject([{ isDeleted: true }]);
  });

  it('changes nothing where nothing is to do, and in a store that is not there', async () => {
    await writeDaily(2);
    await prune({ store: folder, keep: two, now });
    expect((await readCatalog(store)).backups).toHaveLength(2);
    const missing = join(folder, 'missing');
    expect(await prune({ store: missing, now })).toMatchObject({ kept: [], deleted: [] });
    expect(await readdir(folder)).toEqual(['shop']);
  });

  it('of one database leaves the others alone', async () => {
    await writeDaily(4);
    await writeDaily(4, 'shop2');
    await writeBackup(store, { startedAt: daysAgo(9), database: 'shop2', parts: ['dump'] });
    const result = await prune({ store: folder, database: 'shop', keep: two, now });
    expect(result.unfinished).toEqual([]);
    expect((await readCatalog(store, { database: 'shop' })).backups).toHaveLength(2);
    expect((await readCatalog(store, { database: 'shop2' })).backups).toHaveLength(4);
  });

  it('leaves what is not of this tool, also beside a backup that it deletes', async () => {
    await writeDaily(3);
    const foreign = [
      'README.txt',
      `shop/${'2026-01-30T020000Z-aaaaaa'}/notes.txt`,
      'shop/2020-01-01T020000Z-aaaaaa/other.dump',
      'shop/old/dump',
      'shop/old/manifest.json',
    ];
    for (const key of foreign) await store.put(key, bytesOf('x'));
    const result = await prune({ store: folder, keep: two, now });
    expect(idsOf(result.deleted)).toEqual(['shop 2026-01-30']);
    expect(await keysOf(store)).toEqual(expect.arrayContaining(foreign));
    expect(await keysOf(store)).toHaveLength(foreign.length + 4);
  });

  it('deletes folders without a manifest once they are older than a day', async () => {
    await writeDaily(1);
    await writeBackup(store, {
      startedAt: new Date(now.getTime() - dayMs - 1_000),
      parts: ['dump'],
    });
    await writeBackup(store, { startedAt: new Date(now.getTime() - dayMs), parts: ['dump'] });
    const { unfinished } = await prune({ store: folder, now });
    expect(unfinished.map(({ ageMs, isDeleted }) => [ageMs, isDeleted])).toEqual([
      [dayMs, false],
      [dayMs + 1_000, true],
    ]);
    expect((await readCatalog(store)).unfinished).toHaveLength(1);
    expect((await readCatalog(store)).backups).toHaveLength(1);
  });

  it('aborts open uploads once they are older than a day, of this tool alone', async () => {
    await writeDaily(1);
    const stop = new AbortController();
    const keys = ['shop/2026-02-01T030000Z-bbbbbb/dump.age', 'other/upload'];
    const { signal } = stop;
    const running = Promise.allSettled(
      keys.map((key) => store.put(key, endingAt(signal), { signal })),
    );
    await expect.poll(async () => (await store.listUnfinished()).length).toBe(2);
    const young = await prune({ store: folder, now: new Date() });
    expect(young.uploads).toMatchObject([{ key: keys[0], isDeleted: false }]);
    const later = new Date(Date.now() + dayMs + 60_000);
    const planned = await prune({ store: folder, now: later, dryRun: true });
    expect(planned.uploads).toMatchObject([{ key: keys[0], isDeleted: true }]);
    expect(await store.listUnfinished()).toHaveLength(2);
    await prune({ store: folder, now: later });
    expect(await store.listUnfinished()).toMatchObject([{ key: 'other/upload' }]);
    stop.abort();
    await running;
  });

  it('neither counts nor deletes a damaged backup', async () => {
    await writeDaily(3);
    truncateSync(join(folder, 'shop/2026-02-01T020000Z-aaaaaa/dump'), 2);
    const result = await prune({ store: folder, keep: { days: 1, weeks: 0, months: 0 }, now });
    expect(idsOf(result.damaged)).toEqual(['shop 2026-02-01']);
    expect(idsOf(result.kept)).toEqual(['shop 2026-01-31']);
    expect(idsOf(result.deleted)).toEqual(['shop 2026-01-30']);
    expect(await keysOf(store)).toContain('shop/2026-02-01T020000Z-aaaaaa/dump');
  });

  it('refuses counts that are none, before it looks', async () => {
    for (const days of [-1, 1.5, Number.NaN, 1e9]) {
      const keep = { days, weeks: 0, months: 0 };
      await errorOf('bad-configuration', () => prune({ store: folder, keep, now }));
    }
  });
});

describe('an error in the middle', () => {
  const isWhole = async (store: Store) => (await readCatalog(store)).damaged.length === 0;

  /** The store, whose removal of that number fails, and all after it. */
  const failingAt = (real: Store, at: number): Store => {
    let removals = 0;
    return {
      ...real,
      remove: async (key) => {
        removals += 1;
        if (removals >= at) throw new Error('the network is down');
        await real.remove(key);
      },
    };
  };

  it.each([1, 2, 3, 4, 5])('at removal %i leaves whole backups or none', async (at) => {
    await writeDaily(4);
    await writeBackup(store, { startedAt: daysAgo(9), parts: ['dump'] });
    const failing = failingAt(store, at);
    await expect(pruneStore(failing, { keep: two, now })).rejects.toThrow('the network is down');
    expect(await isWhole(store)).toBe(true);
    const { backups } = await readCatalog(store);
    expect(idsOf(backups).slice(0, 2)).toEqual(['shop 2026-02-01', 'shop 2026-01-31']);
    // The oldest goes first, and its manifest before its dump.
    expect(backups).toHaveLength(at === 1 ? 4 : at <= 3 ? 3 : 2);
    await pruneStore(store, { keep: two, now });
    expect(await keysOf(store)).toHaveLength(4);
  });

  it('or a signal leaves whole backups, and says how far it came', async () => {
    await writeDaily(4);
    const stop = new AbortController();
    const stopping: Store = {
      ...store,
      remove: async (key) => {
        stop.abort();
        await store.remove(key);
      },
    };
    const error = await errorOf('interrupted', () =>
      pruneStore(stopping, { keep: two, now, signal: stop.signal }),
    );
    expect(error.details).toEqual({
      completed: ['shop/2026-01-29T020000Z-aaaaaa/'],
      pending: ['shop/2026-01-30T020000Z-aaaaaa/'],
    });
    expect(await keysOf(store)).toHaveLength(6);
  });

  it('a backup that gets its manifest meanwhile stays', async () => {
    await writeDaily(1);
    const slow = { startedAt: daysAgo(2) };
    const id = await writeBackup(store, { ...slow, parts: ['dump'] });
    const finishing: Store = {
      ...store,
      listUnfinished: async () => {
        await writeBackup(store, { ...slow, parts: ['manifest'] });
        return store.listUnfinished();
      },
    };
    const { unfinished, deletedBytes } = await pruneStore(finishing, { now });
    expect(unfinished).toMatchObject([{ id, isDeleted: false }]);
    expect(deletedBytes).toBe(0);
    expect((await readCatalog(store)).backups).toHaveLength(2);
  });
});

/** A byte, and no more until the signal fires. */
async function* endingAt(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield Buffer.from('x');
  await once(signal, 'abort');
}
