import { targetUrl } from '../database/target.ts';
import { hourMs } from '../runtime/days.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { dropDatabase, type FoundDatabase, listDatabases } from './catalog.ts';
import { fillReady, mostAtOnce, provideClone } from './clone.ts';
import { pruneDatabases, templateLifetimeMs } from './prune.ts';
import { type ContentOptions, readRecipe } from './recipe.ts';
import type { TemplateOptions } from './template.ts';
import { describeServer, type TestServer, type TestServerOrigin } from './test-server.ts';

export interface CreateOptions extends ContentOptions, TemplateOptions {
  /** How many. Default 1. */
  readonly count?: number | undefined;
}

/** A database that only the caller has, until it is dropped. */
export interface TestDatabaseName {
  readonly name: string;
  /** With the password. */
  readonly url: string;
}

export interface CreateResult extends ServerName {
  readonly databases: readonly TestDatabaseName[];
}

/** Which server it was, and who named it. */
export interface ServerName {
  readonly origin: TestServerOrigin;
  /** `host:port` */
  readonly server: string;
}

export interface FillResult extends ServerName {
  /** How many were made. 0 where there were enough, or where another process makes them. */
  readonly made: number;
}

export interface DropResult extends ServerName {
  readonly dropped: readonly string[];
  /** Names that no database has. */
  readonly missing: readonly string[];
}

export type ListedDatabase = Omit<FoundDatabase, 'isDroppable'>;

export interface ListResult extends ServerName {
  /** The oldest first. */
  readonly databases: readonly ListedDatabase[];
}

export interface PruneOptions {
  /** Clones that are younger stay. Default: an hour. */
  readonly olderThanMs?: number | undefined;
  /** `olderThanMs` applies to templates too. Default: templates stay for a week. */
  readonly templates?: boolean | undefined;
}

export interface PruneResult extends ServerName {
  readonly dropped: readonly string[];
  /** Old enough, but a session is in them. */
  readonly inUse: readonly string[];
}

/**
 * Creates test databases: takes ready ones where there are some, and copies the template for the others. A failure
 * leaves none of them behind.
 */
export async function create(server: TestServer, options: CreateOptions): Promise<CreateResult> {
  const { count = 1 } = options;
  requireWhole({ count }, { from: 1, to: mostAtOnce });
  const recipe = readRecipe(options);
  const settled = await Promise.allSettled(
    Array.from({ length: count }, () => provideClone(server, recipe, options)),
  );
  const names = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failed = settled.find((each) => each.status === 'rejected');
  if (failed) {
    await dropEach(server, names).catch(() => {
      // The first failure is the one to report. `prune` finds what it leaves.
    });
    throw failed.reason;
  }
  const databases = names.map((name) => ({
    name,
    url: targetUrl({ ...server.target, database: name }),
  }));
  return { ...nameOf(server), databases };
}

/** Makes ready clones until there are `count` of them. */
export async function fill(
  server: TestServer,
  options: CreateOptions & { readonly count: number },
): Promise<FillResult> {
  requireWhole({ count: options.count }, { from: 0, to: mostAtOnce });
  return { ...nameOf(server), made: await fillReady(server, readRecipe(options), options) };
}

/**
 * Drops test databases and ends the sessions in them. Throws `not-a-test-database` for a database with any other
 * name; those named before it are dropped then.
 */
export async function drop(server: TestServer, names: readonly string[]): Promise<DropResult> {
  const dropped = await dropEach(server, names);
  const missing = names.filter((name) => !dropped.includes(name));
  return { ...nameOf(server), dropped, missing };
}

/** Drops every test database that the role may drop, templates and ready clones included. */
export async function dropAll(server: TestServer): Promise<DropResult> {
  const found = await server.use(({ sql }) => listDatabases(sql));
  const droppable = found.filter(({ isDroppable }) => isDroppable).map(({ name }) => name);
  return drop(server, droppable);
}

/** All test databases on the server, those of other roles included. */
export async function list(server: TestServer): Promise<ListResult> {
  const found = await server.use(({ sql }) => listDatabases(sql));
  return {
    ...nameOf(server),
    databases: found.map(({ isDroppable: _, ...database }) => database),
  };
}

/**
 * Drops test databases left behind by processes that died: old clones and templates without a session in them, and
 * templates whose maker is gone. Only those of roles that this one is a member of.
 */
export async function prune(
  server: TestServer,
  { olderThanMs = hourMs, templates = false }: PruneOptions,
): Promise<PruneResult> {
  const templatesMs = templates ? olderThanMs : templateLifetimeMs;
  const pruned = await server.use(({ sql }) =>
    pruneDatabases(sql, { clonesMs: olderThanMs, templatesMs }),
  );
  return { ...nameOf(server), ...pruned };
}

async function dropEach(server: TestServer, names: readonly string[]): Promise<readonly string[]> {
  const dropped: string[] = [];
  await server.use(async ({ sql }) => {
    for (const name of names) if (await dropDatabase(sql, name)) dropped.push(name);
  });
  return dropped;
}

function nameOf(server: TestServer): ServerName {
  return { origin: server.origin, server: describeServer(server) };
}
