import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { callCli } from '../support/cli.ts';
import { temporaryFolder } from '../support/fixtures.ts';

it('a check asks the server of the environment for its WAL only where --rpo is given', async () => {
  const store = join(temporaryFolder(), 'store');
  mkdirSync(store);
  const env = { BACKUP_STORE: store, DATABASE_URL: 'postgresql://127.0.0.1:1/none' };
  const words = ['backup', 'check', '--json'];
  const withoutServer = await callCli(words, { env });
  expect(JSON.parse(withoutServer.stdout)).toMatchObject({ problems: [{ kind: 'no backup' }] });
  expect(withoutServer.code).toBe(1);
  const withServer = await callCli([...words, '--rpo', '1h'], { env });
  expect(JSON.parse(withServer.stdout)).toMatchObject({ error: { code: 'server-unreachable' } });
  expect(withServer.code).toBe(2);
});
