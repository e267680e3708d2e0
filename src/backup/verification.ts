import * as v from 'valibot';
import { isError } from '../runtime/errors.ts';
import type { Backup } from './catalog.ts';
import { verificationName } from './manifest.ts';
import { contentOf, readText, type Store } from './store.ts';

/** What the last verification of a backup has found. */
export type Verification =
  | { readonly isWhole: true; readonly at: Date }
  | { readonly isWhole: false; readonly at: Date; readonly reason: string };

const moment = v.pipe(v.string(), v.isoTimestamp());
const recordSchema = v.union([
  v.object({ verifiedAt: moment }),
  v.object({ failedAt: moment, reason: v.string() }),
]);

/** Keeps beside the backup what was found, in place of what was found before. */
export async function writeVerification(
  store: Store,
  { folder }: Pick<Backup, 'folder'>,
  verification: Verification,
): Promise<void> {
  const record: v.InferInput<typeof recordSchema> = verification.isWhole
    ? { verifiedAt: verification.at.toISOString() }
    : { failedAt: verification.at.toISOString(), reason: verification.reason };
  await store.put(`${folder}${verificationName}`, contentOf(`${JSON.stringify(record)}\n`));
}

/** undefined: it was never verified, or its record cannot be read. */
export async function readVerification(
  store: Store,
  { folder, objects }: Backup,
): Promise<Verification | undefined> {
  const key = `${folder}${verificationName}`;
  if (!objects.some((object) => object.key === key)) return undefined;
  const record = v.safeParse(recordSchema, readJson(await readText(store, key)));
  if (!record.success) return undefined;
  const { output } = record;
  return 'verifiedAt' in output
    ? { isWhole: true, at: new Date(output.verifiedAt) }
    : { isWhole: false, at: new Date(output.failedAt), reason: output.reason };
}

/** Why the backup is not whole; undefined for an error that says nothing about it, such as a key that does not fit. */
export function faultOf(error: unknown): string | undefined {
  const isFault =
    isError(error, 'backup-damaged') ||
    // pg_restore has refused the archive. Where it was killed, the archive may be whole.
    (isError(error, 'program-failed') && error.details.exitCode !== undefined);
  return isFault ? error.message.split('\n').join('; ') : undefined;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
