import { createHash, randomUUID } from 'node:crypto';
import {
  openAsBlob,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { engineVersion } from '../database/embedded/boot.ts';
import { type EmbeddedEngine, openEmbeddedEngine } from '../database/embedded/engine.ts';
import { lockFolder } from '../database/embedded/folder-lock.ts';
import { CryptosenseDbError, isError, messageOf } from '../runtime/errors.ts';
import { makeFolder } from '../runtime/files.ts';
import { fillDatabase, type Recipe } from './recipe.ts';
import type { TemplateOptions } from './template.ts';

export interface ImageOptions extends TemplateOptions {
  /** The folder of the images. */
  readonly cacheFolder: string;
}

const imageLifetimeMs = 7 * 86_400_000;

/**
 * Opens an engine in memory with the content of the recipe, from an image in the cache folder. Makes the image where
 * there is none: one process makes it, the others wait.
 *
 * Throws what `openEmbeddedEngine` and `migrate.up` throw, and `file-problem` when the folder cannot be written. The
 * next maker deletes what a failure leaves in the folder.
 */
export async function openFromImage(
  recipe: Recipe,
  options: ImageOptions,
): Promise<EmbeddedEngine> {
  const image = await ensureImage(recipe, options);
  return openEmbeddedEngine({ content: await openAsBlob(image) });
}

/** The path of the recipe's image. */
export async function ensureImage(recipe: Recipe, options: ImageOptions): Promise<string> {
  const folder = resolve(options.cacheFolder);
  const text = JSON.stringify([engineVersion, recipe.fingerprint]);
  const key = createHash('sha256').update(text).digest('hex').slice(0, 32);
  const { signal, onProgress, lockTimeoutMs: timeoutMs = 60_000 } = options;
  try {
    makeFolder(folder);
    const known = findImage(folder, key);
    if (known !== undefined) return known;
    const onWait = (reason: string) => onProgress?.({ kind: 'waiting-for-server', reason });
    const release = await lockFolder(folder, { timeoutMs, signal, onWait });
    try {
      const made = findImage(folder, key);
      if (made !== undefined) return made;
      tidy(folder);
      const startedAt = performance.now();
      onProgress?.({ kind: 'template-started', key });
      const content = await make(recipe, join(folder, `${key}.building`), options);
      const image = await keep(content, { folder, key });
      onProgress?.({ kind: 'template-finished', key, durationMs: performance.now() - startedAt });
      return image;
    } finally {
      release();
    }
  } catch (cause) {
    if (isError(cause) || signal?.aborted || !(cause instanceof Error && 'code' in cause))
      throw cause;
    throw new CryptosenseDbError(
      'file-problem',
      {
        message: `images of databases cannot be saved in ${folder}`,
        evidence: [messageOf(cause)],
        hint: 'name a writable folder with the option cacheFolder',
      },
      { details: { path: folder }, cause },
    );
  }
}

/** Fills a database in a folder, because migrating and seeding open the engine several times. The folder is deleted afterwards. */
async function make(
  recipe: Recipe,
  place: string,
  { signal, onProgress }: TemplateOptions,
): Promise<Blob> {
  try {
    await fillDatabase(recipe, { target: { kind: 'embedded', folder: place }, signal, onProgress });
    const engine = await openEmbeddedEngine({ folder: place });
    try {
      return await engine.dump();
    } finally {
      await engine.close();
    }
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

const imageName = /^([0-9a-f]{32})-(\d+)\.tar$/;
const halfName = /^[0-9a-f]{32}(?:\.[0-9a-f-]{36})?\.building$/;

/** Writes a draft and renames it. The name contains the size, so that an incomplete image is not used. */
async function keep(
  content: Blob,
  { folder, key }: { readonly folder: string; readonly key: string },
): Promise<string> {
  const image = join(folder, `${key}-${content.size}.tar`);
  const draft = join(folder, `${key}.${randomUUID()}.building`);
  writeFileSync(draft, Buffer.from(await content.arrayBuffer()), { flush: true });
  renameSync(draft, image);
  return image;
}

/** The complete image of that key. Finding it counts as a use: `tidy` deletes images without a use for a week. */
function findImage(folder: string, key: string): string | undefined {
  for (const name of readdirSync(folder)) {
    const [, ownKey, size] = imageName.exec(name) ?? [];
    if (ownKey !== key) continue;
    const image = join(folder, name);
    if (statSync(image, { throwIfNoEntry: false })?.size !== Number(size)) continue;
    utimesSync(image, new Date(), new Date());
    return image;
  }
  return undefined;
}

/** Deletes files left behind by makers that died, incomplete images, and images without a use for a week. Call it with the lock held. */
function tidy(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const { size, mtimeMs } = statSync(path);
    const image = imageName.exec(name);
    const isSpent = image && (size !== Number(image[2]) || Date.now() - mtimeMs > imageLifetimeMs);
    if (isSpent || halfName.test(name)) rmSync(path, { recursive: true, force: true });
  }
}
