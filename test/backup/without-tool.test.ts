import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { ageKeys, dropRestored, hasPgDump } from '../support/backup.ts';
import { connect, databaseUrl } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

const isPossible = hasPgDump && existsSync('/usr/bin/age');

/** The commands of the page, without those for TimescaleDB. */
function commandsOfPage(): string {
  const page = readFileSync('docs/backup.md', 'utf8');
  const block = /### Without this tool.*?```sh\n(.*?)```/s.exec(page)?.[1] ?? '';
  const lines = block.split('\n').filter((line) => !line.includes('timescaledb'));
  expect(lines.length).toBeGreaterThan(4);
  return lines.join('\n');
}

it.skipIf(!isPossible)(
  `a backup is restored with age and pg_restore alone, as docs/backup.md says${isPossible ? '' : ' (skipped: no age or postgresql-client-15)'}`,
  async () => {
    const { url, sql, name } = await scratchDatabase();
    await sql`create table coins as select n, md5(n::text) as text from generate_series(1, 1000) n`;
    const { recipient, identityFile } = await ageKeys();
    const store = join(temporaryFolder(), 'backups');
    const { id } = await create({ target: url, store, recipients: [recipient] });
    const folder = join(temporaryFolder(), 'recovery');
    mkdirSync(folder);
    copyFileSync(join(store, name, id, 'dump.age'), join(folder, 'dump.age'));
    copyFileSync(identityFile, join(folder, 'key.txt'));
    const { hostname, port, username, password } = new URL(url);
    const restored = `${name}_by_hand`;
    onTestFinished(() => dropRestored(sql, restored));
    execFileSync('bash', ['-euc', commandsOfPage().replaceAll('shop_restored', restored)], {
      cwd: folder,
      env: {
        PATH: `/usr/lib/postgresql/15/bin:${process.env.PATH}`,
        PGHOST: hostname,
        PGPORT: port,
        PGUSER: decodeURIComponent(username),
        PGPASSWORD: decodeURIComponent(password),
      },
    });
    const copy = connect(databaseUrl(url, restored));
    onTestFinished(() => copy.end({ timeout: 1 }));
    expect(await copy`select count(*)::int as rows from coins`).toMatchObject([{ rows: 1_000 }]);
  },
);
