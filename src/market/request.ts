import { setTimeout as sleep } from 'node:timers/promises';
import { interrupted } from '../database/refusals.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { backoffMs } from '../runtime/retry.ts';
import { hasRepeats } from './answer.ts';
import { type Answer, describeRefusal } from './refusal.ts';

type Plan = 'demo' | 'pro';

export interface RequestOptions {
  readonly top: number;
  readonly apiKey?: string | undefined;
  /** Chooses host and header. Default `demo`, which needs no key. */
  readonly plan?: Plan | undefined;
  /** A mirror to ask instead of the plan's host. */
  readonly baseUrl?: string | undefined;
  /** The first wait before another try; each is twice the one before. Default 1,000. */
  readonly retryDelayMs?: number | undefined;
  /** How long one answer may take, to its last byte. Default 30,000. */
  readonly answerTimeoutMs?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

const hosts: Readonly<Record<Plan, string>> = {
  demo: 'https://api.coingecko.com/api/v3',
  pro: 'https://pro-api.coingecko.com/api/v3',
};

/** The largest page that the API gives. */
const pageSize = 250;
const mostAttempts = 5;
/** CoinGecko limits requests per minute: the waits between five attempts have to add up to more. */
const rateLimitFactor = 5;
/** An answer that asks to wait longer ends the attempts with an error. */
const longestWaitMs = 120_000;

/**
 * The rows of `/coins/markets` as CoinGecko gives them, by market capitalization; at most `top`. When
 * an asset comes twice because ranks changed between two pages, requests all pages again.
 *
 * Tries again after no answer, an incomplete answer, 408, 429 and 5xx, and waits as long as
 * `retry-after` says. Throws `coingecko-failed` and `interrupted`.
 */
export async function requestMarkets(options: RequestOptions): Promise<readonly unknown[]> {
  const { top, onProgress } = options;
  const pages = Math.ceil(top / pageSize);
  // Pages of one request must have one size, or there would be gaps between them.
  const perPage = Math.min(top, pageSize);
  for (let round = 1; ; round += 1) {
    const rows: unknown[] = [];
    for (let page = 1; page <= pages; page += 1) {
      onProgress?.({ kind: 'market-page', page, pages });
      const answer = await requestPage({ page, perPage }, options);
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

interface Page {
  readonly page: number;
  readonly perPage: number;
}

async function requestPage(page: Page, options: RequestOptions): Promise<readonly unknown[]> {
  const { apiKey, plan = 'demo', retryDelayMs = 1_000, onProgress, signal } = options;
  const url = urlOf(page, options.baseUrl ?? hosts[plan]);
  const request = { host: url.host, isPro: plan === 'pro', hasKey: apiKey !== undefined };
  for (let attempts = 1; ; attempts += 1) {
    const answer = await ask(url, options);
    if (signal?.aborted) throw interrupted();
    if (answer.status === 200 && Array.isArray(answer.body)) return answer.body;
    const refusal = describeRefusal({ ...request, ...answer, attempts });
    const { status, errorCode } = refusal.details;
    const isLimited = status === 429 || errorCode === 429;
    const firstMs = isLimited ? retryDelayMs * rateLimitFactor : retryDelayMs;
    const delayMs = answer.retryAfterMs ?? Math.round(backoffMs(attempts, { firstMs }));
    const isTemporary = isLimited || status === undefined || status === 408 || status >= 500;
    if (!isTemporary || delayMs > longestWaitMs || attempts === mostAttempts) throw refusal;
    const reason = refusal.problems[0]?.message ?? '';
    onProgress?.({ kind: 'market-retried', reason, delayMs });
    await sleep(delayMs, undefined, signal && { signal }).catch(() => {
      throw interrupted();
    });
  }
}

function urlOf({ page, perPage }: Page, baseUrl: string): URL {
  const query = new URLSearchParams({
    vs_currency: 'usd',
    order: 'market_cap_desc',
    per_page: String(perPage),
    page: String(page),
    price_change_percentage: '1h,24h,7d',
  });
  return new URL(`${baseUrl.replace(/\/+$/, '')}/coins/markets?${query}`);
}

async function ask(
  url: URL,
  { apiKey, plan = 'demo', signal, answerTimeoutMs = 30_000 }: RequestOptions,
): Promise<Answer> {
  const timeout = AbortSignal.timeout(answerTimeoutMs);
  try {
    const response = await fetch(url, {
      headers: {
        accept: 'application/json',
        'user-agent': 'cryptosense-db',
        ...(apiKey !== undefined && { [`x-cg-${plan}-api-key`]: apiKey }),
      },
      // A redirect would send the key to another host.
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    return {
      status: response.status,
      body: parsed(await readText(response)),
      retryAfterMs: readRetryAfter(response.headers.get('retry-after')),
    };
  } catch (error) {
    const isLate = timeout.aborted && !signal?.aborted;
    return { cause: isLate ? new Error(`no complete answer within ${answerTimeoutMs} ms`) : error };
  }
}

/** About sixty times the size of a page of 250 assets. */
const largestAnswerBytes = 16 * 1024 * 1024;

async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > largestAnswerBytes) {
      throw new Error(`the answer is larger than ${largestAnswerBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

/** The JSON that a text holds, or the text itself: a proxy or a CDN may answer with a page. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** From seconds or a date (RFC 9110, 10.2.3); undefined for anything but a time in the future. */
function readRetryAfter(text: string | null): number | undefined {
  if (text === null) return undefined;
  const isSeconds = /^\s*\d+(\.\d+)?\s*$/.test(text);
  const isDate = /^\s*[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} /.test(text);
  if (!isSeconds && !isDate) return undefined;
  const ms = isSeconds ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? ms : undefined;
}
