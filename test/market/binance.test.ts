import { describe, expect, it } from 'vitest';
import type { Interval, Price } from '../../src/market/prices.ts';
import { createSource, type SourceOptions } from '../../src/market/sources.ts';
import { type BinanceServer, type DumpFaults, klinesOf, startBinance } from '../support/binance.ts';

const bitcoin = { id: 'bitcoin', symbol: 'BTC', name: 'Bitcoin' };
const now = Date.parse('2026-03-20T09:30:00Z');

interface Wanted {
  readonly from: string;
  readonly to: string;
  readonly interval?: Interval;
  readonly asset?: typeof bitcoin;
  readonly options?: SourceOptions;
}

async function read(
  { baseUrl }: BinanceServer,
  { from, to, interval = 'hourly', asset = bitcoin, options }: Wanted,
) {
  const source = createSource('binance', { baseUrl, retryDelayMs: 1, ...options }, { now });
  const range = { from: Date.parse(`${from}Z`), to: Date.parse(`${to}Z`) };
  const prices: Price[] = [];
  for (const query of source.split({ asset, interval, range })) {
    for await (const price of source.read(query)) prices.push(price);
  }
  return prices;
}

const hours = (prices: readonly Price[]) =>
  prices.map(({ time }) => new Date(time).toISOString().slice(5, 13));
const year = {
  'BTCUSDT-1h-2024-12': klinesOf('2024-12-01T00:00Z', '2025-01-01T00:00Z'),
  // Since 2025 the dumps have microseconds.
  'BTCUSDT-1h-2025-01': klinesOf('2025-01-01T00:00Z', '2025-02-01T00:00Z', { unit: 1_000 }),
};
const start = (faults?: DumpFaults) => startBinance(year, faults);

