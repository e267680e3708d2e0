import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { targetUrl } from '../../src/database/target.ts';
import { isError } from '../../src/runtime/errors.ts';
import {
  containerImage,
  type RunningContainer,
  startContainer,
} from '../../src/test-databases/container.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A server for tests of locks, crashes and concurrency: TimescaleDB not needed. */
    postgresUrl: string;
    /** A server with TimescaleDB; undefined: the schema's tests use the embedded engine. */
    timescaleUrl: string | undefined;
    /** A folder for what the test files of a run share. It goes when the run ends. */
    runFolder: string;
  }
}

/**
 * The servers of a test run. `TEST_DATABASE_URL` names one with TimescaleDB that serves for
 * everything; else TimescaleDB comes from a container where Docker answers, or is the embedded
 * engine, and plain PostgreSQL comes from embedded-postgres.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // embedded-postgres makes the process exit with 0 at its end, even after a failed test. This
  // listener runs first and keeps Vitest's exit code.
  process.prependListener('beforeExit', () => process.exit());
  if (!existsSync('dist/cli.cjs')) throw new Error('dist/ is not built: npm run build');
  const runFolder = mkdtempSync(join(tmpdir(), 'cryptosense-db-run-'));
  project.provide('runFolder', runFolder);
  const removeFolder = () => rmSync(runFolder, { recursive: true, force: true });
  const given = process.env.TEST_DATABASE_URL;
  if (given) {
    project.provide('postgresUrl', given);
    project.provide('timescaleUrl', given);
    say('servers: TEST_DATABASE_URL');
    return async () => removeFolder();
  }
  const container = await startTimescale();
  const server = await startEmbeddedPostgres().catch(async (error: unknown) => {
    await container?.stop();
    throw error;
  });
  project.provide('postgresUrl', server.url);
  project.provide('timescaleUrl', container && targetUrl(container.target));
  say(
    container
      ? `servers: TimescaleDB from a container of ${containerImage}, PostgreSQL from embedded-postgres`
      : 'servers: TimescaleDB from the embedded engine (no Docker here), PostgreSQL from embedded-postgres',
  );
  return async () => {
    removeFolder();
    await server.stop();
    await container?.stop();
  };
}

/** undefined where there is no Docker, or where the image cannot be had, which is said. */
async function startTimescale(): Promise<RunningContainer | undefined> {
  try {
    return await startContainer({ reuse: false });
  } catch (error) {
    const reasons = isError(error) ? error.problems.flatMap(({ evidence = [] }) => evidence) : [];
    if (reasons.includes('Docker does not answer')) return undefined;
    say(`Docker answers, but there is no container: ${String(error)}`);
    return undefined;
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
