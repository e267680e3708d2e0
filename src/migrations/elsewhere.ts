import {
  quoteIdentifier,
  type Session,
  type Sql,
  withTransaction,
} from '../database/connection.ts';
import { type Ledger, readRollbacks } from '../ledger/ledger.ts';
import { ofNoExtension } from '../ledger/rows.ts';
import type { Version } from '../ledger/version.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { loadGrammar, type Parse } from '../sql/parse.ts';
import { effectsOf, type ObjectName, objectsAfter } from './effects.ts';
import type { GrammarOptions } from './scripts.ts';
import type { MigrationPair } from './source.ts';

/** The first format of a ledger all of whose migrations ran with `public` first in the search path. */
const formatOfPublic = 3;

/** A table or view outside schema public. */
interface Relation {
  readonly schema: string;
  readonly name: string;
  /** One of that name is in schema public too. */
  readonly isInPublic: boolean;
}

/**
 * Refuses a database in which tables or views of migrations of release 0.1 stand in another schema than `public`: the
 * search path of the role or the database decided then where they went, and a rollback would now miss them, or drop a
 * table of the same name that is not theirs. Call it before the session's search path is changed.
 * Throws `schema-elsewhere`.
 */
export async function refuseElsewhere(
  { session, ledger }: { readonly session: Session; readonly ledger: Ledger },
  pairs: readonly MigrationPair[],
  options: GrammarOptions,
): Promise<void> {
  const isOld = ledger.format < formatOfPublic;
  const suspects = new Set(
    [
      ...ledger.entries.filter(({ ranInPublic }) => !ranInPublic),
      ...(isOld ? ledger.journal : []),
    ].map(({ version }) => version),
  );
  if (suspects.size === 0) return;
  const outside = await readOutside(session.sql);
  if (outside.length === 0) return;
  const path = isOld ? await ownPath(session.sql) : ['public'];
  const doubtful = outside.filter(
    (relation) => !relation.isInPublic || isBeforePublic(path, relation.schema),
  );
  if (doubtful.length === 0) return;
  await options.beforeGrammar?.();
  const { parse } = await loadGrammar();
  const made = await namesMade({ session, ledger, suspects }, pairs, parse);
  const strays = doubtful.filter(({ name }) => made.has(name));
  if (strays.length > 0) throw elsewhere(session, strays);
}

async function readOutside(sql: Sql): Promise<readonly Relation[]> {
  return sql<Relation[]>`
    select nspname as schema, relname as name, exists (
      select from pg_class p
      where p.relname = c.relname and p.relnamespace = to_regnamespace('public')
    ) as "isInPublic"
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'p', 'v', 'm', 'f') and not relispartition
      and nspname !~ '^pg_' and nspname not in ('public', 'information_schema', 'cryptosense_db')
      and ${ofNoExtension(sql)}
    order by nspname, relname`;
}

/** The schemas of the search path that role, database and connection set. */
async function ownPath(sql: Sql): Promise<readonly string[]> {
  return withTransaction(sql, async () => {
    await sql.unsafe('set local search_path to default');
    const [{ path }] = await sql<[{ path: readonly string[] }]>`
      select pg_catalog.to_json(pg_catalog.current_schemas(false)) as path`;
    return path;
  });
}

function isBeforePublic(path: readonly string[], schema: string): boolean {
  const [own, publicAt] = [path.indexOf(schema), path.indexOf('public')];
  return own >= 0 && (publicAt < 0 || own < publicAt);
}

/**
 * The tables without a schema that the suspects have made, and that no migration has certainly or possibly dropped,
 * renamed or moved since.
 */
async function namesMade(
  {
    session,
    ledger,
    suspects,
  }: {
    readonly session: Session;
    readonly ledger: Ledger;
    readonly suspects: ReadonlySet<Version>;
  },
  pairs: readonly MigrationPair[],
  parse: Parse,
): Promise<ReadonlySet<string>> {
  const effectsIn = (text: string) => effectsOf(parse(text).statements ?? []);
  const versions = new Set([...ledger.entries, ...ledger.journal].map(({ version }) => version));
  const applied = pairs.filter(({ version }) => versions.has(version));
  const standing = objectsAfter(
    applied.map(({ version, up }) => ({ by: version, effects: effectsIn(up.text) })),
  ).filter(({ by, isCertain }) => isCertain && suspects.has(by));
  // Of a migration without files, the rollback names what it drops.
  const gone = [...suspects].filter((version) => pairs.every((pair) => pair.version !== version));
  const rollbacks = [...(await readRollbacks(session, gone)).values()];
  const dropped = rollbacks.flatMap(effectsIn).filter(({ effect }) => effect === 'drops');
  const objects = [...standing, ...dropped].flatMap((of) => ('object' in of ? [of.object] : []));
  const isTable = ({ kind, schema }: ObjectName) => kind === 'table' && schema === 'public';
  return new Set(objects.filter(isTable).map(({ name }) => name));
}

function elsewhere(
  { server: { user, database } }: Session,
  strays: readonly Relation[],
): CryptosenseDbError<'schema-elsewhere'> {
  const nameOf = ({ schema, name }: Relation) => `${schema}.${name}`;
  const message = `migrations in "${database}" have made tables outside schema public, under a search path that an earlier run had`;
  const problems: Problem[] = [];
  const moved = strays.filter(({ isInPublic }) => !isInPublic);
  const [first] = moved;
  if (first) {
    problems.push({
      message,
      evidence: moved.map(nameOf),
      hint: `move each of them, and what else the migrations made there, such as: alter table ${quoteIdentifier(first.schema, first.name)} set schema public`,
    });
  }
  const doubtful = strays.filter(({ isInPublic }) => isInPublic);
  if (doubtful.length > 0) {
    problems.push({
      message: `"${database}" has tables of migrations twice, and the search path of "${user}" names the others before those in public`,
      evidence: doubtful.map(nameOf),
      hint: `if those in public are of the migrations: alter role ${quoteIdentifier(user)} in database ${quoteIdentifier(database)} set search_path = public; if not, rename these, and move the others to public`,
    });
  }
  const details = { names: strays.map(nameOf) };
  return new CryptosenseDbError('schema-elsewhere', problems, { details });
}
