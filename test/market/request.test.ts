import { describe, expect, it } from 'vitest';
import { rateLimitOf } from '../../src/market/coingecko.ts';
import { createPacer, pacedMs } from '../../src/market/rate-limit.ts';
import { type RequestOptions, requestMarkets } from '../../src/market/request.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import { type Coin, coin, coins, type Fault, startCoinGecko } from '../support/coingecko.ts';

/** Asks a server that answers with these faults first. */
async function ask(
  faults: readonly Fault[],
  options: Partial<RequestOptions> & { readonly list?: readonly Coin[] } = {},
) {
  const { list = coins(1_000), ...rest } = options;
  const server = await startCoinGecko(list, faults);
  const events: ProgressEvent[] = [];
  const rows = requestMarkets({
    baseUrl: server.baseUrl,
    top: 100,
    retryDelayMs: 5,
    rateLimit: { requests: 5, windowMs: 50 },
    onProgress: (event) => events.push(event),
    ...rest,
  });
  // The test awaits the outcome later, so a rejection is not unhandled.
  rows.catch(() => {});
  return { server, rows, events };
}

const rateLimited = {
  status: { error_code: 429, error_message: 'You have exceeded the Rate Limit.' },
};
const page = '<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>';

describe('a request', () => {
  it('asks for the largest assets in USD with their changes, without a key', async () => {
    const { server, rows } = await ask([]);
    expect(await rows).toHaveLength(100);
    const [asked] = server.asked;
    expect(asked).toMatchObject({
      path: '/api/v3/coins/markets',
      query: {
        vs_currency: 'usd',
        order: 'market_cap_desc',
        per_page: '100',
        page: '1',
        price_change_percentage: '1h,24h,7d',
      },
    });
    expect(asked?.headers).not.toHaveProperty('x-cg-demo-api-key');
    expect(asked?.headers).not.toHaveProperty('x-cg-pro-api-key');
  });

  it.each([
    ['demo', 'x-cg-demo-api-key', 'x-cg-pro-api-key'],
    ['pro', 'x-cg-pro-api-key', 'x-cg-demo-api-key'],
  ] as const)('sends the key of plan %s in the header %s only', async (plan, header, other) => {
    const { server, rows } = await ask([], { apiKey: 'CG-secret', plan });
    await rows;
    expect(server.asked[0]?.headers[header]).toBe('CG-secret');
    expect(server.asked[0]?.headers).not.toHaveProperty(other);
  });

  it('reads no environment variable of the CoinGecko package', async () => {
    const before = { ...process.env };
    process.env.COINGECKO_DEMO_API_KEY = 'not-ours';
    process.env.COINGECKO_PRO_API_KEY = 'not-ours';
    try {
      const { server, rows } = await ask([]);
      await rows;
      expect(JSON.stringify(server.asked[0]?.headers)).not.toContain('not-ours');
    } finally {
      process.env = before;
    }
  });

  it.each([
    [1, [['1', '1']]],
    [250, [['250', '1']]],
    [
      251,
      [
        ['250', '1'],
        ['250', '2'],
      ],
    ],
  ])(
    'asks for the pages that %i assets need, and returns one row for each asset',
    async (top, pages) => {
      const { server, rows } = await ask([], { top });
      expect(await rows).toHaveLength(top);
      expect(server.asked.map(({ query }) => [query.per_page, query.page])).toEqual(pages);
    },
  );

  it('asks for no page after the last page of the list', async () => {
    const { server, rows } = await ask([], { top: 900, list: coins(300) });
    expect(await rows).toHaveLength(300);
    expect(server.asked).toHaveLength(2);
  });

  it('asks for all pages again when ranks change between two pages', async () => {
    const list = coins(500);
    const shifted = [...list.slice(0, 250), coin(250), ...list.slice(250, 499)];
    const { server, rows, events } = await ask([], { top: 400, list: shifted });
    server.onAsked = () => {
      // The list is whole from the second round on.
      if (server.asked.length === 3) server.list = list;
    };
    const ids = (await rows).map((row) => (row as Coin).id);
    expect(new Set(ids).size).toBe(400);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'market-retried' }));
  });
});

