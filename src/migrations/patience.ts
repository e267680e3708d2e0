import type { Sql } from '../database/connection.ts';
import type { Script, Statement } from './parse.ts';
import type { Remains } from './run-mode.ts';
import { type StepOptions, tableLockSetting } from './step.ts';

/**
 * CONCURRENTLY waits for every transaction that sees the table and blocks none of them, so a timeout would only
 * waste the work. A file that sets lock_timeout keeps its own.
 */
export function isPatient({ statements }: Script, remains: Remains | undefined): boolean {
  const isDrop = remains?.kind === 'object' && remains.catalog === 'index';
  const isBuild = remains?.kind === 'index' || remains?.kind === 'reindex';
  const setsTimeout = ({ text, run: { kind, resets } }: Statement) =>
    kind === 'session' && resets === undefined && /\block_timeout\b/i.test(text);
  return (isDrop || (isBuild && remains.isConcurrent)) && !statements.some(setsTimeout);
}

/**
 * Runs `work`, for a statement that `isPatient` names, without a limit for the wait for a lock. When `work` fails, the
 * session stays without the limit.
 */
export async function withPatience<T>(
  sql: Sql,
  { isWithoutLimit }: { readonly isWithoutLimit: boolean },
  { tableLockTimeoutMs }: StepOptions,
  work: () => Promise<T>,
): Promise<T> {
  if (isWithoutLimit) await sql.unsafe('set lock_timeout = 0');
  const result = await work();
  if (isWithoutLimit)
    await sql.unsafe(`set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`);
  return result;
}
