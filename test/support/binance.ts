import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { serveOnLoopback } from './loopback.ts';
import { zipOf } from './zip.ts';

export interface BinanceServer {
  /** What `--base-url` takes. */
  readonly baseUrl: string;
  /** The paths that were asked for. */
  readonly asked: string[];
}

/** What comes for a path instead of the file: once for each entry, then the file. `busy` asks to wait an hour. */
export type DumpFaults = Readonly<Record<string, readonly (number | 'busy' | 'cut' | 'damaged')[]>>;

/**
 * Binance's public dumps on a loopback port, until the test ends: `klines` by name, such as `BTCUSDT-1h-2024-01`. Each
 * is a zip with a CSV, and beside it a file with its SHA-256.
 */
export async function startBinance(
  klines: Readonly<Record<string, string>>,
  faults: DumpFaults = {},
): Promise<BinanceServer> {
  const asked: string[] = [];
  const pending = new Map(Object.entries(faults).map(([name, list]) => [name, [...list]]));
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    const file = path.split('/').at(-1) ?? '';
    const name = file.replace(/\.zip(\.CHECKSUM)?$/, '');
    const text = klines[name];
    const isWhereItBelongs = path.includes(
      `/data/spot/${name.split('-').length === 4 ? 'monthly' : 'daily'}/klines/`,
    );
    if (text === undefined || !isWhereItBelongs) {
      response.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>');
      return;
    }
    const zip = zipOf({ [`${name}.csv`]: text });
    if (file.endsWith('.CHECKSUM')) {
      response.end(`${createHash('sha256').update(zip).digest('hex')}  ${name}.zip\n`);
      return;
    }
    const fault = pending.get(name)?.shift();
    if (typeof fault === 'number') response.writeHead(fault, { 'retry-after': '0' }).end();
    else if (fault === 'busy') response.writeHead(429, { 'retry-after': '3600' }).end();
    else if (fault === 'cut') {
      response.writeHead(200, { 'content-length': String(zip.length) });
      response.write(zip.subarray(0, 50), () => response.destroy());
    } else if (fault === 'damaged')
      response.end(Buffer.concat([zip.subarray(0, -1), Buffer.of(7)]));
    else response.end(zip);
  });
  const { origin } = await serveOnLoopback(server);
  return { baseUrl: origin, asked };
}

/** Lines of a kline file: an hour each from `from` until before `to`, with a price and a volume of their number. */
export function klinesOf(
  from: string,
  to: string,
  { unit = 1, skip = [] }: { readonly unit?: 1 | 1_000; readonly skip?: readonly number[] } = {},
): string {
  const lines: string[] = [];
  for (let time = Date.parse(from); time < Date.parse(to); time += 3_600_000) {
    const hour = time / 3_600_000;
    if (skip.includes(new Date(time).getUTCHours())) continue;
    const price = `${40_000 + (hour % 100)}.5`;
    lines.push(
      `${time * unit},${price},${price},${price},${price},1.5,${(time + 3_599_999) * unit},100.25,42,0.5,50,0`,
    );
  }
  return `${lines.join('\n')}\n`;
}
