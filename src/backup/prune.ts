import { interrupted } from '../database/refusals.ts';
import { dayMs } from '../runtime/days.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import {
  type Backup,
  type BackupPlace,
  hasManifest,
  isFromFuture,
  placeOfKey,
  readCatalog,
} from './catalog.ts';
import {
  agedFactsOf,
  factsOf,
  type PlaceFacts,
  type UnfinishedBackup,
  type UnusableBackup,
} from './list.ts';
import { manifestName } from './manifest.ts';
import {
  defaultKeep,
  type Keep,
  mostKept,
  type Retention,
  type RetentionRule,
  retain,
} from './retention.ts';
import type { Store, StoredObject, UnfinishedUpload } from './store.ts';
import { readVerification } from './verification.ts';
import { type StoreOptions, withStore } from './with-store.ts';

export interface PruneOptions extends StoreOptions {
  /** Default: every database in the store, each by itself. */
  readonly database?: string | undefined;
  /** Default: 7 days, 4 weeks and 12 months. */
  readonly keep?: Keep | undefined;
  /** Delete nothing, and return what would be deleted. */
  readonly dryRun?: boolean | undefined;
  /** For ages. Default: now. */
  readonly now?: Date | undefined;
  /** When it fires, the backup at hand is deleted to its end, and the operation throws `interrupted`. */
  readonly signal?: AbortSignal | undefined;
}

export interface KeptBackup extends PlaceFacts {
  readonly rules: readonly KeptRule[];
}

export type KeptRule =
  | RetentionRule
  /** Its moment is still to come, or its last verification failed. It stays until a person decides about it. */
  | { readonly rule: 'future' | 'failed verification' };

/** Each list by database, the newest first. */
export interface PruneResult {
  readonly store: string;
  /** Nothing was deleted: `deleted` and `isDeleted` say what would be. */
  readonly isDryRun: boolean;
  readonly keep: Keep;
  readonly kept: readonly KeptBackup[];
  readonly deleted: readonly PlaceFacts[];
  /** Folders without a manifest. Those of the last day stay: a backup may be running. */
  readonly unfinished: readonly (UnfinishedBackup & { readonly isDeleted: boolean })[];
  /** Uploads that did not come to their end. Those that were written to within the last day stay. */
  readonly uploads: readonly {
    readonly key: string;
    readonly startedAt: Date;
    readonly ageMs: number;
    readonly isDeleted: boolean;
  }[];
  /** They count for no rule, and stay: a person decides about them. */
  readonly damaged: readonly UnusableBackup[];
  /** Of what was deleted; open uploads are not counted. */
  readonly deletedBytes: number;
}

/** How old an unfinished backup or upload has to be before it counts as left behind. */
const unfinishedMs = dayMs;

/**
 * Deletes the backups that no rule keeps, the oldest first, and what backups left behind that have died. What stays: the
 * newest backup of a database, those whose last verification failed, and every object that is not of this tool. The
 * manifest goes first: an error in the middle leaves whole backups, and folders without a manifest that a later run
 * deletes. Throws `bad-configuration`, `store-failed` and `interrupted`.
 */
export async function prune(options: PruneOptions): Promise<PruneResult> {
  const { keep = defaultKeep } = options;
  const { days, weeks, months } = keep;
  requireWhole(
    { 'keep.days': days, 'keep.weeks': weeks, 'keep.months': months },
    { from: 0, to: mostKept },
  );
  return withStore(options, (store) => pruneStore(store, { ...options, keep }));
}

