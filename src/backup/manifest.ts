import * as v from 'valibot';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import type { Measured } from './meter.ts';

/** The format that this release writes. A newer one is refused, because something in it may have to come back. */
const manifestFormat = 1;

/**
 * What a backup says about itself, written when its dump is stored in whole: without a manifest there is no backup.
 * No release has written this format yet, so it still changes under its number.
 */
export interface Manifest {
  readonly format: typeof manifestFormat;
  readonly id: string;
  readonly database: string;
  /** The mark of the database; null without one. */
  readonly environment: string | null;
  /** Moments in ISO 8601. */
  readonly startedAt: string;
  readonly finishedAt: string;
  /** The snapshot that the dump and the counts were taken in. */
  readonly snapshot: string;
  readonly versions: {
    readonly postgresql: string;
    /** null without the extension. */
    readonly timescaledb: string | null;
    readonly pgDump: string;
    readonly tool: string;
  };
  readonly dump: {
    /** The name of the object beside the manifest: `dump`, or `dump.age`. */
    readonly object: string;
    readonly plain: Measured;
    readonly stored: Measured;
    /** Public keys of age. Empty: the dump is not encrypted. */
    readonly recipients: readonly string[];
  };
  /** The newest migration that is applied; null without a ledger. */
  readonly migration: string | null;
  /** Without materialized views. */
  readonly tables: readonly ManifestTable[];
  readonly materializedViews: readonly { readonly name: string; readonly isPopulated: boolean }[];
  readonly hypertables: readonly {
    readonly name: string;
    readonly chunks: number;
    readonly compressed: number;
  }[];
  readonly jobs: readonly {
    readonly id: number;
    readonly procedure: string;
    readonly hypertable: string | null;
    readonly isScheduled: boolean;
    /** A JSON document; null without one, and where it is sealed. */
    readonly config: string | null;
  }[];
  /** Roles that own something or are granted something: a restore needs them. */
  readonly roles: readonly string[];
  /** Besides PostgreSQL's own: a restore needs them. */
  readonly tablespaces: readonly string[];
  /** How the database sorts and stores text. */
  readonly locale: {
    readonly encoding: string;
    readonly collate: string;
    readonly ctype: string;
    /** Of ICU; null for the locales of the system. */
    readonly icu: string | null;
  };
  /**
   * What pg_dump leaves out of one database: statements with `%DATABASE%` for its quoted name. Empty where they are
   * sealed.
   */
  readonly settings: readonly string[];
  /**
   * Settings and configurations of jobs may hold secrets: beside an encrypted dump they are one text that age has
   * encrypted for the same recipients. null beside a plain dump.
   */
  readonly sealed: string | null;
}

export interface ManifestTable {
  /** Quoted where needed: `public.users`. */
  readonly name: string;
  readonly kind: 'table' | 'hypertable' | 'materialized view';
  readonly rows: number;
  /** The sum of the hashes of all rows, a decimal number. A row's text has the columns in order of their names. */
  readonly hash: string;
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const moment = v.pipe(v.string(), v.isoTimestamp());
const checksum = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const measured = v.object({ bytes: count, sha256: checksum });

const manifestSchema: v.GenericSchema<unknown, Manifest> = v.object({
  format: v.literal(manifestFormat),
  id: v.string(),
  database: v.string(),
  environment: v.nullable(v.string()),
  startedAt: moment,
  finishedAt: moment,
  snapshot: v.string(),
  versions: v.object({
    postgresql: v.string(),
    timescaledb: v.nullable(v.string()),
    pgDump: v.string(),
    tool: v.string(),
  }),
  dump: v.object({
    object: v.string(),
    plain: measured,
    stored: measured,
    recipients: v.array(v.string()),
  }),
  migration: v.nullable(v.string()),
  tables: v.array(
    v.object({
      name: v.string(),
      kind: v.picklist(['table', 'hypertable', 'materialized view']),
      rows: count,
      hash: v.string(),
    }),
  ),
  materializedViews: v.optional(
    v.array(v.object({ name: v.string(), isPopulated: v.boolean() })),
    [],
  ),
  hypertables: v.array(v.object({ name: v.string(), chunks: count, compressed: count })),
  jobs: v.array(
    v.object({
      id: count,
      procedure: v.string(),
      hypertable: v.nullable(v.string()),
      isScheduled: v.boolean(),
      config: v.nullable(v.string()),
    }),
  ),
  roles: v.array(v.string()),
  tablespaces: v.optional(v.array(v.string()), []),
  locale: v.object({
    encoding: v.string(),
    collate: v.string(),
    ctype: v.string(),
    icu: v.nullable(v.string()),
  }),
  settings: v.array(v.string()),
  sealed: v.optional(v.nullable(v.string()), null),
});

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
