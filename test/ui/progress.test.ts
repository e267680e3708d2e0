import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { ProgressEvent, ProgressStep } from '../../src/runtime/progress.ts';
import { showProgress } from '../../src/ui/progress.ts';

const step: ProgressStep = {
  direction: 'up',
  version: '20251007_120000',
  description: 'create_users_table',
  index: 1,
  total: 20,
};
const holder = {
  pid: 4711,
  applicationName: 'cryptosense-db',
  address: '10.0.0.7',
  since: new Date('2026-11-20T14:02:11Z'),
};

const behind = [{ name: 'south', isConnected: true, lagBytes: 1_200_000 }];

const events: readonly ProgressEvent[] = [
  { kind: 'connected', target: 'h:5432/d' },
  { kind: 'waiting-for-server', reason: 'it is starting up' },
  { kind: 'waiting-for-lock', holder },
  { kind: 'waiting-for-lock', holder: undefined },
  { kind: 'step-started', step },
  { kind: 'statement-started', step, position: 0 },
  { kind: 'notice', severity: 'NOTICE', message: 'relation "t" exists, skipping' },
  { kind: 'step-retried', step, reason: 'the table is locked', delayMs: 1_500 },
  { kind: 'step-finished', step, durationMs: 12 },
  { kind: 'step-finished', step: { ...step, direction: 'down' }, durationMs: 61_000 },
  { kind: 'replica-wait-started', names: ['north', 'south'] },
  { kind: 'waiting-for-replicas', elapsedMs: 0, behind },
  { kind: 'replica-replayed', name: 'north', elapsedMs: 1_500 },
  { kind: 'left-out', object: 'index public.i', reason: 'it is invalid' },
];

/** What a pipe gets to read. */
function linesOf(isVerbose: boolean): readonly string[] {
  const lines: string[] = [];
  const { onProgress, stop } = showProgress({
    write: (line) => lines.push(line),
    look: { chalk: new Chalk({ level: 0 }), columns: undefined },
    spinner: undefined,
    isVerbose,
  });
  for (const event of events) onProgress(event);
  stop();
  for (const line of lines) expect(line.endsWith('\n')).toBe(true);
  return lines.map((line) => line.slice(0, -1));
}

const usual = [
  'waiting for the server: it is starting up',
  'waiting for another run: pid 4711, cryptosense-db from 10.0.0.7, connected since 2026-11-20 14:02:11 UTC',
  'waiting for another run',
  '20251007_120000 create_users_table (1 of 20): the table is locked; trying again in 1.5 s',
  'up   20251007_120000     12 ms  create_users_table',
  'down 20251007_120000  1 min 1 s  create_users_table',
  'waiting for replicas: north, south',
  'replica north has replayed all after 1.5 s',
  'left out: index public.i: it is invalid',
];

describe('plain lines for a pipe or CI', () => {
  it('are printed for each finished step and for each wait', () => {
    expect(linesOf(false)).toEqual(usual);
  });

  it('are also printed for the connection, the statements and the notices with --verbose', () => {
    const verbose = linesOf(true);
    expect(verbose).toEqual(expect.arrayContaining(usual));
    expect(verbose.filter((line) => !usual.includes(line))).toEqual([
      'connected to h:5432/d',
      '20251007_120000 create_users_table (1 of 20): statement 1',
      'notice: relation "t" exists, skipping',
    ]);
  });
});
