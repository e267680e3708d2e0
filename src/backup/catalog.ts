import type { RunOptions } from '../ledger/run.ts';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import {
  databaseOf,
  folderOf,
  type Manifest,
  manifestName,
  momentOf,
  readManifest,
  verificationName,
} from './manifest.ts';
import { flagsOf, readText, type Store, type StoredObject } from './store.ts';

/** A folder `DATABASE/ID/` of a store, which holds a backup, or what was left of one. */
export interface BackupPlace {
  readonly database: string;
  readonly id: string;
  /** The key of the folder, with a slash at its end. */
  readonly folder: string;
  /** The moment in the id. */
  readonly startedAt: Date;
  /** The objects of this tool in it, in order of keys. All others are left alone. */
  readonly objects: readonly StoredObject[];
  /** Of these objects. */
  readonly bytes: number;
}

/** A backup whose manifest is read, and whose dump has the size that the manifest says. */
export interface Backup extends BackupPlace {
  readonly manifest: Manifest;
}

/** A backup that cannot be used: its manifest cannot be read, or its dump is missing or cut off. */
interface DamagedBackup extends BackupPlace {
  readonly reason: string;
}

/** Each list by database, the newest first. */
export interface Catalog {
  readonly backups: readonly Backup[];
  readonly damaged: readonly DamagedBackup[];
  /** Folders without a manifest: a backup is running, or one has died. */
  readonly unfinished: readonly BackupPlace[];
}

/** Which backups of the store are meant. */
interface CatalogOptions {
  /** Default: of every database in the store. */
  readonly database?: string | undefined;
}

interface FindOptions extends CatalogOptions, Pick<RunOptions, 'onProgress'> {
  /** An id, or its beginning from the day on when only one backup has it; or `latest`. */
  readonly id: string;
  /** Default: the clock of this machine. */
  readonly now?: Date | undefined;
}

/** How far the clocks of two machines may be apart. */
const clockDifferenceMs = 5 * 60_000;

/** Whether a backup has a moment that is still to come: the clock of this machine is wrong, or that of its maker was. */
export function isFromFuture({ startedAt }: Pick<BackupPlace, 'startedAt'>, now: Date): boolean {
  return startedAt.getTime() - now.getTime() > clockDifferenceMs;
}

const dumpNames = ['dump', 'dump.age'];
/** How many similar ids an error names. */
const mostNamed = 5;
/** How many manifests are read at the same time. */
const mostReads = 16;

/** Reads the manifest of every backup. A store without backups has an empty catalog. */
export async function readCatalog(store: Store, options: CatalogOptions = {}): Promise<Catalog> {
  const places = await listPlaces(store, options);
  const whole = places.filter(hasManifest);
  const read: (Backup | DamagedBackup)[] = [];
  for (let at = 0; at < whole.length; at += mostReads) {
    const some = whole.slice(at, at + mostReads).map((place) => readBackup(store, place));
    read.push(...(await Promise.all(some)).flatMap((backup) => backup ?? []));
  }
  return {
    backups: read.filter((backup) => 'manifest' in backup),
    damaged: read.filter((backup) => 'reason' in backup),
    unfinished: places.filter((place) => !hasManifest(place)),
  };
}

/**
 * The backup of that id, or the newest one. One from the future is not the newest: a warning says which one is taken.
 * Throws `no-backup`; `backup-damaged`, also for `latest` when the newest is damaged, so that none takes an older one
 * for it; and `bad-configuration` where the store has several databases and
 * none is named, or where several backups have such an id.
 */
export async function findBackup(store: Store, options: FindOptions): Promise<Backup> {
  const places = await listPlaces(store, options);
  const whole = places.filter(hasManifest);
  const place =
    options.id === 'latest' ? newestOf(store, whole, options) : matching(store, whole, options);
  if (!place) throw noBackup(store, places, options);
  const backup = await readBackup(store, place);
  if (!backup) throw noBackup(store, places, options);
  if ('manifest' in backup) return backup;
  const older = whole.find(
    ({ database, startedAt }) => database === place.database && startedAt < place.startedAt,
  );
  throw new CryptosenseDbError(
    'backup-damaged',
    {
      message: `the backup ${place.id} of ${place.database} in ${store.name} is damaged`,
      evidence: [backup.reason],
      ...(older && { hint: `the one before it is ${older.id}` }),
    },
    { details: { key: `${place.folder}${manifestName}` } },
  );
}

function newestOf(
  store: Store,
  places: readonly BackupPlace[],
  { now = new Date(), onProgress }: FindOptions,
): BackupPlace | undefined {
  const databases = [...new Set(places.map(({ database }) => database))];
  if (databases.length <= 1) {
    const newest = places.find((place) => !isFromFuture(place, now));
    const [first] = places;
    if (newest && first && newest !== first) {
      const message = `${first.id} is from the future; latest is ${newest.id}`;
      onProgress?.({ kind: 'notice', severity: 'WARNING', message });
    }
    return newest;
  }
  throw new CryptosenseDbError('bad-configuration', {
    message: `${store.name} has backups of several databases`,
    evidence: databases,
    hint: 'name one with --database',
  });
}

function matching(
  store: Store,
  places: readonly BackupPlace[],
  { id }: FindOptions,
): BackupPlace | undefined {
  const same = places.filter((place) => place.id === id);
  const isBeginning = /^\d{4}-\d\d-\d\d/.test(id);
  const begun = isBeginning ? places.filter((place) => place.id.startsWith(id)) : [];
  const matches = same.length > 0 ? same : begun;
  if (matches.length <= 1) return matches[0];
  const isOfSeveral = new Set(matches.map(({ database }) => database)).size > 1;
  throw new CryptosenseDbError('bad-configuration', {
    message: `several backups in ${store.name} have an id that ${same.length > 0 ? 'is' : 'begins with'} ${id}`,
    evidence: matches.map(({ database, id: each }) => `${each} of ${database}`),
    hint: isOfSeveral ? 'name the database with --database, or the whole id' : 'name the whole id',
  });
}

