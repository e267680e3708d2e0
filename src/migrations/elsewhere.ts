import {
  quoteIdentifier,
  type Session,
  type Sql,
  withTransaction,
} from '../database/connection.ts';
import { type Ledger, readRollbacks } from '../ledger/ledger.ts';
import { ofNoExtension } from '../ledger/rows.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { loadGrammar, type Parse, type StatementNode } from '../sql/parse.ts';
import { asNode, nodes, type SyntaxNode, stringOf } from '../sql/tree.ts';
import { newRelation } from './run-mode.ts';
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
 * Refuses a database in which tables or views of its migrations stand in another schema than `public`. Up to release
 * 0.1 the search path of the role or the database decided where they went, and a rollback would now miss them, or
 * drop a table of the same name that is not theirs. Call it before the session's search path is changed.
 * Throws `schema-elsewhere`.
 */
export async function refuseElsewhere(
  { session, ledger }: { readonly session: Session; readonly ledger: Ledger },
  pairs: readonly MigrationPair[],
  options: GrammarOptions,
): Promise<void> {
  if (ledger.entries.length + ledger.journal.length === 0) return;
  const outside = await readOutside(session.sql);
  if (outside.length === 0) return;
  const path = ledger.format < formatOfPublic ? await ownPath(session.sql) : ['public'];
  const suspects = outside.filter(
    (relation) => !relation.isInPublic || isBeforePublic(path, relation.schema),
  );
  if (suspects.length === 0) return;
  await options.beforeGrammar?.();
  const { parse } = await loadGrammar();
  const made = await namesMade({ session, ledger }, pairs, parse);
  const strays = suspects.filter(({ name }) => made.has(name));
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

/** The relations that the applied migrations have made and not dropped, renamed or moved, as far as their texts say. */
async function namesMade(
  { session, ledger }: { readonly session: Session; readonly ledger: Ledger },
  pairs: readonly MigrationPair[],
  parse: Parse,
): Promise<ReadonlySet<string>> {
  const versions = new Set([...ledger.entries, ...ledger.journal].map(({ version }) => version));
  const applied = pairs.filter(({ version }) => versions.has(version));
  const gone = [...versions].filter((version) => pairs.every((pair) => pair.version !== version));
  const made = new Set<string>();
  for (const { up } of applied) follow(statementsOf(up.text, parse), made);
  // Of a migration without files, the rollback names what it drops.
  for (const text of (await readRollbacks(session, gone)).values()) {
    for (const { type, body } of statementsOf(text, parse)) {
      if (type === 'DropStmt') for (const name of droppedBy(body)) made.add(name);
    }
  }
  return made;
}

/** None for a file that sets the search path itself: it says where its tables go. */
function statementsOf(text: string, parse: Parse): readonly StatementNode[] {
  const { statements = [] } = parse(text);
  const setsPath = statements.some(
    ({ text: statement, node: { type, body } }) =>
      (type === 'VariableSetStmt' && body.name === 'search_path') ||
      /\bset_config\s*\(\s*'search_path'/i.test(statement),
  );
  return setsPath ? [] : statements.map(({ node }) => node);
}

function follow(statements: readonly StatementNode[], made: Set<string>): void {
  for (const { type, body } of statements) {
    for (const name of removedBy({ type, body })) made.delete(name);
    const name = madeBy({ type, body });
    if (name !== undefined) made.add(name);
  }
}

/** The name without a schema that the statement gives to a relation. */
function madeBy(node: StatementNode): string | undefined {
  const { type, body } = node;
  // A table in another schema is never a sequence of the migrations.
  if (type === 'CreateSeqStmt') return undefined;
  if (type !== 'RenameStmt') return unqualified(asNode(newRelation(node)));
  const isOfRelation =
    unqualified(asNode(body.relation)) !== undefined && body.subname === undefined;
  return isOfRelation ? String(body.newname) : undefined;
}

function removedBy({ type, body }: StatementNode): readonly string[] {
  if (type === 'DropStmt') return droppedBy(body);
  if (type !== 'AlterObjectSchemaStmt' && type !== 'RenameStmt') return [];
  const name = body.subname === undefined ? unqualified(asNode(body.relation)) : undefined;
  return name === undefined ? [] : [name];
}

function droppedBy({ removeType, objects }: SyntaxNode): readonly string[] {
  if (!['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW'].includes(String(removeType))) return [];
  return nodes(objects).flatMap((object) => {
    const [first, ...others] = nodes(asNode(object.List).items).map(stringOf);
    return first !== undefined && others.length === 0 ? [first] : [];
  });
}

function unqualified({ schemaname, relname, relpersistence }: SyntaxNode): string | undefined {
  if (typeof relname !== 'string' || schemaname !== undefined) return undefined;
  return relpersistence === 't' ? undefined : relname;
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
