import { quoteLiteral, type Sql, withSession } from '../database/connection.ts';
import { cloneName, markStatement, type TemplateKey } from './mark.ts';
import type { TestServer } from './test-server.ts';

const words = 'A copy of the test template ';

/** Written into a template, and so in every copy of it. In a database that has the tool's history. */
export async function markContent(sql: Sql, key: TemplateKey): Promise<void> {
  await sql.unsafe(`comment on schema cryptosense_db is ${quoteLiteral(words + key)}`);
}

/**
 * A client that is killed on a Unix socket between CREATE DATABASE and the mark leaves a clone without
 * one. A name proves nothing; what is inside does. Those of this role are marked, as of now.
 */
export async function adoptUnmarked(server: TestServer): Promise<void> {
  const names = await server.use(async ({ sql }) => {
    const rows = await sql<{ name: string }[]>`
      select datname as name from pg_database
      where pg_get_userbyid(datdba) = current_user and datallowconn
        and shobj_description(oid, 'pg_database') is null`;
    return rows.map(({ name }) => name).filter((name) => cloneName.test(name));
  });
  for (const name of names) {
    const key = await readContent(server, name).catch(() => undefined);
    if (key === undefined) continue;
    await server.use(({ sql }) => sql.unsafe(markStatement(name, { kind: 'clone', key })));
  }
}

/** undefined where it is no copy of a template. */
async function readContent(
  { target }: TestServer,
  database: string,
): Promise<TemplateKey | undefined> {
  return withSession({ ...target, database }, {}, async ({ sql }) => {
    const [row] = await sql<{ comment: string | null }[]>`
      select obj_description(oid, 'pg_namespace') as comment
      from pg_namespace where nspname = 'cryptosense_db'`;
    return new RegExp(`^${words}([0-9a-f]{32})$`).exec(row?.comment ?? '')?.[1];
  });
}
