import type { Session } from '../database/connection.ts';
import { catalogProblem, permissionProblem } from '../database/permission.ts';
import { describeTarget } from '../database/target.ts';
import { withRun } from '../ledger/run.ts';
import { refuseElsewhere } from '../migrations/elsewhere.ts';
import type { MigrateOptions } from '../migrations/migrate.ts';
import { findLacking, pendingMigrations } from '../migrations/pending.ts';
import { readMigrations, resolveFolders } from '../migrations/source.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { readText, replaceFile } from '../runtime/files.ts';
import { readConstraints, readRelations, readViews, withCatalog } from '../schema/catalog.ts';
import { type Difference, differencesOf } from './difference.ts';
import { learn } from './knowledge.ts';
import { renderTypes } from './render.ts';

export type { Difference } from './difference.ts';

export interface TypesOptions extends MigrateOptions {
  /** Path of the file of types. */
  readonly file: string;
  /** Accept a database that lacks migrations of the folder. */
  readonly allowPending?: boolean | undefined;
}

export interface TypesResult {
  readonly target: string;
  readonly file: string;
  /** The number of tables and views that the types describe. */
  readonly tables: number;
}

export interface GenerateResult extends TypesResult {
  /** false: the file had the same text before and was not written. */
  readonly isChanged: boolean;
}

export interface CheckResult extends TypesResult {
  /** The file equals, to the byte, what the database gives. */
  readonly isCurrent: boolean;
  readonly isFileThere: boolean;
  /** Empty without a file. */
  readonly differences: readonly Difference[];
}

/**
 * Reads schema public of the database and writes its types to the file. The file is replaced in one
 * step: a failure leaves the previous file. The text depends only on the schema, not on settings of the
 * role or the process.
 * Throws `pending-migrations`, `schema-elsewhere`, `package-missing`, `unusable-name`, `not-permitted` and
 * `file-problem`.
 *
 * @example
 * await generate({ target: 'postgresql://localhost/app', file: 'src/database/types.ts' });
 */
export async function generate(options: TypesOptions): Promise<GenerateResult> {
  const { text, ...result } = await typesOf(options);
  const isChanged = readText(options.file) !== text;
  if (isChanged) replaceFile(options.file, text);
  return { ...result, isChanged };
}

/** Compares the file with the types that the database gives. Writes nothing. Throws as `generate` does. */
export async function check(options: TypesOptions): Promise<CheckResult> {
  const { text, ...result } = await typesOf(options);
  const before = readText(options.file);
  const isFileThere = before !== undefined;
  const isCurrent = before === text;
  const differences = isFileThere && !isCurrent ? differencesOf(before, text) : [];
  return { ...result, isCurrent, isFileThere, differences };
}

async function typesOf(options: TypesOptions): Promise<TypesResult & { readonly text: string }> {
  const { file, allowPending = false } = options;
  if (file === '') {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'the path of the file of types is empty',
    });
  }
  const pairs = readMigrations(resolveFolders(options));
  return withRun(options, { access: 'read' }, async ({ session, ledger }) => {
    await refuseElsewhere({ session, ledger }, pairs, options);
    const lacking = findLacking(pairs, ledger);
    if (lacking.length > 0 && !allowPending) {
      throw pendingMigrations(session, lacking, {
        consequence: ', and so would its types',
        hint: 'cryptosense-db migrate up; or accept the database with --allow-pending',
      });
    }
    const { text, tables } = await readTypes(session);
    return { target: describeTarget(session.target), file, tables, text };
  });
}

async function readTypes(
  session: Session,
): Promise<{ readonly text: string; readonly tables: number }> {
  const { sql } = session;
  return withCatalog(sql, async () => {
    const [relations, constraints, views] = await Promise.all([
      readRelations(sql),
      readConstraints(sql),
      readViews(sql),
    ]);
    const described = relations.filter(({ columns }) => columns.length > 0);
    const knowledge = await learn({ relations: described, constraints, views });
    const text = await renderTypes(described, knowledge);
    return { text, tables: described.length };
  }).catch((error: unknown) => {
    throw permissionProblem(error, catalogProblem(session.server));
  });
}
