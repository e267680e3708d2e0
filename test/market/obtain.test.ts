import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type MarketOptions, obtainMarket } from '../../src/market/obtain.ts';
import { type Coin, coin, coins, startCoinGecko } from '../support/coingecko.ts';
import { temporaryFolder } from '../support/fixtures.ts';

/** Writes an answer to a file, as `from` reads it. */
function savedAnswer(rows: readonly Coin[]): string {
  const file = join(temporaryFolder(), 'answer.json');
  writeFileSync(file, JSON.stringify({ takenAt: '2026-11-22T10:00:00Z', rows }));
  return file;
}

describe('an answer', () => {
  it.each<[string, readonly Coin[], string]>([
    ['too large a price', [coin(1, { current_price: 1e12 })], 'current_price is 1000000000000'],
    [
      'too large a market cap',
      [coin(1, { market_cap: 1e18 })],
      'market_cap is 1000000000000000000',
    ],
    ['too large a volume', [coin(1, { total_volume: 1e21 })], 'total_volume is 1e+21'],
    [
      'too large a change',
      [coin(1, { price_change_percentage_24h_in_currency: 1e9 })],
      'price_change_percentage_24h_in_currency is 1000000000',
    ],
    ['a rank of zero', [coin(1, { market_cap_rank: 0 })], 'market_cap_rank is 0'],
    ['a negative price', [coin(1, { current_price: -1 })], 'current_price is -1'],
    ['a price in words', [coin(1, { current_price: '7' })], 'current_price is "7"'],
    ['one id twice', [coin(1), coin(2), coin(1)], '"coin-1" appears twice'],
    ['no id', [coin(1, { id: undefined })], 'row 1 has no id'],
    ['an empty id', [coin(1, { id: '' })], 'id is ""'],
    ['an id of null', [coin(1, { id: null })], 'id is null'],
    ['too long a name', [coin(1, { name: 'x'.repeat(256) })], 'which is longer than the 255'],
    ['a time in words', [coin(1, { last_updated: 'soon' })], 'last_updated is "soon"'],
    ['a year only', [coin(1, { last_updated: '1' })], 'last_updated is "1"'],
    [
      'a time before Bitcoin',
      [coin(1, { last_updated: '0000-01-01T00:00:00Z' })],
      'last_updated is',
    ],
    [
      'a time in the future',
      [coin(1, { last_updated: '2099-01-01T00:00:00Z' })],
      'last_updated is',
    ],
    ['a NUL in its name', [coin(1, { name: 'a\0b' })], 'which has a control character'],
    ['an escape in its id', [coin(1, { id: 'a\u001b[31mb' })], 'which has a control character'],
    [
      'a change that rounds to too much',
      [coin(1, { price_change_percentage_7d_in_currency: 99_999_999.999 })],
      'is too large for its column',
    ],
  ])('is refused with %s', async (_, rows, fact) => {
    const refused = obtainMarket({ from: savedAnswer(rows), top: rows.length });
    await expect(refused).rejects.toMatchObject({ code: 'faulty-answer' });
    await expect(refused).rejects.toThrow(fact);
  });

  it('is refused with an error that lists ten faults and the number of other faults', async () => {
    const rows = Array.from({ length: 14 }, (_, index) => coin(index + 1, { name: '' }));
    const refused = obtainMarket({ from: savedAnswer(rows), top: 14 });
    await expect(refused).rejects.toMatchObject({ problems: { length: 12 } });
    await expect(refused).rejects.toThrow('and 4 more faults');
  });

  it('is returned with symbols in upper case and texts without surrounding space', async () => {
    const { assets } = await obtainMarket({
      from: savedAnswer([coin(1, { symbol: ' btc ', name: ' Bitcoin ' })]),
      top: 1,
    });
    expect(assets).toMatchObject([{ symbol: 'BTC', name: 'Bitcoin' }]);
  });

  it('is checked for the first `top` assets only', async () => {
    const from = savedAnswer([coin(1), coin(2, { id: '' })]);
    expect((await obtainMarket({ from, top: 1 })).assets).toHaveLength(1);
  });
});

describe('a saved answer', () => {
  it.each([
    ['not JSON', '{"rows": [', 'it is not JSON'],
    ['an unknown object', '{"coins": []}', 'it is neither a file of --save'],
    ['a number', '7', 'it is neither a file of --save'],
    ['without its time', '{"rows": []}', 'it is neither a file of --save'],
    ['an array without any time', '[1, null]', 'none of its rows has a last_updated'],
    [
      'a list of other values',
      '{"takenAt": "2026-01-01T00:00:00Z", "rows": [1, null]}',
      'row 1 is not an object',
    ],
    [
      'of a time in the future',
      '{"takenAt": "2099-01-01T00:00:00Z", "rows": []}',
      'which is in the future',
    ],
  ])('is refused when it is %s', async (_, text, fact) => {
    const file = join(temporaryFolder(), 'answer.json');
    writeFileSync(file, text);
    const refused = obtainMarket({ from: file, top: 2 });
    await expect(refused).rejects.toMatchObject({ code: 'faulty-answer' });
    await expect(refused).rejects.toThrow(fact);
  });

  it('is refused when its file does not exist or cannot be written', async () => {
    const file = join(temporaryFolder(), 'no', 'such', 'folder.json');
    await expect(obtainMarket({ from: file })).rejects.toMatchObject({ code: 'file-problem' });
    const server = await startCoinGecko(coins(100));
    await expect(obtainMarket({ save: file, baseUrl: server.baseUrl })).rejects.toMatchObject({
      code: 'file-problem',
    });
    expect(server.asked).toHaveLength(0);
  });

  it("is not written when CoinGecko's answer is faulty", async () => {
    const server = await startCoinGecko(coins(3));
    const file = join(temporaryFolder(), 'answer.json');
    writeFileSync(file, 'previous text');
    await expect(
      obtainMarket({ save: file, baseUrl: server.baseUrl, top: 4 }),
    ).rejects.toMatchObject({ code: 'faulty-answer' });
    expect(readFileSync(file, 'utf8')).toBe('previous text');
  });
});

it('the snapshot refuses a request for more assets than it has', async () => {
  await expect(obtainMarket({ offline: true, top: 101 })).rejects.toThrow(
    'it has 100 of the 101 requested assets',
  );
});

describe('the options', () => {
  it.each<[MarketOptions, string]>([
    [{ top: 0 }, 'top is 0'],
    [{ top: 1.5 }, 'top is 1.5'],
    [{ top: 50_001 }, 'top is 50001'],
    [{ from: 'a', offline: true }, 'name one of them'],
    [{ save: 'a', offline: true }, 'CoinGecko is not asked'],
    [{ save: 'a', from: 'b' }, 'CoinGecko is not asked'],
    [{ baseUrl: 'ftp://x' }, 'not an http:// or https:// URL'],
    [{ baseUrl: 'http://[bad/api' }, 'not an http:// or https:// URL'],
    [{ baseUrl: 'http://127.0.0.1:99999/api' }, 'not an http:// or https:// URL'],
    [{ baseUrl: 'http://user:pw@mirror/api' }, 'without user and password'],
    [{ apiKey: 'CG-SECRÉT€' }, 'COINGECKO_API_KEY has characters'],
    [{ apiKey: 'CG secret' }, 'COINGECKO_API_KEY has characters'],
    [{ plan: 'pro' }, 'needs its key'],
  ])('are refused when they are %j', async (options, fact) => {
    const refused = obtainMarket(options);
    await expect(refused).rejects.toMatchObject({ code: 'bad-configuration' });
    await expect(refused).rejects.toThrow(fact);
  });
});
