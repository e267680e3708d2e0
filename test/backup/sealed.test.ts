import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { create } from '../../src/backup/create.ts';
import { restore } from '../../src/backup/restore.ts';
import {
  ageKeys,
  connectTo,
  hasPgDump,
  hasTimescaleServer,
  pgDumpMissing,
  restoredName,
  timescaleMissing,
} from '../support/backup.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

const secret = 'S3cretThatNoOneMayRead';

/** Makes an encrypted backup, and returns its manifest as it lies in the store. */
async function backUp(database: { readonly url: string; readonly name: string }) {
  const store = join(temporaryFolder(), 'backups');
  const { recipient, identityFile } = await ageKeys();
  const { id } = await create({ target: database.url, store, recipients: [recipient] });
  const file = join(store, database.name, id, 'manifest.json');
  return { store, id, identityFile, file, text: readFileSync(file, 'utf8') };
}

describe.skipIf(!hasPgDump)(`the manifest of an encrypted backup${pgDumpMissing}`, () => {
  it('seals the settings and the comment of the database, which come back', async () => {
    const database = await scratchDatabase();
    const { sql, name, url } = database;
    await sql.unsafe(`
      alter database "${name}" set app.jwt_secret = '${secret}';
      comment on database "${name}" is 'with ${secret}'`);
    const { text, ...backup } = await backUp(database);
    expect(text).not.toContain(secret);
    const into = restoredName(sql);
    await restore({ ...backup, target: url, into });
    expect(
      await connectTo(url, into)`
        select current_setting('app.jwt_secret') as setting,
          shobj_description(oid, 'pg_database') as comment
        from pg_database where datname = current_database()`,
    ).toMatchObject([{ setting: secret, comment: `with ${secret}` }]);
  });

  it.skipIf(!existsSync('/usr/bin/age'))('is opened by age, as docs/backup.md says', async () => {
    const database = await scratchDatabase();
    await database.sql.unsafe(`alter database "${database.name}" set app.jwt_secret = '${secret}'`);
    const { text, identityFile } = await backUp(database);
    const opened = execFileSync('age', ['--decrypt', '--identity', identityFile], {
      input: JSON.parse(text).sealed,
    });
    expect(JSON.parse(opened.toString()).settings).toContain(
      `ALTER DATABASE %DATABASE% SET "app.jwt_secret" TO '${secret}'`,
    );
  });

  it.skipIf(!hasTimescaleServer)(
    `seals the configurations of jobs, which are compared all the same${timescaleMissing}`,
    async () => {
      const database = await scratchDatabase(inject('timescaleUrl'));
      const { sql, url } = database;
      await sql.unsafe(`
        create extension if not exists timescaledb;
        create procedure send(job_id int, config jsonb) language sql as 'select 1';
        select add_job('send', '1 day', config => '{"token": "${secret}"}')`);
      const { text, ...backup } = await backUp(database);
      expect(text).not.toContain(secret);
      const into = restoredName(sql);
      await restore({ ...backup, target: url, into });
      expect(
        await connectTo(url, into)`
          select config->>'token' as token from timescaledb_information.jobs where proc_name = 'send'`,
      ).toMatchObject([{ token: secret }]);
      // Any other configuration is a difference, which does not show it.
      const { sealed: _, ...open } = JSON.parse(text);
      writeFileSync(backup.file, JSON.stringify(open));
      await expect(
        restore({ ...backup, target: url, into: restoredName(sql) }),
      ).rejects.toMatchObject({
        code: 'restore-differs',
        details: { differences: [expect.stringMatching(/^job \d+: its config is another one/)] },
      });
    },
  );
});
