import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { openStore } from '../../src/backup/open-store.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import {
  ageKeys,
  dropRestored,
  hasPgDump,
  hasTimescaleServer,
  pgDumpMissing,
  timescaleMissing,
} from '../support/backup.ts';
import { writeBackup } from '../support/backups.ts';
import { cleanEnvironment, program } from '../support/cli.ts';
import { connect, databaseUrl, onServer } from '../support/databases.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';
import { coinsSchema } from '../support/seeding.ts';

/** The commands of the steps 3, 4 and 6. */
function commandsOfPage(): string {
  const page = readFileSync('docs/backup.md', 'utf8');
  const [, section = ''] = /^## Restore now\n(.*?)\n### /ms.exec(page) ?? [];
  const blocks = [...section.matchAll(/^ {3}```sh\n(.*?)```/gms)].map(([, block = '']) => block);
  expect(blocks).toHaveLength(3);
  return blocks.join('');
}

/** A folder with the program under the name that the page calls. */
function programFolder(): string {
  const folder = temporaryFolder();
  const text = `#!/bin/sh\nexec '${process.execPath}' --liftoff-only '${program}' "$@"\n`;
  writeFileSync(join(folder, 'cryptosense-db'), text, { mode: 0o755 });
  return folder;
}

describe.each([
  [`a plain PostgreSQL${pgDumpMissing}`, hasPgDump, inject('postgresUrl'), coinsSchema],
  [`TimescaleDB${timescaleMissing}`, hasTimescaleServer, inject('timescaleUrl'), () => ({})],
] as const)('docs/backup.md, restore now, on %s', (_, canRun, server, schema) => {
  it.runIf(canRun)(
    'brings a database back while sessions are connected to it',
    {
      timeout: 120_000,
    },
    async () => {
      const { url, sql, name } = await scratchDatabase(server);
      await migrate.up({ target: url, ...schema(), environment: 'production' });
      await sql`create table readings as select n from generate_series(1, 1000) n`;
      const { recipient, identityFile } = await ageKeys();
      const store = join(temporaryFolder(), 'backups');
      await create({ target: url, store, recipients: [recipient] });
      await writeBackup(await openStore(store), { database: 'another', startedAt: new Date() });
      await sql`delete from readings`;
      await onServer(url, async (admin) => {
        const broken = `${name}_broken`;
        onTestFinished(() => onServer(url, (later) => dropRestored(later, broken)));
        onTestFinished(() => onServer(url, (later) => dropRestored(later, `${name}_restored`)));
        const folder = temporaryFolder();
        copyFileSync(identityFile, join(folder, 'key.txt'));
        const { host, username, password } = new URL(url);
        const commands = commandsOfPage()
          .replaceAll('s3://backups/db', store)
          .replaceAll('postgres@localhost:5432', `${username}@${host}`)
          .replaceAll(/\bshop(?=_restored|_broken|\b)/g, name);
        // The session of this test is connected all the while.
        await sql`select 1`;
        execFileSync('bash', ['-euc', commands], {
          cwd: folder,
          stdio: 'pipe',
          env: {
            ...cleanEnvironment(),
            PATH: `${programFolder()}:/usr/lib/postgresql/15/bin:${process.env.PATH}`,
            PGPASSWORD: decodeURIComponent(password),
          },
        });
        const back = connect(databaseUrl(url, name));
        onTestFinished(() => back.end({ timeout: 1 }));
        expect(await back`select count(*)::int as rows from readings`).toEqual([{ rows: 1_000 }]);
        expect(await back`select name from cryptosense_db.environment`).toEqual([
          { name: 'production' },
        ]);
        const found = await admin`
        select datname as name, datistemplate as "isOff", datallowconn as "isOpen" from pg_database
        where datname in (${name}, ${broken}) order by datname`;
        expect(found).toEqual([
          { name, isOff: false, isOpen: true },
          { name: broken, isOff: true, isOpen: true },
        ]);
        const left = connect(databaseUrl(url, broken));
        onTestFinished(() => left.end({ timeout: 1 }));
        expect(await left`select from readings`).toEqual([]);
        const schedulers = await admin`
        select from pg_stat_activity
        where datname = ${broken} and backend_type = 'TimescaleDB Background Worker Scheduler'`;
        expect(schedulers).toEqual([]);
      });
    },
  );
});
