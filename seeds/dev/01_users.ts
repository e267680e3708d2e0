import type { DevContext, DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import {
  developmentPassword,
  namedUsers,
  type Person,
  passwordHashes,
  people,
  peopleAt,
  type Setting,
} from '../story/cast.ts';
import { fakerOf } from '../story/chance.ts';
import { seedIds } from '../story/identity.ts';
import { before, dayMs } from '../story/time.ts';

export const seeder: DevSeeder = {
  description: 'three users of the specification, more with --scale',
  run: async ({ db, merge, note, ...setting }) => {
    await freeEmails(db);
    await merge('users', {
      rows: users(setting),
      total: peopleAt(setting.scale),
      ids: seedIds('users'),
    });
    note(`log in as admin@, pro@ or free@cryptosense.dev, password ${developmentPassword}`);
  },
};

/** Two of the named users may have exchanged their addresses. */
async function freeEmails(db: DevContext['db']): Promise<void> {
  for (const { id, email } of namedUsers) {
    await db
      .updateTable('users')
      .set({ email: `${id}@example.com` })
      .where('id', '=', id)
      .where('email', '<>', email)
      .execute();
  }
}

function* users(setting: Setting): Generator<NewRow<'users'>> {
  const faker = fakerOf(setting.seed, 'users');
  for (const person of people(setting)) {
    const { firstName, lastName, email } = identityOf(person, faker);
    yield {
      id: person.id,
      email,
      password_hash: passwordHashes[person.number % passwordHashes.length] ?? passwordHashes[0],
      first_name: firstName,
      last_name: lastName,
      tier: person.tier,
      email_verified: person.named !== undefined || faker.datatype.boolean(0.9),
      country_code: person.named ? 'US' : faker.location.countryCode(),
      timezone: person.named ? 'UTC' : faker.location.timeZone(),
      language: person.named
        ? 'en'
        : faker.helpers.arrayElement(['en', 'en', 'de', 'es', 'fr', 'ja']),
      created_at: person.createdAt,
      updated_at: person.createdAt,
      last_login_at: before(setting.now, faker.number.int({ min: 0, max: 14 * dayMs })),
      deleted_at: null,
    };
  }
}

function identityOf({ named, number }: Person, faker: ReturnType<typeof fakerOf>) {
  if (named) return { ...named, lastName: null };
  const [firstName, lastName] = [faker.person.firstName(), faker.person.lastName()];
  const words = [firstName, lastName].map((word) => word.toLowerCase().replaceAll(/[^a-z]/g, ''));
  return { firstName, lastName, email: `${words.join('.')}.${number}@example.com` };
}
