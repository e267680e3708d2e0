import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type CliResult, cleanEnvironment } from './cli.ts';
import { temporaryFolder } from './fixtures.ts';

const at = (path: string) => new URL(`../../${path}`, import.meta.url).href;

const imports = `
  import { sql } from '${at('node_modules/kysely/dist/esm/index.js')}';
  import * as testing from '${at('dist/testing.js')}';
  const { createTestDatabase, testDatabases } = testing;
  const options = JSON.parse(process.env.PROGRAM_OPTIONS ?? '{}');
  const say = (line) => process.stdout.write(line + '\\n');
`;

export interface RunningProgram {
  readonly process: ChildProcessWithoutNullStreams;
  readonly finished: Promise<CliResult>;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What the program finds in `options`. */
  readonly options?: object;
}

/**
 * A program that uses the built `cryptosense-db/testing`, in its own process. Its text finds
 * createTestDatabase, testDatabases, testing, Kysely's sql, options and say().
 */
export function startProgram(text: string, { env = {}, options }: ProgramOptions): RunningProgram {
  const file = join(temporaryFolder(), 'program.mjs');
  writeFileSync(file, `${imports}\n${text}\n`);
  const child = spawn(process.execPath, [file], {
    env: { ...cleanEnvironment(), PROGRAM_OPTIONS: JSON.stringify(options ?? {}), ...env },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      output[name] += chunk.toString();
    });
  }
  const finished = once(child, 'close').then(([code]) => ({ code, ...output }));
  return { process: child, finished };
}
