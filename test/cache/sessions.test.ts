import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cache } from '../../src/cache.ts';
import {
  hasRedis,
  openTestCache,
  type RedisServer,
  startRedis,
  stopRedis,
  withoutRedis,
} from '../support/redis.ts';

interface Data {
  readonly role: string;
}

const weekMs = 7 * 86_400_000;
let redis: RedisServer;
beforeAll(async () => {
  if (hasRedis) redis = await startRedis();
});
afterAll(stopRedis);

function open(): Cache<Data> {
  return openTestCache<Data>({ target: redis.url, prefix: randomUUID() });
}

describe.skipIf(!hasRedis)(`sessions${withoutRedis}`, () => {
  it('come back with their data, until they are destroyed', async () => {
    const { sessions } = open();
    const userId = randomUUID();
    const id = await sessions.create(userId, { role: 'admin' });
    expect(Buffer.from(id, 'base64url')).toHaveLength(32);
    expect(await sessions.get(id)).toEqual({
      userId,
      data: { role: 'admin' },
      createdAt: expect.any(Date),
    });
    expect(await sessions.destroy(id)).toBe(true);
    expect(await sessions.get(id)).toBeUndefined();
    expect(await sessions.destroy(id)).toBe(false);
    expect(await sessions.touch(id)).toBe(false);
  });

  it('are stored without their ids', async () => {
    const prefix = randomUUID();
    const { sessions } = openTestCache<Data>({ target: redis.url, prefix });
    const id = await sessions.create(randomUUID(), { role: 'user' });
    const keys = (await redis.ask('KEYS', `${prefix}:*`)) as string[];
    const values = await Promise.all(
      keys.map((key) =>
        redis.ask(...(key.includes('user-') ? ['ZRANGE', key, '0', '-1'] : ['GET', key])),
      ),
    );
    expect(keys).toHaveLength(2);
    expect(JSON.stringify([keys, values])).not.toContain(id);
  });

  it('live seven days, and seven more from each touch on', async () => {
    const prefix = randomUUID();
    const { sessions } = openTestCache<Data>({ target: redis.url, prefix });
    const id = await sessions.create(randomUUID(), { role: 'user' });
    const keys = (await redis.ask('KEYS', `${prefix}:*`)) as string[];
    const lives = () => Promise.all(keys.map(async (key) => Number(await redis.ask('PTTL', key))));
    for (const life of await lives()) expect(life).toBeGreaterThan(weekMs - 60_000);
    for (const key of keys) await redis.ask('PEXPIRE', key, '60000');
    await sessions.get(id);
    for (const life of await lives()) expect(life).toBeLessThanOrEqual(60_000);
    expect(await sessions.touch(id)).toBe(true);
    for (const life of await lives()) {
      expect(life).toBeGreaterThan(weekMs - 60_000);
      expect(life).toBeLessThanOrEqual(weekMs);
    }
  });

  it('of one user are all destroyed at once, and those of others stay', async () => {
    const { sessions } = open();
    const [one, other] = [randomUUID(), randomUUID()];
    const ids = await Promise.all([1, 2, 3].map(() => sessions.create(one, { role: 'user' })));
    const kept = await sessions.create(other, { role: 'user' });
    await sessions.destroy(ids[0] ?? '');
    expect(await sessions.destroyAllOf(one)).toBe(2);
    expect(await Promise.all(ids.map(sessions.get))).toEqual([undefined, undefined, undefined]);
    expect(await sessions.get(kept)).toBeDefined();
    expect(await sessions.destroyAllOf(one)).toBe(0);
  });

  it('that are made while all are destroyed are destroyed, or belong to the next time', async () => {
    const { sessions } = open();
    const userId = randomUUID();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 300 }, (_, at) =>
        at % 10 === 5 ? sessions.destroyAllOf(userId) : sessions.create(userId, { role: 'user' }),
      ),
    );
    const made = outcomes.flatMap((each) =>
      each.status === 'fulfilled' && typeof each.value === 'string' ? [each.value] : [],
    );
    const refused = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const error of refused) expect(error).toMatchObject({ code: 'session-revoked' });
    await sessions.destroyAllOf(userId);
    const left = await Promise.all(made.map(sessions.get));
    expect(left.filter((session) => session !== undefined)).toEqual([]);
  });

  it('that have ended leave the list of their user with the next login', async () => {
    const prefix = randomUUID();
    const { sessions } = openTestCache<Data>({ target: redis.url, prefix });
    const userId = randomUUID();
    const index = `${prefix}:v1:user-sessions:${userId}`;
    await redis.ask('ZADD', index, '1000', 'ended', '0', 'to be destroyed');
    await sessions.create(userId, { role: 'user' });
    const members = (await redis.ask('ZRANGE', index, '0', '-1')) as string[];
    expect(members).toHaveLength(2);
    expect(members).not.toContain('ended');
  });

  it('are not found by what is no id, and take no user id that is no UUID', async () => {
    const { sessions } = open();
    expect(await sessions.get('../../x')).toBeUndefined();
    expect(await sessions.get('')).toBeUndefined();
    const refusal = { code: 'bad-configuration' };
    await expect(sessions.create('{me}', { role: 'x' })).rejects.toMatchObject(refusal);
    await expect(sessions.create(randomUUID(), undefined as never)).rejects.toMatchObject(refusal);
  });
});
