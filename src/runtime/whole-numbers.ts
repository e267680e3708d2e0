import { CryptosenseDbError } from './errors.ts';

/** Both ends belong to it. */
export interface WholeRange {
  readonly from: number;
  readonly to: number;
}

/** The whole number that the decimal digits name; undefined for any other text, and outside the range. */
export function parseWhole(text: string, { from, to }: WholeRange): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= from && value <= to ? value : undefined;
}

/** Throws `bad-configuration`, with a problem for each value that is not a whole number of the range. */
export function requireWhole(named: Readonly<Record<string, number>>, range: WholeRange): void {
  const { from, to } = range;
  const problems = Object.entries(named)
    .filter(([, value]) => !(Number.isInteger(value) && value >= from && value <= to))
    .map(([name, value]) => ({
      message: `${name} is ${typeof value === 'number' ? value : JSON.stringify(value)}; it can be ${describeRange(range)}`,
    }));
  if (problems.length > 0) throw new CryptosenseDbError('bad-configuration', problems);
}

/** `a whole number from 1 to 65535` */
export function describeRange({ from, to }: WholeRange): string {
  return `a whole number from ${from} to ${to}`;
}
