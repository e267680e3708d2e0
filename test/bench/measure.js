// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * A program to run, as its user would.
 * @typedef {object} Command
 * @property {string} file
 * @property {readonly string[]} args
 * @property {Readonly<Record<string, string>>} [env] Added to an environment without any DATABASE_*, PG*.
 * @property {string} [cwd]
 */

/**
 * One side of a comparison: `run` gets what `prepare` returned. Only the command of `run` is timed.
 * @typedef {object} Contestant
 * @property {() => Promise<string>} [prepare]
 * @property {(prepared: string) => Command} run
 */

const peakMemoryHook = fileURLToPath(new URL('peak-memory.js', import.meta.url));

/**
 * Runs the contestants in turn, A B A B, once to warm up and then `runs` times.
 * @param {readonly Contestant[]} contestants
 * @param {number} runs
 * @returns {Promise<readonly number[]>} the median of each, in milliseconds
 */
export async function race(contestants, runs) {
  const times = contestants.map(() => /** @type {number[]} */ ([]));
  for (let round = 0; round <= runs; round += 1) {
    for (const [index, contestant] of contestants.entries()) {
      const ms = await runOnce(contestant, execute);
      if (round > 0) times[index]?.push(ms);
    }
  }
  return times.map(median);
}

/**
 * The maximum resident set size of a Node program, as the operating system counts it. The program reports it
 * at its end.
 * @param {Contestant} contestant
 * @param {string} folder for the report
 * @returns {Promise<number>} in megabytes (10⁶ bytes)
 */
export async function peakMemory(contestant, folder) {
  const report = join(folder, 'peak-memory');
  await runOnce(contestant, ({ args, env, ...command }) =>
    execute({
      ...command,
      args: ['--import', peakMemoryHook, ...args],
      env: { ...env, BENCH_PEAK_MEMORY: report },
    }),
  );
  const kibibytes = Number(readFileSync(report, 'utf8'));
  rmSync(report);
  return (kibibytes * 1024) / 1e6;
}

/**
 * @template T
 * @param {Contestant} contestant
 * @param {(command: Command) => Promise<T>} measure
 */
async function runOnce({ prepare = async () => '', run }, measure) {
  return measure(run(await prepare()));
}

/**
 * Runs a program to its end. Throws with its output when it fails.
 * @param {Command} command
 * @returns {Promise<number>} how long it took, in milliseconds
 */
export async function execute({ file, args, env = {}, cwd }) {
  const startedAt = performance.now();
  const child = spawn(file, args, {
    cwd,
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let endedAt = startedAt;
  child.once('exit', () => {
    endedAt = performance.now();
  });
  const output = /** @type {Buffer[]} */ ([]);
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => output.push(chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) {
    throw new Error(`${file} ended with ${code}:\n${Buffer.concat(output).toString()}`);
  }
  return endedAt - startedAt;
}

function cleanEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(DATABASE_|DBMATE_|PG|NODE_|TEST_DATABASE_URL$|BENCH_)/.test(name),
    ),
  );
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}
