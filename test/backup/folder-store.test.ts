import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openFolderStore } from '../../src/backup/folder-store.ts';
import { openStore } from '../../src/backup/open-store.ts';
import { readText } from '../../src/backup/store.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

const keys = async (folder: string) =>
  (await openFolderStore(folder).list('')).map(({ key }) => key);

/** Content that has come to its middle, and goes on when it is told. */
function paused(): { readonly content: AsyncIterable<Uint8Array>; readonly goOn: () => void } {
  let goOn = () => {};
  const told = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  async function* content(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('half');
    await told;
    yield Buffer.from(' and half');
  }
  return { content: content(), goOn: () => goOn() };
}

/** Until it holds, looking again and again. */
async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  return expect.poll(look).toBeDefined().then(look) as Promise<T>;
}

describe('a store in a folder', () => {
  it('is readable by its owner alone', async () => {
    const folder = join(temporaryFolder(), 'backups');
    await openFolderStore(folder).put('shop/a/dump', pieces('x'));
    for (const path of ['.', 'shop', 'shop/a', 'shop/a/dump']) {
      expect(statSync(join(folder, path)).mode & 0o077).toBe(0);
    }
  });

  it('does not list what is still written, and finds it as unfinished', async () => {
    const folder = temporaryFolder();
    const store = openFolderStore(folder);
    const { content, goOn } = paused();
    const put = store.put('shop/a/dump', content);
    const [upload] = await until(async () => {
      const found = await store.listUnfinished();
      return found.length > 0 ? found : undefined;
    });
    expect(upload?.key).toBe('shop/a/dump');
    expect(Math.abs(Date.now() - Number(upload?.startedAt))).toBeLessThan(60_000);
    expect(await store.list('')).toEqual([]);
    goOn();
    await put;
    expect(await readText(store, 'shop/a/dump')).toBe('half and half');
    expect(await store.listUnfinished()).toEqual([]);
  });

  it('removes what a killed process left behind, with its folders', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'shop/a'), { recursive: true });
    writeFileSync(join(folder, 'shop/a/dump.0123456789ab.part'), 'half');
    const store = openFolderStore(folder);
    const uploads = await store.listUnfinished();
    expect(uploads.map(({ key }) => key)).toEqual(['shop/a/dump']);
    for (const upload of uploads) await store.abort(upload);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('removes empty folders with the last object in them, and keeps itself', async () => {
    const folder = temporaryFolder();
    const store = openFolderStore(folder);
    await store.put('shop/a/dump', pieces('x'));
    await store.put('shop/b/dump', pieces('x'));
    await store.remove('shop/a/dump');
    expect(readdirSync(join(folder, 'shop'))).toEqual(['b']);
    await store.remove('shop/b/dump');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('writes while others remove their objects from the same folders', async () => {
    const folder = temporaryFolder();
    const store = openFolderStore(folder);
    const names = Array.from({ length: 40 }, (_, at) => `shop/a/${at}`);
    const turn = async (name: string) => {
      await store.put(name, pieces('x'));
      await store.remove(name);
    };
    await Promise.all(names.map(turn));
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves no folder behind when the content throws', async () => {
    const folder = temporaryFolder();
    async function* content(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x');
      throw new Error('no more');
    }
    await expect(openFolderStore(folder).put('shop/a/dump', content())).rejects.toThrow('no more');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('removes the folders that it has created when nothing came into them', async () => {
    const folder = temporaryFolder();
    async function* content(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x');
      throw new Error('no more');
    }
    const store = openFolderStore(join(folder, 'not/yet'));
    await expect(store.put('shop/a/dump', content())).rejects.toThrow('no more');
    expect(readdirSync(folder)).toEqual([]);
    await store.put('shop/a/dump', pieces('x'));
    await expect(store.put('shop/b/dump', content())).rejects.toThrow('no more');
    expect(await keys(join(folder, 'not/yet'))).toEqual(['shop/a/dump']);
  });

  it('passes on an error of the content that comes from the system', async () => {
    const fault = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' });
    // biome-ignore lint/correctness/useYield: it ends before its first piece.
    async function* content(): AsyncGenerator<Uint8Array> {
      throw fault;
    }
    const put = openFolderStore(temporaryFolder()).put('a', content());
    await expect(put).rejects.toBe(fault);
  });
});

describe('links in a store', () => {
  it('are followed: the store itself, a folder, an object', async () => {
    const [real, disk] = [temporaryFolder(), temporaryFolder()];
    const link = join(temporaryFolder(), 'link');
    symlinkSync(real, link);
    symlinkSync(disk, join(real, 'shop'));
    await openFolderStore(link).put('shop/a/dump', pieces('x'));
    symlinkSync(join(disk, 'a/dump'), join(real, 'other'));
    expect(existsSync(join(disk, 'a/dump'))).toBe(true);
    expect(await keys(link)).toEqual(['other', 'shop/a/dump']);
  });

  it('are left out when they lead nowhere, or in a circle', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'shop'));
    symlinkSync(folder, join(folder, 'shop/circle'));
    symlinkSync('itself', join(folder, 'itself'));
    symlinkSync('/nowhere', join(folder, 'nowhere'));
    writeFileSync(join(folder, 'shop/dump'), 'x');
    expect(await keys(folder)).toEqual(['shop/dump']);
  });

  it('are removed, and not what they lead to', async () => {
    const [folder, disk] = [temporaryFolder(), temporaryFolder()];
    writeFileSync(join(disk, 'dump'), 'x');
    symlinkSync(join(disk, 'dump'), join(folder, 'dump'));
    await openFolderStore(folder).remove('dump');
    expect(await keys(folder)).toEqual([]);
    expect(existsSync(join(disk, 'dump'))).toBe(true);
  });
});

