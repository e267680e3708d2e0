import type { RunOptions } from '../ledger/run.ts';
import { type BackupPlace, findBackup, readCatalog } from './catalog.ts';
import { type Manifest, manifestName } from './manifest.ts';
import { type StoreOptions, withStore } from './with-store.ts';

export interface ListOptions extends StoreOptions {
  /** Default: every database in the store. */
  readonly database?: string | undefined;
  /** For ages. Default: now. */
  readonly now?: Date | undefined;
}

export interface ListedBackup {
  readonly database: string;
  readonly id: string;
  /** The mark of the database; null without one. */
  readonly environment: string | null;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  /** Below 0 for a backup from the future. */
  readonly ageMs: number;
  /** In the store. */
  readonly bytes: number;
  readonly isEncrypted: boolean;
  readonly tables: number;
  readonly rows: number;
  /** The newest migration; null without a ledger. */
  readonly migration: string | null;
}

export interface PlaceFacts {
  readonly database: string;
  readonly id: string;
  /** The moment in the id. */
  readonly startedAt: Date;
  /** In the store. */
  readonly bytes: number;
}

/** A folder without a manifest: a backup is running, or one has died. */
export interface UnfinishedBackup extends PlaceFacts {
  readonly ageMs: number;
}

/** A backup whose manifest cannot be read, or whose dump is missing or cut off. */
export interface UnusableBackup extends UnfinishedBackup {
  readonly reason: string;
}

/** Each list by database, the newest first. */
export interface ListResult {
  readonly store: string;
  readonly backups: readonly ListedBackup[];
  readonly damaged: readonly UnusableBackup[];
  readonly unfinished: readonly UnfinishedBackup[];
}

/** What a result says of every place. */
export function factsOf({ database, id, startedAt, bytes }: BackupPlace): PlaceFacts {
  return { database, id, startedAt, bytes };
}

export function agedFactsOf(place: BackupPlace, now: Date): UnfinishedBackup {
  return { ...factsOf(place), ageMs: now.getTime() - place.startedAt.getTime() };
}

/** The backups of a store. Reads each manifest, and no dump. A store that is not there yet has none. */
export async function list(options: ListOptions): Promise<ListResult> {
  const { database, now = new Date() } = options;
  return withStore(options, async (store) => {
    const { backups, damaged, unfinished } = await readCatalog(store, { database });
    return {
      store: store.name,
      backups: backups.map(({ manifest, ...place }) => ({
        ...agedFactsOf(place, now),
        environment: manifest.environment,
        finishedAt: new Date(manifest.finishedAt),
        isEncrypted: manifest.dump.recipients.length > 0,
        tables: manifest.tables.length,
        rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0),
        migration: manifest.migration,
      })),
      damaged: damaged.map((place) => ({
        ...agedFactsOf(place, now),
        reason: place.reason,
      })),
      unfinished: unfinished.map((place) => agedFactsOf(place, now)),
    };
  });
}

export interface ShowOptions extends StoreOptions, Pick<RunOptions, 'onProgress'> {
  /** An id, or its beginning from the day on when only one backup has it; or `latest`. */
  readonly id: string;
  /** Needed where the store has several databases. */
  readonly database?: string | undefined;
}

export interface ShownBackup {
  readonly store: string;
  /** Of the manifest. */
  readonly key: string;
  readonly manifest: Manifest;
}

/** The manifest of a backup. Throws `no-backup`, `backup-damaged` and `bad-configuration` as `findBackup` does. */
export async function show(options: ShowOptions): Promise<ShownBackup> {
  return withStore(options, async (store) => {
    const { folder, manifest } = await findBackup(store, options);
    return { store: store.name, key: `${folder}${manifestName}`, manifest };
  });
}
