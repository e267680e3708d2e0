import { createDecipheriv, createHash } from 'node:crypto';
import bcrypt from 'bcryptjs';
import { describe, expect, it } from 'vitest';
import { alarms } from '../../seeds/story/alarms.ts';
import { developmentPassword, passwordHashes, people } from '../../seeds/story/cast.ts';
import { catalogue } from '../../seeds/story/catalogue.ts';
import { fakerOf, gauss } from '../../seeds/story/chance.ts';
import { seedId, seedIds } from '../../seeds/story/identity.ts';
import { developmentPassphrase, encrypt, inventKey } from '../../seeds/story/keys.ts';
import { assetsAt } from '../../seeds/story/load-set.ts';
import { positions } from '../../seeds/story/positions.ts';
import {
  bitcoinPrices,
  hourlyPrices,
  otherAssets,
  priceHistory,
} from '../../seeds/story/prices.ts';
import { walk } from '../../seeds/story/walk.ts';

const now = new Date('2026-11-22T10:00:00Z');
const setting = { seed: 7, scale: 20, now };

it.each(passwordHashes)(
  'the hash %s is bcrypt of the documented password at cost 12',
  async (hash) => {
    expect(bcrypt.getRounds(hash)).toBe(12);
    expect(await bcrypt.compare(developmentPassword, hash)).toBe(true);
    expect(await bcrypt.compare(`${developmentPassword}x`, hash)).toBe(false);
  },
);

describe("Bitcoin's series", () => {
  const prices = bitcoinPrices({ seed: 7, now });
  const values = prices.map(({ priceUsd }) => priceUsd);

  it('has 1,440 minutes and ends a minute ago', () => {
    expect(prices).toHaveLength(1_440);
    const gaps = prices.slice(1).map(({ time }, index) => +time - +(prices[index]?.time ?? 0));
    expect(new Set(gaps)).toEqual(new Set([60_000]));
    expect(prices.at(-1)?.time).toEqual(new Date('2026-11-22T09:59:00Z'));
  });

  it.each([0, 1, 2, 3, 99, 12_345])('stays within its bounds with seed %i', (seed) => {
    for (const { priceUsd } of bitcoinPrices({ seed, now })) {
      expect(priceUsd).toBeGreaterThanOrEqual(42_500);
      expect(priceUsd).toBeLessThanOrEqual(43_500);
    }
  });

  it('ends at the price that the holdings have', () => {
    expect(values.at(-1)).toBe(43_000);
  });

  it.each([1, 2, 3, 42])('changes little from minute to minute with seed %i', (seed) => {
    const series = bitcoinPrices({ seed, now }).map(({ priceUsd }) => priceUsd);
    const mean = series.reduce((sum, value) => sum + value, 0) / series.length;
    const spread = series.map((value) => value - mean);
    const variance = spread.reduce((sum, value) => sum + value ** 2, 0);
    const lagged = spread
      .slice(1)
      .reduce((sum, value, index) => sum + value * (spread[index] ?? 0), 0);
    // White noise has none; a line that hardly moves would not be a market.
    expect(lagged / variance).toBeGreaterThan(0.95);
    expect(Math.max(...series) - Math.min(...series)).toBeGreaterThan(150);
    const steps = series.slice(1).map((value, index) => Math.abs(value - (series[index] ?? 0)));
    expect(Math.max(...steps)).toBeLessThan(100);
  });

  it('is the same for one seed and moment, and differs for another seed', () => {
    expect(bitcoinPrices({ seed: 7, now })).toEqual(prices);
    expect(bitcoinPrices({ seed: 8, now })).not.toEqual(prices);
    expect(bitcoinPrices({ seed: 7 + 2 ** 32, now })).not.toEqual(prices);
  });
});

it('every other asset has hourly prices above zero for a week, and the last one is its price', () => {
  for (const asset of otherAssets) {
    const prices = hourlyPrices(asset, { seed: 7, now });
    expect(prices).toHaveLength(168);
    expect(prices.at(-1)?.priceUsd).toBe(asset.priceUsd);
    expect(Math.min(...prices.map(({ priceUsd }) => priceUsd))).toBeGreaterThan(0);
  }
});

