import { type Session, withSession } from '../../database/connection.ts';
import { resolveTarget, type Target } from '../../database/target.ts';
import type { RunOptions } from '../../ledger/run.ts';
import { CryptosenseDbError } from '../../runtime/errors.ts';
import { findManagedService, managedProblem } from './managed.ts';

export interface ServerOptions extends Pick<RunOptions, 'onProgress' | 'signal'> {
  /** The server with the WAL, if it is named. */
  readonly target?: Target | string | undefined;
}

/** Throws `wal-unavailable` where the name of the host tells of a managed service, or the target has no server. */
export async function refuseManaged({ target }: Pick<ServerOptions, 'target'>): Promise<void> {
  if (target === undefined) return;
  const service = findManagedService({ hosts: hostsOf(resolveTarget(target)) });
  if (service) throw managedProblem(service);
}

function hostsOf(target: Target): readonly string[] {
  if (target.kind === 'server') {
    return target.hosts.flatMap(({ host, address }) => (address ? [host, address] : [host]));
  }
  throw new CryptosenseDbError(
    'wal-unavailable',
    {
      message: 'the embedded engine does not archive WAL',
      hint: 'make a dump of it: cryptosense-db backup create --embedded',
    },
    { details: { service: undefined } },
  );
}

/** Opens a session on the server, a standby too. Throws `wal-unavailable` for a managed one. */
export async function withServer<T>(
  { target, ...options }: ServerOptions & { readonly target: Target | string },
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const resolved = resolveTarget(target);
  await refuseManaged({ target: resolved });
  const sessionOptions = { ...options, isReadOnlyFine: true, isCatalogOnly: true };
  return withSession(resolved, sessionOptions, async (session) => {
    const { sql } = session;
    const settings = await sql<{ name: string }[]>`select name from pg_settings`;
    const roles = await sql<{ name: string }[]>`select rolname as name from pg_roles`;
    const names = (rows: readonly { readonly name: string }[]) => rows.map(({ name }) => name);
    const service = findManagedService({
      hosts: hostsOf(resolved),
      settings: names(settings),
      roles: names(roles),
    });
    if (service) throw managedProblem(service);
    return use(session);
  });
}

/** What the server says of its archiving. */
export interface ArchiverState {
  readonly mode: string;
  /** Empty: none is set. */
  readonly command: string;
  /** 0: a segment is archived only when it is full. */
  readonly timeoutMs: number;
  readonly lastArchived: string | undefined;
  readonly lastArchivedAt: Date | undefined;
  readonly lastFailed: string | undefined;
  readonly lastFailedAt: Date | undefined;
  /** The newest attempt failed. */
  readonly isFailing: boolean;
  /** Every segment before the one that the server writes to is archived. */
  readonly isCaughtUp: boolean;
}

export async function readArchiver({ sql }: Session): Promise<ArchiverState> {
  interface Row {
    readonly mode: string;
    readonly command: string;
    readonly timeoutMs: number;
    readonly lastArchived: string | null;
    readonly lastArchivedAt: Date | null;
    readonly lastFailed: string | null;
    readonly lastFailedAt: Date | null;
    readonly isCaughtUp: boolean;
  }
  const [row] = await sql<[Row]>`
    select
      current_setting('archive_mode') as mode,
      current_setting('archive_command') as command,
      (select setting::float8 * 1000 from pg_settings where name = 'archive_timeout') as "timeoutMs",
      last_archived_wal as "lastArchived", last_archived_time as "lastArchivedAt",
      last_failed_wal as "lastFailed", last_failed_time as "lastFailedAt",
      not pg_is_in_recovery() and coalesce(
        substr(last_archived_wal, 1, 24) collate "C" >= (
          -- The name of a segment's end is that of the segment.
          select pg_walfile_name('0/0'::pg_lsn + floor((pg_current_wal_lsn() - '0/0') / bytes) * bytes)
          from (select setting::numeric as bytes from pg_settings where name = 'wal_segment_size') size
        ), false) as "isCaughtUp"
    from pg_stat_archiver`;
  const { lastArchived, lastArchivedAt, lastFailed, lastFailedAt, ...rest } = row;
  return {
    ...rest,
    lastArchived: lastArchived ?? undefined,
    lastArchivedAt: lastArchivedAt ?? undefined,
    lastFailed: lastFailed ?? undefined,
    lastFailedAt: lastFailedAt ?? undefined,
    isFailing: lastFailedAt !== null && (lastArchivedAt === null || lastFailedAt > lastArchivedAt),
  };
}
