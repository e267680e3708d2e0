import type { Faker } from '@faker-js/faker';
import { gauss } from './chance.ts';

export interface WalkShape {
  /** The last value; the walk is drawn back to it. */
  readonly end: number;
  /** The standard deviation of a single step. */
  readonly step: number;
  /** How much of the distance to `end` each step takes back, 0 to 1. */
  readonly pull: number;
  /** No value lies further from `end`. */
  readonly reach: number;
}

/**
 * Values that move in small steps around the one at which they end, as a quiet market does: a
 * discrete Ornstein-Uhlenbeck process, which turns back at its bounds. Oldest first.
 */
export function walk(
  faker: Faker,
  length: number,
  { end, step, pull, reach }: WalkShape,
): readonly number[] {
  const values: number[] = [];
  // From its end: then it meets it, and a walk is as likely one way as the other.
  let distance = 0;
  for (let index = 0; index < length; index += 1) {
    values.push(end + distance);
    distance = turnedBack(distance * (1 - pull) + gauss(faker) * step, reach);
  }
  return values.reverse();
}

/** Beyond the bound by some is within it by as much. */
function turnedBack(distance: number, reach: number): number {
  if (Math.abs(distance) <= reach) return distance;
  return Math.sign(distance) * Math.max(0, 2 * reach - Math.abs(distance));
}
