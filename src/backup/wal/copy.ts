import { mkdtempSync, rmdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withSession } from '../../database/connection.ts';
import { interrupted } from '../../database/refusals.ts';
import { type ServerTarget, serverTarget } from '../../database/target.ts';
import type { RunOptions } from '../../ledger/run.ts';
import { type ProgramEnd, type RunningProgram, startProgram } from '../../runtime/child-process.ts';
import { CryptosenseDbError, isError, messageOf } from '../../runtime/errors.ts';
import { readText } from '../../runtime/files.ts';
import { loginName } from '../../runtime/login-name.ts';
import { findProgram } from '../programs.ts';
import { longestSocketFolder, restore, type WalRestore } from './restore.ts';
import { findStanza, type StanzaOptions } from './stanza.ts';

interface CopyOptions extends StanzaOptions, Pick<RunOptions, 'onProgress' | 'signal'> {
  /** The moment at which the copy stands. */
  readonly to: Date;
  /** An existing folder, in which the copy gets one of its own. */
  readonly folder: string;
  /** Leave the folder of the copy, stopped, also when the work fails. */
  readonly keep: boolean;
  /** The folder of the program postgres. Default: where packages put it, then the PATH. */
  readonly pgBin?: string | undefined;
}

/** A copy of the server that runs, stands at a moment, answers queries and writes nothing. */
export interface Copy {
  readonly restored: WalRestore;
  /** Its database `postgres`, as a superuser. */
  readonly target: ServerTarget;
  /** What pgBackRest took to bring the files. */
  readonly restoreMs: number;
  /** From the start of the copy until it stood at the moment. */
  readonly replayMs: number;
}

/**
 * Restores the server as it was at a moment into a folder of its own, starts that copy, and calls `use` once the copy
 * stands at the moment. Stops the copy and removes its folder however that ends, unless `keep`. The copy listens on no
 * port: it is reached by a socket in its folder, which is this user's alone, and needs no password.
 * Throws what `restore` throws, `moment-unreachable` where the WAL has no transaction after the moment,
 * `program-failed` for a copy that does not start, and `interrupted`.
 */
export async function withCopy<T>(
  options: CopyOptions,
  use: (copy: Copy) => Promise<T>,
): Promise<T> {
  const { to, keep, signal, onProgress } = options;
  const scratch = makeScratch(options.folder);
  let isRestored = false;
  let server: RunningProgram | undefined;
  try {
    onProgress?.({ kind: 'backup-phase', phase: 'restore' });
    const restoring = performance.now();
    const restored = await restore({ ...options, folder: join(scratch, 'data'), action: 'pause' });
    isRestored = true;
    onProgress?.({ kind: 'backup-phase', phase: 'replay' });
    const replaying = performance.now();
    const log = watchLog();
    server = await start(restored.folder, { scratch, log, options });
    const first = targetIn(scratch, findStanza(options).user ?? loginName());
    const superuser = await untilMoment(first, { server, log, to, signal });
    return await use({
      restored,
      target: { ...first, user: superuser ?? first.user },
      restoreMs: Math.round(replaying - restoring),
      replayMs: Math.round(performance.now() - replaying),
    });
  } catch (error) {
    const isInterruption = signal?.aborted && !isError(error, 'interrupted');
    const reason = isInterruption ? interrupted() : error;
    throw keep && isRestored && isError(reason)
      ? reason.with({ message: `the copy is left in ${scratch}` })
      : reason;
  } finally {
    const isKept = keep && isRestored;
    // What is removed need not be shut down well.
    server?.kill(isKept ? 'SIGINT' : 'SIGQUIT');
    await server?.ended.catch(() => {});
    if (!isKept) await rm(scratch, { recursive: true, force: true });
  }
}

function makeScratch(parent: string): string {
  const path = resolve(parent);
  const refuse = (evidence: string, hint: string, cause?: unknown) =>
    new CryptosenseDbError(
      'file-problem',
      { message: `${path} cannot take the copy`, evidence: [evidence], hint },
      { details: { path }, cause },
    );
  let scratch: string;
  try {
    scratch = mkdtempSync(join(path, 'cryptosense-db-drill-'));
  } catch (error) {
    throw refuse(messageOf(error), 'name a folder that exists and that this user can write', error);
  }
  if (Buffer.byteLength(scratch) <= longestSocketFolder) return scratch;
  rmdirSync(scratch);
  throw refuse('its path is too long for a socket', 'name a folder with a shorter path');
}

/** What the log of the copy says of its recovery. */
interface RecoveryLog {
  readonly onLine: (line: string) => void;
  readonly lastLines: () => readonly string[];
  /** Recovery has found the first transaction after the moment. */
  readonly hasStopped: () => boolean;
  /** A setting of the copy is below that of the server, whose WAL the copy then cannot replay. */
  readonly isTooSmall: () => boolean;
}

const mostLines = 20;

function watchLog(): RecoveryLog {
  let lines: readonly string[] = [];
  let hasStopped = false;
  let isTooSmall = false;
  return {
    onLine: (line) => {
      lines = [...lines, line].slice(-mostLines);
      hasStopped ||= line.includes('recovery stopping ');
      isTooSmall ||= line.includes('because of insufficient parameter settings');
    },
    lastLines: () => lines,
    hasStopped: () => hasStopped,
    isTooSmall: () => isTooSmall,
  };
}

