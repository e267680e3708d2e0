import { quoteLiteral } from '../database/connection.ts';
import { interrupted } from '../database/refusals.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { halfOf, inventName, markCommand, markPrefix, type TemplateKey } from './mark.ts';
import { createMarked, listMarked } from './marked.ts';
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
  const ready = await takeReady(server, order.key);
  return ready ?? createClone(server, order, options);
}

/** A template can be pruned between being found and being cloned; then it is made anew. */
const mostTries = 5;

/** A copy of the template, which is made first where there is none. */
async function createClone(
  server: TestServer,
  order: Order,
  options: TemplateOptions,
): Promise<string> {
  const { key } = order;
  const name = inventName('test');
  for (let tries = 1; ; tries += 1) {
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

/**
 * The name of a ready clone of that template, which is the caller's from here on; undefined when there
 * is none. One round trip, and nothing but the mark changes, so that no two callers get the same: who
 * holds the lock of a database looks at its mark again.
 */
async function takeReady(server: TestServer, key: TemplateKey): Promise<string | undefined> {
  const result = await server.use(({ sql }) => sql.unsafe(takeStatement(key)));
  const [row] = (result.at(-1) ?? []) as readonly { readonly name: string }[];
  return row?.name || undefined;
}

const answer = 'cryptosense_db.taken';

function takeStatement(key: TemplateKey): string {
  const prefix = quoteLiteral(markPrefix({ kind: 'ready', key }));
  const ready = `
    pg_database d
    join pg_shdescription s on s.objoid = d.oid and s.classoid = 'pg_database'::regclass
    where starts_with(s.description, ${prefix}) and pg_has_role(d.datdba, 'usage')`;
  return `
    do $take$ declare candidate record; begin
      perform set_config('${answer}', '', true);
      for candidate in select d.oid, d.datname from ${ready} loop
        continue when not pg_try_advisory_xact_lock(
          ${takeClass}::bigint << 32 | candidate.oid::bigint);
        perform from ${ready} and d.oid = candidate.oid;
        continue when not found;
        ${markCommand('candidate.datname', { kind: 'clone', key })}
        perform set_config('${answer}', candidate.datname, true);
        exit;
      end loop;
    end $take$;
    select current_setting('${answer}') as name`;
}

/** The halves of locks' keys that are not the database's own number, or the template's key. */
const takeClass = 842_341_075;
const fillClass = 842_341_076;

/**
 * Makes ready clones until there are so many of that template. One process at a time does it; others
 * leave it to that one. Returns how many it made. Throws what `ensureTemplate` throws.
 */
export async function fillReady(
  server: TestServer,
  { count, ...order }: Order & { readonly count: number },
  options: TemplateOptions,
): Promise<number> {
  const { key } = order;
  const template = await ensureTemplate(server, order, options);
  return server.use(async (client) => {
    const { sql } = client;
    const [lockClass, lockObject] = [fillClass, halfOf(key)];
    const [{ isHeld }] = await sql<[{ isHeld: boolean }]>`
      select pg_try_advisory_lock(${lockClass}, ${lockObject}) as "isHeld"`;
    if (!isHeld) return 0;
    try {
      for (let made = 0; ; made += 1) {
        if (options.signal?.aborted) throw interrupted({ completed: [], pending: [] });
        const ready = await listMarked(sql, { kind: 'ready', key });
        if (ready.filter(({ isOwn }) => isOwn).length >= count) return made;
        await createMarked(client, {
          name: inventName('test'),
          template,
          mark: { kind: 'ready', key },
        });
      }
    } finally {
      await sql`select pg_advisory_unlock(${lockClass}, ${lockObject})`.catch(() => {});
    }
  });
}