describe('a request is sent again after', () => {
  it.each<[string, Fault]>([
    ['429', { status: 429, body: rateLimited }],
    ['500', { status: 500, body: { error: 'Internal' } }],
    ['503 with a page', { status: 503, body: page }],
    ['408', { status: 408 }],
    ['an incomplete answer', { isCut: true }],
  ])('%s', async (_, fault) => {
    const { server, rows, events } = await ask([fault, fault]);
    expect(await rows).toHaveLength(100);
    expect(server.asked).toHaveLength(3);
    expect(events.filter(({ kind }) => kind === 'market-retried')).toHaveLength(2);
  });

  it.each<[string, Fault]>([
    ['does not come', { isMute: true }],
    ['stops halfway', { isStalled: true }],
  ])('an answer that %s', async (_, fault) => {
    const { server, rows } = await ask([fault], { answerTimeoutMs: 200 });
    expect(await rows).toHaveLength(100);
    expect(server.asked).toHaveLength(2);
  });

  it.each([
    ['1', 1_000],
    ['0.2', 200],
    ['a date', 1_000],
  ])('an answer with retry-after: %s, and not before that time', async (text, leastMs) => {
    // A date has whole seconds.
    const header = text === 'a date' ? new Date(Date.now() + 2_000).toUTCString() : text;
    const fault = { status: 429, headers: { 'retry-after': header }, body: rateLimited };
    const { server, rows } = await ask([fault]);
    await rows;
    const [first, second] = server.asked;
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(leastMs - 20);
  });

  it.each(['0', '-1', 'soon', 'Wed, 21 Oct 2015 07:28:00 GMT', undefined])(
    'a rate limit with retry-after: %s, which is not a future time, and not before the limit is whole again',
    async (header) => {
      const headers = header === undefined ? {} : { 'retry-after': header };
      const fault = { status: 429, headers, body: rateLimited };
      const { rows, events } = await ask([fault, fault, fault, fault]);
      await rows;
      const delays = events.flatMap((event) =>
        event.kind === 'market-retried' ? event.delayMs : [],
      );
      expect(delays).toEqual([50, 50, 50, 50]);
    },
  );

  it('a rate limit in an answer with status 200', async () => {
    const { server, rows } = await ask([{ status: 200, body: rateLimited }]);
    expect(await rows).toHaveLength(100);
    expect(server.asked).toHaveLength(2);
  });

  it('500, with a longer wait each time', async () => {
    const fault = { status: 500, body: {} };
    const { rows, events } = await ask([fault, fault, fault, fault], { retryDelayMs: 20 });
    await rows;
    const delays = events.flatMap((event) =>
      event.kind === 'market-retried' ? event.delayMs : [],
    );
    expect(delays).toHaveLength(4);
    // 20, 40, 80 and 160 ms, each up to a quarter more or less.
    for (const [index, delay] of delays.entries()) {
      expect(delay).toBeGreaterThanOrEqual(20 * 2 ** index * 0.74);
      expect(delay).toBeLessThanOrEqual(20 * 2 ** index * 1.26);
    }
  });
});

it('requests keep the rate limit, those that fail included', async () => {
  const limit = { requests: 3, windowMs: 200 };
  const { server, rows } = await ask([{ status: 500 }, { status: 500 }], {
    top: 2_000,
    list: coins(2_000),
    rateLimit: limit,
  });
  expect(await rows).toHaveLength(2_000);
  const times = server.asked.map(({ at }) => at);
  expect(times).toHaveLength(10);
  for (const [index, time] of times.entries()) {
    const before = times[index - limit.requests];
    if (before !== undefined) expect(time - before).toBeGreaterThanOrEqual(limit.windowMs - 1);
  }
});

it.each([
  [{}, 5],
  [{ apiKey: 'CG-secret' }, 30],
  [{ apiKey: 'CG-secret', plan: 'pro' }, 250],
] as const)('the rate limit with %j is %i requests a minute', (options, requests) => {
  expect(rateLimitOf(options)).toEqual({ requests, windowMs: 60_000 });
});

