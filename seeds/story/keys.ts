import { createCipheriv, createHash } from 'node:crypto';
import type { Faker } from '@faker-js/faker';

/** The passphrase that encrypts development data. It is public and protects nothing. */
export const developmentPassphrase = 'cryptosense-dev-encryption-key';

const developmentKey = createHash('sha256').update(developmentPassphrase).digest();

/** Random letters and digits, which are not the key of an exchange. */
export function inventKey(faker: Faker): string {
  return faker.string.alphanumeric(64);
}

/**
 * AES-256-GCM with the development key: `v1:IV:TAG:TEXT`, each part in base64. The initialization vector
 * comes from the stream, so that the same seed gives the same row.
 */
export function encrypt(text: string, faker: Faker): string {
  const vector = Buffer.from(faker.string.hexadecimal({ length: 24, prefix: '' }), 'hex');
  const cipher = createCipheriv('aes-256-gcm', developmentKey, vector);
  const bytes = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return [
    'v1',
    ...[vector, cipher.getAuthTag(), bytes].map((part) => part.toString('base64')),
  ].join(':');
}
