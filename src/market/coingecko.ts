import Coingecko from '@coingecko/coingecko-typescript';
import type { CryptosenseDbError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { askAgain, fetchBounded, isWorthAnother, type Outcome, readRetryAfter } from './fetch.ts';
import { createPacer, type RateLimit } from './rate-limit.ts';
import { describeRefusal, type FailedRequest, readWords } from './refusal.ts';

export type Plan = 'demo' | 'pro';

/** How to reach CoinGecko. */
export interface CoinGeckoOptions {
  readonly apiKey?: string | undefined;
  /** Chooses host and header. Default `demo`, which needs no key. */
  readonly plan?: Plan | undefined;
  /** A mirror to ask instead of the plan's host. */
  readonly baseUrl?: string | undefined;
  /** Default: that of the plan, 5 requests a minute without a key, 30 with a Demo key, 250 with a Pro key. */
  readonly rateLimit?: RateLimit | undefined;
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

/** Requests a minute without a key, with a Demo key, and with the smallest Pro key. */
const requestsPerMinute = { none: 5, demo: 30, pro: 250 } as const;

export function rateLimitOf({ rateLimit, plan = 'demo', apiKey }: CoinGeckoOptions): RateLimit {
  const kind = plan === 'demo' && apiKey === undefined ? 'none' : plan;
  return rateLimit ?? { requests: requestsPerMinute[kind], windowMs: 60_000 };
}

/** One request through CoinGecko's client, and what its answer must hold. */
export interface Question<T> {
  readonly ask: (client: Coingecko, options: { readonly signal: AbortSignal }) => Promise<unknown>;
  /** undefined: the body is not an answer to the question. */
  readonly read: (body: unknown) => T | undefined;
  /** What to do when the plan of the key does not cover the question. */
  readonly planHint: string;
  /** What to do without internet access. Default: to run the command again. */
  readonly offlineHint?: string;
  /** The error when CoinGecko does not have what is asked for. Default: that of any refusal. */
  readonly notFound?: () => CryptosenseDbError;
}

export type Ask = <T>(question: Question<T>) => Promise<T>;

/**
 * Returns a function that asks CoinGecko one question, within the rate limit over all its calls. It tries again after no
 * answer, an incomplete answer, 408, 429 and 5xx, and waits as long as `retry-after` says, or after 429 without it until
 * the rate limit is whole again. It throws `coingecko-failed` and `interrupted`.
 */
export function createAsker(options: CoinGeckoOptions): Ask {
  const { apiKey, plan = 'demo', retryDelayMs: firstMs = 1_000, onProgress, signal } = options;
  const client = createClient(options);
  const limit = rateLimitOf(options);
  const pace = createPacer(limit, {
    signal,
    onWait: (delayMs) => onProgress?.({ kind: 'market-paced', delayMs }),
  });
  const about = {
    isPro: plan === 'pro',
    hasKey: apiKey !== undefined,
    host: new URL(client.baseURL).host,
  };
  return <T>(question: Question<T>): Promise<T> =>
    askAgain(async (attempts): Promise<Outcome<T>> => {
      const outcome = await pace(() => askOnce(client, question, options));
      if ('answer' in outcome) return outcome;
      const { planHint, offlineHint, notFound } = question;
      const { isWorthAnother } = outcome;
      const error =
        notFound && isNotFound(outcome)
          ? notFound()
          : describeRefusal({ ...about, ...outcome, planHint, offlineHint, attempts });
      const isLimited = outcome.status === 429 || readWords(outcome.body).errorCode === 429;
      const retryAfterMs = outcome.retryAfterMs ?? (isLimited ? limit.windowMs : undefined);
      return { error, isWorthAnother, retryAfterMs, firstMs };
    }, options);
}

/** Where requests go, without a slash at the end. */
export function addressOf({ plan = 'demo', baseUrl }: CoinGeckoOptions): string {
  return (baseUrl ?? hosts[plan]).replace(/\/+$/, '');
}

/** Without the client's own retries: they neither limit the time that they wait nor report it. */
function createClient({ apiKey, plan = 'demo', baseUrl }: CoinGeckoOptions): Coingecko {
  const key = apiKey ?? null;
  return new Coingecko({
    // With null, unlike undefined, the client reads no environment variable.
    demoAPIKey: plan === 'demo' ? key : null,
    proAPIKey: plan === 'pro' ? key : null,
    baseURL: addressOf({ plan, baseUrl }),
    maxRetries: 0,
    logLevel: 'off',
    fetch: fetchBounded,
    // A redirect would send the key to another host.
    fetchOptions: { redirect: 'manual' },
    ...(key === null && { defaultHeaders: { 'x-cg-demo-api-key': null } }),
  });
}

interface Failure extends Pick<FailedRequest, 'status' | 'body' | 'retryAfterMs' | 'cause'> {
  readonly isWorthAnother: boolean;
}

async function askOnce<T>(
  client: Coingecko,
  { ask, read }: Question<T>,
  { signal, answerTimeoutMs = 30_000 }: CoinGeckoOptions,
): Promise<{ readonly answer: T } | Failure> {
  // The client's own timeout covers the headers only.
  const timeout = AbortSignal.timeout(answerTimeoutMs);
  try {
    const text = await ask(client, {
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    const body = typeof text === 'string' ? parsed(text) : text;
    const answer = read(body);
    if (answer !== undefined) return { answer };
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
      isWorthAnother: isWorthAnother({ status }),
      cause: error,
    };
  }
}

/** CoinGecko answers 404 to a wrong address too, and so does another host. */
function isNotFound({ status, body }: Failure): boolean {
  const { message, isPage } = readWords(body);
  return status === 404 && !isPage && !/incorrect path/i.test(message ?? '');
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
