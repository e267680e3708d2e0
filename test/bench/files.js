// @ts-check
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @typedef {object} Folders
 * @property {string} migrations
 * @property {string} rollbacks
 */

/** Words that occur in a migration of the packaged schema when it needs TimescaleDB. */
const timescaleWords = /timescaledb|price_history|social_sentiment_history|add_job/;

/**
 * The packaged schema, or, for a server without TimescaleDB, its plain tables.
 * @param {string} folder to write into
 * @param {import('./server.js').Server} server
 * @returns {Folders}
 */
export function schemaFolders(folder, { timescale }) {
  const packaged = { migrations: join(root, 'migrations'), rollbacks: join(root, 'rollbacks') };
  if (timescale) return packaged;
  const plain = makeFolders(folder);
  for (const name of listFiles(packaged)) {
    const text = readFileSync(join(packaged.migrations, name), 'utf8');
    if (timescaleWords.test(withoutComments(text))) continue;
    copyFileSync(join(packaged.migrations, name), join(plain.migrations, name));
    const rollback = name.replace(/\.sql$/, '_rollback.sql');
    copyFileSync(join(packaged.rollbacks, rollback), join(plain.rollbacks, rollback));
  }
  return plain;
}

/**
 * The same files, each with one more comment at its end: the build has not parsed these.
 * @param {string} folder to write into
 * @param {Folders} folders
 * @returns {Folders}
 */
export function withComment(folder, folders) {
  const commented = makeFolders(folder);
  for (const kind of /** @type {const} */ (['migrations', 'rollbacks'])) {
    for (const name of readdirSync(folders[kind]).filter((file) => file.endsWith('.sql'))) {
      const text = readFileSync(join(folders[kind], name), 'utf8');
      writeFileSync(join(commented[kind], name), `${text}-- A comment.\n`);
    }
  }
  return commented;
}

/** @param {string} sql */
function withoutComments(sql) {
  return sql.replaceAll(/--.*|^COMMENT ON .*/gm, '');
}

/**
 * Migrations that each create one table and one index.
 * @param {string} folder to write into
 * @param {number} count
 * @returns {Folders}
 */
export function smallMigrations(folder, count) {
  const folders = makeFolders(folder);
  for (let index = 0; index < count; index += 1) {
    const at = new Date(Date.UTC(2026, 0, 1, 0, 0, index));
    const stamp = at.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '_');
    const table = `small_${index}`;
    writeFileSync(
      join(folders.migrations, `${stamp}_create_${table}.sql`),
      `-- Migration: ${stamp}_create_${table}.sql
-- Description: Create ${table}

BEGIN;

CREATE TABLE ${table} (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL,
    amount NUMERIC(20, 8) NOT NULL DEFAULT 0 CHECK (amount >= 0),
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE INDEX idx_${table}_name ON ${table}(name);

COMMIT;
`,
    );
    writeFileSync(
      join(folders.rollbacks, `${stamp}_create_${table}_rollback.sql`),
      `BEGIN;\n\nDROP TABLE ${table};\n\nCOMMIT;\n`,
    );
  }
  return folders;
}

/**
 * The same migrations as dbmate reads them.
 * @param {string} folder to write into
 * @param {Folders} folders
 */
export function forDbmate(folder, folders) {
  return convert(folder, folders, ({ stamp, name, up, down }) => ({
    file: `${stamp.replace('_', '')}_${name}.sql`,
    text: `-- migrate:up\n${up}\n-- migrate:down\n${down}`,
  }));
}

/**
 * The same migrations as node-pg-migrate reads them.
 * @param {string} folder to write into
 * @param {Folders} folders
 */
export function forNodePgMigrate(folder, folders) {
  return convert(folder, folders, ({ stamp, name, up, down }) => ({
    file: `${stamp.replace('_', '')}000_${name}.sql`,
    text: `-- Up Migration\n${up}\n-- Down Migration\n${down}`,
  }));
}

/**
 * @typedef {{ stamp: string, name: string, up: string, down: string }} Pair
 * @param {string} folder
 * @param {Folders} folders
 * @param {(pair: Pair) => { file: string, text: string }} render
 */
function convert(folder, folders, render) {
  mkdirSync(folder, { recursive: true });
  for (const migration of listFiles(folders)) {
    const [, stamp = '', name = ''] = /^(\d{8}_\d{6})_(.+)\.sql$/.exec(migration) ?? [];
    const up = readBody(join(folders.migrations, migration));
    const down = readBody(join(folders.rollbacks, `${stamp}_${name}_rollback.sql`));
    const { file, text } = render({ stamp, name, up, down });
    writeFileSync(join(folder, file), text);
  }
  return folder;
}

/** The peers open their transactions themselves. @param {string} path */
function readBody(path) {
  return readFileSync(path, 'utf8').replaceAll(/^(BEGIN|COMMIT);$/gm, '');
}

/** @param {Folders} folders */
export function listFiles({ migrations }) {
  return readdirSync(migrations)
    .filter((name) => name.endsWith('.sql'))
    .sort();
}

/** @param {string} folder @returns {Folders} */
function makeFolders(folder) {
  const folders = { migrations: join(folder, 'migrations'), rollbacks: join(folder, 'rollbacks') };
  for (const path of Object.values(folders)) mkdirSync(path, { recursive: true });
  return folders;
}

/**
 * Writes hourly prices until today as CSV, by asset and in order of time.
 * @param {string} file
 * @param {{ assets: readonly string[], days: number }} extent
 */
export function writePrices(file, { assets, days }) {
  const hours = days * 24;
  const start = Math.floor(Date.now() / 86_400_000) * 86_400_000 - hours * 3_600_000;
  writeFileSync(file, 'time,asset_symbol,price_usd,market_cap_usd,volume_24h_usd\n');
  for (const [index, asset] of assets.entries()) {
    let text = '';
    for (let hour = 0; hour < hours; hour += 1) {
      const time = new Date(start + hour * 3_600_000).toISOString();
      const price = 100 * (index + 1) + 10 * Math.sin(hour / 24);
      text += `${time},${asset},${price.toFixed(8)},${(price * 1e7).toFixed(2)},${(price * 1e5).toFixed(2)}\n`;
    }
    appendFileSync(file, text);
  }
}
