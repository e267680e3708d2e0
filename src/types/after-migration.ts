import { resolveTarget } from '../database/target.ts';
import { type RunResult, type UpOptions, up } from '../migrations/migrate.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireWritable } from '../runtime/files.ts';
import { type GenerateResult, generate } from './generate.ts';

/**
 * Applies pending migrations, then writes the types, also when `to` or `steps` leaves migrations
 * pending. Throws before the first migration when the file cannot be written, and for a database in
 * memory: the types are read in a second session, which would get another database.
 */
export async function upWithTypes(
  options: UpOptions & { readonly file: string },
): Promise<RunResult & { readonly types: GenerateResult }> {
  const { target, file, migrations, rollbacks, signal, onProgress } = options;
  const resolved = resolveTarget(target);
  requireWritable(file);
  if (resolved.kind === 'embedded' && resolved.folder === undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: '--types needs a database in a folder: embedded::memory: ends with the run',
      hint: 'name a folder: --embedded FOLDER',
    });
  }
  const run = await up(options);
  const source = { target: resolved, migrations, rollbacks, signal, onProgress };
  return { ...run, types: await generate({ ...source, file, allowPending: true }) };
}
