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
 * Plain rows of some 120 bytes, of which pg_dump stores 56, with a key and an index.
 * @param {string} url @param {number} rows
 */
export async function fillWithTrades(url, rows) {
  await query(
    url,
    `create table trades (
       id bigint primary key, account uuid not null, symbol text not null, side text not null,
       amount numeric(20, 8) not null, price numeric(20, 8) not null, fee numeric(20, 8),
       traded_at timestamptz not null, note text
     );
     insert into trades
     select n, md5((n % 50000)::text)::uuid, 'C' || n % 50, case n % 2 when 0 then 'buy' else 'sell' end,
       (random() * 1000)::numeric(20, 8), (random() * 50000)::numeric(20, 8),
       case when n % 3 > 0 then random()::numeric(20, 8) end, timestamptz '2024-01-01' + n * interval '7 seconds',
       case when n % 5 = 0 then md5(n::text) end
     from generate_series(1, ${rows}) as n;
     create index on trades (account, traded_at)`,
  );
  await query(url, 'vacuum analyze trades');
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