describe("Binance's dumps", () => {
  it('give the open of every hour, in milliseconds and microseconds', async () => {
    const server = await start();
    const prices = await read(server, { from: '2024-12-01T00:00', to: '2025-02-01T00:00' });
    expect(prices).toHaveLength(62 * 24);
    expect(new Set(prices.map(({ time }) => time)).size).toBe(62 * 24);
    expect(prices[0]).toEqual({
      symbol: 'BTC',
      time: Date.parse('2024-12-01T00:00Z'),
      priceUsd: `${40_000 + ((Date.parse('2024-12-01T00:00Z') / 3_600_000) % 100)}.5`,
      marketCapUsd: null,
      // Nothing is known of the 24 hours before the first dump.
      volume24hUsd: null,
    });
    expect(prices[24]?.volume24hUsd).toBe('2406.00');
    expect(prices.at(-1)?.volume24hUsd).toBe('2406.00');
  });

  it('give the volume of the 24 hours before the range', async () => {
    const server = await start();
    const prices = await read(server, { from: '2025-01-01T00:00', to: '2025-02-01T00:00' });
    expect(prices[0]?.volume24hUsd).toBe('2406.00');
    expect(server.asked.map((path) => path.split('/').at(-1))).toEqual([
      'BTCUSDT-1h-2024-12.zip',
      'BTCUSDT-1h-2024-12.zip.CHECKSUM',
      'BTCUSDT-1h-2025-01.zip',
      'BTCUSDT-1h-2025-01.zip.CHECKSUM',
    ]);
  });

  it('are read by day for the month that is not over', async () => {
    const server = await startBinance({
      'BTCUSDT-1h-2026-03-17': klinesOf('2026-03-17T00:00Z', '2026-03-18T00:00Z'),
      'BTCUSDT-1h-2026-03-18': klinesOf('2026-03-18T00:00Z', '2026-03-19T00:00Z'),
    });
    const prices = await read(server, { from: '2026-03-18T00:00', to: '2026-03-20T09:00' });
    expect(hours(prices)).toHaveLength(24);
    expect(prices.every(({ volume24hUsd }) => volume24hUsd === '2406.00')).toBe(true);
  });

  it('have no prices before the listing of an asset, which takes three requests a month', async () => {
    const server = await start();
    expect(await read(server, { from: '2020-01-02T00:00', to: '2020-03-01T00:00' })).toEqual([]);
    expect(server.asked.map((path) => path.split('/').at(-1))).toEqual([
      'BTCUSDT-1h-2020-01.zip',
      'BTCUSDT-1h-2020-01-31.zip',
      'BTCUSDT-1h-2020-01-01.zip',
      'BTCUSDT-1h-2020-02.zip',
      'BTCUSDT-1h-2020-02-29.zip',
      'BTCUSDT-1h-2020-02-01.zip',
    ]);
  });

  it.each([
    ['2025-01-01T00:00', '2025-01-02T00:00', 24],
    ['2025-01-31T12:00', '2025-02-01T00:00', 12],
  ])('of an old month give the hours from %s to %s', async (from, to, count) => {
    const prices = await read(await start(), { from, to });
    expect(prices).toHaveLength(count);
    expect(prices.every(({ volume24hUsd }) => volume24hUsd === '2406.00')).toBe(true);
  });

  it.each([
    ['from a listing on', ['29', '30', '31']],
    ['but for the last day', ['01', '02', '30']],
    ['until the end of a listing', ['01', '02', '03']],
  ])('of the days of a month are read where there is none of the month, %s', async (_, days) => {
    const dumps = days.map((day) => {
      return [
        `BTCUSDT-1h-2024-05-${day}`,
        klinesOf(`2024-05-${day}T00:00Z`, `2024-05-${day}T24:00Z`),
      ];
    });
    const server = await startBinance(Object.fromEntries(dumps));
    const prices = await read(server, { from: '2024-05-01T00:00', to: '2024-06-01T00:00' });
    expect(prices).toHaveLength(3 * 24);
  });

  it('are counted before they are requested, and the address is that of the first one of the range', async () => {
    const server = await start();
    const source = createSource('binance', { baseUrl: server.baseUrl }, { now });
    const queriesOf = (from: string, to: string) =>
      source.split({
        asset: bitcoin,
        interval: 'hourly',
        range: { from: Date.parse(from), to: Date.parse(to) },
      });
    const [january, ...others] = queriesOf('2025-01-01', '2025-03-01');
    // Two requests a dump; the first query needs the last day of December.
    expect([january, ...others].map((query) => query?.requests)).toEqual([4, 2]);
    expect(queriesOf('2026-03-16', '2026-03-20').map(({ requests }) => requests)).toEqual([10]);
    const addressOf = (from: string, to: string) =>
      queriesOf(from, to).map(source.address)[0]?.split('/').at(-1);
    expect(addressOf('2025-01-01', '2025-01-02')).toBe('BTCUSDT-1h-2025-01.zip');
    expect(addressOf('2026-03-16', '2026-03-20')).toBe('BTCUSDT-1h-2026-03-16.zip');
  });

  it('leave out hours that are missing, and keep one of two with the same time', async () => {
    const text = klinesOf('2024-12-01T00:00Z', '2024-12-02T00:00Z', { skip: [3, 4] });
    const [first = '', ...others] = text.trim().split('\n');
    const shuffled = [...others.reverse(), first, first].join('\n');
    const server = await startBinance({ 'BTCUSDT-1h-2024-12': shuffled });
    const prices = await read(server, { from: '2024-12-01T00:00', to: '2025-01-01T00:00' });
    expect(hours(prices)).toHaveLength(22);
    expect(hours(prices).slice(0, 4)).toEqual(['12-01T00', '12-01T01', '12-01T02', '12-01T05']);
  });

  it.each([
    ['429', [429]],
    ['500 and 503', [500, 503]],
    ['an answer that is cut off', ['cut', 'cut']],
  ] as const)('are asked for again after %s', async (_, faults) => {
    const server = await start({ 'BTCUSDT-1h-2025-01': faults });
    const prices = await read(server, { from: '2025-01-01T00:00', to: '2025-02-01T00:00' });
    expect(prices).toHaveLength(31 * 24);
  });

  it('are refused when the checksum is another', async () => {
    const server = await start({ 'BTCUSDT-1h-2025-01': ['damaged'] });
    const done = read(server, { from: '2025-01-01T00:00', to: '2025-02-01T00:00' });
    await expect(done).rejects.toMatchObject({
      code: 'source-failed',
      message: expect.stringContaining('is damaged'),
    });
  });

  it('are refused after five answers of 500, and at once after 403', async () => {
    const broken = await start({ 'BTCUSDT-1h-2025-01': [500, 500, 500, 500, 500] });
    const range = { from: '2025-01-01T00:00', to: '2025-02-01T00:00' };
    await expect(read(broken, range)).rejects.toMatchObject({
      code: 'source-failed',
      details: { status: 500, attempts: 5 },
    });
    const forbidden = await start({ 'BTCUSDT-1h-2025-01': [403] });
    await expect(read(forbidden, range)).rejects.toMatchObject({
      details: { status: 403, attempts: 1 },
    });
  });

  it('are refused at once where the host asks to wait an hour', async () => {
    const server = await start({ 'BTCUSDT-1h-2025-01': ['busy'] });
    const done = read(server, { from: '2025-01-02T00:00', to: '2025-02-01T00:00' });
    await expect(done).rejects.toMatchObject({
      details: { status: 429, attempts: 1 },
      problems: [
        {
          evidence: expect.arrayContaining([expect.stringContaining('asks to wait 3600 s')]),
          hint: expect.stringContaining('wait 60 minutes, and run the command again'),
        },
      ],
    });
  });

  it('are refused with file and line when a row is not a candle', async () => {
    const server = await startBinance({ 'BTCUSDT-1h-2024-12': '1733011200000,abc,1,1,1,1,1,1\n' });
    const done = read(server, { from: '2024-12-01T00:00', to: '2025-01-01T00:00' });
    await expect(done).rejects.toMatchObject({
      code: 'faulty-answer',
      message: expect.stringContaining('BTCUSDT-1h-2024-12.csv:1: it is not a row of a kline file'),
    });
  });

  it('are asked for under the name that an asset had at the time', async () => {
    const polygon = { id: 'polygon-ecosystem-token', symbol: 'POL', name: 'Polygon' };
    const server = await startBinance({
      'MATICUSDT-1h-2024-08': klinesOf('2024-08-01T00:00Z', '2024-09-01T00:00Z'),
      'POLUSDT-1h-2024-10': klinesOf('2024-10-01T00:00Z', '2024-11-01T00:00Z'),
    });
    const prices = await read(server, {
      asset: polygon,
      from: '2024-08-01T00:00',
      to: '2024-11-01T00:00',
    });
    expect(prices).toHaveLength(62 * 24);
    expect(prices.every(({ symbol }) => symbol === 'POL')).toBe(true);
  });

  it('are read under both names for the month in which an asset was renamed', async () => {
    const polygon = { id: 'polygon-ecosystem-token', symbol: 'POL', name: 'Polygon' };
    const server = await startBinance({
      'MATICUSDT-1h-2024-09': klinesOf('2024-09-01T00:00Z', '2024-09-10T03:00Z'),
      'POLUSDT-1h-2024-09': klinesOf('2024-09-13T10:00Z', '2024-10-01T00:00Z'),
    });
    const wanted = { asset: polygon, from: '2024-09-01T00:00', to: '2024-10-01T00:00' };
    const prices = await read(server, wanted);
    expect(prices).toHaveLength(9 * 24 + 3 + 14 + 17 * 24);
    const times = prices.map(({ time }) => time);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(hours(prices)).toContain('09-10T02');
    expect(hours(prices)).toContain('09-13T10');
    const before = server.asked.length;
    await read(server, { ...wanted, to: '2024-09-05T00:00' });
    expect(server.asked.slice(before).some((path) => path.includes('POLUSDT'))).toBe(false);
  });

  it('need a pair for an asset that the table lacks', async () => {
    const unknown = { id: 'coin-1', symbol: 'C1', name: 'Coin 1' };
    const sourceOf = (options: SourceOptions) => createSource('binance', options, { now });
    expect(sourceOf({}).findUnknown([bitcoin, unknown])).toEqual([
      { asset: unknown, hint: 'name its pair on Binance: --pair C1=C1USDT' },
    ]);
    const tether = { id: 'tether', symbol: 'USDT', name: 'Tether' };
    expect(sourceOf({}).findUnknown([tether])).toEqual([
      { asset: tether, hint: 'leave it out: prices are in USDT; or use --source coingecko' },
    ]);
    expect(sourceOf({ pairs: { C1: 'C1BUSD' } }).findUnknown([bitcoin, unknown])).toEqual([]);
  });
});