function noBackup(
  store: Store,
  places: readonly BackupPlace[],
  { id, database, now = new Date() }: FindOptions,
): CryptosenseDbError<'no-backup'> {
  const whole = places.filter(hasManifest);
  const areAllFromFuture = whole.length > 0 && whole.every((place) => isFromFuture(place, now));
  if (id === 'latest' && areAllFromFuture) {
    return new CryptosenseDbError(
      'no-backup',
      {
        message: `every backup in ${store.name} is from the future by the clock of this machine, ${now.toISOString()}`,
        evidence: whole.slice(0, 3).map((place) => `${place.id} of ${place.database}`),
        hint: 'set the clock, or name a backup by its id in place of latest',
      },
      { details: { id } },
    );
  }
  const begun = places.find((place) => place.id === id && !hasManifest(place));
  const of = database === undefined ? '' : ` of ${database}`;
  const inDatabase = database === undefined ? '' : ` --database ${quoteShellWord(database)}`;
  const similar = /^\d{4}/.test(id) ? whole.filter((place) => place.id.startsWith(id)) : [];
  return new CryptosenseDbError(
    'no-backup',
    {
      message:
        whole.length === 0
          ? `${store.name} has no backup${of}`
          : `${store.name} has no backup ${id}${of}`,
      evidence: [
        ...(begun ? [`${id} was begun and not finished: it has no manifest`] : []),
        ...similar.slice(0, mostNamed).map((place) => `${place.id} of ${place.database} begins so`),
        ...(similar.length > mostNamed ? [`and ${similar.length - mostNamed} more begin so`] : []),
        ...(whole[0] ? [`the newest is ${whole[0].id} of ${whole[0].database}`] : []),
      ],
      hint:
        similar.length > 0
          ? 'name a whole id, or its beginning with the day, such as 2026-01-31'
          : `see what is there: cryptosense-db backup list${flagsOf(store)}${inDatabase}`,
    },
    { details: { id } },
  );
}

/** By database, the newest first. */
async function listPlaces(
  store: Store,
  { database }: CatalogOptions,
): Promise<readonly BackupPlace[]> {
  const objects = await store.list(database === undefined ? '' : `${folderOf(database)}/`);
  const folders = new Map<string, StoredObject[]>();
  for (const object of objects) {
    const place = placeOfKey(object.key);
    if (!place) continue;
    const known = folders.get(place.folder);
    if (known) known.push(object);
    else folders.set(place.folder, [object]);
  }
  return [...folders]
    .flatMap(([folder, found]): readonly BackupPlace[] => {
      const place = placeOfKey(`${folder}${manifestName}`);
      const bytes = found.reduce((sum, object) => sum + object.bytes, 0);
      return place ? [{ ...place, objects: found, bytes }] : [];
    })
    .sort((a, b) => compareText(a.database, b.database) || compareText(b.id, a.id));
}

/** Where an object of this tool lies; undefined for every other key. */
export function placeOfKey(key: string): Omit<BackupPlace, 'objects' | 'bytes'> | undefined {
  const [parent = '', id = '', name = '', ...rest] = key.split('/');
  const startedAt = momentOf(id);
  const database = databaseOfFolder(parent);
  if (rest.length > 0 || !startedAt || database === undefined) return undefined;
  if (![manifestName, verificationName, ...dumpNames].includes(name)) return undefined;
  return { database, id, folder: `${parent}/${id}/`, startedAt };
}

function databaseOfFolder(folder: string): string | undefined {
  try {
    const database = databaseOf(folder);
    return database !== '' && folderOf(database) === folder ? database : undefined;
  } catch {
    // A name with a per cent sign that is not an escape.
    return undefined;
  }
}

export function hasManifest({ folder, objects }: BackupPlace): boolean {
  return objects.some(({ key }) => key === `${folder}${manifestName}`);
}

/** undefined: it was removed since it was listed. */
async function readBackup(
  store: Store,
  place: BackupPlace,
): Promise<Backup | DamagedBackup | undefined> {
  const key = `${place.folder}${manifestName}`;
  try {
    const manifest = readManifest(await readText(store, key), { key });
    const reason = damageOf(place, manifest);
    return reason === undefined ? { ...place, manifest } : { ...place, reason };
  } catch (error) {
    if (isError(error, 'no-backup')) return undefined;
    if (isError(error, 'backup-damaged')) return { ...place, reason: unreadable(error) };
    throw error;
  }
}

function unreadable({ problems }: CryptosenseDbError): string {
  const evidence = problems.flatMap((problem) => problem.evidence ?? []);
  return ['its manifest cannot be read', ...evidence].join(': ');
}

/** What contradicts the manifest, as far as a list of objects tells. */
function damageOf(place: BackupPlace, { id, database, dump }: Manifest): string | undefined {
  if (id !== place.id || database !== place.database) {
    return `its manifest is that of ${id} of ${database}`;
  }
  const stored = place.objects.find(({ key }) => key === place.folder + dump.object);
  if (!stored) return `${dump.object} is missing`;
  if (stored.bytes !== dump.stored.bytes) {
    return `${dump.object} has ${stored.bytes} bytes; the manifest says ${dump.stored.bytes}`;
  }
  return undefined;
}
