// @ts-check
import { existsSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { hasSwift, serveSwift } from '../support/swift-server.js';
import { query } from './server.js';

export { hasSwift };

/**
 * Debian's folder with pg_dump and pg_restore of the server's major version.
 * @param {string} version the server's
 * @returns {string | undefined}
 */
export function programFolder(version) {
  const folder = `/usr/lib/postgresql/${Number.parseInt(version, 10)}/bin`;
  return existsSync(join(folder, 'pg_dump')) ? folder : undefined;
}

/**
 * Transactions of 5,000 users, in a database that has the plain tables of the schema.
 * @param {string} url @param {number} rows
 */
export async function fillWithTransactions(url, rows) {
  await query(
    url,
    `insert into users (email, password_hash)
       select 'user' || n || '@example.com', md5(n::text) from generate_series(1, 5000) as n;
     insert into portfolios (user_id, name) select id, 'Main' from users;
     insert into transactions (
       portfolio_id, transaction_type, asset_symbol, quantity, price_usd, fee_usd, total_usd,
       exchange_transaction_id, transaction_date
     )
     select portfolios[1 + n % 5000], case n % 3 when 0 then 'sell' else 'buy' end, 'C' || n % 50,
       (random() * 100)::numeric(20, 8), (random() * 50000)::numeric(20, 8), (random() * 5)::numeric(20, 8),
       (random() * 5000000)::numeric(20, 2), case when n % 5 = 0 then md5(n::text) end,
       timestamptz '2024-01-01' + n * interval '7 seconds'
     from generate_series(1, ${rows}) as n, (select array_agg(id) as portfolios from portfolios) as ids`,
  );
  await query(url, 'vacuum analyze');
}

/** @param {string} url */
export async function sizeOf(url) {
  const [row] = await query(url, 'select pg_database_size(current_database())::float8 as bytes');
  return Number(row?.bytes);
}

/**
 * Storage with an S3 interface on loopback.
 * @typedef {object} Storage
 * @property {readonly string[]} flags name it for the command line
 * @property {Readonly<Record<string, string>>} env
 * @property {() => Promise<void>} stop
 */

/** @param {string} folder @returns {Promise<Storage>} */
export async function openStorage(folder) {
  const { ports, stop } = await serveSwift(mkdtempSync(join(folder, 'swift-')));
  const endpoint = `http://127.0.0.1:${ports.proxy}`;
  const [accessKeyId, secretAccessKey] = ['test:writer', 'writersecret'];
  // The SDK would warn of the version of Node.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  await client.send(new CreateBucketCommand({ Bucket: 'bench' }));
  client.destroy();
  return {
    flags: ['--store', 's3://bench', '--endpoint', endpoint, '--sse', 'none'],
    env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    stop,
  };
}

/** @returns {Promise<{ identity: string, recipient: string }>} a key pair of age */
export async function generateKeys() {
  const identity = await generateIdentity();
  return { identity, recipient: await identityToRecipient(identity) };
}
