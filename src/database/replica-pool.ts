import { openReplica } from './client.ts';
import { type Lease, openPool, type Pool, type PoolSettings } from './pool.ts';
import { directly, type Lending, withoutWrites } from './query-runner.ts';
import { isReplayConflict } from './sql-errors.ts';
import type { ServerTarget } from './target.ts';

/**
 * After a failover or the restart of a standby, connections are where they were opened. New ones spread over the
 * standbys again.
 */
const maxAgeMs = 5 * 60_000;

/** Read-only connections to the standbys of the target. */
export function openReplicaPool(target: ServerTarget, settings: PoolSettings): Lending {
  const open = () => openReplica(target, { isForValues: true });
  const pool = openPool(open, { maxAgeMs, ...settings });
  return {
    lease: async () => withoutWrites(await leaseWithRetry(pool)),
    end: pool.end,
  };
}

/**
 * A lease whose first query runs again, once, on another connection when it has to make way for the replay of WAL. A
 * query within a transaction is never the first: BEGIN is. A stream does not run again, since its first rows may have
 * been read.
 */
async function leaseWithRetry(pool: Pool): ReturnType<Lending['lease']> {
  let lease = await pool.lease();
  let isFirst = true;
  return {
    run: async (query, parameters) => {
      const isAlone = isFirst;
      isFirst = false;
      try {
        return await directly(lease).run(query, parameters);
      } catch (error) {
        const isConflict = lease.client.server.isStandby && isReplayConflict(error);
        if (!isAlone || !isConflict) throw error;
        discard(lease);
        lease = await pool.lease();
        return directly(lease).run(query, parameters);
      }
    },
    stream: (query) => {
      isFirst = false;
      return directly(lease).stream(query);
    },
    release: () => lease.release(),
  };
}

/** The pool would give the same connection again. */
function discard({ client, release }: Lease): void {
  client.destroy();
  release();
}
