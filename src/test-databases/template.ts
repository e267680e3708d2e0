import type { Client } from '../database/client.ts';
import { quoteIdentifier, type Session, type Sql, withSession } from '../database/connection.ts';
import { type AdvisoryLock, ifFree, withAdvisoryLock } from '../database/lock.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { makeContent } from './content.ts';
import { halfOf, inventName, type Mark, markStatement, type TemplateKey } from './mark.ts';
import { createMarked, dropMarked, dropUnused, listMarked, type MarkedDatabase } from './marked.ts';
import type { Recipe } from './recipe.ts';
import type { TestServer } from './test-server.ts';
import { markContent } from './unmarked.ts';

export interface TemplateOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** How long to wait for another process that makes it. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
}

/** One that nobody has cloned for so long may well be of files that are gone; it is made anew at need. */
const templateLifetimeMs = 7 * 86_400_000;

/**
 * The name of the whole template of that key, which is made where there is none: by one process,
 * however many ask, while the others wait. Making it takes templates away that are half made and
 * whose maker is gone, or a week old.
 *
 * Throws what `migrate.up` and seeding throw, `not-permitted`, `lock-timeout`. A failure leaves nothing;
 * what a crash leaves bears the mark of half a template, and the next maker takes it away.
 */
export async function ensureTemplate(
  server: TestServer,
  order: { readonly recipe: Recipe; readonly key: TemplateKey },
  options: TemplateOptions,
): Promise<string> {
  const { key } = order;
  const known = await server.use((client) => findTemplate(client, key));
  const name = known ?? (await makeTogether(server, order, options));
  server.templates.set(key, name);
  return name;
}

/** One session waits for all callers of this process. */
async function makeTogether(
  server: TestServer,
  order: { readonly recipe: Recipe; readonly key: TemplateKey },
  options: TemplateOptions,
): Promise<string> {
  const { key } = order;
  const others = server.making.get(key);
  if (others) {
    return others.catch((error: unknown) => {
      // Somebody else's signal is not this caller's.
      if (!isError(error, 'interrupted') || options.signal?.aborted) throw error;
      return ensureTemplate(server, order, options);
    });
  }
  const making = makeTemplate(server, order, options).finally(() => server.making.delete(key));
  server.making.set(key, making);
  return making;
}

/** A mark is believed where the role itself made the database: anybody can write one. */
async function findTemplate(
  { sql, server: { user } }: Pick<Client, 'sql' | 'server'>,
  key: TemplateKey,
): Promise<string | undefined> {
  const marked = await listMarked(sql, { kind: 'template', key });
  return marked.find(({ owner }) => owner === user)?.name;
}

async function makeTemplate(
  server: TestServer,
  { recipe, key }: { readonly recipe: Recipe; readonly key: TemplateKey },
  options: TemplateOptions,
): Promise<string> {
  const { signal, onProgress, lockTimeoutMs } = options;
  return server.withSession({ signal, onProgress }, (session) =>
    withAdvisoryLock(session, { lock: lockOf(key), lockTimeoutMs, onProgress }, async () => {
      const made = await findTemplate(session, key);
      if (made !== undefined) return made;
      await pruneTemplates(session.sql);
      const startedAt = performance.now();
      onProgress?.({ kind: 'template-started', key });
      const name = await make(server, { session, recipe, key }, options);
      onProgress?.({ kind: 'template-finished', key, durationMs: performance.now() - startedAt });
      return name;
    }),
  );
}

/** A lock for each key: templates of different files are made side by side. */
function lockOf(key: TemplateKey): AdvisoryLock {
  return {
    lockClass: 842_341_074,
    lockObject: halfOf(key),
    name: `the lock of the template ${key.slice(0, 8)}`,
  };
}

/**
 * It is a template in the server's sense from its first moment: TimescaleDB starts no scheduler in
 * such a database (its src/loader/bgw_launcher.c), so that no job runs in it while it is made, and
 * nobody is connected to it when it is cloned.
 */
