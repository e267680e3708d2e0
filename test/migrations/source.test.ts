import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checksumOf, readMigrations, resolveFolders } from '../../src/migrations/source.ts';
import { packagedMigrations, packagedRollbacks } from '../../src/runtime/package.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { type Folders, fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';

const sql = 'BEGIN;\nSELECT 1;\nCOMMIT;\n';

/** What is reported of faulty folders, one message each. */
async function faultsOf(folders: Folders): Promise<readonly string[]> {
  const { problems } = await errorOf('faulty-folder', () => readMigrations(folders));
  return problems.map(({ message }) => message);
}

/** By fixture `folder-NAME`: the file that each fault names, and a word of what it is. */
const faults: Readonly<Record<string, readonly (readonly [file: string, word: string])[]>> = {
  'bad-name': [
    ['2025-01-02_create_table.sql', 'is not named'],
    ['20250102_120000.sql', 'is not named'],
    ['20250102_120100_shouting.SQL', 'is not named'],
    ['20250101_120000_sound.sql', 'is not named'],
  ],
  'impossible-date': [
    ['20250230_120000_impossible.sql', 'no date and time'],
    ['20250230_120000_impossible_rollback.sql', 'no date and time'],
  ],
  'one-stamp': [['20250103_120000_that.sql and 20250103_120000_this.sql', 'one stamp']],
  'without-rollback': [['20250104_120000_one_way.sql', 'no rollback']],
  'without-migration': [['20250105_120000_orphan_rollback.sql', 'not there']],
  'not-utf8': [['20250106_120000_latin1.sql', 'not UTF-8']],
  empty: [
    ['20250107_120000_void.sql', 'empty'],
    ['20250107_120000_void_rollback.sql', 'empty'],
  ],
  nul: [['20250108_120000_binary.sql', 'NUL']],
  'other-name': [['20250109_120000_former_rollback.sql', 'not the rollback of']],
  misplaced: [['20250110_120000_misplaced_rollback.sql', 'a rollback among the migrations']],
};

describe('faults of the folders', () => {
  it.each(Object.entries(faults))('%s is reported, by file', async (name, expected) => {
    const found = await faultsOf(fixture(`folder-${name}`));
    expect(found).toHaveLength(expected.length);
    for (const [file, word] of expected) {
      expect(found).toContainEqual(expect.stringMatching(new RegExp(`${file}\\b.*${word}`)));
    }
  });

  it('all of them are reported at once', async () => {
    const found = await faultsOf(fixture('folder-everything'));
    const expected = Object.values(faults).flat();
    expect(found).toHaveLength(expected.length);
    for (const [file, word] of expected) {
      expect(found).toContainEqual(expect.stringMatching(new RegExp(`${file}\\b.*${word}`)));
    }
  });

  it('a rollback without a migration is read for its own faults too', async () => {
    const folders = writePairs({});
    writeFileSync(join(folders.rollbacks, '20250101_120000_orphan_rollback.sql'), '');
    expect(await faultsOf(folders)).toHaveLength(2);
  });

  it('a folder that is not there is one fault, not one for each file', async () => {
    const folders = writePairs({
      '20250101_120000_a': [sql, sql],
      '20250101_120001_b': [sql, sql],
    });
    rmSync(folders.rollbacks, { recursive: true });
    const found = await faultsOf(folders);
    expect(found).toEqual([expect.stringContaining(folders.rollbacks)]);
  });

  it('two folders that are not there are two', async () => {
    const root = temporaryFolder();
    const folders = { migrations: join(root, 'up'), rollbacks: join(root, 'down') };
    expect(await faultsOf(folders)).toHaveLength(2);
  });

  it('a link that leads nowhere is reported', async () => {
    const folders = writePairs({ '20250101_120000_a': [sql, sql] });
    const link = join(folders.migrations, '20250102_120000_gone.sql');
    symlinkSync(join(folders.migrations, 'nowhere'), link);
    writeFileSync(join(folders.rollbacks, '20250102_120000_gone_rollback.sql'), sql);
    expect(await faultsOf(folders)).toEqual([expect.stringContaining('20250102_120000_gone.sql')]);
  });

  it('every missing rollback comes with the name that it should have', async () => {
    const error = await errorOf('faulty-folder', () =>
      readMigrations(fixture('folder-without-rollback')),
    );
    expect(wordsOf(error)).toContain('20250104_120000_one_way_rollback.sql');
  });
});