describe('a folder that cannot be used', () => {
  it('is named when it is a file', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, 'x');
    const store = openFolderStore(file);
    const calls = [
      () => store.put('a', pieces('x')),
      () => readText(store, 'a'),
      () => store.list(''),
      () => store.listUnfinished(),
    ];
    for (const call of calls) {
      expect((await errorOf('store-failed', call)).details).toEqual({ store: file });
    }
  });

  it('is named below /proc, where nothing can be created', async () => {
    const put = () => openFolderStore('/proc/nope/deeper').put('shop/a/dump', pieces('x'));
    expect((await errorOf('store-failed', put)).details).toEqual({ store: '/proc/nope/deeper' });
  });

  const isRoot = process.getuid?.() === 0;
  const rootNote = isRoot ? ' (skipped: root may write everywhere)' : '';
  it.skipIf(isRoot)(
    `is named when this user may not write to it, or read it${rootNote}`,
    async () => {
      const folder = join(temporaryFolder(), 'closed');
      mkdirSync(folder, { mode: 0o500 });
      const put = () => openFolderStore(folder).put('a', pieces('x'));
      expect(wordsOf(await errorOf('store-failed', put))).toMatch(/EACCES[\s\S]*write/);
      chmodSync(folder, 0o300);
      const list = () => openFolderStore(folder).list('');
      expect(wordsOf(await errorOf('store-failed', list))).toMatch(/EACCES[\s\S]*read/);
    },
  );

  const canMount = mountSmallDisk()?.unmount() ?? false;
  it.skipIf(!canMount)(
    `has no half an object when the disk is full${canMount ? '' : ' (skipped: this user cannot mount a small disk)'}`,
    async () => {
      const disk = mountSmallDisk();
      if (!disk) throw new Error('not mounted');
      onTestFinished(() => void disk.unmount());
      const store = openFolderStore(disk.folder);
      await store.put('shop/a/dump', pieces('x'));
      async function* content(): AsyncGenerator<Uint8Array> {
        for (let count = 0; count < 32; count += 1) yield Buffer.alloc(64 * 1024);
      }
      const error = await errorOf('store-failed', () => store.put('shop/b/dump', content()));
      expect(wordsOf(error)).toMatch(/ENOSPC[\s\S]*prune/);
      expect(await keys(disk.folder)).toEqual(['shop/a/dump']);
      expect(await store.listUnfinished()).toEqual([]);
    },
  );
});

interface SmallDisk {
  readonly folder: string;
  readonly unmount: () => true;
}

/** 1 MiB of memory as a disk; undefined where it takes permissions that this user does not have. */
function mountSmallDisk(): SmallDisk | undefined {
  const folder = join(process.env.TMPDIR ?? '/tmp', `cryptosense-db-disk-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
  const remove = () => execFileSync('rmdir', [folder]);
  if (status !== 0) {
    remove();
    return undefined;
  }
  return {
    folder,
    unmount: () => {
      execFileSync('umount', [folder]);
      remove();
      return true;
    },
  };
}

describe('a store that is neither S3 nor a folder', () => {
  it.each(['gs://bucket/x', 'GS://b', 'file:///tmp/x', 'https://s3.example/x', 'az:b', 's4://b'])(
    '%s is refused',
    async (location) => {
      const error = await errorOf('bad-configuration', () => openStore(location));
      expect(wordsOf(error)).toMatch(/no kind of store\n.*s3:\/\/bucket\/prefix/);
      expect(wordsOf(error)).not.toContain('//s3.example');
    },
  );

  it.each(['s3:/bucket', 's3:bucket', 'S3://'])('%s is no bucket', async (location) => {
    await errorOf('bad-configuration', () => openStore(location));
  });

  it('is not one that writes S3 in capital letters, nor a folder with a colon', async () => {
    const bucket = await openStore('S3://bucket/x');
    onTestFinished(() => bucket.close());
    expect(bucket.name).toBe('s3://bucket/x');
    expect((await openStore('./gs:')).name).toBe(resolve('gs:'));
  });
});
