/**
 * How many rounds a loop of kills or races runs: `fewest`, or the number in the variable SOAK_ROUNDS,
 * which `npm run test:soak` sets. Throws a RangeError when the variable is not a whole number from 1.
 */
export function rounds(fewest: number): number {
  const text = process.env.SOAK_ROUNDS;
  if (text === undefined || text === '') return fewest;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new RangeError(`SOAK_ROUNDS is ${text}; it takes a whole number from 1`);
}
