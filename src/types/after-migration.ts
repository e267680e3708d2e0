import { resolveTarget } from '../database/target.ts';
import { type RunResult, type UpOptions, up } from '../migrations/migrate.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireWritable } from '../runtime/files.ts';
import { type GenerateResult, generate } from './generate.ts';

/**
 * Applies pending migrations, then writes the types of the database as it is: what was left out on
 * purpose, by `to` or `steps`, is no reason to refuse. Throws before anything is applied when the
 * file could not be written, and for a database in memory: the types are read by a session of their
 * own, to which that is another one.
 */
export async function upWithTypes(
  options: UpOptions & { readonly file: string },
): Promise<RunResult & { readonly types: GenerateResult }> {
  const { target, file, migrations, rollbacks, signal, onProgress } = options;
  const resolved = resolveTarget(target);
  requireWritable(file);
  if (resolved.kind === 'embedded' && resolved.folder === undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: '--types needs a database that lasts, and embedded::memory: ends with the run',
      hint: 'name a folder: --embedded FOLDER',
    });
  }
  const run = await up(options);
  const source = { target: resolved, migrations, rollbacks, signal, onProgress };
  return { ...run, types: await generate({ ...source, file, allowPending: true }) };
}