async function start(
  folder: string,
  {
    scratch,
    log,
    options: { pgBin, signal },
  }: { readonly scratch: string; readonly log: RecoveryLog; readonly options: CopyOptions },
): Promise<RunningProgram> {
  const major = Number(readText(join(folder, 'PG_VERSION')));
  const { path } = await findProgram('postgres', { major, binFolder: pgBin, signal });
  const rules = join(scratch, 'pg_hba.conf');
  // The folder of the socket keeps other users out.
  writeFileSync(rules, 'local all all trust\n', { mode: 0o600 });
  const settings = {
    data_directory: folder,
    hba_file: rules,
    listen_addresses: '',
    port: '5432',
    unix_socket_directories: `"${scratch.replaceAll('"', '""')}"`,
    hot_standby: 'on',
    // The server's own configuration may name files of the server, and places for its log.
    external_pid_file: '',
    ssl: 'off',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_min_messages: 'warning',
    log_error_verbosity: 'default',
    lc_messages: 'C',
    timezone: 'UTC',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = startProgram([path, '-D', folder, ...args], {
    environment: { LC_MESSAGES: 'C' },
    onErrorLine: log.onLine,
  });
  server.stdin.on('error', () => {}).end();
  server.stdout.resume();
  return server;
}

function targetIn(folder: string, user: string): ServerTarget {
  const parts = { hosts: undefined, ports: undefined, user, database: 'postgres' };
  const target = serverTarget(parts, { user });
  return { ...target, hosts: [{ host: folder, port: 5432 }], connectTimeoutMs: 5_000 };
}

interface Replay {
  readonly server: RunningProgram;
  readonly log: RecoveryLog;
  readonly to: Date;
  readonly signal: AbortSignal | undefined;
}

/** Waits until the copy stands at the moment; the name of a superuser, where it has one that may log in. */
async function untilMoment(
  target: ServerTarget,
  { server, log, to, signal }: Replay,
): Promise<string | undefined> {
  let end: ProgramEnd | undefined;
  server.ended.then(
    (ended) => {
      end = ended;
    },
    (error: unknown) => {
      end = { code: undefined, signal: undefined, lastLines: [messageOf(error)] };
    },
  );
  for (;;) {
    if (signal?.aborted) throw interrupted();
    if (end) throw unreached(to, { code: end.code, lines: end.lastLines });
    if (log.isTooSmall()) throw unreached(to, { code: undefined, lines: log.lastLines() });
    const facts = await readReplay(target, signal);
    // A pause alone is not the moment: recovery pauses for other reasons too.
    if (facts?.isPaused && log.hasStopped()) return facts.superuser ?? undefined;
    await sleep(100, undefined, { signal });
  }
}

interface ReplayFacts {
  readonly isPaused: boolean;
  readonly superuser: string | null;
}

/** undefined: the copy takes no connections yet. */
async function readReplay(
  target: ServerTarget,
  signal: AbortSignal | undefined,
): Promise<ReplayFacts | undefined> {
  try {
    const options = { signal, isCatalogOnly: true, isReadOnlyFine: true };
    return await withSession(target, options, async ({ sql }) => {
      const [facts] = await sql<[ReplayFacts]>`
        select pg_get_wal_replay_pause_state() = 'paused' as "isPaused", (
          select rolname from pg_roles where rolsuper and rolcanlogin order by oid limit 1
        ) as superuser`;
      return facts;
    });
  } catch (error) {
    if (isError(error, 'server-unreachable') || isError(error, 'connection-lost')) return undefined;
    throw error;
  }
}

/** Why the copy has not come to the moment, from the last lines of its log. */
function unreached(
  to: Date,
  { code, lines }: { readonly code: number | undefined; readonly lines: readonly string[] },
): CryptosenseDbError {
  const text = lines.join('\n');
  if (text.includes('recovery ended before configured recovery target was reached')) {
    const newest = newestIn(text);
    return new CryptosenseDbError(
      'moment-unreachable',
      {
        message: `${to.toISOString()} cannot be restored: the WAL in the archive has no transaction after it, so that it may lack some before it`,
        evidence: newest ? [`its newest transaction is of ${newest.toISOString()}`] : [],
        hint: 'choose a moment before that, or let the running server archive its newest segment: select pg_switch_wal()',
      },
      { details: { from: undefined, to: newest } },
    );
  }
  return new CryptosenseDbError(
    'program-failed',
    {
      message: `the copy of the server did not come to ${to.toISOString()}`,
      evidence: lines.map((line) => line.replace(/^.*?(?=\b(?:LOG|WARNING|FATAL|PANIC):)/, '')),
    },
    { details: { program: 'postgres', exitCode: code } },
  );
}

/** `last completed transaction was at log time 2026-11-27 22:27:24.637123+00` */
function newestIn(log: string): Date | undefined {
  const pattern = /last completed transaction was at log time (\S+) (\d\d:\d\d:\d\d(?:\.\d{1,3})?)/;
  const [, day, time] = pattern.exec(log) ?? [];
  return day === undefined ? undefined : new Date(`${day}T${time}Z`);
}
