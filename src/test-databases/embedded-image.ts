import { createHash, randomUUID } from 'node:crypto';
import {
  mkdirSync,
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
import { fillDatabase, type Recipe } from './recipe.ts';
import type { TemplateOptions } from './template.ts';

export interface ImageOptions extends TemplateOptions {
  /** Where images are kept. */
  readonly cacheFolder: string;
}

const imageLifetimeMs = 7 * 86_400_000;

/**
 * An engine in memory that begins with what the recipe makes: from an image of it in the cache, which
 * is made first where there is none, by one process however many ask.
 *
 * Throws what `openEmbeddedEngine` and `migrate.up` throw; `file-problem` when the cache cannot be
 * written. What a failure leaves in the cache, the next maker takes away.
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
    mkdirSync(folder, { recursive: true });
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
        message: `images of databases cannot be kept in ${folder}`,
        evidence: [messageOf(cause)],
        hint: 'name a folder that can be written: cacheFolder',
      },
      { details: { path: folder }, cause },
    );
  }
}

/** In a folder, as the tool's own work needs the engine several times; it goes afterwards. */
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

/** Written beside it, then renamed; its name holds its size, so that half an image is none. */
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

/** The image of that key, if it is whole; its age is that of its last use. */
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

/** What makers that died left, broken images, and those that nobody used for a week. With the lock held. */
function tidy(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const { size, mtimeMs } = statSync(path);
    const image = imageName.exec(name);
    const isSpent = image && (size !== Number(image[2]) || Date.now() - mtimeMs > imageLifetimeMs);
    if (isSpent || halfName.test(name)) rmSync(path, { recursive: true, force: true });
  }
}