export async function pruneStore(
  store: Store,
  {
    database,
    keep = defaultKeep,
    dryRun: isDryRun = false,
    now = new Date(),
    signal,
  }: Omit<PruneOptions, keyof StoreOptions>,
): Promise<PruneResult> {
  const catalog = await readCatalog(store, { database });
  const aside = await readAside(store, catalog.backups, now);
  const retentions = byDatabase(catalog.backups).map((backups) =>
    retainSound(backups, { keep, aside }),
  );
  const dropped = retentions.flatMap((retention) => retention.dropped);
  const ageMs = (startedAt: Date) => now.getTime() - startedAt.getTime();
  const isLeft = ({ startedAt }: { readonly startedAt: Date }) => ageMs(startedAt) > unfinishedMs;
  const left = catalog.unfinished.filter(isLeft);
  const uploads = (await store.listUnfinished()).filter(({ key }) => {
    const place = placeOfKey(key);
    return place !== undefined && (database === undefined || place.database === database);
  });
  const leftUploads: UnfinishedUpload[] = [];
  for (const upload of uploads.filter(isLeft)) {
    // A dump may run for more than a day.
    const writtenAt = await store.readWrittenAt(upload);
    if (writtenAt && isLeft({ startedAt: writtenAt })) leftUploads.push(upload);
  }
  const spared = isDryRun
    ? []
    : await deleteAll(store, { dropped, left, uploads: leftUploads, signal });
  const gone = left.filter((place) => !spared.includes(place));
  return {
    store: store.name,
    isDryRun,
    keep,
    kept: retentions.flatMap(({ kept }) =>
      kept.map(({ backup, rules }) => ({ ...factsOf(backup), rules })),
    ),
    deleted: dropped.map(factsOf),
    unfinished: catalog.unfinished.map((place) => ({
      ...agedFactsOf(place, now),
      isDeleted: gone.includes(place),
    })),
    uploads: uploads.map((upload) => ({
      key: upload.key,
      startedAt: upload.startedAt,
      ageMs: ageMs(upload.startedAt),
      isDeleted: leftUploads.includes(upload),
    })),
    damaged: catalog.damaged.map((place) => ({
      ...agedFactsOf(place, now),
      reason: place.reason,
    })),
    deletedBytes: [...dropped, ...gone].reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/**
 * The backups that count for no rule, each with why it stays. One from the future would be the newest for years, and one
 * that cannot be restored would take the place of one that can.
 */
async function readAside(
  store: Store,
  backups: readonly Backup[],
  now: Date,
): Promise<ReadonlyMap<Backup, KeptRule>> {
  const aside = new Map<Backup, KeptRule>();
  for (const backup of backups) {
    if (isFromFuture(backup, now)) aside.set(backup, { rule: 'future' });
    else if ((await readVerification(store, backup))?.isWhole === false) {
      aside.set(backup, { rule: 'failed verification' });
    }
  }
  return aside;
}

function retainSound(
  backups: readonly Backup[],
  { keep, aside }: { readonly keep: Keep; readonly aside: ReadonlyMap<Backup, KeptRule> },
): Pick<Retention<Backup>, 'dropped'> & {
  readonly kept: readonly { readonly backup: Backup; readonly rules: readonly KeptRule[] }[];
} {
  const { kept, dropped } = retain(
    backups.filter((backup) => !aside.has(backup)),
    keep,
  );
  const spared = backups.flatMap((backup) => {
    const rule = aside.get(backup);
    return rule ? [{ backup, rules: [rule] }] : [];
  });
  return { kept: [...spared, ...kept], dropped };
}

function byDatabase(backups: readonly Backup[]): readonly (readonly Backup[])[] {
  const databases = [...new Set(backups.map(({ database }) => database))];
  return databases.map((database) => backups.filter((backup) => backup.database === database));
}

interface Deletion {
  readonly dropped: readonly BackupPlace[];
  readonly left: readonly BackupPlace[];
  readonly uploads: readonly UnfinishedUpload[];
  readonly signal: AbortSignal | undefined;
}

/** Returns the unfinished backups that it left alone, because they are finished by now. */
async function deleteAll(
  store: Store,
  { dropped, left, uploads, signal }: Deletion,
): Promise<readonly BackupPlace[]> {
  const spared: BackupPlace[] = [];
  const steps = [
    ...[...dropped].reverse().map((place) => ({
      name: place.folder,
      run: () => deleteBackup(store, place),
    })),
    ...left.map((place) => ({
      name: place.folder,
      run: async () => {
        const isFinished = hasManifest({ ...place, objects: await store.list(place.folder) });
        if (isFinished) spared.push(place);
        else await deleteObjects(store, place.objects);
      },
    })),
    ...uploads.map((upload) => ({ name: upload.key, run: () => store.abort(upload) })),
  ];
  for (const [at, { run }] of steps.entries()) {
    if (signal?.aborted) {
      const names = steps.map(({ name }) => name);
      throw interrupted({ completed: names.slice(0, at), pending: names.slice(at) });
    }
    await run();
  }
  return spared;
}

/** No manifest, no backup: from the first removal on it counts as none. */
async function deleteBackup(store: Store, { folder, objects }: BackupPlace): Promise<void> {
  const manifest = `${folder}${manifestName}`;
  await store.remove(manifest);
  await deleteObjects(
    store,
    objects.filter(({ key }) => key !== manifest),
  );
}

async function deleteObjects(store: Store, objects: readonly StoredObject[]): Promise<void> {
  for (const { key } of objects) await store.remove(key);
}
