import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Session,
  type SessionOptions,
  withSession,
  withTransaction,
} from '../database/connection.ts';
import { quoteIdentifier } from '../database/quote.ts';
import { connectionLost, interrupted } from '../database/refusals.ts';
import {
  type ObservedReplica,
  observeReplicas,
  publicPart,
  type Replica,
  seesReplication,
} from '../database/replicas.ts';
import type { Target } from '../database/target.ts';
import { readLedger } from '../ledger/ledger.ts';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import type { CompletedStep } from './step.ts';

/** What a run saw of the replicas after its last commit. */
export interface ReplicaWait {
  /** Every standby that streamed from the primary during the wait. */
  readonly replicas: readonly WaitedReplica[];
  /** All of them have replayed the migrations; true also where there is none. */
  readonly hasAll: boolean;
  readonly waitedMs: number;
}

export interface WaitedReplica extends Replica {
  readonly hasReplayed: boolean;
  /** False: its connection to the primary ended, and the other fields are what was seen last. */
  readonly isConnected: boolean;
}

type TrackedReplica = WaitedReplica & Pick<ObservedReplica, 'pid'>;

/**
 * The replicas known so far, as they are now, and those that are new. A standby that has connected again is known by its
 * name and address. What it has replayed once stays replayed.
 */
export function trackReplicas(
  known: readonly TrackedReplica[],
  seen: readonly ObservedReplica[],
): readonly TrackedReplica[] {
  const unclaimed = [...seen];
  const claim = (fits: (replica: ObservedReplica) => boolean) => {
    const at = unclaimed.findIndex(fits);
    return at < 0 ? undefined : unclaimed.splice(at, 1)[0];
  };
  const sameProcess = known.map(({ pid }) => claim((replica) => replica.pid === pid));
  const tracked = known.map((before, index): TrackedReplica => {
    const now =
      sameProcess[index] ??
      claim(({ name, address }) => name === before.name && address === before.address);
    if (!now) return { ...before, isConnected: false };
    return { ...now, hasReplayed: before.hasReplayed || now.hasReplayed, isConnected: true };
  });
  return [...tracked, ...unclaimed.map((replica) => ({ ...replica, isConnected: true }))];
}

/** A step of the run. */
type CommittedStep = Pick<CompletedStep, 'direction' | 'version'>;

const pollMs = 100;

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * For the moment before migrations are applied. Throws `not-permitted` where there are replicas and the role may not
 * see how far they are, and `bad-configuration` for a time that is no whole number.
 */
export async function requireReplicaSight(target: Target, options: WaitOptions): Promise<void> {
  requireWhole({ waitForReplicasMs: options.timeoutMs }, { from: 0, to: mostWaitMs });
  if (target.kind === 'embedded') return;
  await withSession(target, sessionOptions(options), async (session) => {
    const replicas = await observeReplicas(session);
    if (replicas.length > 0 && !(await seesReplication(session.sql))) throw hidden(session);
  });
}

/** The longest time that a timer of Node takes. */
const mostWaitMs = 2 ** 31 - 1;

function sessionOptions({ signal, onProgress }: WaitOptions): SessionOptions {
  return { signal, onProgress, isCatalogOnly: true };
}

function hidden({ server: { user } }: Session): CryptosenseDbError<'not-permitted'> {
  return new CryptosenseDbError('not-permitted', {
    message: `the role "${user}" may not see how far replicas have replayed`,
    hint: `let a superuser run: grant pg_monitor to ${quoteIdentifier(user)}; or leave out --wait-for-replicas`,
  });
}

/**
 * Waits until every standby that streams from the primary has replayed all that is committed, or the time is over.
 * `steps` are those of the run, which are committed.
 *
 * Throws `connection-lost` and `interrupted`, whose details name them; and `history-mismatch` when the server that
 * answers does not have them, because another one has become the primary.
 */
export async function waitForReplicas(
  target: Target,
  steps: readonly CommittedStep[],
  options: WaitOptions,
): Promise<ReplicaWait> {
  if (target.kind === 'embedded') return { replicas: [], hasAll: true, waitedMs: 0 };
  try {
    return await withSession(target, sessionOptions(options), async (session) => {
      await requireCommitted(session, steps);
      return untilReplayed(session, options);
    });
  } catch (error) {
    throw isError(error) ? afterCommits(error, { target, steps }) : error;
  }
}

