import { CryptosenseDbError } from './errors.ts';

/** Throws `bad-configuration` with every number that is not a whole one of the range, by its name. */
export function requireWhole(
  named: Readonly<Record<string, number>>,
  { from, to }: { readonly from: number; readonly to: number },
): void {
  const problems = Object.entries(named)
    .filter(([, value]) => !(Number.isInteger(value) && value >= from && value <= to))
    .map(([name, value]) => ({
      message: `${name} is ${typeof value === 'number' ? value : JSON.stringify(value)}; it can be a whole number from ${from} to ${to}`,
    }));
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
}
