import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checksumOf, readMigrations, resolveFolders } from '../../src/migrations/source.ts';
import { compareWithLedger } from '../../src/migrations/status.ts';
import { packagedMigrations, packagedRollbacks } from '../../src/runtime/package.ts';
import { errorOf } from '../support/errors.ts';
import { type Folders, fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';

const sql = 'BEGIN;\nSELECT 1;\nCOMMIT;\n';

/** The findings in folders, each as `file rule`, sorted. */
async function findIn(folders: Folders): Promise<readonly string[]> {
  const { details } = await errorOf('faulty-folder', () => readMigrations(folders));
  return details.findings.map(({ file, rule }) => `${file} ${rule}`).sort();
}

/** The findings in each fixture `folder-NAME`. */
const expected: Readonly<Record<string, readonly string[]>> = {
  'bad-name': [
    '2025-01-02_create_table.sql bad-name',
    '20250102_120000.sql bad-name',
    '20250102_120100_shouting.SQL bad-name',
    '20250101_120000_sound.sql bad-name',
  ],
  'impossible-date': [
    '20250230_120000_impossible.sql impossible-date',
    '20250230_120000_impossible_rollback.sql impossible-date',
  ],
  'one-stamp': ['20250103_120000_this.sql same-stamp'],
  'without-rollback': ['20250104_120000_one_way.sql missing-rollback'],
  'without-migration': ['20250105_120000_orphan_rollback.sql missing-migration'],
  'not-utf8': ['20250106_120000_latin1.sql not-utf8'],
  empty: ['20250107_120000_void.sql empty', '20250107_120000_void_rollback.sql empty'],
  nul: ['20250108_120000_binary.sql nul-character'],
  'other-name': ['20250109_120000_former_rollback.sql other-name'],
  misplaced: ['20250110_120000_misplaced_rollback.sql misplaced-rollback'],
};

describe('findings in the folders', () => {
  it.each(Object.entries(expected))('hold %s for its files', async (name, findings) => {
    expect(await findIn(fixture(`folder-${name}`))).toEqual([...findings].sort());
  });

  it('are reported together', async () => {
    const found = await findIn(fixture('folder-everything'));
    expect(found).toEqual(Object.values(expected).flat().sort());
  });

  it('include the folder and the missing rollback', async () => {
    const folders = fixture('folder-without-rollback');
    const { details, message } = await errorOf('faulty-folder', () => readMigrations(folders));
    const rollback = join(folders.rollbacks, '20250104_120000_one_way_rollback.sql');
    expect(details.findings).toEqual([
      {
        folder: folders.migrations.replace(/\/$/, ''),
        file: '20250104_120000_one_way.sql',
        rule: 'missing-rollback',
        expected: rollback,
      },
    ]);
    const migration = join(folders.migrations, '20250104_120000_one_way.sql');
    expect(message).toBe(`${migration} missing-rollback (expected: ${rollback})`);
  });

  it('include the findings of a rollback without a migration', async () => {
    const folders = writePairs({});
    writeFileSync(join(folders.rollbacks, '20250101_120000_orphan_rollback.sql'), '');
    expect(await findIn(folders)).toEqual([
      '20250101_120000_orphan_rollback.sql empty',
      '20250101_120000_orphan_rollback.sql missing-migration',
    ]);
  });

  it('include one finding for a folder that does not exist, not one for each file', async () => {
    const folders = writePairs({
      '20250101_120000_a': [sql, sql],
      '20250101_120001_b': [sql, sql],
    });
    rmSync(folders.rollbacks, { recursive: true });
    expect(await findIn(folders)).toEqual(['rollbacks unreadable-folder']);
  });

  it('include two findings for two folders that do not exist', async () => {
    const root = temporaryFolder();
    const folders = { migrations: join(root, 'up'), rollbacks: join(root, 'down') };
    expect(await findIn(folders)).toEqual(['down unreadable-folder', 'up unreadable-folder']);
  });

  it('include a link to a file that does not exist', async () => {
    const folders = writePairs({ '20250101_120000_a': [sql, sql] });
    const link = join(folders.migrations, '20250102_120000_gone.sql');
    symlinkSync(join(folders.migrations, 'nowhere'), link);
    writeFileSync(join(folders.rollbacks, '20250102_120000_gone_rollback.sql'), sql);
    expect(await findIn(folders)).toEqual(['20250102_120000_gone.sql unreadable-file']);
    const error = await errorOf('faulty-folder', async () => readMigrations(folders));
    expect(error.details.findings).toMatchObject([{ reason: expect.stringMatching(/^ENOENT/) }]);
  });
});

describe('readMigrations', () => {
  it('returns pairs in order of their stamps', () => {
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
  ])('accepts the name %j', (description) => {
    const folders = writePairs({ [`20250101_120000_${description}`]: [sql, sql] });
    expect(readMigrations(folders)).toMatchObject([{ version: '20250101_120000', description }]);
  });

  it('reads names with composed and with decomposed characters as the same', () => {
    const [composed, decomposed] = ['é'.normalize('NFC'), 'é'.normalize('NFD')];
    const root = temporaryFolder();
    const names = { migrations: `caf${composed}.sql`, rollbacks: `caf${decomposed}_rollback.sql` };
    for (const [folder, name] of Object.entries(names)) {
      mkdirSync(join(root, folder));
      writeFileSync(join(root, folder, `20250101_120000_${name}`), sql);
    }
    const pairs = readMigrations({
      migrations: join(root, 'migrations'),
      rollbacks: join(root, 'rollbacks'),
    });
    expect(pairs).toMatchObject([
      {
        description: `caf${composed}`,
        down: { name: `20250101_120000_caf${composed}_rollback.sql` },
      },
    ]);
    const [pair] = pairs;
    const entry = {
      version: '20250101_120000',
      description: `caf${decomposed}`,
      checksum: pair?.up.checksum ?? '',
      rollbackChecksum: pair?.down.checksum ?? '',
      appliedAt: new Date(),
      appliedBy: 'deploy',
      durationMs: 1,
      toolVersion: '0.1.0',
      ranInPublic: true,
    };
    const [status] = compareWithLedger(pairs, { entries: [entry], journal: [] });
    expect(status?.state).toBe('applied');
  });

  it('skips folders, names that start with a dot, and files that are not SQL', () => {
    const folders = writePairs({ '20250101_120000_a': [sql, sql] });
    for (const folder of [folders.migrations, folders.rollbacks]) {
      mkdirSync(join(folder, '20250102_120000_old.sql'));
      for (const name of ['.20250103_120000_swap.sql', 'README.md', 'a.sql~', '.DS_Store'])
        writeFileSync(join(folder, name), '');
    }
    expect(readMigrations(folders)).toHaveLength(1);
  });

  it('reads migrations and rollbacks from one folder, given by two different paths', () => {
    const { migrations, rollbacks } = writePairs({
      '20250101_120000_a': [sql, sql],
      '20250102_120000_b': [sql, sql],
    });
    cpSync(rollbacks, migrations, { recursive: true });
    const pairs = readMigrations({ migrations, rollbacks: `${migrations}/../migrations/` });
    expect(pairs.map(({ down }) => down.name)).toEqual([
      '20250101_120000_a_rollback.sql',
      '20250102_120000_b_rollback.sql',
    ]);
  });

  it('returns no pairs and no findings for empty folders', () => {
    expect(readMigrations(writePairs({}))).toEqual([]);
  });

  it('has no findings in the packaged schema', () => {
    const folders = { migrations: packagedMigrations, rollbacks: packagedRollbacks };
    expect(readMigrations(folders).length).toBeGreaterThan(15);
    expect(resolveFolders({})).toEqual(folders);
  });

  it('refuses one folder without the other', async () => {
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
  ])('do not change when a file has %s, nor does its text', (_, text) => {
    const [pair] = readMigrations(writePairs({ '20250101_120000_a': [text, sql] }));
    expect(pair?.up).toEqual({ ...pair?.down, name: '20250101_120000_a.sql' });
    expect(pair?.up.text).toBe(sql);
    expect(checksumOf(text)).toBe(checksumOf(sql));
  });

  it.each([
    ['a letter', sql.replace('1', '2')],
    ['a space at the end', `${sql} `],
    ['an empty line', `${sql}\n`],
    ['a second byte-order mark', `\ufeff\ufeff${sql}`],
    ['an accent in another normal form', "SELECT 'e\u0301';"],
  ])('change with %s', (_, text) => {
    expect(checksumOf(text)).not.toBe(checksumOf(sql));
    expect(checksumOf(text)).not.toBe(checksumOf("SELECT '\u00e9';"));
  });

  it('are the SHA-256 of the bytes, as sha256sum prints it', () => {
    const [pair] = readMigrations(fixture('folder-sound'));
    const bytes = readFileSync(
      join(fixture('folder-sound').migrations, '20250101_120000_sound.sql'),
    );
    expect(pair?.up.checksum).toBe(createHash('sha256').update(bytes).digest('hex'));
  });
});