describe('the error of a request names the fact and the remedy for', () => {
  const always = (fault: Fault) => Array.from({ length: 5 }, () => fault);
  it.each<
    [
      string,
      Fault,
      {
        readonly fact: string;
        readonly hint: string;
        readonly asked: number;
        readonly errorCode?: number;
      },
    ]
  >([
    [
      'a rate limit, in the first shape',
      { status: 429, body: rateLimited },
      {
        fact: "CoinGecko's rate limit is used up",
        hint: 'COINGECKO_API_KEY',
        asked: 5,
        errorCode: 429,
      },
    ],
    [
      'a rate limit that lasts too long',
      { status: 429, headers: { 'retry-after': '3600' }, body: rateLimited },
      {
        fact: 'CoinGecko asks to wait 3600 s',
        hint: 'wait 60 minutes, or set COINGECKO_API_KEY',
        asked: 1,
        errorCode: 429,
      },
    ],
    [
      'a Pro key at the Demo host, in the second shape',
      {
        status: 400,
        body: {
          error: { status: { error_code: 10010, error_message: 'If you are using Pro API key…' } },
        },
      },
      { fact: 'the key is a Pro key', hint: 'COINGECKO_PLAN=pro', asked: 1, errorCode: 10_010 },
    ],
    [
      'a Demo key at the Pro host',
      { status: 400, body: { status: { error_code: 10011, error_message: 'x' } } },
      { fact: 'the key is a Demo key', hint: 'COINGECKO_PLAN=demo', asked: 1, errorCode: 10_011 },
    ],
    [
      'a request that the plan does not cover',
      {
        status: 401,
        body: { error: { status: { error_code: 10012, error_message: 'Your request exceeds…' } } },
      },
      {
        fact: "the plan of CoinGecko's key does not cover",
        hint: 'larger plan',
        asked: 1,
        errorCode: 10_012,
      },
    ],
    [
      'a missing key',
      { status: 401, body: { status: { error_code: 10002, error_message: 'API Key Missing' } } },
      { fact: 'requires a key', hint: 'COINGECKO_PLAN', asked: 1, errorCode: 10_002 },
    ],
    [
      'a page of the CDN',
      { status: 403, body: page },
      { fact: 'answers with an HTML page', hint: 'another network', asked: 1 },
    ],
    [
      'a page with status 200, as a login page has it',
      { status: 200, body: page },
      { fact: 'answers with an HTML page', hint: 'another network', asked: 1 },
    ],
    [
      'a page with the content type of JSON',
      { status: 200, body: page, headers: { 'content-type': 'application/json' } },
      { fact: 'answers with an HTML page', hint: 'another network', asked: 1 },
    ],
    [
      'an internal error, in the third shape',
      { status: 500, body: { error: 'Internal Server Error' } },
      { fact: 'CoinGecko has an internal error', hint: 'try again later', asked: 5 },
    ],
    [
      'a path that does not exist',
      { status: 404, body: { error: 'Incorrect path' } },
      { fact: 'refuses the request', hint: '--base-url', asked: 1 },
    ],
    [
      'an incomplete answer',
      { isCut: true },
      { fact: 'does not answer at', hint: '--offline', asked: 5 },
    ],
    [
      'JSON that is not a list',
      { status: 200, body: { gecko_says: 'to the moon' } },
      {
        fact: 'answers with something other than the requested data',
        hint: '--base-url',
        asked: 1,
      },
    ],
  ])('%s', async (_, fault, { fact, hint, asked, errorCode }) => {
    const { server, rows } = await ask(always(fault));
    await expect(rows).rejects.toMatchObject({
      code: 'coingecko-failed',
      details: { attempts: asked, ...(errorCode !== undefined && { errorCode }) },
      problems: [{ hint: expect.stringContaining(hint) }],
    });
    await expect(rows).rejects.toThrow(fact);
    expect(server.asked).toHaveLength(asked);
  });

  it('a key that CoinGecko refuses, and does not show the key', async () => {
    const fault = {
      status: 401,
      body: { status: { error_code: 10002, error_message: 'Invalid' } },
    };
    const { rows } = await ask([fault], { apiKey: 'CG-secret' });
    await expect(rows).rejects.toThrow(
      'does not accept the key in COINGECKO_API_KEY as a Demo key',
    );
    await expect(rows).rejects.not.toThrow('CG-secret');
  });

  it('a host that does not listen', async () => {
    const { baseUrl, close } = await startCoinGecko([]);
    close();
    const rows = requestMarkets({ top: 1, baseUrl, retryDelayMs: 1 });
    await expect(rows).rejects.toMatchObject({
      code: 'coingecko-failed',
      details: { status: undefined, attempts: 5 },
    });
    await expect(rows).rejects.toThrow('ECONNREFUSED');
  });
});

