import { base, en, Faker } from '@faker-js/faker';

/**
 * A stream of invented values, the same for the same seed and name. Each seeder uses its own stream
 * names: a draw in one does not change another, and a larger scale starts with the data of a smaller
 * one.
 */
export function fakerOf(seed: number, name: string): Faker {
  const faker = new Faker({ locale: [en, base] });
  // Faker uses 32 bits of each number.
  faker.seed([seed % 2 ** 32, Math.floor(seed / 2 ** 32), ...Buffer.from(name)]);
  return faker;
}

/** A normally distributed number with mean 0 and standard deviation 1 (Box and Muller). */
export function gauss(faker: Faker): number {
  const radius = Math.sqrt(-2 * Math.log(1 - faker.number.float()));
  return radius * Math.cos(2 * Math.PI * faker.number.float());
}
