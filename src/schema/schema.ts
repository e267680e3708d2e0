export { type CheckOptions, type CheckResult, check, type Drift } from './check.ts';
export { type DiffOptions, type DiffResult, diff } from './diff.ts';
export { type DocOptions, type DocResult, type DocSettings, doc, type PageChange } from './doc.ts';
export {
  type ErdFile,
  type ErdFormat,
  type ErdOptions,
  type ErdResult,
  type ErdSettings,
  erd,
  type LineDifference,
} from './erd.ts';
export {
  type LintFinding,
  type LintOptions,
  type LintResult,
  lint,
  type NotRun,
  type Severity,
} from './lint/lint.ts';
export {
  type RightsOptions,
  type ScriptOptions,
  type ScriptResult,
  type SnapshotOptions,
  type SnapshotResult,
  script,
  snapshot,
} from './live.ts';
export type { Loss, RowCheck } from './losses.ts';
export type { ScratchOptions } from './scratch.ts';
export type { LeftOut } from './script/source.ts';
export type { FactDifference, ObjectDifference, PartDifference } from './snapshot/difference.ts';
export { type Fact, printSnapshot, type SchemaObject, type Snapshot } from './snapshot/snapshot.ts';
export type { SourceOptions } from './source.ts';
export { type BrokenStep, type VerifyOptions, type VerifyResult, verify } from './verify.ts';
