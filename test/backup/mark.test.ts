import { join } from 'node:path';
import type { Sql } from 'postgres';
import { describe, expect, it } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { restore } from '../../src/backup/restore.ts';
import { mark } from '../../src/databases/lifecycle.ts';
import { connectTo, hasPgDump, pgDumpMissing, restoredName } from '../support/backup.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

const storeFolder = () => join(temporaryFolder(), 'backups');

const readMarks = (sql: Sql) => sql`
  select name, (select detail from cryptosense_db.migration_log order by id desc limit 1) as detail
  from cryptosense_db.environment`;

describe.skipIf(!hasPgDump)(`the mark of a restored database${pgDumpMissing}`, () => {
  it('is test for a copy of production that has no migrations yet', async () => {
    const { url, sql, name } = await scratchDatabase();
    await mark({ target: url, environment: 'production' });
    const store = storeFolder();
    const { id } = await create({ target: url, store });
    const into = restoredName(sql);
    expect(await restore({ target: url, store, id, into })).toMatchObject({ mark: 'test' });
    expect(await readMarks(connectTo(url, into))).toMatchObject([
      {
        name: 'test',
        detail: `it was production; restored from the backup ${id} of ${name}`,
      },
    ]);
  });

  it('is written also where the backup has no ledger, when it is asked for', async () => {
    const { url, sql, name } = await scratchDatabase();
    const store = storeFolder();
    const { id } = await create({ target: url, store });
    const into = restoredName(sql);
    const options = { target: url, store, id, into };
    expect(await restore({ ...options, mark: 'staging' })).toMatchObject({ mark: 'staging' });
    expect(await readMarks(connectTo(url, into))).toMatchObject([
      {
        name: 'staging',
        detail: `it had no mark; restored from the backup ${id} of ${name}`,
      },
    ]);
    const other = restoredName(sql);
    expect((await restore({ ...options, into: other })).mark).toBeUndefined();
    expect(
      await connectTo(url, other)`select to_regnamespace('cryptosense_db') is null as "isPlain"`,
    ).toMatchObject([{ isPlain: true }]);
  });
});
