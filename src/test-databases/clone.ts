import { throwIfInterrupted } from '../database/refusals.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { inventName, type TemplateKey } from './mark.ts';
import { createMarked } from './marked.ts';
import { takeReady } from './ready.ts';
import { keyOn, type Recipe } from './recipe.ts';
import { ensureTemplate, type TemplateOptions } from './template.ts';
import type { TestServer } from './test-server.ts';

/** What to clone: its recipe, and the key that the recipe has on this server. */
export interface Order {
  readonly recipe: Recipe;
  readonly key: TemplateKey;
}

/** Throws what asking the server throws. */
export async function orderOf(server: TestServer, recipe: Recipe): Promise<Order> {
  const known = server.keys.get(recipe.fingerprint);
  const key = known ?? (await server.use(({ sql }) => keyOn(sql, recipe)));
  server.keys.set(recipe.fingerprint, key);
  return { recipe, key };
}

/**
 * A database of one's own: a ready one where there is one, else a copy of the template. Returns its name.
 * Throws what `ensureTemplate` throws; leaves nothing behind then.
 */
export async function provideClone(
  server: TestServer,
  order: Order,
  options: TemplateOptions,
): Promise<string> {
  throwIfInterrupted(options.signal);
  const ready = await takeReady(server, order.key);
  return ready ?? createClone(server, order, options);
}

/** A template can be pruned between being found and being cloned; then it is made anew. */
const mostTries = 5;

/** A copy of the template, which is made first where there is none. */
export async function createClone(
  server: TestServer,
  order: Order,
  options: TemplateOptions,
): Promise<string> {
  const { key } = order;
  const name = inventName('test');
  for (let tries = 1; ; tries += 1) {
    throwIfInterrupted(options.signal);
    const template = server.templates.get(key) ?? (await ensureTemplate(server, order, options));
    const isCloned = await server.use(async (client) => {
      try {
        await createMarked(client, { name, template, mark: { kind: 'clone', key } });
        return true;
      } catch (error) {
        if (sqlState(error) !== sqlErrorCodes.noSuchDatabase || tries === mostTries) throw error;
        return false;
      }
    });
    if (isCloned) return name;
    server.templates.delete(key);
  }
}
