/**
 * The library: what the command line does, for programs. Functions take plain options, return
 * plain data, report through `onProgress`, and print nothing.
 */
export { describeTarget, parseTarget, type Target } from './database/target.ts';
export {
  CryptosenseDbError,
  type ErrorCode,
  type ErrorDetails,
  isError,
  type LockHolder,
  type MigrationFailure,
  type Problem,
} from './errors.ts';
/** As the commands of `cryptosense-db migrate`; what is `new` there is `create` here. */
export * as migrate from './migrations/migrate.ts';
export type { OnProgress, ProgressEvent, ProgressStep } from './progress.ts';
/** As the commands of `cryptosense-db db`. */
export * as database from './provisioning/lifecycle.ts';
