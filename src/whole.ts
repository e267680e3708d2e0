import { CryptosenseDbError } from './errors.ts';

/** Throws `bad-configuration` for a number, named in words, that is not a whole one of that range. */
export function requireWhole(
  named: Readonly<Record<string, number>>,
  { from, to }: { readonly from: number; readonly to: number },
): void {
  for (const [name, value] of Object.entries(named)) {
    if (Number.isInteger(value) && value >= from && value <= to) continue;
    throw new CryptosenseDbError('bad-configuration', {
      message: `${name} is ${value}; it can be a whole number from ${from} to ${to}`,
    });
  }
}
