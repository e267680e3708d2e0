import type { Kysely } from 'kysely';
import { openEmbedded } from '../client.ts';
import { isReplica, kyselyOver, type PoolOptions, poolSettings } from '../kysely.ts';
import { openPool } from '../pool.ts';
import { directly, withoutWrites } from '../query-runner.ts';
import type { EmbeddedTarget } from '../target.ts';
import type { DB } from '../types.ts';
import type { EmbeddedEngine } from './engine.ts';

/**
 * A Kysely over the embedded engine in a folder. The first query starts the engine, and `destroy()` closes it.
 * Throws `bad-configuration` for a setting out of range.
 */
export function openEmbeddedDatabase(
  { folder }: EmbeddedTarget,
  options: PoolOptions = {},
): Kysely<DB> {
  const { connectTimeoutMs, idleTimeoutMs } = poolSettings(options);
  const open = async () => {
    const { openEmbeddedEngine } = await import('./engine.ts');
    return openEmbeddedEngine({ folder, lockTimeoutMs: connectTimeoutMs });
  };
  return embeddedKysely(open, { idleTimeoutMs, isReadOnly: isReplica(options) });
}

/** A Kysely over an open engine, which `destroy()` closes. */
export function engineKysely(engine: EmbeddedEngine): Kysely<DB> {
  return embeddedKysely(async () => engine, { idleTimeoutMs: 30_000, isReadOnly: false });
}

const embeddedPatienceMs = 60_000;

/** The engine has one session and takes seconds to start, so callers wait for their turn. */
function embeddedKysely(
  open: () => Promise<EmbeddedEngine>,
  { idleTimeoutMs, isReadOnly }: { readonly idleTimeoutMs: number; readonly isReadOnly: boolean },
): Kysely<DB> {
  let engine: Promise<EmbeddedEngine> | undefined;
  const pool = openPool(
    async () => {
      engine ??= open();
      const started = await engine.catch((error: unknown) => {
        engine = undefined;
        throw error;
      });
      return openEmbedded(started, { isForValues: true, isReadOnly });
    },
    { idleTimeoutMs, maxConnections: 1, connectTimeoutMs: embeddedPatienceMs },
  );
  return kyselyOver({
    lease: async () => {
      const runner = directly(await pool.lease());
      return isReadOnly ? withoutWrites(runner) : runner;
    },
    end: async () => {
      await pool.end();
      await (await engine)?.close();
    },
  });
}
