import { type Session, withRollback } from '../database/connection.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { hashSettings, readSurroundings, readTables } from './contents.ts';
import type { Manifest } from './manifest.ts';

/**
 * Compares every table, hypertable and job of a restored database with the manifest. Throws `restore-differs` with each
 * difference.
 */
export async function compare(
  session: Session,
  manifest: Manifest,
  { onProgress }: { readonly onProgress?: OnProgress | undefined },
): Promise<void> {
  const { sql } = session;
  const differences = await withRollback(sql, async () => {
    await sql.unsafe('begin transaction isolation level repeatable read, read only');
    await sql.unsafe('set local statement_timeout = 0; set local row_security = off');
    await sql.unsafe(hashSettings);
    const tables = await readTables(sql, {
      onTable: (done, total) => onProgress?.({ kind: 'backup-counted', done, total }),
    });
    const { migration, materializedViews, hypertables, jobs } = await readSurroundings(
      sql,
      manifest.versions,
    );
    await sql.unsafe('rollback');
    return [
      // Older manifests list the rows of materialized views among those of tables.
      ...differ(
        'table',
        manifest.tables.filter(({ name }) => !isIn(materializedViews, name)),
        tables,
      ),
      ...differ(
        'materialized view',
        [
          ...manifest.materializedViews,
          ...manifest.tables
            .filter(({ name }) => isIn(materializedViews, name))
            .map(({ name }) => ({ name, isPopulated: true })),
        ],
        materializedViews,
      ),
      ...differ('hypertable', manifest.hypertables, hypertables),
      ...differ(
        'job',
        manifest.jobs.map(({ id, ...job }) => ({ name: String(id), ...job })),
        jobs.map(({ id, ...job }) => ({ name: String(id), ...job })),
      ),
      ...(migration === manifest.migration
        ? []
        : [`newest migration: ${manifest.migration} in the backup, ${migration} restored`]),
    ];
  });
  if (differences.length === 0) return;
  throw new CryptosenseDbError(
    'restore-differs',
    {
      message: `what was restored differs from the manifest in ${differences.length} ${differences.length === 1 ? 'point' : 'points'}`,
      evidence: differences.slice(0, 20),
    },
    { details: { differences, leftDatabase: undefined } },
  );
}

function isIn(list: readonly { readonly name: string }[], name: string): boolean {
  return list.some((each) => each.name === name);
}

/** What differs between two lists of named things, one line each. */
function differ<T extends { readonly name: string }>(
  noun: string,
  wanted: readonly T[],
  found: readonly T[],
): readonly string[] {
  const byName = new Map(found.map((each) => [each.name, each]));
  const names = new Set(wanted.map(({ name }) => name));
  return [
    ...wanted.flatMap((each) => {
      const other = byName.get(each.name);
      if (!other) return [`${noun} ${each.name} is missing`];
      const fields = Object.keys(each).filter(
        (field) => each[field as keyof T] !== other[field as keyof T],
      );
      return fields.map((field) =>
        // The configuration of a job may hold a secret.
        field === 'config'
          ? `${noun} ${each.name}: its config is another one than in the backup`
          : `${noun} ${each.name}: ${field} ${each[field as keyof T]} in the backup, ${other[field as keyof T]} restored`,
      );
    }),
    ...found
      .filter(({ name }) => !names.has(name))
      .map(({ name }) => `${noun} ${name} is not in the backup`),
  ];
}
