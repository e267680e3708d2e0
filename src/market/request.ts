import { hasRepeats } from './answer.ts';
import { type CoinGeckoOptions, createAsker } from './coingecko.ts';

export interface RequestOptions extends CoinGeckoOptions {
  readonly top: number;
}

/** The largest page that the API gives. */
const pageSize = 250;

/**
 * The rows of `/coins/markets` as CoinGecko gives them, by market capitalization; at most `top`. When
 * an asset comes twice because ranks changed between two pages, requests all pages again.
 * Throws `coingecko-failed` and `interrupted`, as `createAsker` says.
 */
export async function requestMarkets(options: RequestOptions): Promise<readonly unknown[]> {
  const { top, onProgress } = options;
  const ask = createAsker(options);
  const pages = Math.ceil(top / pageSize);
  // Pages of one request must have one size, or there would be gaps between them.
  const perPage = Math.min(top, pageSize);
  for (let round = 1; ; round += 1) {
    const rows: unknown[] = [];
    for (let page = 1; page <= pages; page += 1) {
      onProgress?.({ kind: 'market-page', page, pages });
      const answer = await ask({
        ask: (client, control) =>
          client.coins.markets.get(
            {
              vs_currency: 'usd',
              order: 'market_cap_desc',
              per_page: perPage,
              page,
              price_change_percentage: '1h,24h,7d',
            },
            control,
          ),
        read: (body): readonly unknown[] | undefined => (Array.isArray(body) ? body : undefined),
        offlineHint:
          'without internet access: save an answer on another machine with --save FILE and seed with --from FILE, or use --offline',
        planHint: 'request fewer assets, or set COINGECKO_API_KEY to a key of a larger plan',
      });
      rows.push(...answer);
      if (answer.length < perPage) break;
    }
    const whole = rows.slice(0, top);
    if (pages === 1 || round === 3 || !hasRepeats(whole)) return whole;
    onProgress?.({
      kind: 'market-retried',
      reason: 'ranks changed between two pages',
      delayMs: 0,
    });
  }
}