describe('readMigrations', () => {
  it('reads pairs in order of their stamps, whatever else their names say', () => {
    const folders = writePairs({
      '20250102_000000_a': [sql, sql],
      '20250101_235959_z': [sql, sql],
      '20241231_000000_ä': [sql, sql],
    });
    expect(readMigrations(folders).map(({ version }) => version)).toEqual([
      '20241231_000000',
      '20250101_235959',
      '20250102_000000',
    ]);
  });

  it.each([
    'with spaces in it',
    'it\'s "quoted"',
    'emoji 🚀 and 漢字',
    'dots.and-dashes;semicolon',
    '$1 $& {{file}} %20',
    'line\nend',
  ])('takes the name %j', (description) => {
    const folders = writePairs({ [`20250101_120000_${description}`]: [sql, sql] });
    expect(readMigrations(folders)).toMatchObject([{ version: '20250101_120000', description }]);
  });

  it('passes over folders, names with a dot at the start and files that are not SQL', () => {
    const folders = writePairs({ '20250101_120000_a': [sql, sql] });
    for (const folder of [folders.migrations, folders.rollbacks]) {
      mkdirSync(join(folder, '20250102_120000_old.sql'));
      for (const name of ['.20250103_120000_swap.sql', 'README.md', 'a.sql~', '.DS_Store'])
        writeFileSync(join(folder, name), '');
    }
    expect(readMigrations(folders)).toHaveLength(1);
  });

  it('reads both from one folder, however it is written', () => {
    const { migrations, rollbacks } = writePairs({
      '20250101_120000_a': [sql, sql],
      '20250102_120000_b': [sql, sql],
    });
    cpSync(rollbacks, migrations, { recursive: true });
    const pairs = readMigrations({ migrations, rollbacks: `${migrations}/../migrations/` });
    expect(pairs.map(({ rollback }) => rollback.name)).toEqual([
      '20250101_120000_a_rollback.sql',
      '20250102_120000_b_rollback.sql',
    ]);
  });

  it('finds nothing in empty folders, and no fault', () => {
    expect(readMigrations(writePairs({}))).toEqual([]);
  });

  it('finds no fault in the packaged schema', () => {
    const folders = { migrations: packagedMigrations, rollbacks: packagedRollbacks };
    expect(readMigrations(folders).length).toBeGreaterThan(15);
    expect(resolveFolders({})).toEqual(folders);
  });

  it('takes both folders or neither', async () => {
    await errorOf('bad-configuration', () => resolveFolders({ migrations: 'up' }));
    await errorOf('bad-configuration', () => resolveFolders({ rollbacks: 'down' }));
  });
});

describe('checksums', () => {
  it.each([
    ['CRLF', sql.replaceAll('\n', '\r\n')],
    ['CR', sql.replaceAll('\n', '\r')],
    ['a byte-order mark', `\ufeff${sql}`],
    ['both', `\ufeff${sql.replaceAll('\n', '\r\n')}`],
  ])('are the same with %s, and so is the text that runs', (_, text) => {
    const [pair] = readMigrations(writePairs({ '20250101_120000_a': [text, sql] }));
    expect(pair?.migration).toEqual({ ...pair?.rollback, name: '20250101_120000_a.sql' });
    expect(pair?.migration.text).toBe(sql);
    expect(checksumOf(text)).toBe(checksumOf(sql));
  });

  it.each([
    ['a letter', sql.replace('1', '2')],
    ['a space at the end', `${sql} `],
    ['an empty line', `${sql}\n`],
    ['a second byte-order mark', `\ufeff\ufeff${sql}`],
    ['an accent in another normal form', "SELECT 'e\u0301';"],
  ])('differ by %s', (_, text) => {
    expect(checksumOf(text)).not.toBe(checksumOf(sql));
    expect(checksumOf(text)).not.toBe(checksumOf("SELECT '\u00e9';"));
  });

  it('are SHA-256 of the bytes, as sha256sum prints it', () => {
    const [pair] = readMigrations(fixture('folder-sound'));
    const bytes = readFileSync(
      join(fixture('folder-sound').migrations, '20250101_120000_sound.sql'),
    );
    expect(pair?.migration.checksum).toBe(createHash('sha256').update(bytes).digest('hex'));
  });
});
