import type { Sql } from '../database/connection.ts';
import { ifFree } from '../database/lock.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import {
  dropDatabase,
  dropUnused,
  type FoundDatabase,
  listDatabases,
  templateLock,
} from './catalog.ts';

/** Databases of at least that age are dropped. */
export interface PruneAges {
  /** Of clones, ready or taken. */
  readonly clonesMs: number;
  readonly templatesMs: number;
}

export interface Pruned {
  readonly dropped: readonly string[];
  /** Old enough, but a session is in them. */
  readonly inUse: readonly string[];
}

/** After a week a template probably belongs to files that are gone. It is made again when it is needed. */
export const templateLifetimeMs = 7 * 86_400_000;

/**
 * Drops what is left behind, of the roles that this one is a member of: clones and templates of that age, ready
 * clones without a template, templates whose maker is gone, and databases that a process was dropping when it died.
 * A clone or a template with a session in it stays.
 */
export async function pruneDatabases(sql: Sql, ages: PruneAges): Promise<Pruned> {
  const own = (await listDatabases(sql)).filter(({ isDroppable }) => isDroppable);
  const dropped = new Set<string>();
  const inUse = new Set<string>();
  const dropIdle = async (database: FoundDatabase) => {
    const outcome = database.connections > 0 ? 'in use' : await dropUnused(sql, database);
    if (outcome === 'dropped') dropped.add(database.name);
    if (outcome === 'in use') inUse.add(database.name);
  };
  const dropAnyway = async ({ name }: FoundDatabase) => {
    // A superuser's session in it keeps it: the next prune finds it again.
    if (await dropDatabase(sql, name).catch(unlessForbidden)) dropped.add(name);
  };
  for (const database of own) {
    if (database.kind === 'template' && database.ageMs >= ages.templatesMs)
      await dropIdle(database);
  }
  const keys = new Set(
    own.filter(({ kind, name }) => kind === 'template' && !dropped.has(name)).map(({ key }) => key),
  );
  for (const database of own) {
    const { kind, key, ageMs } = database;
    switch (kind) {
      case 'template':
        break;
      case 'building':
        // Its maker holds the lock. A statement of a dead maker may still run: its session is ended.
        await ifFree(sql, templateLock(key), () => dropAnyway(database));
        break;
      case 'ready':
        if (ageMs >= ages.clonesMs || !keys.has(key)) await dropIdle(database);
        break;
      case 'clone':
        if (ageMs >= ages.clonesMs) await dropIdle(database);
        break;
      case 'unused':
        await dropIdle(database);
        break;
      default:
        kind satisfies never;
    }
  }
  return { dropped: [...dropped], inUse: [...inUse] };
}

/** Thrown while a superuser's session is in the database. */
function unlessForbidden(error: unknown): false {
  if (sqlState(error) === sqlErrorCodes.insufficientPrivilege) return false;
  throw error;
}
