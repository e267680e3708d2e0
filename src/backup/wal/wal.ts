/** As the commands of `cryptosense-db backup wal`, and the part of `backup check` that is about WAL. */
export {
  config,
  type ServerSetting,
  type WalConfig,
  type WalConfigOptions,
  type WalS3Options,
} from './config.ts';
export {
  type ArchiveState,
  type ListedBackup,
  list,
  type WalList,
  type WalListOptions,
} from './list.ts';
export type { PhysicalBackup } from './pgbackrest.ts';
export { restore, type WalRestore, type WalRestoreOptions } from './restore.ts';
export type { PhysicalRule } from './retention.ts';
export { run, type WalRun, type WalRunOptions } from './run.ts';
export type { ArchivedSegment, WalGap, Window } from './segments.ts';
export type { ArchiverState } from './server.ts';
export type { StanzaOptions } from './stanza.ts';
export { type WalProblem, type WalState, type WalStateOptions, walState } from './state.ts';
