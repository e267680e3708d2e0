import { setTimeout as sleep } from 'node:timers/promises';
import { expect, inject, it } from 'vitest';
import { openPrimary } from '../../src/database/client.ts';
import { openPool } from '../../src/database/pool.ts';
import { parseTarget } from '../../src/database/target.ts';

it('a connection older than the maximum age is replaced, whether it was in use or idle', async () => {
  const target = parseTarget(inject('postgresUrl'), { user: '' });
  if (target.kind === 'embedded') throw new Error('not a server');
  const settings = { maxConnections: 1, idleTimeoutMs: 60_000, connectTimeoutMs: 20_000 };
  const maxAgeMs = 500;
  const pool = openPool(() => openPrimary(target, {}), { ...settings, maxAgeMs });
  const pidAfter = async ({ beforeMs = 0, inUseMs = 0 }) => {
    await sleep(beforeMs);
    const { client, release } = await pool.lease();
    await sleep(inUseMs);
    release();
    return client.pid;
  };
  const first = await pidAfter({});
  expect(await pidAfter({})).toBe(first);
  const second = await pidAfter({ beforeMs: maxAgeMs, inUseMs: maxAgeMs });
  expect(second).not.toBe(first);
  expect(await pidAfter({})).not.toBe(second);
  await pool.end();
});
