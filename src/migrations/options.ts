import type { Replica } from '../database/replicas.ts';
import type { Environment } from '../ledger/marks.ts';
import type { RunOptions } from '../ledger/run.ts';
import type { Version } from '../ledger/version.ts';
import type { Direction } from '../runtime/progress.ts';
import type { InvalidIndex } from './invalid-indexes.ts';
import type { ReplicaWait } from './replica-wait.ts';
import type { TransactionMode } from './run-mode.ts';
import type { GrammarOptions } from './scripts.ts';
import type { Interruption, MigrationState } from './status.ts';
import type { CompletedStep } from './step.ts';
import type { RewrittenTable, TableLock } from './table-locks.ts';

/** The options of every operation that reads the folders of migrations. One that does not takes `RunOptions`. */
export interface MigrateOptions extends RunOptions, GrammarOptions {
  /** Folders of migrations and rollbacks. Default: the packaged schema. */
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
}

/** The options of operations that run migrations or rollbacks. */
export interface RunControl {
  /** How long a statement waits for a table lock before its step is tried again. Default 5,000. */
  readonly tableLockTimeoutMs?: number | undefined;
  /** How many times a step is tried again. Default 5. */
  readonly tableLockRetries?: number | undefined;
}

export interface ReplicaOptions {
  /**
   * After the last commit, wait this long for every standby that streams from the primary to replay it. Also where
   * there was nothing to do. Without effect in a dry run.
   */
  readonly waitForReplicasMs?: number | undefined;
}

/** How far: `to` a version, or by `steps`; with neither, the default of the operation. */
export interface ExtentOptions {
  readonly to?: Version | undefined;
  readonly steps?: number | undefined;
}

export interface UpOptions extends MigrateOptions, RunControl, ExtentOptions, ReplicaOptions {
  /** Apply all in one transaction, or none. Refused when a file says `-- Transaction: none`. */
  readonly singleTransaction?: boolean | undefined;
  /** Check and list everything, change nothing. */
  readonly dryRun?: boolean | undefined;
  /** With `dryRun`: the result has the SQL of the run, for psql. */
  readonly script?: boolean | undefined;
  readonly allowOutOfOrder?: boolean | undefined;
  /** Mark the database as this environment. It refuses one that bears another mark. */
  readonly environment?: Environment | undefined;
}

/** The target is a copy of a database, which is marked as `dev` or `test`. */
export interface PlanOptions extends MigrateOptions, RunControl, ExtentOptions {
  readonly allowOutOfOrder?: boolean | undefined;
}

export interface DownOptions extends MigrateOptions, RunControl, ExtentOptions, ReplicaOptions {
  readonly all?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  /** As for `up`. */
  readonly script?: boolean | undefined;
  /** The database's name, to confirm a rollback in production or staging, or where there are rows and no mark. */
  readonly force?: string | undefined;
}

export interface RedoOptions extends MigrateOptions, RunControl, ReplicaOptions {
  readonly steps?: number | undefined;
  readonly force?: string | undefined;
}

export interface RepairOptions extends MigrateOptions, RunControl {
  /** Records to update from the files. Default: all that differ. */
  readonly versions?: readonly Version[] | undefined;
  /** Records to drop. The schema stays unchanged. */
  readonly forget?: readonly Version[] | undefined;
  /** Versions whose interrupted statement the next run repeats. */
  readonly repeat?: readonly Version[] | undefined;
  /** Versions whose interrupted statement counts as finished. */
  readonly finish?: readonly Version[] | undefined;
}

export interface BaselineOptions extends MigrateOptions, RunControl {
  /** The newest version that the database already has. */
  readonly version: Version;
}

/** What names a migration. */
export interface MigrationName {
  readonly version: Version;
  readonly description: string;
}

export interface RunResult {
  /** `host:port/database` or `embedded:FOLDER` */
  readonly target: string;
  readonly database: string;
  readonly environment: Environment | undefined;
  /** In the order they ran. A dry run lists the steps that would run, each with 0 ms. */
  readonly steps: readonly CompletedStep[];
  readonly isDryRun: boolean;
  /** How many migrations are applied after the operation. */
  readonly applied: number;
  /** Migrations of the folder that are not applied. */
  readonly pending: readonly MigrationName[];
  /** In a dry run: the standbys that stream from the server. */
  readonly replicas?: readonly Replica[];
  /** In a dry run with `script`; undefined where there is nothing to do. */
  readonly script?: SqlScript;
  /** With `waitForReplicasMs`. */
  readonly replicaWait?: ReplicaWait;
}

/** The SQL of a run as texts for psql, to be run in this order. */
export interface SqlScript {
  /** Takes the lock and checks that the database is as it was; creates the ledger and marks the database where needed. */
  readonly opening: string;
  readonly steps: readonly ScriptStep[];
  readonly closing: string;
}

export interface ScriptStep extends MigrationName {
  readonly direction: Direction;
  readonly transaction: TransactionMode;
  /** It begins a new session, as the step before it leaves behind what no reset undoes. */
  readonly opensSession: boolean;
  readonly sql: string;
}

export interface PlanResult {
  /** `host:port/database` or `embedded:FOLDER` */
  readonly target: string;
  readonly database: string;
  readonly environment: Environment | undefined;
  /** In the order they ran; empty where all migrations were applied already. */
  readonly steps: readonly MeasuredStep[];
  /** How many migrations are applied in the copy now. */
  readonly applied: number;
}

/** What one migration did to the copy. */
export interface MeasuredStep extends MigrationName {
  readonly transaction: TransactionMode;
  /** As the history records it: to the history row, without the COMMIT. */
  readonly durationMs: number;
  /** What all sessions of the server wrote meanwhile. */
  readonly walBytes: number;
  /**
   * `all`: the locks of the transaction at its end. Without a transaction, `sampled`: a second session has looked every
   * 5 ms; `in part`: on the embedded engine, which has no second session, the locks of statements that can run in a
   * transaction.
   */
  readonly lockSight: 'all' | 'sampled' | 'in part';
  /** Of tables that were there before it, the strongest first. */
  readonly locks: readonly TableLock[];
  readonly rewritten: readonly RewrittenTable[];
}

export type { Replica } from '../database/replicas.ts';
export type { ReplayConflict } from './replay-conflicts.ts';
export type { ReplicaWait, WaitedReplica } from './replica-wait.ts';
export type {
  LockMode,
  RewrittenTable,
  TableLock,
  TableParts,
  Waiting,
} from './table-locks.ts';

export interface StatusResult {
  /** `host:port/database` or `embedded:FOLDER` */
  readonly target: string;
  readonly database: string;
  readonly environment: Environment | undefined;
  readonly migrations: readonly MigrationReport[];
  /** Invalid indexes that the migrations name. No query uses them. */
  readonly invalidIndexes: readonly InvalidIndex[];
  /** The standbys that stream from the server, with their lag. */
  readonly replicas: readonly Replica[];
  /** Every migration is applied and unchanged, and every index that they name is valid. */
  readonly isCurrent: boolean;
}

export interface MigrationReport extends MigrationName {
  readonly state: MigrationState;
  readonly appliedAt: Date | undefined;
  readonly appliedBy: string | undefined;
  readonly durationMs: number | undefined;
  /** How far it has run; undefined unless it is interrupted. */
  readonly interruption: Interruption | undefined;
}

export interface RepairResult {
  readonly repaired: readonly MigrationName[];
  readonly forgotten: readonly Version[];
  readonly toRepeat: readonly Version[];
  readonly finished: readonly Version[];
}

export interface BaselineResult {
  readonly recorded: readonly MigrationName[];
}
