import { targetUrl } from '../database/target.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { orderOf, provideClone } from './clone.ts';
import { dropMarked, dropUnused, listMarked, type MarkedDatabase } from './marked.ts';
import { fillReady, mostAtOnce } from './ready.ts';
import { type ContentOptions, readRecipe } from './recipe.ts';
import { ensureTemplate, pruneTemplates, type TemplateOptions } from './template.ts';
import { describeServer, type TestServer, type TestServerOrigin } from './test-server.ts';
import { adoptUnmarked } from './unmarked.ts';

export interface CreateOptions extends ContentOptions, TemplateOptions {
  /** How many. Default 1. */
  readonly count?: number | undefined;
}

/** A database that the caller has, until somebody drops it. */
export interface TestDatabaseName {
  readonly name: string;
  /** With the password, for whoever is to connect. */
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
  /** Made now; 0 where there were enough, or where another process makes them. */
  readonly made: number;
}

export interface DropResult extends ServerName {
  readonly dropped: readonly string[];
  /** Names that no database has. */
  readonly missing: readonly string[];
}

export type ListedDatabase = Omit<MarkedDatabase, 'isOwn'>;

export interface ListResult extends ServerName {
  /** The oldest first. */
  readonly databases: readonly ListedDatabase[];
}

export interface PruneOptions {
  /** Databases that are younger stay. Default: an hour. */
  readonly olderThanMs?: number | undefined;
  /** Templates of that age too. Default: those of a week. */
  readonly templates?: boolean | undefined;
}

export interface PruneResult extends ServerName {
  readonly dropped: readonly string[];
  /** Old enough, but somebody is connected to them. */
  readonly inUse: readonly string[];
}

/**
 * Databases of the caller's own: ready ones where there are some, else copies of the template. All that
 * were asked for, or none.
 */
export async function create(server: TestServer, options: CreateOptions): Promise<CreateResult> {
  const { count = 1 } = options;
  requireWhole({ count }, { from: 1, to: mostAtOnce });
  const order = await orderOf(server, readRecipe(options));
  const settled = await Promise.allSettled(
    Array.from({ length: count }, () => provideClone(server, order, options)),
  );
  const names = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failed = settled.find((each) => each.status === 'rejected');
  if (failed) {
    await dropEach(server, names).catch(() => {
      // Whoever prunes finds them; what failed first is the news.
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
  { count, ...options }: CreateOptions & { readonly count: number },
): Promise<FillResult> {
  requireWhole({ count }, { from: 0, to: mostAtOnce });
  const order = await orderOf(server, readRecipe(options));
  const { key } = order;
  const template = await ensureTemplate(server, order, options);
  return { ...nameOf(server), made: await fillReady(server, { template, key, count }, options) };
}

/**
 * Drops databases that bear this tool's mark, whoever is connected to them.
 * Throws `not-a-test-database` for another; those named before it are dropped then.
 */
export async function drop(server: TestServer, names: readonly string[]): Promise<DropResult> {
  const dropped = await dropEach(server, names);
  const missing = names.filter((name) => !dropped.includes(name));
  return { ...nameOf(server), dropped, missing };
}

/** Drops every database of this tool that the role may drop, templates and ready ones too. */
export async function dropAll(server: TestServer): Promise<DropResult> {
  await adoptUnmarked(server);
  const marked = await server.use(({ sql }) => listMarked(sql));
  const own = marked.filter(({ isOwn }) => isOwn).map(({ name }) => name);
  return drop(server, own);
}

export async function list(server: TestServer): Promise<ListResult> {
  const marked = await server.use(({ sql }) => listMarked(sql));
  return {
    ...nameOf(server),
    databases: marked.map(({ isOwn: _, ...database }) => database),
  };
}

/**
 * Takes away what nobody took away: clones and ready ones of that age that nobody is connected to, half
 * made templates whose maker is gone, old templates. Only those of roles that this one is a member of.
 */
export async function prune(
  server: TestServer,
  { olderThanMs = hourMs, templates = false }: PruneOptions,
): Promise<PruneResult> {
  await adoptUnmarked(server);
  return server.use(async ({ sql }) => {
    const inUse: string[] = [];
    const dropped: string[] = [];
    for (const { name } of await pruneTemplates(sql, templates ? { olderThanMs } : {})) {
      dropped.push(name);
    }
    const isOld = ({ kind, isOwn, ageMs }: MarkedDatabase) =>
      isOwn && (kind === 'clone' || kind === 'ready') && ageMs >= olderThanMs;
    for (const database of (await listMarked(sql)).filter(isOld)) {
      const outcome = database.connections > 0 ? 'in use' : await dropUnused(sql, database);
      if (outcome === 'in use') inUse.push(database.name);
      if (outcome === 'dropped') dropped.push(database.name);
    }
    return { ...nameOf(server), dropped, inUse };
  });
}

const hourMs = 3_600_000;

async function dropEach(server: TestServer, names: readonly string[]): Promise<readonly string[]> {
  const dropped: string[] = [];
  await server.use(async ({ sql }) => {
    for (const name of names) if (await dropMarked(sql, name)) dropped.push(name);
  });
  return dropped;
}

function nameOf(server: TestServer): ServerName {
  return { origin: server.origin, server: describeServer(server) };
}
