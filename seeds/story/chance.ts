import { base, en, Faker } from '@faker-js/faker';

/**
 * A stream of made-up things, the same for the same seed and name. Each seeder draws from streams of
 * its own names, in order: what one draws changes nothing in another, and a larger scale begins with
 * the smaller one's data.
 */
export function fakerOf(seed: number, name: string): Faker {
  const faker = new Faker({ locale: [en, base] });
  // It takes 32 bits of each number.
  faker.seed([seed % 2 ** 32, Math.floor(seed / 2 ** 32), ...Buffer.from(name)]);
  return faker;
}

/** Normally distributed: mean 0, standard deviation 1 (Box and Muller). */
export function gauss(faker: Faker): number {
  const radius = Math.sqrt(-2 * Math.log(1 - faker.number.float()));
  return radius * Math.cos(2 * Math.PI * faker.number.float());
}
