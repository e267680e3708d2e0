import Coingecko from '@coingecko/coingecko-typescript';
import { interrupted } from '../database/refusals.ts';
import { isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';
import { hasRepeats } from './answer.ts';
import { describeRefusal, type FailedRequest, readWords } from './refusal.ts';

export type Plan = 'demo' | 'pro';

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
  const ask = createAsker(options);
  const pages = Math.ceil(top / pageSize);
  // Pages of one request must have one size, or there would be gaps between them.
  const perPage = Math.min(top, pageSize);
  for (let round = 1; ; round += 1) {
    const rows: unknown[] = [];
    for (let page = 1; page <= pages; page += 1) {
      onProgress?.({ kind: 'market-page', page, pages });
      const answer = await ask({ page, perPage });
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

type Ask = (page: {
  readonly page: number;
  readonly perPage: number;
}) => Promise<readonly unknown[]>;

function createAsker(options: RequestOptions): Ask {
  const { apiKey, plan = 'demo', retryDelayMs = 1_000, onProgress, signal } = options;
  const client = createClient(options);
  const about = {
    isPro: plan === 'pro',
    hasKey: apiKey !== undefined,
    host: new URL(client.baseURL).host,
  };
  return async (page) => {
    let failure: Failure | undefined;
    const ask = async (attempt: number) => {
      const outcome = await askOnce(client, page, options);
      if ('rows' in outcome) return outcome.rows;
      failure = outcome;
      throw describeRefusal({ ...about, ...outcome, attempts: attempt });
    };
    const waitMs = ({ error, attempts }: FailedAttempt) => {
      const delayMs = failure && delayAfter(failure, { attempts, retryDelayMs });
      if (delayMs === undefined || attempts === mostAttempts) return undefined;
      const reason = isError(error) ? (error.problems[0]?.message ?? '') : '';
      onProgress?.({ kind: 'market-retried', reason, delayMs });
      return delayMs;
    };
    return retry(ask, { waitMs, signal }).catch((error: unknown) => {
      throw signal?.aborted ? interrupted({ completed: [], pending: [] }) : error;
    });
  };
}

/** Undefined where another request would fail as well, or CoinGecko asks to wait too long. */
function delayAfter(
  { isWorthAnother, retryAfterMs, status, body }: Failure,
  { attempts, retryDelayMs }: { readonly attempts: number; readonly retryDelayMs: number },
): number | undefined {
  const isLimited = status === 429 || readWords(body).errorCode === 429;
  const firstMs = isLimited ? retryDelayMs * rateLimitFactor : retryDelayMs;
  const delayMs = retryAfterMs ?? Math.round(backoffMs(attempts, { firstMs }));
  return isWorthAnother && delayMs <= longestWaitMs ? delayMs : undefined;
}

/** Without the client's own retries: they neither limit the time that they wait nor report it. */
function createClient({ apiKey, plan = 'demo', baseUrl }: RequestOptions): Coingecko {
  const key = apiKey ?? null;
  return new Coingecko({
    // With null, unlike undefined, the client reads no environment variable.
    demoAPIKey: plan === 'demo' ? key : null,
    proAPIKey: plan === 'pro' ? key : null,
    baseURL: (baseUrl ?? hosts[plan]).replace(/\/+$/, ''),
    maxRetries: 0,
    logLevel: 'off',
    fetch: fetchBounded,
    // A redirect would send the key to another host.
    fetchOptions: { redirect: 'manual' },
    ...(key === null && { defaultHeaders: { 'x-cg-demo-api-key': null } }),
  });
}

/** About sixty times the size of a page of 250 assets. */
const largestAnswerBytes = 16 * 1024 * 1024;

/** `fetch` with a limit on the size of the answer. */
async function fetchBounded(...request: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...request);
  if (!response.body) return response;
  let bytes = 0;
  const bounded = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      bytes += chunk.length;
      if (bytes <= largestAnswerBytes) controller.enqueue(chunk);
      else controller.error(new Error(`the answer is larger than ${largestAnswerBytes} bytes`));
    },
  });
  const { status, statusText, headers } = response;
  return new Response(response.body.pipeThrough(bounded), { status, statusText, headers });
}

interface Failure extends Pick<FailedRequest, 'status' | 'body' | 'retryAfterMs' | 'cause'> {
  readonly isWorthAnother: boolean;
}

async function askOnce(
  client: Coingecko,
  { page, perPage }: { readonly page: number; readonly perPage: number },
  { signal, answerTimeoutMs = 30_000 }: RequestOptions,
): Promise<{ readonly rows: readonly unknown[] } | Failure> {
  // The client's own timeout covers the headers only.
  const timeout = AbortSignal.timeout(answerTimeoutMs);
  try {
    const rows: unknown = await client.coins.markets.get(
      {
        vs_currency: 'usd',
        order: 'market_cap_desc',
        per_page: perPage,
        page,
        price_change_percentage: '1h,24h,7d',
      },
      { signal: signal ? AbortSignal.any([signal, timeout]) : timeout },
    );
    const body = typeof rows === 'string' ? parsed(rows) : rows;
    if (Array.isArray(body)) return { rows: body };
    // A mirror may pass on CoinGecko's refusal with status 200.
    const isWorthAnother = readWords(body).errorCode === 429;
    return { ...silence, status: 200, body, isWorthAnother, cause: undefined };
  } catch (error) {
    if (!(error instanceof Coingecko.APIError) || error.status === undefined) {
      if (error instanceof SyntaxError && /token '?</.test(error.message)) {
        return { ...silence, status: 200, body: '<html>', cause: error };
      }
      const isLate = timeout.aborted && !signal?.aborted;
      const cause = isLate ? new Error(`no complete answer within ${answerTimeoutMs} ms`) : error;
      return { ...silence, isWorthAnother: true, cause };
    }
    const { status, headers } = error;
    return {
      status,
      body: error.error ?? textOf(error),
      retryAfterMs: readRetryAfter(headers?.get('retry-after') ?? null),
      isWorthAnother: status === 408 || status === 429 || status >= 500,
      cause: error,
    };
  }
}

/** JSON that came with another content type, or the text itself. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const silence = {
  status: undefined,
  body: undefined,
  retryAfterMs: undefined,
  isWorthAnother: false,
} as const;

/** The client puts a body that is not JSON into its message, after the status. */
function textOf({ message, status }: { message: string; status: number | undefined }): string {
  return message.replace(`${status} `, '');
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
