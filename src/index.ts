/**
 * The library: what the command line does, for programs. Functions take plain options, return
 * plain data, report through `onProgress`, and print nothing.
 */

/** As the commands of `cryptosense-db backup`. */
export * as backup from './backup/backup.ts';
/** As `cryptosense-db benchmark`. */
export { type BenchmarkOptions, type BenchmarkResult, benchmark } from './benchmark/benchmark.ts';
export { describeTarget, parseTarget, type Target } from './database/target.ts';
/** The tables and views of schema public, in the terms of Kysely; and the types of their columns. */
export type * from './database/types.ts';
export type { DB as Database } from './database/types.ts';
/** As the commands of `cryptosense-db db`. */
export * as database from './databases/lifecycle.ts';
/** As `cryptosense-db doctor`. */
export * as doctor from './doctor/doctor.ts';
/** As the commands of `cryptosense-db inspect`: `inspect({ target, questions: ['sizes'] })`. */
export {
  type Answer,
  type InspectOptions,
  type InspectResult,
  inspect,
  type QuestionName,
} from './inspect/inspect.ts';
/** As the commands of `cryptosense-db migrate`. The command `new` is the function `create`. */
export * as migrate from './migrations/migrate.ts';
/** As the commands of `cryptosense-db prices`. The command `import` is the function `importPrices`. */
export * as prices from './prices/prices.ts';
export {
  CryptosenseDbError,
  type ErrorCode,
  type ErrorDetails,
  isError,
  type LockHolder,
  type MigrationFailure,
  type Problem,
} from './runtime/errors.ts';
/** The faults of files, in `details.findings` of the errors `faulty-folder` and `faulty-statements`. */
export type { Finding, FindingRule } from './runtime/findings.ts';
export type { OnProgress, ProgressEvent, ProgressStep } from './runtime/progress.ts';
/** As the commands of `cryptosense-db schema`. */
export * as schema from './schema/schema.ts';
/** As `cryptosense-db seed --env dev`, `--env production` and `--list`. */
export * as seed from './seeding/seed.ts';
export { createDatabase, type DatabaseOptions } from './typed-database.ts';
/** As the commands of `cryptosense-db types`. */
export * as types from './types/generate.ts';
/** A finding as the command line prints it: fact, the line with a caret, and hint. */
export { describeFinding } from './ui/findings.ts';
