import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';

/** What came back, or did not, in the terms of HTTP. */
export interface FailedRequest {
  /** undefined: no answer came. */
  readonly status: number | undefined;
  /** JSON that was parsed, or text. */
  readonly body: unknown;
  readonly isPro: boolean;
  readonly hasKey: boolean;
  readonly attempts: number;
  /** Whom was asked: a host. */
  readonly host: string;
  /** How long it asks to be left alone. */
  readonly retryAfterMs: number | undefined;
  readonly cause: unknown;
}

interface Words {
  readonly errorCode: number | undefined;
  readonly message: string | undefined;
  readonly isPage: boolean;
}

/** A failed request in plain words. */
export function describeRefusal(request: FailedRequest): CryptosenseDbError<'coingecko-failed'> {
  const { status, attempts, cause } = request;
  const words = readWords(request.body);
  const problem = problemOf(request, words);
  return new CryptosenseDbError(
    'coingecko-failed',
    {
      ...problem,
      evidence: [
        ...(status === undefined ? [] : [`HTTP ${status}${quote(words)}`]),
        ...(problem.evidence ?? []),
        `asked ${attempts === 1 ? 'once' : `${attempts} times`}; nothing was written`,
      ],
    },
    { details: { status, errorCode: words.errorCode, attempts }, cause },
  );
}

function problemOf(request: FailedRequest, { errorCode, isPage }: Words): Problem {
  const { status, host, isPro, hasKey } = request;
  if (status === undefined) {
    return {
      message: `CoinGecko does not answer at ${host}`,
      evidence: [reasonOf(request.cause)],
      hint: 'without a way out: save an answer elsewhere with --save FILE and seed with --from FILE, or take --offline',
    };
  }
  switch (errorCode) {
    case 10_010:
      return {
        message: `the key is a Pro key, and ${host} takes Demo keys`,
        hint: 'set COINGECKO_PLAN=pro',
      };
    case 10_011:
      return {
        message: `the key is a Demo key, and ${host} takes Pro keys`,
        hint: 'set COINGECKO_PLAN=demo',
      };
    case 10_005:
    case 10_006:
    case 10_012:
      return {
        message: "the plan of CoinGecko's key does not cover what was asked for",
        hint: 'ask for less, or use a key of a larger plan in COINGECKO_API_KEY',
      };
    default:
  }
  if (status === 429 || errorCode === 429) {
    const wait = request.retryAfterMs;
    return {
      message: "CoinGecko's rate limit is used up",
      ...(wait !== undefined && { evidence: [`it asks to wait ${Math.ceil(wait / 1000)} s`] }),
      hint: hasKey
        ? 'wait a minute, or use a key of a larger plan in COINGECKO_API_KEY'
        : 'wait a minute, or have a limit of your own with a free key in COINGECKO_API_KEY',
    };
  }
  if (status === 401 || (status === 403 && !isPage)) {
    return {
      message: hasKey
        ? `CoinGecko does not take the key in COINGECKO_API_KEY as a ${isPro ? 'Pro' : 'Demo'} key`
        : `${host} asks for a key`,
      hint: 'look at the key in COINGECKO_API_KEY, and at its plan in COINGECKO_PLAN: demo or pro',
    };
  }
  if (status >= 300 && status < 400) {
    return {
      message: `${host} sends to another place, which may not be the one that the key is for`,
      hint: 'name that place with --base-url, where it is the right one',
    };
  }
  if (isPage) {
    return {
      message: `${host} answers with a page for people instead of data`,
      hint: "it may be the CDN's, or that of a proxy or a login on the way; try again later, or from another network",
    };
  }
  return {
    message: status >= 500 ? 'CoinGecko has trouble of its own' : `${host} refuses the question`,
    hint: status >= 500 ? 'try again later' : 'look at --base-url, which ends in /api/v3',
  };
}

function quote({ message, errorCode, isPage }: Words): string {
  if (isPage) return ', an HTML page';
  const number = errorCode === undefined ? '' : ` (${errorCode})`;
  return message === undefined ? number : `: ${message.slice(0, 200)}${number}`;
}

/**
 * CoinGecko's own words, of its shapes `{status: {error_code, error_message}}`,
 * `{error: {status: {…}}}` and `{error: "…"}`, and of a page that is no JSON at all.
 */
export function readWords(body: unknown): Words {
  if (typeof body === 'string') {
    const isPage = /^\s*<(!doctype|html|head|body)/i.test(body);
    return { errorCode: undefined, message: isPage ? undefined : body.trim(), isPage };
  }
  const status = fieldOf(body, 'status') ?? fieldOf(fieldOf(body, 'error'), 'status');
  const number = Number(fieldOf(status, 'error_code') ?? Number.NaN);
  const message = fieldOf(status, 'error_message') ?? fieldOf(body, 'error');
  return {
    errorCode: Number.isInteger(number) ? number : undefined,
    message: typeof message === 'string' ? message : undefined,
    isPage: false,
  };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

/** The innermost of what went wrong: "fetch failed" says nothing. */
function reasonOf(error: unknown): string {
  let reason = error;
  while (reason instanceof Error && reason.cause instanceof Error) reason = reason.cause;
  if (reason instanceof AggregateError) return reason.errors.map(reasonOf).join(', ');
  return reason instanceof Error ? reason.message : String(reason);
}
