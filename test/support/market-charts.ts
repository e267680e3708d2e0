import { createServer } from 'node:http';
import { serveOnLoopback } from './loopback.ts';

export interface ChartServer {
  /** What `--base-url` takes. */
  readonly baseUrl: string;
  readonly asked: { readonly id: string; readonly from: number; readonly to: number }[];
  /** Called before each answer; a number is sent as the status instead of it. */
  onAsked?: (count: number, id: string) => number | undefined;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** The price of an asset at a moment, which tests compare with the rows. */
export function chartPrice(id: string, time: number): number {
  return id.length * 1_000 + ((time / hourMs) % 1_000);
}

/**
 * CoinGecko's `/coins/{id}/market_chart/range` on a loopback port, until the test ends: hourly for ranges of up to 90
 * days, daily for longer ones, and from `listed` on. Hourly points come some seconds after the hour.
 */
export async function startCharts({
  listed = 0,
  now = Date.now(),
}: {
  readonly listed?: number;
  readonly now?: number;
} = {}): Promise<ChartServer> {
  const asked: ChartServer['asked'] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const id = url.pathname.split('/').at(-3) ?? '';
    const [from, to] = ['from', 'to'].map((name) => Number(url.searchParams.get(name)) * 1_000);
    if (from === undefined || to === undefined) return response.writeHead(400).end();
    asked.push({ id, from, to });
    const status = state.onAsked?.(asked.length, id);
    if (status !== undefined) return response.writeHead(status, { 'retry-after': '0' }).end('{}');
    const isDaily = to - from > 90 * dayMs;
    const step = isDaily ? dayMs : hourMs;
    const points: [number, number][] = [];
    for (
      let time = Math.ceil(Math.max(from, listed) / step) * step;
      time <= Math.min(to, now);
      time += step
    ) {
      points.push([time + (isDaily ? 0 : 7_000), chartPrice(id, time)]);
    }
    const figures = points.map(([time, price]) => [time, price * 1_000]);
    const body = { prices: points, market_caps: figures, total_volumes: figures };
    return response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify(body));
  });
  const { origin } = await serveOnLoopback(server);
  const state: ChartServer = { baseUrl: `${origin}/api/v3`, asked };
  return state;
}
