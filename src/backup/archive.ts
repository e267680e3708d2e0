import type { RunOptions } from '../ledger/run.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Backup } from './catalog.ts';
import { decrypt, readIdentities } from './encryption.ts';
import { createMeter, type Measured } from './meter.ts';
import type { Store } from './store.ts';

export interface ArchiveOptions extends Pick<RunOptions, 'onProgress' | 'signal'> {
  /** A file with secret keys of age, for encrypted backups. */
  readonly identityFile?: string | undefined;
}

/**
 * The dump of a backup, decrypted. It ends without an error only when it is the one that the manifest describes, byte for
 * byte; until then nothing that was made from it may be taken for whole. Throws `backup-locked`, `backup-damaged`,
 * `store-failed` and `bad-configuration`.
 */
export async function* readDump(
  store: Store,
  { folder, manifest: { dump } }: Backup,
  { identityFile, onProgress, signal }: ArchiveOptions,
): AsyncGenerator<Uint8Array> {
  const key = `${folder}${dump.object}`;
  const isEncrypted = dump.recipients.length > 0;
  if (isEncrypted && identityFile === undefined) throw identityNeeded(key, dump.recipients);
  const identities = isEncrypted && identityFile ? await readIdentities(identityFile) : [];
  const startedAt = performance.now();
  const stored = createMeter((bytes) =>
    onProgress?.({
      kind: 'backup-bytes',
      bytes,
      total: dump.stored.bytes,
      elapsedMs: performance.now() - startedAt,
    }),
  );
  const content = stored.through(store.get(key, { signal }));
  const plain = createMeter();
  yield* isEncrypted ? plain.through(decrypt(content, { identities, key })) : content;
  requireSame(key, { found: stored.measured(), wanted: dump.stored });
  if (isEncrypted) requireSame(key, { found: plain.measured(), wanted: dump.plain });
}

function requireSame(
  key: string,
  { found, wanted }: { readonly found: Measured; readonly wanted: Measured },
): void {
  if (found.bytes === wanted.bytes && found.sha256 === wanted.sha256) return;
  throw new CryptosenseDbError(
    'backup-damaged',
    {
      message: `${key} is not what its manifest says`,
      evidence: [
        `found: ${found.bytes} bytes, SHA-256 ${found.sha256}`,
        `written: ${wanted.bytes} bytes, SHA-256 ${wanted.sha256}`,
      ],
    },
    { details: { key } },
  );
}

export function identityNeeded(
  key: string,
  recipients: readonly string[],
): CryptosenseDbError<'backup-locked'> {
  return new CryptosenseDbError(
    'backup-locked',
    {
      message: `${key} is encrypted, and no identity was given`,
      evidence: recipients.map((recipient) => `for ${recipient}`),
      hint: 'name the file with the secret key of one of them: --identity FILE',
    },
    { details: { key } },
  );
}
