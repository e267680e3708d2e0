import { quoteIdentifier, type Session, type Sql, withSession } from '../database/connection.ts';
import { withAdvisoryLock } from '../database/lock.ts';
import { isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { createDatabase, dropDatabase, listOwn, sealTemplate, templateLock } from './catalog.ts';
import type { TemplateKey } from './name.ts';
import { pruneDatabases, templateLifetimeMs } from './prune.ts';
import { fillDatabase, keyOn, type Recipe } from './recipe.ts';
import type { TestServer } from './test-server.ts';

export interface TemplateOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** How long to wait for another process that makes the template. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
}

/**
 * The name of the recipe's template. Makes it where there is none: one process makes it, the others wait. The maker
 * first drops templates that are a week old and those whose makers are gone.
 *
 * Throws what `migrate.up` and seeding throw, `not-permitted`, `lock-timeout`. A failure leaves nothing behind. A
 * crash leaves a database of the kind `building`, which the next maker drops.
 */
export async function ensureTemplate(
  server: TestServer,
  recipe: Recipe,
  options: TemplateOptions,
): Promise<string> {
  const key = await keyOn(server, recipe);
  const [known] = await server.use((client) => listOwn(client, { kind: 'template', key }));
  return known?.name ?? makeTogether(server, { recipe, key }, options);
}

interface Order {
  readonly recipe: Recipe;
  readonly key: TemplateKey;
}

/** One session makes it, or waits for its maker, for all callers of this process. */
async function makeTogether(
  server: TestServer,
  order: Order,
  options: TemplateOptions,
): Promise<string> {
  const { recipe, key } = order;
  const others = server.making.get(key);
  if (others) {
    return others.catch((error: unknown) => {
      // The signal of the caller who makes it is not the signal of this caller.
      if (!isError(error, 'interrupted') || options.signal?.aborted) throw error;
      return ensureTemplate(server, recipe, options);
    });
  }
  const making = makeAlone(server, order, options).finally(() => server.making.delete(key));
  server.making.set(key, making);
  return making;
}

async function makeAlone(
  server: TestServer,
  { recipe, key }: Order,
  options: TemplateOptions,
): Promise<string> {
  const { signal, onProgress, lockTimeoutMs } = options;
  return server.withSession({ signal, onProgress }, (session) =>
    withAdvisoryLock(session, { lock: templateLock(key), lockTimeoutMs, onProgress }, async () => {
      const [known] = await listOwn(session, { kind: 'template', key });
      if (known) return known.name;
      await pruneDatabases(session.sql, {
        clonesMs: Number.POSITIVE_INFINITY,
        templatesMs: templateLifetimeMs,
      });
      const startedAt = performance.now();
      onProgress?.({ kind: 'template-started', key });
      const name = await make(server, { session, recipe, key }, options);
      onProgress?.({ kind: 'template-finished', key, durationMs: performance.now() - startedAt });
      return name;
    }),
  );
}

async function make(
  server: TestServer,
  { session, recipe, key }: Order & { readonly session: Session },
  { signal, onProgress }: TemplateOptions,
): Promise<string> {
  const name = await createDatabase(session, { kind: 'building', key });
  try {
    const target = { ...server.target, database: name };
    await fillDatabase(recipe, { target, signal, onProgress });
    await withSession(target, { signal, isCatalogOnly: true }, ({ sql }) => makeReadyToCopy(sql));
    session.throwIfInterrupted();
    return await sealTemplate(session.sql, { name, key });
  } catch (error) {
    // Where this fails too, the next maker drops it.
    await server.use(({ sql }) => dropDatabase(sql, name)).catch(() => {});
    throw error;
  }
}

/** In a clone no job of TimescaleDB is due, and the planner has statistics of every table. */
async function makeReadyToCopy(sql: Sql): Promise<void> {
  const [extension] = await sql<{ schema: string }[]>`
    select nspname as schema from pg_extension join pg_namespace n on n.oid = extnamespace
    where extname = 'timescaledb'`;
  if (extension) {
    // TimescaleDB's own jobs belong to the role that created the extension. Other roles cannot alter them.
    await sql.unsafe(
      `select ${quoteIdentifier(extension.schema, 'alter_job')}(job_id, scheduled => false)
       from timescaledb_information.jobs where pg_has_role(owner, 'usage')`,
    );
  }
  await sql.unsafe('analyze');
}
