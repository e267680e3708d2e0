import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type KeyDefinition, keyOf, keyPrefix, keyspace } from '../../src/cache/keyspace.ts';
import { queueDefinitions } from '../../src/cache/queues.ts';
import { dayMs } from '../../src/runtime/days.ts';

const page = readFileSync('docs/cache.md', 'utf8');

function lifeOf({ lifetimeMs }: KeyDefinition): string {
  if (lifetimeMs === undefined) return 'until deleted';
  return lifetimeMs >= dayMs ? `${lifetimeMs / dayMs} days` : `${lifetimeMs / 1_000} s`;
}

describe('docs/cache.md', () => {
  it('has a row for each key of the keyspace, and no other', () => {
    const rows = Object.values<KeyDefinition>(keyspace).map((key) => {
      const fields = Object.entries(key.fields).map(([name, kind]) => `\`${name}\` ${kind}`);
      const cells = [`\`${key.pattern}\``, key.type, fields.join(', '), lifeOf(key)];
      return `| ${[...cells, key.writers.join(', '), key.readers.join(', ')].join(' | ')} |`;
    });
    const [, table = ''] = /\| key \|.*\n\|[-|]+\n((?:\|.*\n)+)/.exec(page) ?? [];
    expect(table.trim().split('\n')).toEqual(rows);
    expect(page).toContain(`\`${keyPrefix('cryptosense')}\``);
  });

  it('has a row for each queue, and no other', () => {
    const rows = Object.entries(queueDefinitions).map(
      ([name, { purpose }]) => `| \`${name}\` | ${purpose} |`,
    );
    const [, table = ''] = /\| queue \|.*\n\|[-|]+\n((?:\|.*\n)+)/.exec(page) ?? [];
    expect(table.trim().split('\n')).toEqual(rows);
  });
});

it('the keys of a price and its lock, and those of a queue, have one hash tag each', () => {
  const tagOf = (key: string) => /\{(.+?)\}/.exec(key)?.[1];
  expect(tagOf(keyOf('price', 'x', 'BTC'))).toBe(tagOf(keyOf('priceLock', 'x', 'ETH')));
  expect(tagOf(keyOf('queue', 'x', 'notifications'))).toBe('notifications');
});
