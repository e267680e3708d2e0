import { createHash } from 'node:crypto';
import { backupId, folderOf, type Manifest, writeManifest } from '../../src/backup/manifest.ts';
import type { Store } from '../../src/backup/store.ts';

export interface WrittenBackup {
  readonly database?: string;
  readonly startedAt: Date;
  /** The end of the id. */
  readonly random?: string;
  readonly content?: string;
  readonly recipients?: readonly string[];
  /** What the manifest says instead. */
  readonly manifest?: Partial<Manifest>;
  /** The parts that are written. Default: both. */
  readonly parts?: readonly ('dump' | 'manifest')[];
}

/** Writes a backup as `backup create` does: the dump, then its manifest. Returns its id. */
export async function writeBackup(store: Store, backup: WrittenBackup): Promise<string> {
  const { database = 'shop', startedAt, content = 'PGDMP', parts = ['dump', 'manifest'] } = backup;
  const manifest = manifestFor(backup);
  const folder = `${folderOf(database)}/${manifest.id}`;
  const put = (name: string, text: string) => store.put(`${folder}/${name}`, bytesOf(text));
  if (parts.includes('dump')) await put(manifest.dump.object, content);
  const told = { ...manifest, ...backup.manifest };
  if (parts.includes('manifest')) await put('manifest.json', writeManifest(told));
  return backupId(startedAt, backup.random ?? 'aaaaaa');
}

export function manifestFor({
  database = 'shop',
  startedAt,
  random = 'aaaaaa',
  content = 'PGDMP',
  recipients = [],
}: WrittenBackup): Manifest {
  const stored = {
    bytes: Buffer.byteLength(content),
    sha256: createHash('sha256').update(content).digest('hex'),
  };
  return {
    format: 1,
    id: backupId(startedAt, random),
    database,
    environment: 'production',
    startedAt: startedAt.toISOString(),
    finishedAt: new Date(startedAt.getTime() + 90_000).toISOString(),
    snapshot: '00000003-0000001B-1',
    versions: { postgresql: '15.20', timescaledb: '2.28.3', pgDump: '15.20', tool: '0.1.0' },
    dump: {
      object: recipients.length === 0 ? 'dump' : 'dump.age',
      plain: stored,
      stored,
      recipients: [...recipients],
    },
    migration: '20251007_120000',
    tables: [
      { name: 'public.users', kind: 'table', rows: 1_000, hash: '12345678901234567890' },
      { name: 'public.price_history', kind: 'hypertable', rows: 1_048_925, hash: '-42' },
    ],
    materializedViews: [],
    hypertables: [{ name: 'public.price_history', chunks: 52, compressed: 50 }],
    jobs: [
      {
        id: 1_000,
        procedure: 'policy_retention',
        hypertable: 'public.price_history',
        isScheduled: true,
        config: null,
      },
    ],
    roles: ['app'],
    tablespaces: [],
    locale: { encoding: 'UTF8', collate: 'C', ctype: 'C', icu: null },
    settings: [],
    sealed: null,
  };
}

export async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** The keys of all objects of a store. */
export async function keysOf(store: Store): Promise<readonly string[]> {
  return (await store.list('')).map(({ key }) => key);
}
