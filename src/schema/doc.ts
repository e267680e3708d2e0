import * as migrate from '../migrations/migrate.ts';
import { readScripts } from '../migrations/scripts.ts';
import { type MigrationPair, readMigrations, resolveFolders } from '../migrations/source.ts';
import { loadGrammar } from '../sql/parse.ts';
import { diagramOf } from './diagram/model.ts';
import { comparePages, type PageChange, writePages } from './dictionary/folder.ts';
import { dictionaryPages } from './dictionary/pages.ts';
import { touchesOf } from './dictionary/touched.ts';
import { readSource, type SourceOptions } from './source.ts';

export type { PageChange } from './dictionary/folder.ts';

export interface DocSettings {
  /** The folder of the pages. */
  readonly out: string;
  /** Write nothing. */
  readonly check?: boolean | undefined;
  /** Default: the packaged schema. */
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
}

export type DocOptions = SourceOptions & DocSettings;

export interface DocResult {
  readonly source: string;
  readonly out: string;
  /** How many pages the dictionary has, with its index. */
  readonly pages: number;
  /** What was written and removed or, with `check`, what would be. Empty: the folder is current. */
  readonly changes: readonly PageChange[];
  readonly isWritten: boolean;
}

/**
 * Writes a data dictionary in Markdown: an index, and a page for each table and view with its columns, constraints,
 * indexes, references, settings and migrations. Of a database, the migrations are those that its history has; of a
 * snapshot file, all of the folder. A page of a table that is gone is removed; a file that the tool did not write is left
 * alone. Throws `file-problem`, and what `snapshot` and `migrate.status` throw.
 */
export async function doc(options: DocOptions): Promise<DocResult> {
  const { out, check = false } = options;
  const { source, snapshot } = await readSource(options);
  const files = await readScripts(await readPairs(options));
  const { parse } = await loadGrammar();
  const pages = dictionaryPages({
    snapshot,
    diagram: diagramOf(snapshot, parse),
    touchedBy: touchesOf(
      files.map(({ up: { file, statements } }) => ({ name: file.name, statements })),
      parse,
    ),
  });
  const changes = comparePages(out, pages);
  if (!check) writePages(out, { pages, changes });
  return { source, out, pages: pages.length, changes, isWritten: !check };
}

async function readPairs(options: DocOptions): Promise<readonly MigrationPair[]> {
  const pairs = readMigrations(resolveFolders(options));
  if (options.target === undefined) return pairs;
  const { target, migrations, rollbacks, signal } = options;
  const status = await migrate.status({ target, migrations, rollbacks, signal });
  const applied = new Set(
    status.migrations.filter(({ state }) => state !== 'pending').map(({ version }) => version),
  );
  return pairs.filter(({ version }) => applied.has(version));
}
