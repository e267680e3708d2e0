import * as v from 'valibot';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { readText } from '../runtime/files.ts';
import { chanceOfHigher, percentile } from './statistics.ts';

/** The times of a query, as far as a comparison needs them. */
export interface ComparableQuery {
  readonly name: string;
  readonly measurements: readonly {
    readonly clients: number;
    /** The times of each round, in milliseconds. */
    readonly roundsMs: readonly (readonly number[])[];
  }[];
}

export interface ComparableResult {
  readonly format: number;
  readonly takenAt: string;
  readonly target: string;
  readonly server: { readonly postgresql: string; readonly timescaledb: string | null };
  readonly queries: readonly ComparableQuery[];
}

export type Verdict = 'slower' | 'faster' | 'same' | 'too few runs';

export interface ComparedPercentile {
  readonly beforeMs: number;
  readonly nowMs: number;
  readonly verdict: Verdict;
}

export interface ComparedQuery {
  readonly name: string;
  readonly clients: number;
  readonly p50: ComparedPercentile;
  readonly p95: ComparedPercentile;
}

export interface Comparison {
  readonly with: Pick<ComparableResult, 'takenAt' | 'target' | 'server'>;
  /** Queries and numbers of clients that both results have. */
  readonly queries: readonly ComparedQuery[];
  readonly isSlower: boolean;
}

/** What a change has to reach, besides being beyond noise. */
const leastChange = { ratio: 1.1, ms: 0.1 } as const;
/** A difference is beyond noise when chance gives it less often than this. */
const leastLikely = 0.001;

/**
 * Compares each percentile of two results. The runs of a result are spread over rounds, and how far its rounds differ
 * is the noise. A query got slower when its rounds are higher than the earlier ones beyond chance (Mann and Whitney's
 * test on the rounds' percentiles, less than 1 in 1,000), and the median of them by at least 10 % and 0.1 ms.
 */
export function compareResults(before: ComparableResult, now: ComparableResult): Comparison {
  const queries = now.queries.flatMap(({ name, measurements }) =>
    measurements.flatMap(({ clients, roundsMs }): readonly ComparedQuery[] => {
      const earlier = before.queries
        .find((query) => query.name === name)
        ?.measurements.find((each) => each.clients === clients);
      if (!earlier || earlier.roundsMs.length === 0 || roundsMs.length === 0) return [];
      const both = { before: earlier.roundsMs, now: roundsMs };
      return [
        { name, clients, p50: comparePercentile(0.5, both), p95: comparePercentile(0.95, both) },
      ];
    }),
  );
  const { takenAt, target, server } = before;
  return {
    with: { takenAt, target, server },
    queries,
    isSlower: queries.some(({ p50, p95 }) => p50.verdict === 'slower' || p95.verdict === 'slower'),
  };
}

function comparePercentile(
  share: number,
  rounds: {
    readonly before: readonly (readonly number[])[];
    readonly now: readonly (readonly number[])[];
  },
): ComparedPercentile {
  const before = rounds.before.map((round) => percentile(round, share));
  const now = rounds.now.map((round) => percentile(round, share));
  const [beforeMs, nowMs] = [percentile(before, 0.5), percentile(now, 0.5)];
  const isHigher = (low: readonly number[], high: readonly number[]) => {
    const [lowMs, highMs] = [percentile(low, 0.5), percentile(high, 0.5)];
    return (
      highMs >= lowMs * leastChange.ratio &&
      highMs - lowMs >= leastChange.ms &&
      chanceOfHigher(low, high) < leastLikely
    );
  };
  // Even rounds that all differ in one direction would not be beyond chance.
  const lowest = Array<number>(before.length).fill(0);
  const canTell = chanceOfHigher(lowest, Array<number>(now.length).fill(1)) < leastLikely;
  const verdict = !canTell
    ? 'too few runs'
    : isHigher(before, now)
      ? 'slower'
      : isHigher(now, before)
        ? 'faster'
        : 'same';
  return { beforeMs, nowMs, verdict };
}

export const resultFormat = 1 as const;

const times = v.array(v.array(v.number()));
const resultSchema: v.GenericSchema<unknown, ComparableResult> = v.object({
  format: v.literal(resultFormat),
  takenAt: v.string(),
  target: v.string(),
  server: v.object({ postgresql: v.string(), timescaledb: v.nullable(v.string()) }),
  queries: v.array(
    v.object({
      name: v.string(),
      measurements: v.array(v.object({ clients: v.number(), roundsMs: times })),
    }),
  ),
});

/** Reads what `benchmark --json` printed. Throws `file-problem`. */
export function readResult(path: string): ComparableResult {
  const text = readText(path);
  if (text === undefined) throw unusable(path, 'the file does not exist');
  const parsed = v.safeParse(resultSchema, parseJson(text));
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw unusable(path, `${v.getDotPath(issue) ?? 'the document'}: ${issue.message}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unusable(path: string, evidence: string) {
  return new CryptosenseDbError(
    'file-problem',
    {
      message: `${path} is not a result of benchmark`,
      evidence: [evidence],
      hint: 'write one with: cryptosense-db benchmark --json > before.json',
    },
    { details: { path } },
  );
}
