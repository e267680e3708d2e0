import type { Environment } from '../ledger/ledger.ts';
import type { RunOptions } from '../ledger/run.ts';
import type { Version } from '../ledger/version.ts';
import type { MigrationState } from './plan.ts';
import type { CompletedStep } from './step.ts';

/** What every operation takes. */
export interface MigrateOptions extends RunOptions {
  /** Folders of migrations and rollbacks; the packaged schema when left out. */
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
}

/** What operations that run statements of migrations take besides. */
export interface RunControl {
  /** How long a statement waits for a table lock before its step is tried again. Default 5,000. */
  readonly tableLockTimeoutMs?: number | undefined;
  /** How many times a step is tried again. Default 5. */
  readonly tableLockRetries?: number | undefined;
}

/** How far: `to` a version, by `steps`, or, with neither, the operation's own default. */
export interface ExtentOptions {
  readonly to?: Version | undefined;
  readonly steps?: number | undefined;
}

export interface UpOptions extends MigrateOptions, RunControl, ExtentOptions {
  /** All in one transaction, or none. Refused when a file says `-- Transaction: none`. */
  readonly singleTransaction?: boolean | undefined;
  /** Check and list everything, change nothing. */
  readonly dryRun?: boolean | undefined;
  readonly allowOutOfOrder?: boolean | undefined;
  /** Marks the database, once and for all. */
  readonly environment?: Environment | undefined;
}

export interface DownOptions extends MigrateOptions, RunControl, ExtentOptions {
  readonly all?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  /** The database's name: confirms a rollback of a production database. */
  readonly force?: string | undefined;
}

export interface RedoOptions extends MigrateOptions, RunControl {
  readonly steps?: number | undefined;
  readonly force?: string | undefined;
}

export interface RepairOptions extends MigrateOptions, RunControl {
  /** Records to bring in line with the files; all that differ when empty. */
  readonly versions?: readonly Version[] | undefined;
  /** Records to drop: the schema stays as it is. */
  readonly forget?: readonly Version[] | undefined;
}

export interface BaselineOptions extends MigrateOptions, RunControl {
  /** The newest version that the database already has. */
  readonly version: Version;
}

/** A migration by name. */
export interface MigrationName {
  readonly version: Version;
  readonly description: string;
}

export interface RunResult {
  /** Where: `host:port/database` or `embedded:FOLDER`. */
  readonly target: string;
  readonly database: string;
  readonly environment: Environment | undefined;
  /** In the order they ran. Of a dry run: what would run, each in 0 ms. */
  readonly steps: readonly CompletedStep[];
  readonly isDryRun: boolean;
  /** Applied in all, now. */
  readonly applied: number;
  /** Files that are still to be applied. */
  readonly pending: readonly MigrationName[];
}

export interface StatusResult {
  /** Where: `host:port/database` or `embedded:FOLDER`. */
  readonly target: string;
  readonly database: string;
  readonly environment: Environment | undefined;
  readonly migrations: readonly MigrationReport[];
  /** Every migration is applied and unchanged. */
  readonly isCurrent: boolean;
}

export interface MigrationReport extends MigrationName {
  readonly state: MigrationState;
  readonly appliedAt: Date | undefined;
  readonly appliedBy: string | undefined;
  readonly durationMs: number | undefined;
}

export interface RepairResult {
  readonly repaired: readonly MigrationName[];
  readonly forgotten: readonly Version[];
}

export interface BaselineResult {
  readonly recorded: readonly MigrationName[];
}