it('a request reads JSON with another content type', async () => {
  const body = JSON.stringify(coins(100));
  const { rows } = await ask([{ body, headers: { 'content-type': 'text/plain' } }]);
  expect(await rows).toHaveLength(100);
});

it('a request refuses an answer that is too large', async () => {
  const fault = {
    body: ' '.repeat(17 * 1024 * 1024),
    headers: { 'content-type': 'application/json' },
  };
  const { rows } = await ask([fault, fault, fault, fault, fault]);
  await expect(rows).rejects.toThrow('the answer is larger than 16777216 bytes');
});

it('a request does not send the key to the address of a redirect', async () => {
  const elsewhere = await startCoinGecko(coins(100));
  const fault = { status: 302, headers: { location: `${elsewhere.baseUrl}/coins/markets` } };
  const { rows } = await ask([fault], { apiKey: 'CG-secret', plan: 'pro' });
  await expect(rows).rejects.toMatchObject({
    code: 'coingecko-failed',
    details: { status: 302, attempts: 1 },
    problems: [{ message: expect.stringContaining('redirects to another address') }],
  });
  expect(elsewhere.asked).toHaveLength(0);
});

describe('a signal', () => {
  it.each<[string, Fault, ProgressEvent['kind']]>([
    ['while it waits for an answer', { isMute: true }, 'market-page'],
    ['while it waits before the next request', { status: 500 }, 'market-retried'],
    ['while it waits for the rate limit', {}, 'market-paced'],
  ])('ends a request %s', async (_, fault, kind) => {
    const stop = new AbortController();
    const { server, rows, events } = await ask([fault, fault], {
      signal: stop.signal,
      retryDelayMs: 60_000,
      top: 500,
      rateLimit: { requests: 1, windowMs: 60_000 },
    });
    await expect.poll(() => [server.asked.length, events.at(-1)?.kind]).toEqual([1, kind]);
    stop.abort();
    await expect(rows).rejects.toMatchObject({ code: 'interrupted' });
    expect(server.asked).toHaveLength(1);
    expect(events.at(-1)?.kind).toBe(kind);
  });
});

it.each([0, 1, 2, 5, 6, 12])('%i paced requests take the time of the plan', async (count) => {
  const limit = { requests: 5, windowMs: 300 };
  let waitedMs = 0;
  const pace = createPacer(limit, { signal: undefined, onWait: (ms) => (waitedMs += ms) });
  for (let made = 0; made < count; made += 1) await pace(async () => {});
  const planned = pacedMs(count, limit, { answerMs: 0 });
  expect(planned).toBe(Math.max(0, Math.ceil(count / 5) - 1) * 300);
  expect(Math.abs(waitedMs - planned)).toBeLessThan(100);
});

it('slow answers leave nothing to wait for', () => {
  const limit = { requests: 250, windowMs: 60_000 };
  expect(pacedMs(500, limit, { answerMs: 400 })).toBe(200_000);
  expect(pacedMs(2, { requests: 5, windowMs: 60_000 }, { answerMs: 400 })).toBe(800);
});
