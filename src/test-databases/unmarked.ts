import { quoteLiteral, type Sql, withSession } from '../database/connection.ts';
import { isError } from '../runtime/errors.ts';
import { inventedName, markStatement, type TemplateKey, unknownKey } from './mark.ts';
import type { TestServer } from './test-server.ts';

const words = 'A copy of the test template ';

/** Written into a template, and so in every copy of it. In a database that has the tool's history. */
export async function markContent(sql: Sql, key: TemplateKey): Promise<void> {
  await sql.unsafe(`comment on schema cryptosense_db is ${quoteLiteral(words + key)}`);
}

/**
 * A client that is killed on a Unix socket between CREATE DATABASE and the mark leaves a database without
 * one. A name proves nothing; what is inside does: a copy of a template says so, and in a template to be
 * there is nothing yet. Those of this role are marked as clones, as of now.
 */
export async function adoptUnmarked(server: TestServer): Promise<void> {
  const names = await server.use(async ({ sql }) => {
    const rows = await sql<{ name: string }[]>`
      select datname as name from pg_database
      where pg_get_userbyid(datdba) = current_user and datallowconn and datistemplate
        and shobj_description(oid, 'pg_database') is null`;
    return rows.map(({ name }) => name).filter((name) => inventedName.test(name));
  });
  for (const name of names) {
    const key = await readContent(server, name);
    if (key === undefined) continue;
    await server.use(({ sql }) => sql.unsafe(markStatement(name, { kind: 'clone', key })));
  }
}

/** undefined where it holds anything but a copy of a template, and where it is gone. */
async function readContent(
  { target }: TestServer,
  database: string,
): Promise<TemplateKey | undefined> {
  return withSession({ ...target, database }, {}, async ({ sql }) => {
    const [{ comment, isEmpty }] = await sql<[{ comment: string | null; isEmpty: boolean }]>`
      select
        (select obj_description(oid, 'pg_namespace') from pg_namespace
          where nspname = 'cryptosense_db') as comment,
        not exists (
          select from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
            and not exists (
              select from pg_depend d
              where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
            )
        ) as "isEmpty"`;
    if (isEmpty) return unknownKey;
    return new RegExp(`^${words}([0-9a-f]{32})$`).exec(comment ?? '')?.[1];
  }).catch((error: unknown) => {
    if (isError(error, 'no-such-database')) return undefined;
    throw error;
  });
}
