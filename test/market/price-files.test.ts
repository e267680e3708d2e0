import { execFileSync } from 'node:child_process';
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLines } from '../../src/market/archive.ts';
import { baseOfKrakenPair, baseOfPair } from '../../src/market/pairs.ts';
import { formatOf, listPriceFiles, openPriceFile } from '../../src/market/price-files.ts';
import type { Price } from '../../src/market/prices.ts';
import { klinesOf } from '../support/binance.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { zipOf } from '../support/zip.ts';

describe('the files of a folder', () => {
  it('are those with prices, and those that links lead to', async () => {
    const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
    for (const name of ['b.csv', 'a.zip', 'notes.txt']) writeFileSync(join(folder, name), '');
    writeFileSync(join(elsewhere, 'data'), '');
    symlinkSync(join(elsewhere, 'data'), join(folder, 'c.csv'));
    symlinkSync(elsewhere, join(folder, 'd.csv'));
    const paths = ['a.zip', 'b.csv', 'c.csv'].map((name) => join(folder, name));
    expect(await listPriceFiles(folder)).toEqual(paths);
  });

  it.runIf(process.platform !== 'win32')('do not include a pipe, which is refused', async () => {
    const pipe = join(temporaryFolder(), 'a.csv');
    execFileSync('mkfifo', [pipe]);
    await expect(listPriceFiles(pipe)).rejects.toMatchObject({
      code: 'file-problem',
      problems: [{ evidence: ['it is neither a file nor a folder'] }],
    });
  });
});

it.runIf(process.platform === 'linux')('a zip is open only while it is read', async () => {
  const path = join(temporaryFolder(), 'a.zip');
  const line = `${'7'.repeat(99)}\n`;
  writeFileSync(path, zipOf({ 'a.csv': line.repeat(20_000), 'b.csv': 'b\n' }));
  const countOpen = () => readdirSync('/proc/self/fd').length;
  const before = countOpen();
  const files = await openPriceFile(path);
  await expect.poll(countOpen).toBe(before);
  for (const file of files) {
    let lines = 0;
    for await (const batch of readLines(file)) lines += batch.length;
    expect(lines).toBe(file.name === 'a.csv' ? 20_000 : 1);
  }
  await expect.poll(countOpen).toBe(before);
  // A reader that stops early.
  for (const file of files) for await (const _ of readLines(file)) break;
  await expect.poll(countOpen).toBe(before);
});

/** The prices of a file on the disk with this name and text. */
async function pricesOf(name: string, text: string): Promise<readonly Price[]> {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, text);
  const prices: Price[] = [];
  for (const file of await openPriceFile(path)) {
    const format = formatOf(file, { quote: 'USDT', pairs: {} });
    for await (const batch of format?.read(file, 0) ?? []) prices.push(...batch.prices);
  }
  return prices;
}

describe('a file of candles', () => {
  const name = 'DOGEUSDT-1h-2026-01.csv';
  const lines = klinesOf('2026-01-01T00:00Z', '2026-01-03T00:00Z').trim().split('\n');

  it('gives the volume of 24 hours, in which a repeated line counts once', async () => {
    const repeated = lines.toSpliced(29, 0, lines[29] ?? '').join('\n');
    const prices = await pricesOf(name, repeated);
    const isRepeated = ({ time }: Price, index: number) => time === prices[index - 1]?.time;
    expect(prices.filter(isRepeated)).toHaveLength(1);
    const volumes = prices.filter((price, index) => !isRepeated(price, index)).slice(24);
    expect(volumes.map(({ volume24hUsd }) => volume24hUsd)).toEqual(
      Array.from({ length: 24 }, () => '2406.00'),
    );
  });

  it('is refused where a line is before the one above', async () => {
    const [early = '', late = ''] = [lines[10], lines[40]];
    const exchanged = lines.with(10, late).with(40, early).join('\n');
    await expect(pricesOf(name, exchanged)).rejects.toMatchObject({
      code: 'faulty-answer',
      message: expect.stringContaining(`${name}:12: it is before the line above`),
    });
  });
});

it.each([
  ['BTCUSDT', 'USDT', 'BTC'],
  ['BTCBUSD', 'USD', undefined],
  ['BTCBUSD', 'BUSD', 'BTC'],
  ['BTCFDUSD', 'USD', undefined],
  ['BNBUSD', 'USD', 'BNB'],
  ['BNBUSD', 'BUSD', undefined],
  ['USDCUSDT', 'USDT', 'USDC'],
  ['USDT', 'USDT', undefined],
])('the pair %s on Binance, with prices in %s, is one of %s', (pair, quote, symbol) => {
  expect(baseOfPair(pair, { quote, pairs: {} })).toBe(symbol);
  expect(baseOfPair(pair, { quote, pairs: { XYZ: pair } })).toBe('XYZ');
});

it.each([
  ['XBTUSD', 'BTC'],
  ['GRTUSD', 'GRT'],
  ['USDTUSD', 'USDT'],
  ['XDGUSDT', 'DOGE'],
  ['XBTPYUSD', undefined],
  ['PYUSDUSD', 'PYUSD'],
  ['XBTEUR', undefined],
])('the pair %s on Kraken is one of %s', (pair, symbol) => {
  expect(baseOfKrakenPair(pair)).toBe(symbol);
});

it('a table can begin with a byte order mark', async () => {
  const text = '\uFEFFtime,asset_symbol,price_usd\n2026-01-01,BTC,1\n';
  expect(await pricesOf('a.csv', text)).toMatchObject([{ symbol: 'BTC', priceUsd: '1' }]);
});
