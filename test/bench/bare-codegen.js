// @ts-check
import { writeFileSync } from 'node:fs';
import { Kysely } from 'kysely';
import { generate, PostgresDialect } from 'kysely-codegen';
import { PostgresJSDialect } from 'kysely-postgres-js';
import postgres from 'postgres';

/** The comparison for `types generate`: the shortest program that calls kysely-codegen. */
const sql = postgres(process.env.DATABASE_URL ?? '', { max: 1, onnotice: () => {} });
const db = new Kysely({ dialect: new PostgresJSDialect({ postgres: sql }) });
const text = await generate({
  db: /** @type {never} */ (db),
  dialect: new PostgresDialect({ numericParser: 'string', dateParser: 'timestamp' }),
  includePattern: 'public.*',
  outFile: null,
});
writeFileSync(process.argv[2] ?? '', text);
await db.destroy();
