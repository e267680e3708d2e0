import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type ComparableResult,
  compareResults,
  readResult,
  resultFormat,
} from '../../src/benchmark/compare.ts';
import { errorOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

/** Ten rounds of fifty runs around that time; `drift` moves whole rounds. */
function roundsAround(
  ms: number,
  { drift = () => 1, rounds = 10 }: { drift?: (round: number) => number; rounds?: number } = {},
): readonly (readonly number[])[] {
  return Array.from({ length: rounds }, (_, round) =>
    Array.from({ length: 50 }, (_, run) => ms * drift(round) * (0.9 + ((run * 7) % 50) / 250)),
  );
}

function resultOf(roundsMs: readonly (readonly number[])[], name = 'holdings'): ComparableResult {
  return {
    format: resultFormat,
    takenAt: '2026-11-28T02:00:00.000Z',
    target: 'host/db',
    server: { postgresql: '15.20', timescaledb: '2.28.3' },
    queries: [{ name, measurements: [{ clients: 1, roundsMs }] }],
  };
}

const noisy = (round: number) => [1, 1.6, 0.9, 1.3, 1, 2, 1.1, 0.95, 1.5, 1.2][round] ?? 1;

describe('a comparison', () => {
  it.each([
    { what: 'the same times', before: roundsAround(5), now: roundsAround(5), verdict: 'same' },
    { what: 'a third more', before: roundsAround(5), now: roundsAround(6.7), verdict: 'slower' },
    { what: 'a third less', before: roundsAround(6.7), now: roundsAround(5), verdict: 'faster' },
    { what: '5 % more', before: roundsAround(5), now: roundsAround(5.25), verdict: 'same' },
    {
      what: 'twice next to nothing',
      before: roundsAround(0.05),
      now: roundsAround(0.1),
      verdict: 'same',
    },
    {
      what: 'a fifth more within the noise of rounds',
      before: roundsAround(5, { drift: noisy }),
      now: roundsAround(6, { drift: (round) => noisy(9 - round) }),
      verdict: 'same',
    },
    {
      what: 'three times as much beyond the noise of rounds',
      before: roundsAround(5, { drift: noisy }),
      now: roundsAround(15, { drift: noisy }),
      verdict: 'slower',
    },
    {
      what: 'one slow round',
      before: roundsAround(5),
      now: roundsAround(5, { drift: (round) => (round === 3 ? 20 : 1) }),
      verdict: 'same',
    },
    {
      what: 'one slow round before and a third more now',
      before: roundsAround(5, { drift: (round) => (round === 3 ? 20 : 1) }),
      now: roundsAround(6.7),
      verdict: 'slower',
    },
    {
      what: 'few rounds',
      before: roundsAround(5, { rounds: 4 }),
      now: roundsAround(50, { rounds: 4 }),
      verdict: 'too few runs',
    },
  ])('calls $what: $verdict', ({ before, now, verdict }) => {
    const { queries, isSlower } = compareResults(resultOf(before), resultOf(now));
    expect(queries.map(({ p50 }) => p50.verdict)).toEqual([verdict]);
    expect(isSlower).toBe(verdict === 'slower');
  });

  it('finds a slower p95 where the median stays', () => {
    const tail = roundsAround(5).map((round) => round.map((ms, run) => (run % 10 === 0 ? 50 : ms)));
    const { queries, isSlower } = compareResults(resultOf(roundsAround(5)), resultOf(tail));
    expect(queries).toMatchObject([{ p50: { verdict: 'same' }, p95: { verdict: 'slower' } }]);
    expect(isSlower).toBe(true);
  });

  it('leaves out queries that one of the results lacks', () => {
    const before = resultOf(roundsAround(5), 'prediction');
    expect(compareResults(before, resultOf(roundsAround(50)))).toMatchObject({
      queries: [],
      isSlower: false,
    });
  });
});

describe('a file with an earlier result', () => {
  const write = (text: string) => {
    const file = join(temporaryFolder(), 'before.json');
    writeFileSync(file, text);
    return file;
  };

  it('is read, with fields that a comparison does not need', () => {
    const result = resultOf(roundsAround(5));
    const file = write(JSON.stringify({ ...result, runs: 500, isMet: true }));
    expect(readResult(file)).toEqual(result);
  });

  it.each([
    ['no JSON', 'times: 5'],
    ['another document', '{"target":"host/db"}'],
    ['a newer format', JSON.stringify({ ...resultOf(roundsAround(5)), format: 2 })],
  ])('is refused when it holds %s', async (_, text) => {
    await errorOf('file-problem', () => readResult(write(text)));
  });

  it('is refused when it is not there', async () => {
    await errorOf('file-problem', () => readResult('/nowhere/before.json'));
  });
});
