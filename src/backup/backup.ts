/** What the library exports as `backup`: the commands of `cryptosense-db backup`. */
export { type ActivateOptions, type ActivateResult, activate } from './activate.ts';
export {
  type CheckedDatabase,
  type CheckOptions,
  type CheckProblem,
  type CheckResult,
  check,
} from './check.ts';
export { type CreateOptions, type CreateResult, create } from './create.ts';
export {
  type BackupDrillOptions,
  type DrillOptions,
  drill,
  type MomentDrillOptions,
} from './drill.ts';
export {
  type ListedBackup,
  type ListOptions,
  type ListResult,
  list,
  type PlaceFacts,
  type ShownBackup,
  type ShowOptions,
  show,
  type UnfinishedBackup,
  type UnusableBackup,
} from './list.ts';
export type { Manifest, ManifestTable } from './manifest.ts';
export {
  type KeptBackup,
  type KeptRule,
  type PruneOptions,
  type PruneResult,
  prune,
} from './prune.ts';
export type { DrilledMoment, DrillPhase, DrillResult, FailedDrill } from './report.ts';
export {
  type RestoreOptions,
  type RestorePhase,
  type RestoreResult,
  restore,
} from './restore.ts';
export type { Keep, RetentionRule } from './retention.ts';
export { type ScheduleOptions, type ScheduleResult, type Scheduler, schedule } from './schedule.ts';
export type { ScheduleFile } from './schedule-files.ts';
export type { Login, SmokeResult } from './smoke.ts';
export { type VerifyOptions, type VerifyResult, verify } from './verify.ts';
export * as wal from './wal/wal.ts';
export type { StoreOptions } from './with-store.ts';