async function make(
  server: TestServer,
  {
    session,
    recipe,
    key,
  }: { readonly session: Session; readonly recipe: Recipe; readonly key: TemplateKey },
  options: TemplateOptions,
): Promise<string> {
  const name = inventName('template');
  await createMarked(session, { name, mark: { kind: 'building', key } });
  try {
    const { signal, onProgress } = options;
    const target = { ...server.target, database: name };
    await makeContent(recipe, { target, signal, onProgress });
    await calm(server, { name, key }, options);
    session.throwIfInterrupted();
    await seal(session, { name, key });
    return name;
  } catch (error) {
    // Where this cannot be done, whoever makes the next template does it.
    await server.use(({ sql }) => dropMarked(sql, name)).catch(() => {});
    throw error;
  }
}

/**
 * What a clone begins with is what it would come to by itself: no job is due, none has run, and the
 * planner knows the tables.
 */
async function calm(
  { target }: TestServer,
  { name, key }: { readonly name: string; readonly key: TemplateKey },
  { signal }: TemplateOptions,
): Promise<void> {
  await withSession({ ...target, database: name }, { signal }, async ({ sql }) => {
    const [extension] = await sql<{ schema: string }[]>`
      select nspname as schema from pg_extension join pg_namespace n on n.oid = extnamespace
      where extname = 'timescaledb'`;
    if (extension) await pauseJobs(sql, extension);
    await markContent(sql, key);
    await sql.unsafe('analyze');
  });
}

/** TimescaleDB's own belong to whoever created the extension, which others leave as they are. */
async function pauseJobs(sql: Sql, { schema }: { readonly schema: string }): Promise<void> {
  await sql.unsafe(
    `select ${quoteIdentifier(schema, 'alter_job')}(job_id, scheduled => false)
     from timescaledb_information.jobs where pg_has_role(owner, 'usage')`,
  );
}

/**
 * Whole from here on, and closed to everybody: a template that somebody is connected to cannot be
 * cloned. In one transaction: never one without the other.
 */
async function seal(
  { sql }: Session,
  { name, key }: { readonly name: string; readonly key: TemplateKey },
): Promise<void> {
  await sql.unsafe(
    `alter database ${quoteIdentifier(name)} allow_connections false;
     ${markStatement(name, { kind: 'template', key })}`,
  );
}

/**
 * Takes away templates of that age (a week where none is said), half made ones whose maker is gone, and
 * ready clones that have no template any more, where nobody is in them. Those of other roles stay.
 * Returns what was dropped.
 */
export async function pruneTemplates(
  sql: Sql,
  { olderThanMs = templateLifetimeMs }: { readonly olderThanMs?: number } = {},
): Promise<readonly MarkedDatabase[]> {
  const marked = (await listMarked(sql)).filter(({ isOwn }) => isOwn);
  const dropped: MarkedDatabase[] = [];
  const take = async (database: MarkedDatabase) => {
    if ((await dropUnused(sql, database)) === 'dropped') dropped.push(database);
  };
  for (const database of marked) {
    if (database.kind === 'template' && database.ageMs >= olderThanMs) await take(database);
    if (database.kind === 'building') {
      // Whoever makes a template holds its lock.
      await ifFree(sql, lockOf(database.key), async () => {
        // Its maker's last statement may run on.
        const isDropped = await dropMarked(sql, database.name).catch(unlessPermitted);
        if (isDropped) dropped.push(database);
      });
    }
  }
  const isLeft = ({ key }: Mark) =>
    marked.some((each) => each.kind === 'template' && each.key === key && !dropped.includes(each));
  for (const database of marked) {
    if (database.kind === 'ready' && !isLeft(database)) await take(database);
  }
  return dropped;
}

/** A superuser's session in it keeps it where it is. */
function unlessPermitted(error: unknown): false {
  if (sqlState(error) === sqlErrorCodes.insufficientPrivilege) return false;
  throw error;
}
