import type { LockHolder } from './errors.ts';

export type Direction = 'up' | 'down';

/** What long work reports while it goes on. Every event is plain data. */
export type ProgressEvent =
  | { readonly kind: 'connected'; readonly target: string }
  | { readonly kind: 'waiting-for-server'; readonly reason: string }
  | { readonly kind: 'waiting-for-lock'; readonly holder: LockHolder | undefined }
  /** A new database on a server has no mark; told once. */
  | { readonly kind: 'unmarked'; readonly database: string }
  | { readonly kind: 'step-started'; readonly step: ProgressStep }
  | { readonly kind: 'statement-started'; readonly step: ProgressStep; readonly position: number }
  | {
      readonly kind: 'step-retried';
      readonly step: ProgressStep;
      readonly reason: string;
      readonly delayMs: number;
    }
  | { readonly kind: 'step-finished'; readonly step: ProgressStep; readonly durationMs: number }
  | { readonly kind: 'replica-wait-started'; readonly names: readonly string[] }
  | {
      readonly kind: 'waiting-for-replicas';
      readonly behind: readonly {
        readonly name: string;
        readonly isConnected: boolean;
        readonly lagBytes: number | undefined;
      }[];
      readonly elapsedMs: number;
    }
  | { readonly kind: 'replica-replayed'; readonly name: string; readonly elapsedMs: number }
  /** A pair goes up, down and up again; or, with rows in the tables, down. */
  | {
      readonly kind: 'verifying-pair' | 'rolling-back-rows';
      readonly pair: Omit<ProgressStep, 'direction'>;
    }
  | { readonly kind: 'verifying-chain' }
  | { readonly kind: 'market-page'; readonly page: number; readonly pages: number }
  | { readonly kind: 'market-retried'; readonly reason: string; readonly delayMs: number }
  /** The next request waits, so that the rate limit is kept. */
  | { readonly kind: 'market-paced'; readonly delayMs: number }
  | { readonly kind: 'seeder-started'; readonly seeder: ProgressSeeder }
  | {
      readonly kind: 'rows-loaded';
      readonly seeder: ProgressSeeder;
      readonly table: string;
      readonly rows: number;
      readonly total: number;
      /** Since the first row of this table. */
      readonly elapsedMs: number;
    }
  | {
      readonly kind: 'seeder-finished';
      readonly seeder: ProgressSeeder;
      readonly rows: number;
      readonly durationMs: number;
    }
  | {
      readonly kind: 'test-server';
      readonly origin: 'option' | 'TEST_DATABASE_URL' | 'container' | 'embedded';
      /** `host:port` */
      readonly target: string;
      /** Docker's id of one that is left running. */
      readonly container: string | undefined;
    }
  | { readonly kind: 'template-started'; readonly key: string }
  | { readonly kind: 'template-finished'; readonly key: string; readonly durationMs: number }
  | ImportProgress
  /** Of the files of a server's data directory. */
  | {
      readonly kind: 'files-copied';
      readonly what: 'backup' | 'restore';
      readonly percent: number;
    }
  | BackupProgress
  | {
      readonly kind: 'benchmark-round';
      readonly query: string;
      readonly clients: number;
      /** From 1. */
      readonly round: number;
      readonly rounds: number;
    }
  /** An object that a script cannot make. */
  | { readonly kind: 'left-out'; readonly object: string; readonly reason: string }
  | { readonly kind: 'notice'; readonly severity: string; readonly message: string };

/** What an import of prices reports: its plan, then each piece. */
export type ImportProgress =
  | {
      readonly kind: 'import-planned';
      readonly assets: number;
      /** How many prices are missing at most; 0 for files, which are read to know. */
      readonly missing: number;
      readonly files: number;
      readonly requests: number;
      readonly estimatedMs: number;
    }
  | {
      readonly kind: 'prices-written';
      /** A symbol, or the name of a file. */
      readonly of: string;
      /** New rows of the import so far. */
      readonly rows: number;
      readonly rowsPerSecond: number;
      readonly requestsLeft: number;
      /** undefined for files, whose length in rows is not known. */
      readonly leftMs: number | undefined;
    }
  | {
      readonly kind: 'prices-finished';
      readonly of: string;
      /** From 1. */
      readonly index: number;
      readonly total: number;
      readonly rows: number;
    }
  | { readonly kind: 'candles-started' }
  /** The import ends before its candles are refreshed. The next import refreshes them, and lets the policies run. */
  | { readonly kind: 'policies-left-paused' };

/** What a backup and its restore report. */
export type BackupProgress =
  | {
      readonly kind: 'backup-bytes';
      /** Stored so far, or read from the store. */
      readonly bytes: number;
      /** undefined while a dump is made: pg_dump does not say. */
      readonly total?: number | undefined;
      readonly elapsedMs: number;
    }
  | {
      readonly kind: 'backup-counted';
      /** Tables whose rows are counted and hashed. */
      readonly done: number;
      readonly total: number;
    }
  | { readonly kind: 'backup-phase'; readonly phase: string };

export interface ProgressStep {
  readonly direction: Direction;
  readonly version: string;
  readonly description: string;
  /** From 1. */
  readonly index: number;
  readonly total: number;
}

export interface ProgressSeeder {
  readonly name: string;
  readonly description: string;
  /** From 1. */
  readonly index: number;
  readonly total: number;
}

export type OnProgress = (event: ProgressEvent) => void;
