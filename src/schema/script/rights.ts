import type { ObjectKind, SchemaObject } from '../snapshot/snapshot.ts';
import { routineName } from './objects.ts';
import { relationWord } from './tables.ts';
import { leadingName, listOf, quote, textOf } from './text.ts';

/** ALTER … OWNER TO. A snapshot has owners without quotes; a sequence that a column owns has the owner of the table. */
export function ownerStatements(object: SchemaObject): readonly string[] {
  const owner = textOf(object.facts, 'owner');
  if (owner === undefined || object.facts['owned by'] !== undefined) return [];
  if (object.kind === 'database') return [onDatabase(`ALTER DATABASE %I OWNER TO ${quote(owner)}`)];
  const name = ownedName(object);
  return name === undefined ? [] : [`ALTER ${name} OWNER TO ${quote(owner)};`];
}

/** GRANT, and REVOKE of what the owner and PUBLIC have from the start. */
export function grantStatements(object: SchemaObject): readonly string[] {
  const name = grantedName(object);
  if (name === undefined) return [];
  const grants = listOf(object.facts, 'grants').flatMap((line) => readGrant(line) ?? []);
  const write = (statement: string) =>
    object.kind === 'database' ? onDatabase(statement) : `${statement};`;
  const initial = initialRights(object);
  const revoked = initial.filter((right) => !grants.some((grant) => isInitial(grant, right)));
  const others = grants.filter((grant) => !initial.some((right) => isInitial(grant, right)));
  const lost = listOf(object.facts, 'revoked from owner');
  return [
    ...(lost.length === 0
      ? []
      : [write(`REVOKE ${lost.join(', ')} ON ${name} FROM ${ownerRole(object)}`)]),
    ...(revoked.length === 0 ? [] : [write(`REVOKE ${revoked.join(', ')} ON ${name} FROM PUBLIC`)]),
    ...grouped(others).map(({ grantee, rights, isGrantable }) =>
      write(
        `GRANT ${rights.join(', ')} ON ${name} TO ${grantee}${isGrantable ? ' WITH GRANT OPTION' : ''}`,
      ),
    ),
  ];
}

/** Without owners, the role that runs the script makes each object but the schema public. */
function ownerRole({ kind, name, facts }: SchemaObject): string {
  const owner = textOf(facts, 'owner');
  if (owner !== undefined) return quote(owner);
  return kind === 'schema' && name === 'public' ? 'pg_database_owner' : 'CURRENT_ROLE';
}

/** ALTER DEFAULT PRIVILEGES. */
export function defaultPrivileges(database: SchemaObject): readonly string[] {
  return listOf(database.facts, 'default privileges').flatMap((line) => {
    const [, objects = '', rest = ''] = /^(\w+) by ([\s\S]*)$/.exec(line) ?? [];
    const role = leadingName(rest);
    const revoked = /^ not to public: (\w+)$/.exec(rest.slice(role.length))?.[1];
    if (revoked !== undefined) {
      return [
        `ALTER DEFAULT PRIVILEGES FOR ROLE ${role} REVOKE ${revoked} ON ${objects.toUpperCase()} FROM PUBLIC;`,
      ];
    }
    const [, schema] = /^ in ([\s\S]*)$/.exec(rest.slice(role.length)) ?? [];
    const name = schema === undefined ? undefined : leadingName(schema);
    const before = `${role}${name === undefined ? '' : ` in ${name}`} to `;
    const grant = readGrant(rest.slice(before.length));
    if (!grant) return [];
    const inSchema = name === undefined ? '' : ` IN SCHEMA ${name}`;
    const option = grant.isGrantable ? ' WITH GRANT OPTION' : '';
    return [
      `ALTER DEFAULT PRIVILEGES FOR ROLE ${role}${inSchema} GRANT ${grant.right} ON ${objects.toUpperCase()} TO ${grant.grantee}${option};`,
    ];
  });
}

interface Grant {
  readonly grantee: string;
  readonly right: string;
  /** With its quotes; undefined for all of the object. */
  readonly column: string | undefined;
  readonly isGrantable: boolean;
}

/** `reader: SELECT`, `reader: SELECT* (name)`. */
function readGrant(line: string): Grant | undefined {
  const grantee = leadingName(line);
  const [, right, star, column] =
    /^: ([A-Z ]+?)(\*)?(?: \(([\s\S]+)\))?$/.exec(line.slice(grantee.length)) ?? [];
  if (right === undefined) return undefined;
  return {
    grantee: grantee === 'public' ? 'PUBLIC' : grantee,
    right,
    column,
    isGrantable: star !== undefined,
  };
}

function isInitial({ grantee, right, column, isGrantable }: Grant, initial: string): boolean {
  return grantee === 'PUBLIC' && right === initial && column === undefined && !isGrantable;
}

/** What PUBLIC may do with a new object. */
function initialRights({ kind, name }: SchemaObject): readonly string[] {
  if (kind === 'database') return ['CONNECT', 'TEMPORARY'];
  if (kind === 'type') return ['USAGE'];
  if (kind === 'function') return ['EXECUTE'];
  return kind === 'schema' && name === 'public' ? ['USAGE'] : [];
}

/** The rights of one grantee are one statement; those with GRANT OPTION another one. */
function grouped(grants: readonly Grant[]) {
  const groups = new Map<string, { grantee: string; isGrantable: boolean; rights: string[] }>();
  for (const { grantee, right, column, isGrantable } of grants) {
    const key = `${isGrantable} ${grantee}`;
    const group = groups.get(key) ?? { grantee, isGrantable, rights: [] };
    group.rights.push(column === undefined ? right : `${right} (${column})`);
    groups.set(key, group);
  }
  return [...groups.values()];
}

function grantedName(object: SchemaObject): string | undefined {
  const { kind, name } = object;
  const words: Partial<Record<ObjectKind, string>> = {
    database: 'DATABASE %I',
    schema: `SCHEMA ${name}`,
    type: `TYPE ${name}`,
    sequence: `SEQUENCE ${name}`,
    // An aggregate is a function to GRANT.
    function: object.facts.kind === 'procedure' ? `PROCEDURE ${name}` : `FUNCTION ${name}`,
    table: `TABLE ${name}`,
    view: `TABLE ${name}`,
  };
  return words[kind];
}

function ownedName(object: SchemaObject): string | undefined {
  const { kind, name } = object;
  const words: Partial<Record<ObjectKind, string>> = {
    schema: `SCHEMA ${name}`,
    type: `${object.facts.kind === 'domain' ? 'DOMAIN' : 'TYPE'} ${name}`,
    sequence: `SEQUENCE ${name}`,
    function: routineName(object),
    table: `${relationWord(object)} ${name}`,
    view: `${object.facts.kind === 'continuous aggregate' ? 'MATERIALIZED VIEW' : relationWord(object)} ${name}`,
    publication: `PUBLICATION ${name}`,
    'event trigger': `EVENT TRIGGER ${name}`,
  };
  return words[kind];
}

/** A statement about the database that runs it, whose name no script knows. */
function onDatabase(statement: string): string {
  return `DO $$ BEGIN EXECUTE format('${statement.replaceAll("'", "''")}', current_database()); END $$;`;
}
