import type { Client } from '../database/client.ts';
import { ifFree } from '../database/lock.ts';
import { throwIfInterrupted } from '../database/refusals.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { createDatabase, listOwn, lockObjectOf, takeReady } from './catalog.ts';
import type { TemplateKey } from './name.ts';
import { keyOn, type Recipe } from './recipe.ts';
import { ensureTemplate, type TemplateOptions } from './template.ts';
import type { TestServer } from './test-server.ts';

/** The most databases that one call creates or keeps ready. A larger number is probably a typing error. */
export const mostAtOnce = 1_000;

/**
 * The name of a database that only the caller has: a ready clone where there is one, else a new copy of the
 * template. Throws what `ensureTemplate` throws, and leaves nothing behind then.
 */
export async function provideClone(
  server: TestServer,
  recipe: Recipe,
  options: TemplateOptions,
): Promise<string> {
  throwIfInterrupted(options.signal);
  const key = await keyOn(server, recipe);
  const ready = await server.use((client) => takeReady(client, key));
  if (ready !== undefined) return ready;
  for (;;) {
    throwIfInterrupted(options.signal);
    const template = await ensureTemplate(server, recipe, options);
    const name = await server.use((client) =>
      copyTemplate(client, { kind: 'clone', key, template }),
    );
    if (name !== undefined) return name;
  }
}

/**
 * Makes ready clones until there are `count` of them, and returns how many it made: none where another process is
 * doing the same.
 */
export async function fillReady(
  server: TestServer,
  recipe: Recipe,
  { count, ...options }: TemplateOptions & { readonly count: number },
): Promise<number> {
  const key = await keyOn(server, recipe);
  const template = await ensureTemplate(server, recipe, options);
  const lock = { lockClass: 842_341_076, lockObject: lockObjectOf(key), name: 'the clone lock' };
  const made = await server.use((client) =>
    ifFree(client.sql, lock, async () => {
      for (let made = 0; ; made += 1) {
        throwIfInterrupted(options.signal);
        const ready = await listOwn(client, { kind: 'ready', key });
        if (ready.length >= count) return made;
        const name = await copyTemplate(client, { kind: 'ready', key, template });
        if (name === undefined) return made;
      }
    }),
  );
  return made ?? 0;
}

/** undefined where the template was dropped meanwhile. */
async function copyTemplate(
  client: Client,
  copy: { readonly kind: 'clone' | 'ready'; readonly key: TemplateKey; readonly template: string },
): Promise<string | undefined> {
  try {
    return await createDatabase(client, copy);
  } catch (error) {
    if (sqlState(error) === sqlErrorCodes.noSuchDatabase) return undefined;
    throw error;
  }
}
