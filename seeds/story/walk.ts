import type { Faker } from '@faker-js/faker';
import { gauss } from './chance.ts';

export interface WalkShape {
  /** The last value, to which the walk returns. */
  readonly end: number;
  /** The standard deviation of a single step. */
  readonly step: number;
  /** The part of the distance to `end` that each step goes back, from 0 to 1. */
  readonly pull: number;
  /** The largest distance of a value from `end`. */
  readonly reach: number;
}

/**
 * Values that move in small steps around the last one, as in a quiet market: a discrete
 * Ornstein-Uhlenbeck process that reflects at its bounds. The oldest value comes first.
 */
export function walk(
  faker: Faker,
  length: number,
  { end, step, pull, reach }: WalkShape,
): readonly number[] {
  const values: number[] = [];
  // Walks backwards from the end, which it has to meet; both directions are equally likely.
  let distance = 0;
  for (let index = 0; index < length; index += 1) {
    values.push(end + distance);
    distance = reflected(distance * (1 - pull) + gauss(faker) * step, reach);
  }
  return values.reverse();
}

/** Reflects a distance at the bound. */
function reflected(distance: number, reach: number): number {
  if (Math.abs(distance) <= reach) return distance;
  return Math.sign(distance) * Math.max(0, 2 * reach - Math.abs(distance));
}
