import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { connectionsEach, people, type Setting, strangersAt } from '../story/cast.ts';
import { fakerOf } from '../story/chance.ts';
import { seedIds } from '../story/identity.ts';
import { encrypt, inventKey } from '../story/keys.ts';
import { before, hourMs, minuteMs } from '../story/time.ts';

export const seeder: DevSeeder = {
  description: 'exchange connections with invented, encrypted keys',
  run: ({ merge, ...setting }) =>
    merge('exchange_connections', {
      rows: connections(setting),
      total: 3 + strangersAt(setting.scale) * connectionsEach,
      ids: seedIds('exchange_connections'),
    }),
};

/** The error of the last synchronization; that of the Kraken connection fails. */
const failure = 'EAPI:Invalid nonce';

function* connections(setting: Setting): Generator<NewRow<'exchange_connections'>> {
  const faker = fakerOf(setting.seed, 'exchange_connections');
  for (const { id: userId, named, connections: own } of people(setting)) {
    for (const { id, exchange, portfolioId, createdAt } of own) {
      const [key, secret] = [inventKey(faker), inventKey(faker)];
      const isFailing = named ? exchange === 'kraken' : faker.datatype.boolean(0.05);
      yield {
        id,
        user_id: userId,
        portfolio_id: portfolioId,
        exchange_name: exchange,
        api_key_encrypted: encrypt(key, faker),
        api_secret_encrypted: encrypt(secret, faker),
        api_key_last_four: key.slice(-4),
        permissions: { read: true, trade: false, withdraw: false },
        is_active: !isFailing,
        last_sync_at: before(
          setting.now,
          isFailing ? 26 * hourMs : faker.number.int({ min: 1, max: 30 }) * minuteMs,
        ),
        last_sync_status: isFailing ? 'failed' : 'success',
        sync_error_message: isFailing ? failure : null,
        created_at: createdAt,
        updated_at: createdAt,
        deleted_at: null,
      };
    }
  }
}
