/** What the library exports as `backup`: the commands of `cryptosense-db backup`. */
export {
  type ListedBackup,
  type ListOptions,
  type ListResult,
  list,
  type ShownBackup,
  type ShowOptions,
  show,
  type UnfinishedBackup,
  type UnusableBackup,
} from './list.ts';
export type { Manifest, ManifestTable } from './manifest.ts';
export {
  type KeptBackup,
  type PrunedBackup,
  type PruneOptions,
  type PruneResult,
  prune,
} from './prune.ts';
export type { Keep, RetentionRule } from './retention.ts';
export { type ScheduleOptions, type ScheduleResult, type Scheduler, schedule } from './schedule.ts';
export type { ScheduleFile } from './schedule-files.ts';
export type { StoreOptions } from './with-store.ts';
