import type { Client } from '../database/client.ts';
import { interrupted } from '../database/refusals.ts';
import { halfOf, inventName, markCommand, markPrefix, type TemplateKey } from './mark.ts';
import { createMarked, listMarked } from './marked.ts';
import type { TestServer } from './test-server.ts';

/**
 * The name of a ready clone of that template, which is the caller's from here on; undefined when there
 * is none. One round trip, and nothing but the mark changes.
 */
export async function takeReady(server: TestServer, key: TemplateKey): Promise<string | undefined> {
  return server.use(async (client) => {
    await prepare(client);
    const [ready, clone] = [markPrefix({ kind: 'ready', key }), markPrefix({ kind: 'clone', key })];
    const [row] = await client.sql<{ name: string | null }[]>`
      select pg_temp.cryptosense_take(${ready}, ${clone}) as name`;
    return row?.name ?? undefined;
  });
}

/** The halves of locks' keys that are not the database's own number, or the template's key. */
const takeClass = 842_341_075;
const fillClass = 842_341_076;

/**
 * Of the session alone, and gone with it. Planned once: an anonymous block takes twice the time. No two
 * callers get the same: who holds the lock of a database looks at its mark again.
 */
const definition = `
  create function pg_temp.cryptosense_take(ready text, clone text) returns text
  language plpgsql as $take$
  declare
    candidate oid;
    taken text;
  begin
    for candidate in
      select s.objoid from pg_shdescription s
      where s.classoid = 'pg_database'::regclass and starts_with(s.description, ready)
    loop
      continue when not pg_try_advisory_xact_lock(${takeClass}::bigint << 32 | candidate::bigint);
      select d.datname into taken
      from pg_database d
      join pg_shdescription s on s.objoid = d.oid and s.classoid = 'pg_database'::regclass
      where d.oid = candidate and pg_has_role(d.datdba, 'usage')
        and starts_with(s.description, ready);
      exit when found;
    end loop;
    if taken is not null then
      ${markCommand('taken', 'clone')}
    end if;
    return taken;
  end $take$`;

const prepared = new WeakSet<Client>();

async function prepare(client: Client): Promise<void> {
  if (prepared.has(client)) return;
  await client.sql.unsafe(definition);
  prepared.add(client);
}

/**
 * Makes ready clones of the template until there are so many. One process at a time does it; others
 * leave it to that one. Returns how many it made.
 */
export async function fillReady(
  server: TestServer,
  {
    template,
    key,
    count,
  }: { readonly template: string; readonly key: TemplateKey; readonly count: number },
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<number> {
  return server.use(async (client) => {
    const { sql } = client;
    const [lockClass, lockObject] = [fillClass, halfOf(key)];
    const [{ isHeld }] = await sql<[{ isHeld: boolean }]>`
      select pg_try_advisory_lock(${lockClass}, ${lockObject}) as "isHeld"`;
    if (!isHeld) return 0;
    try {
      for (let made = 0; ; made += 1) {
        if (signal?.aborted) throw interrupted({ completed: [], pending: [] });
        const ready = await listMarked(sql, { kind: 'ready', key });
        if (ready.filter(({ isOwn }) => isOwn).length >= count) return made;
        const [name, mark] = [inventName('test'), { kind: 'ready' as const, key }];
        await createMarked(client, { name, template, mark });
      }
    } finally {
      await sql`select pg_advisory_unlock(${lockClass}, ${lockObject})`.catch(() => {});
    }
  });
}
