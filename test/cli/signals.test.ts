import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { until } from '../support/recovery.ts';

/** A disk that never answers, and a clock whose minutes are short. */
const stuckDisk = `
  require('node:fs/promises').realpath = () => new Promise(() => {
    setInterval(() => {}, 1_000);
    process.stderr.write('it waits');
  });
  const { setTimeout: wait } = globalThis;
  globalThis.setTimeout = (work, ms, ...rest) => wait(work, ms >= 60_000 ? ms / 100 : ms, ...rest);`;

it('a signal ends a run that waits for a disk that never answers', async () => {
  const preload = join(temporaryFolder(), 'stuck-disk.cjs');
  writeFileSync(preload, stuckDisk);
  const run = startCli(['backup', 'list', '--store', temporaryFolder()], {
    env: { NODE_OPTIONS: `--require ${preload}` },
  });
  onTestFinished(() => void run.process.kill('SIGKILL'));
  let stderr = '';
  run.process.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  await until('the run waits', async () => stderr.includes('it waits'));
  run.process.kill('SIGTERM');
  expect(await run.finished).toMatchObject({
    code: null,
    stdout: '',
    stderr: expect.stringContaining('the run does not end after the signal'),
  });
  expect(run.process.signalCode).toBe('SIGTERM');
});
