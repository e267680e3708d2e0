import { statfsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const memory = '/dev/shm';
const neededBytes = 4 * 1024 ** 3;

// The tests create hundreds of databases, which takes half as long in memory. TMPDIR names another folder.
if (process.env.TMPDIR === undefined && hasRoom(memory)) process.env.TMPDIR = memory;

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= neededBytes;
  } catch {
    return false;
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    expect: { requireAssertions: true },
    globalSetup: 'test/support/global-setup.ts',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // One more than CI has cores: some tests wait for time to pass.
    maxWorkers: 3,
    // Each test file starts the embedded engine in a new process. To optimize its code takes longer than most files run.
    execArgv: ['--liftoff-only'],
    coverage: { include: ['src/**'], reporter: ['text'] },
  },
});
