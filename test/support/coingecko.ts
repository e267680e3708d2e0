import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { serveOnLoopback } from './loopback.ts';

/** A row of `/coins/markets`, as far as a test cares. */
export type Coin = Readonly<Record<string, unknown>>;

/** What comes instead of an answer. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON, a text unchanged. */
  readonly body?: unknown;
  /** Says nothing at all. */
  readonly isMute?: boolean;
  /** Sends half of the right answer, and cuts the connection. */
  readonly isCut?: boolean;
  /** Sends half of the right answer, and no more. */
  readonly isStalled?: boolean;
}

export interface Asked {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly at: number;
}

export interface CoinGeckoServer {
  /** What `--base-url` takes. */
  readonly baseUrl: string;
  readonly asked: readonly Asked[];
  /** The coins from now on, largest first. */
  list: readonly Coin[];
  /** Called before each answer. */
  onAsked?: () => void;
  /** Closes the server: from now on connections are refused. */
  readonly close: () => void;
}

/**
 * CoinGecko's protocol on a loopback port, until the test ends: pages of `list`, and before them, one
 * for each request, the faults.
 */
export async function startCoinGecko(
  list: readonly Coin[],
  faults: readonly Fault[] = [],
): Promise<CoinGeckoServer> {
  const asked: Asked[] = [];
  const pending = [...faults];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const query = Object.fromEntries(url.searchParams);
    asked.push({ path: url.pathname, query, headers: request.headers, at: performance.now() });
    state.onAsked?.();
    answer({ request, response }, { fault: pending.shift(), page: pageOf(state.list, query) });
  });
  const { origin, close } = await serveOnLoopback(server);
  const state: CoinGeckoServer = { baseUrl: `${origin}/api/v3`, asked, list, close };
  return state;
}

function pageOf(list: readonly Coin[], query: Readonly<Record<string, string>>): readonly Coin[] {
  const size = Number(query.per_page);
  const from = (Number(query.page) - 1) * size;
  return list.slice(from, from + size);
}

function answer(
  { response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  { fault, page }: { readonly fault: Fault | undefined; readonly page: readonly Coin[] },
): void {
  if (fault?.isMute) return;
  if (fault?.isCut || fault?.isStalled) {
    const text = JSON.stringify(page);
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    });
    response.write(text.slice(0, text.length / 2), () => {
      if (fault.isCut) response.destroy();
    });
    return;
  }
  const body = fault?.body ?? (fault?.status === undefined ? page : {});
  const isText = typeof body === 'string';
  response.writeHead(fault?.status ?? 200, {
    'content-type': isText ? 'text/html' : 'application/json; charset=utf-8',
    ...fault?.headers,
  });
  response.end(isText ? body : JSON.stringify(body));
}

/** A coin with every field that CoinGecko gives; `rank` tells them apart. */
export function coin(rank: number, over: Coin = {}): Coin {
  return {
    id: `coin-${rank}`,
    symbol: `c${rank}`,
    name: `Coin ${rank}`,
    image: `https://assets.coingecko.com/coins/images/${rank}/large/coin.png`,
    current_price: 1_000 / rank,
    market_cap: 1_000_000_000 / rank,
    market_cap_rank: rank,
    fully_diluted_valuation: null,
    total_volume: 5_000_000 / rank,
    price_change_percentage_24h: 1.5,
    price_change_percentage_1h_in_currency: 0.25,
    price_change_percentage_24h_in_currency: 1.5,
    price_change_percentage_7d_in_currency: -3.75,
    roi: null,
    last_updated: '2026-11-22T10:00:00.123Z',
    ...over,
  };
}

/** So many, largest first. */
export function coins(count: number): readonly Coin[] {
  return Array.from({ length: count }, (_, index) => coin(index + 1));
}
