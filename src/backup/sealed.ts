import * as v from 'valibot';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import { identityNeeded } from './archive.ts';
import type { Backup } from './catalog.ts';
import { decryptText, encryptText, readIdentities } from './encryption.ts';
import { type Manifest, manifestName } from './manifest.ts';

const sealedSchema = v.object({
  settings: v.array(v.string()),
  configs: v.record(v.string(), v.nullable(v.string())),
});

/** The manifest of an encrypted dump without what may hold secrets; that of a plain dump is returned unchanged. */
export async function seal(manifest: Manifest): Promise<Manifest> {
  const { settings, jobs, dump } = manifest;
  if (dump.recipients.length === 0) return manifest;
  const configs = Object.fromEntries(jobs.map(({ id, config }) => [id, config]));
  const content: v.InferOutput<typeof sealedSchema> = { settings: [...settings], configs };
  return {
    ...manifest,
    settings: [],
    jobs: jobs.map((job) => ({ ...job, config: null })),
    sealed: await encryptText(JSON.stringify(content), dump.recipients),
  };
}

/** The backup with what `seal` took out of its manifest. Throws `backup-locked` and `backup-damaged`. */
export async function unseal(
  backup: Backup,
  { identityFile }: { readonly identityFile?: string | undefined },
): Promise<Backup> {
  const { manifest, folder } = backup;
  const { sealed, dump } = manifest;
  if (sealed === null) return backup;
  const key = `${folder}${manifestName}`;
  if (identityFile === undefined) throw identityNeeded(`${folder}${dump.object}`, dump.recipients);
  const identities = await readIdentities(identityFile);
  const { settings, configs } = parse(await decryptText(sealed, { identities, key }), key);
  const jobs = manifest.jobs.map((job) => ({ ...job, config: configs[job.id] ?? null }));
  return { ...backup, manifest: { ...manifest, settings, jobs } };
}

function parse(text: string, key: string): v.InferOutput<typeof sealedSchema> {
  try {
    return v.parse(sealedSchema, JSON.parse(text));
  } catch (error) {
    throw new CryptosenseDbError(
      'backup-damaged',
      {
        message: `the sealed part of ${key} cannot be read`,
        // Without the text, which may hold secrets.
        evidence: v.isValiError(error) ? [messageOf(error)] : [],
      },
      { details: { key } },
    );
  }
}
