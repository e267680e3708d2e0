import type { Client } from '../database/client.ts';
import { ifFree } from '../database/lock.ts';
import { throwIfInterrupted } from '../database/refusals.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import {
  databaseLock,
  halfOf,
  inventName,
  markCommand,
  markPrefix,
  type TemplateKey,
} from './mark.ts';
import { createMarked, listMarked } from './marked.ts';
import type { TestServer } from './test-server.ts';

/**
 * The name of a ready clone of that template, which is the caller's from here on; undefined when there
 * is none. One round trip, and nothing but the mark changes.
 */
export async function takeReady(server: TestServer, key: TemplateKey): Promise<string | undefined> {
  return server.use(async (client) => {
    if (!(await prepare(client))) return undefined;
    const [ready, clone] = [markPrefix({ kind: 'ready', key }), markPrefix({ kind: 'clone', key })];
    const rows = await client.sql<{ name: string | null }[]>`
      select pg_temp.cryptosense_take(${ready}, ${clone}) as name`.catch((error: unknown) => {
      // Somebody dropped it by its name.
      if (sqlState(error) === sqlErrorCodes.noSuchDatabase) return [];
      throw error;
    });
    return rows[0]?.name ?? undefined;
  });
}

/** More at once, ready or asked for, is a slip of the pen. */
export const mostAtOnce = 1_000;

/** The half of the lock's key that is not the template's. */
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
      continue when not pg_try_advisory_xact_lock(${databaseLock('candidate')});
      select d.datname into taken
      from pg_database d
      join pg_shdescription s on s.objoid = d.oid and s.classoid = 'pg_database'::regclass
      where d.oid = candidate and pg_get_userbyid(d.datdba) = current_user
        and starts_with(s.description, ready);
      exit when found;
    end loop;
    if taken is not null then
      ${markCommand('taken', 'clone')}
    end if;
    return taken;
  end $take$`;

const prepared = new WeakSet<Client>();

/** false where the role may make nothing temporary: for it there are no ready clones. */
async function prepare(client: Client): Promise<boolean> {
  if (prepared.has(client)) return true;
  try {
    await client.sql.unsafe(definition);
    prepared.add(client);
    return true;
  } catch (error) {
    if (sqlState(error) === sqlErrorCodes.insufficientPrivilege) return false;
    throw error;
  }
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
  let made = 0;
  const isEnough = async ({ sql, server: { user } }: Client) => {
    const ready = await listMarked(sql, { kind: 'ready', key });
    return ready.filter(({ owner }) => owner === user).length >= count;
  };
  await server.use((client) =>
    ifFree(client.sql, { lockClass: fillClass, lockObject: halfOf(key) }, async () => {
      while (!(await isEnough(client))) {
        throwIfInterrupted(signal);
        const [name, mark] = [inventName('test'), { kind: 'ready' as const, key }];
        try {
          await createMarked(client, { name, template, mark });
        } catch (error) {
          // The template was pruned meanwhile; whoever needs it makes it anew.
          if (sqlState(error) === sqlErrorCodes.noSuchDatabase) return;
          throw error;
        }
        made += 1;
      }
    }),
  );
  return made;
}
