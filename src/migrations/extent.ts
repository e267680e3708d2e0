import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import type { ExtentOptions } from './options.ts';
import type { Extent } from './plan.ts';

/** How far the options say to go; undefined where they say nothing. Throws `bad-configuration`. */
export function extentOf({ to, steps }: ExtentOptions): Extent | undefined {
  if (steps !== undefined) requireWhole({ steps }, { from: 1, to: Number.MAX_SAFE_INTEGER });
  if (to !== undefined && steps !== undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'a version and a number of steps are given; give only one of them',
    });
  }
  if (to !== undefined) return { kind: 'to', version: to };
  return steps === undefined ? undefined : { kind: 'steps', count: steps };
}