it('a random walk stays within its bounds for steps of any length', () => {
  const shape = { end: 10, step: 50, pull: 0, reach: 3 };
  const values = walk(fakerOf(1, 'wild'), 500, shape);
  expect(Math.min(...values)).toBeGreaterThanOrEqual(7);
  expect(Math.max(...values)).toBeLessThanOrEqual(13);
});

it('gauss has mean 0 and standard deviation 1', () => {
  const faker = fakerOf(1, 'gauss');
  const values = Array.from({ length: 20_000 }, () => gauss(faker));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  expect(Math.abs(mean)).toBeLessThan(0.03);
  expect(Math.abs(variance - 1)).toBeLessThan(0.05);
});

describe('positions', () => {
  const all = [...positions(setting)];

  it('equal the sum of the transactions of their asset and portfolio', () => {
    const signs = { buy: 1n, reward: 1n, sell: -1n, transfer: 0n, stake: 0n, unstake: 0n };
    for (const { holdings, transactions } of all) {
      const held = new Map<string, bigint>();
      for (const { asset_symbol: symbol, quantity } of holdings) {
        held.set(symbol, (held.get(symbol) ?? 0n) + unitsOf(quantity));
      }
      for (const { asset_symbol: symbol, quantity, transaction_type: type } of transactions) {
        held.set(symbol, (held.get(symbol) ?? 0n) - signs[type] * unitsOf(quantity));
      }
      expect([...held.values()].every((rest) => rest === 0n)).toBe(true);
    }
  });

  it('are those of the specification for the named users', () => {
    const [main, trading] = all;
    expect(main?.holdings.map((row) => [row.asset_symbol, Number(row.quantity)])).toEqual([
      ['BTC', 1.5],
      ['ETH', 25],
      ['SOL', 500],
    ]);
    expect(trading?.holdings).toEqual([]);
    expect(trading?.transactions).toHaveLength(4);
  });

  it('include 20 holdings and 20 transactions in each of the 5 portfolios of other users', () => {
    const others = all.slice(2);
    expect(others).toHaveLength((3 * setting.scale - 3) * 5);
    for (const { holdings, transactions } of others) {
      expect([holdings.length, transactions.length]).toEqual([20, 20]);
    }
  });

  it('are no older than their portfolio and lie in the past', () => {
    for (const { portfolio, transactions } of all) {
      for (const { transaction_date: at } of transactions) {
        expect(+new Date(at)).toBeGreaterThanOrEqual(+portfolio.createdAt);
        expect(+new Date(at)).toBeLessThanOrEqual(+now);
      }
    }
  });

  it('have amounts above zero, and their connections belong to their portfolio', () => {
    const portfolioOf = new Map(
      [...people(setting)].flatMap(({ connections }) =>
        connections.map(({ id, portfolioId }) => [id, portfolioId] as const),
      ),
    );
    for (const { portfolio, holdings, transactions } of all) {
      expect(holdings.every(({ quantity }) => Number(quantity) > 0)).toBe(true);
      for (const { exchange_connection_id: id } of [...holdings, ...transactions]) {
        if (id) expect(portfolioOf.get(id)).toBe(portfolio.id);
      }
    }
  });

  it('do not sell or transfer more than the portfolio holds at that time', () => {
    for (const { transactions } of all) {
      const balances = new Map<string, number>();
      const inOrder = transactions.toSorted(
        (a, b) => +new Date(a.transaction_date) - +new Date(b.transaction_date),
      );
      for (const { asset_symbol: symbol, quantity, transaction_type: type } of inOrder) {
        const before = balances.get(symbol) ?? 0;
        const amount = Number(quantity);
        if (type === 'buy' || type === 'reward') balances.set(symbol, before + amount);
        else expect(before).toBeGreaterThanOrEqual(amount);
        if (type === 'sell') balances.set(symbol, before - amount);
      }
    }
  });
});

function unitsOf(quantity: unknown): bigint {
  const [whole = '0', fraction = ''] = String(quantity).split('.');
  return BigInt(whole + fraction.padEnd(8, '0'));
}

