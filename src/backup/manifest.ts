import * as v from 'valibot';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';

/** The format that this release writes. A newer one is refused, because something in it may have to come back. */
const manifestFormat = 1;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const moment = v.pipe(v.string(), v.isoTimestamp());
const checksum = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

const tableSchema = v.object({
  /** Quoted where needed: `public.users`. */
  name: v.string(),
  kind: v.picklist(['table', 'hypertable', 'materialized view']),
  rows: count,
  /** The sum of the hashes of all rows, a decimal number. */
  hash: v.string(),
});

const manifestSchema = v.object({
  format: v.literal(manifestFormat),
  id: v.string(),
  database: v.string(),
  /** The mark of the database; null without one. */
  environment: v.nullable(v.string()),
  startedAt: moment,
  finishedAt: moment,
  /** The snapshot that the dump and the counts were taken in. */
  snapshot: v.string(),
  versions: v.object({
    postgresql: v.string(),
    /** null without the extension. */
    timescaledb: v.nullable(v.string()),
    pgDump: v.string(),
    tool: v.string(),
  }),
  dump: v.object({
    /** The name of the object beside the manifest: `dump`, or `dump.age`. */
    object: v.string(),
    plain: v.object({ bytes: count, sha256: checksum }),
    stored: v.object({ bytes: count, sha256: checksum }),
    /** Public keys of age. Empty: the dump is not encrypted. */
    recipients: v.array(v.string()),
  }),
  /** The newest migration that is applied; null without a ledger. */
  migration: v.nullable(v.string()),
  tables: v.array(tableSchema),
  hypertables: v.array(v.object({ name: v.string(), chunks: count, compressed: count })),
  jobs: v.array(
    v.object({
      id: count,
      procedure: v.string(),
      hypertable: v.nullable(v.string()),
      isScheduled: v.boolean(),
      /** A JSON document; null without one. */
      config: v.nullable(v.string()),
    }),
  ),
  /** Roles that own something or are granted something: a restore needs them. */
  roles: v.array(v.string()),
  /** How the database sorts and stores text. */
  locale: v.object({
    encoding: v.string(),
    collate: v.string(),
    ctype: v.string(),
    /** Of ICU; null for the locales of the system. */
    icu: v.nullable(v.string()),
  }),
  /** What pg_dump leaves out of one database: statements with `%DATABASE%` for its quoted name. */
  settings: v.array(v.string()),
});

/** What a backup says about itself, written when its dump is stored in whole: without a manifest there is no backup. */
export type Manifest = v.InferOutput<typeof manifestSchema>;
export type ManifestTable = Manifest['tables'][number];

/** The objects of a backup: `DATABASE/YYYY-MM-DDTHHMMSSZ-ID/manifest.json` and its dump. */
export const manifestName = 'manifest.json';
/** Beside them, when a backup was verified: when it was last found whole. */
export const verificationName = 'verified.json';

/** The name of a folder with a backup: the moment in UTC, and six characters by chance. */
export function backupId(startedAt: Date, random: string): string {
  const stamp = startedAt
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(':', '');
  return `${stamp}-${random}`;
}

/** The moment of a backup's id; undefined for a name of another form, which is not of this tool. */
export function momentOf(id: string): Date | undefined {
  const parts = /^(\d{4}-\d\d-\d\dT)(\d\d)(\d\d)(\d\d)Z-[0-9a-z]{6}$/.exec(id);
  if (!parts) return undefined;
  const [, day, hour, minute, second] = parts;
  const at = new Date(`${day}${hour}:${minute}:${second}Z`);
  return Number.isNaN(at.getTime()) ? undefined : at;
}

/** The folder of a database within a store. A name can hold characters that a key cannot. */
export function folderOf(database: string): string {
  return encodeURIComponent(database).replaceAll('.', '%2E').replaceAll('*', '%2A');
}

export function databaseOf(folder: string): string {
  return decodeURIComponent(folder);
}

export function writeManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** Throws `backup-damaged` for a text that is no manifest, or of a newer release. */
export function readManifest(text: string, { key }: { readonly key: string }): Manifest {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw damaged(key, messageOf(error));
  }
  const result = v.safeParse(manifestSchema, document);
  if (result.success) return result.output;
  const format =
    typeof document === 'object' && document !== null && 'format' in document
      ? document.format
      : undefined;
  if (typeof format === 'number' && format > manifestFormat) {
    throw damaged(key, `its format is ${format}, and this release reads ${manifestFormat}`);
  }
  const [issue] = result.issues;
  throw damaged(key, `${v.getDotPath(issue) ?? 'the document'}: ${issue.message}`);
}

function damaged(key: string, reason: string): CryptosenseDbError<'backup-damaged'> {
  return new CryptosenseDbError(
    'backup-damaged',
    { message: `${key} is not a manifest that this release can read`, evidence: [reason] },
    { details: { key } },
  );
}