/** After a failover that lost the last commits, the new primary's replicas would agree with it all the same. */
async function requireCommitted(session: Session, steps: readonly CommittedStep[]): Promise<void> {
  const { entries } = await readLedger(session);
  const recorded = new Set(entries.map(({ version }) => version));
  // A migration that was rolled back and applied again counts as its last step.
  const last = new Map(steps.map(({ version, direction }) => [version, direction]));
  const lost = [...last]
    .filter(([version, direction]) => recorded.has(version) !== (direction === 'up'))
    .map(([version]) => version);
  if (lost.length === 0) return;
  throw new CryptosenseDbError(
    'history-mismatch',
    {
      message: `the server does not have what this run has committed: ${lost.join(', ')}`,
      hint: 'another server has become the primary, and lacks the last commits; run the command again',
    },
    { details: { versions: lost } },
  );
}

async function untilReplayed(
  session: Session,
  { timeoutMs, onProgress }: WaitOptions,
): Promise<ReplicaWait> {
  const startedAt = performance.now();
  const { signal } = session;
  const first = await observeReplicas(session);
  if (first.length === 0) return { replicas: [], hasAll: true, waitedMs: 0 };
  onProgress?.({ kind: 'replica-wait-started', names: first.map(({ name }) => name) });
  const position = await markPosition(session);
  let replicas: readonly TrackedReplica[] = first.map((each) => ({ ...each, isConnected: true }));
  for (;;) {
    session.throwIfInterrupted();
    const before = replicas;
    replicas = trackReplicas(before, await observeReplicas(session, { position }));
    const elapsedMs = performance.now() - startedAt;
    for (const [index, { name, hasReplayed }] of replicas.entries()) {
      if (!hasReplayed || before[index]?.hasReplayed) continue;
      onProgress?.({ kind: 'replica-replayed', name, elapsedMs });
    }
    const hasAll = replicas.every(({ hasReplayed }) => hasReplayed);
    if (hasAll || elapsedMs >= timeoutMs) {
      return { replicas: replicas.map(waitedPart), hasAll, waitedMs: elapsedMs };
    }
    const behind = replicas
      .filter(({ hasReplayed }) => !hasReplayed)
      .map(({ name, isConnected, lagBytes }) => ({ name, isConnected, lagBytes }));
    onProgress?.({ kind: 'waiting-for-replicas', behind, elapsedMs });
    await sleep(Math.min(pollMs, timeoutMs - elapsedMs), undefined, signal && { signal });
  }
}

function waitedPart(replica: TrackedReplica): WaitedReplica {
  const { hasReplayed, isConnected } = replica;
  return { ...publicPart(replica), hasReplayed, isConnected };
}

/**
 * A position in the WAL behind every commit so far. The record that a transaction of its own writes there is on disk,
 * also where synchronous_commit is off: pg_current_wal_lsn() could be before the last commit then. And it has an end
 * that standbys report: pg_current_wal_insert_lsn() may be behind the header of a page that has no record yet.
 */
async function markPosition({ sql }: Session): Promise<string> {
  return withTransaction(sql, async () => {
    // Waits for the disk of the primary, and not for a synchronous standby.
    await sql.unsafe('set local synchronous_commit = local');
    const [row] = await sql<[{ position: string }]>`
      select pg_logical_emit_message(true, 'cryptosense-db', 'migrated') as position`;
    return row.position;
  });
}

/** Says that the steps are committed, in words and in the details. */
function afterCommits(
  error: CryptosenseDbError,
  { target, steps }: { readonly target: Target; readonly steps: readonly CommittedStep[] },
): CryptosenseDbError {
  const completed = [...new Set(steps.map(({ version }) => version))];
  const progress = { completed, pending: [] };
  const described = isError(error, 'interrupted')
    ? interrupted(progress)
    : isError(error, 'connection-lost')
      ? connectionLost(target, { ...progress, cause: error.cause })
      : error;
  // To wait with `up` would apply again what was rolled back.
  const isUp = steps.every(({ direction }) => direction === 'up');
  return described.with({
    message: isUp
      ? 'the migrations stay applied; whether every replica has replayed them is not known'
      : 'what the run has committed stays; whether every replica has replayed it is not known',
    hint: isUp
      ? 'wait again with: cryptosense-db migrate up --wait-for-replicas'
      : 'see how far the replicas are with: cryptosense-db migrate status',
  });
}