describe('people', () => {
  it('are three for each unit of the scale', () => {
    expect([...people({ ...setting, scale: 1 })]).toHaveLength(3);
    expect([...people(setting)]).toHaveLength(60);
  });

  it('are the same at a smaller and a larger scale', () => {
    const small = [...people({ ...setting, scale: 3 })];
    expect([...people(setting)].slice(0, 9)).toEqual(small);
  });

  it('are older than their portfolios', () => {
    for (const { createdAt, portfolios, connections } of people(setting)) {
      for (const owned of [...portfolios, ...connections]) {
        expect(+owned.createdAt).toBeGreaterThanOrEqual(+createdAt);
      }
    }
  });
});

it('an invented key is encrypted by AES-256-GCM under the documented passphrase', () => {
  const faker = fakerOf(1, 'keys');
  const key = inventKey(faker);
  const [version, ...parts] = encrypt(key, faker).split(':');
  const [vector, tag, bytes] = parts.map((part) => Buffer.from(part, 'base64'));
  const secret = createHash('sha256').update(developmentPassphrase).digest();
  const decipher = createDecipheriv('aes-256-gcm', secret, vector ?? '').setAuthTag(
    tag ?? Buffer.of(),
  );
  expect(version).toBe('v1');
  expect(vector).toHaveLength(12);
  expect(decipher.update(bytes ?? Buffer.of()).toString() + decipher.final().toString()).toBe(key);
  expect(encrypt(key, faker)).not.toBe(encrypt(key, faker));
});

it('alerts are triggered after their creation and before now', () => {
  for (const { alert, history } of alarms(setting)) {
    for (const { triggered_at: at } of history) {
      expect(+new Date(String(at))).toBeGreaterThanOrEqual(+new Date(String(alert.created_at)));
      expect(+new Date(String(at))).toBeLessThanOrEqual(+now);
    }
  }
});

it.each([1, 2, 3, 7])('an alert of the last day matches the prices with seed %i', (seed) => {
  const prices = bitcoinPrices({ seed, now });
  const [first] = [...alarms({ seed, scale: 1, now })];
  const last = first?.history.at(-1);
  const then = prices.find(({ time }) => +time === +new Date(String(last?.triggered_at)));
  expect(then?.priceUsd.toFixed(8)).toBe(last?.trigger_value);
  expect(then?.priceUsd).toBeGreaterThan(Number(first?.alert.threshold_value));
});

it('an alert that triggers once is inactive after its trigger', () => {
  for (const { alert, history } of alarms(setting)) {
    if (history.length > 0 && !alert.is_recurring) expect(alert.is_active).toBe(false);
  }
});

it('the last daily price of an asset is near the first price of its series', () => {
  for (const asset of catalogue.slice(0, 5)) {
    const series = asset.symbol === 'BTC' ? bitcoinPrices(setting) : hourlyPrices(asset, setting);
    const priceAt = priceHistory(asset, setting);
    for (const { time, priceUsd } of series.slice(0, 50)) expect(priceAt(time)).toBe(priceUsd);
    const before = priceAt(new Date(+(series[0]?.time ?? 0) - 1));
    expect(before / (series[0]?.priceUsd ?? 0)).toBeCloseTo(1, 5);
    expect(priceAt(new Date(+now - 80 * 86_400_000))).toBeGreaterThan(0);
  }
});

it('ids are UUIDs in the range of their table, in order of their numbers', () => {
  const ids = [0, 1, 9, 10, 255, 256, 1_000_000].map((number) => seedId('holdings', number));
  const { from, to } = seedIds('holdings');
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(id >= from && id <= to).toBe(true);
  }
  expect(ids).toEqual(ids.toSorted());
  expect(seedId('users', 1) > to || seedId('users', 1) < from).toBe(true);
});

it('the load set of 10,000 users has fifty assets, and a smaller one those of the catalogue', () => {
  expect(assetsAt(3_333)).toBe(catalogue);
  const assets = assetsAt(3_334);
  expect(assets.slice(0, 20)).toEqual(catalogue);
  expect(assets).toHaveLength(50);
  for (const key of ['symbol', 'coingeckoId', 'name'] as const) {
    expect(new Set(assets.map((asset) => asset[key])).size).toBe(50);
  }
});

it('the catalogue lists each asset once, the largest first', () => {
  const symbols = catalogue.map(({ symbol }) => symbol);
  expect(new Set(symbols).size).toBe(symbols.length);
  const caps = catalogue.map(({ priceUsd, supply }) => priceUsd * supply);
  expect(caps).toEqual(caps.toSorted((a, b) => b - a));
});
