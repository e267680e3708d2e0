import type { Session, Sql } from '../database/connection.ts';
import { toolVersion } from '../runtime/package.ts';

/** The environments that have seeders. */
export const seedEnvironments = ['dev', 'production'] as const;
export type SeedEnvironment = (typeof seedEnvironments)[number];

/** What one run of a seeder did: a row of `cryptosense_db.seed_runs`. */
export interface SeedRun {
  readonly environment: SeedEnvironment;
  readonly seeder: string;
  readonly asOf: Date;
  /** null in production, where no data is generated. */
  readonly seed: number | null;
  readonly scale: number | null;
  /** Rows written, by table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly durationMs: number;
  /** What the seeder returned; its next run may read it. */
  readonly outcome: unknown;
}

/** Records that the seeder has work to do for what it returned. Returns all such work, oldest first. */
export async function owe(sql: Sql, seeder: string, outcome: unknown): Promise<readonly unknown[]> {
  const [row] = await sql<{ outcomes: readonly unknown[] }[]>`
    insert into cryptosense_db.seed_afterwards as owed (seeder, outcomes)
    values (${seeder}, pg_catalog.jsonb_build_array(${JSON.stringify(outcome ?? null)}::text::jsonb))
    on conflict (seeder) do update set outcomes = owed.outcomes operator(pg_catalog.||) excluded.outcomes
    returning outcomes`;
  return row?.outcomes ?? [];
}

/** Removes the record of that work. */
export async function settle(sql: Sql, seeder: string): Promise<void> {
  await sql`delete from cryptosense_db.seed_afterwards where seeder operator(pg_catalog.=) ${seeder}`;
}

/** The settings of the last dev run; undefined before the first one. */
export async function readLastRun({
  sql,
}: Session): Promise<
  { readonly asOf: Date; readonly seed: number; readonly scale: number } | undefined
> {
  if (!(await hasSeedRuns(sql))) return undefined;
  const [row] = await sql<{ asOf: Date; seed: number; scale: number }[]>`
    select as_of as "asOf", seed::float8, scale
    from cryptosense_db.seed_runs where environment operator(pg_catalog.=) 'dev' order by id desc limit 1`;
  return row;
}

/** Reading does not upgrade a ledger, and one of format 1 may lack the tables. */
async function hasSeedRuns(sql: Sql): Promise<boolean> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select pg_catalog.to_regclass('cryptosense_db.seed_afterwards') is not null as "isThere"`;
  return isThere;
}

/** Records the run. Call it in the seeder's transaction, so that rows and record are committed together. */
export async function recordRun(sql: Sql, run: SeedRun): Promise<void> {
  const outcome = run.outcome === undefined ? null : JSON.stringify(run.outcome);
  await sql`
    insert into cryptosense_db.seed_runs
      (environment, seeder, as_of, seed, scale, rows, outcome, duration_ms, tool_version)
    values (
      ${run.environment}, ${run.seeder}, ${run.asOf}, ${run.seed}, ${run.scale},
      ${JSON.stringify(run.rows)}::text::jsonb, ${outcome}::text::jsonb,
      ${run.durationMs}, ${toolVersion()}
    )`;
}

/** What the last run of the seeder returned; undefined when the seeder has never run. */
export async function readOutcome(
  { sql }: Session,
  { environment, seeder }: Pick<SeedRun, 'environment' | 'seeder'>,
): Promise<unknown> {
  if (!(await hasSeedRuns(sql))) return undefined;
  const [row] = await sql<{ outcome: unknown }[]>`
    select outcome from cryptosense_db.seed_runs
    where environment operator(pg_catalog.=) ${environment} and seeder operator(pg_catalog.=) ${seeder} order by id desc limit 1`;
  return row?.outcome ?? undefined;
}
