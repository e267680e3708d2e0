import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { askedToWait, nameWait } from './fetch.ts';

/** A request that CoinGecko, or a host on the way to it, did not answer with data. */
export interface FailedRequest {
  /** undefined without an answer. */
  readonly status: number | undefined;
  /** Parsed JSON, or text. */
  readonly body: unknown;
  readonly isPro: boolean;
  readonly hasKey: boolean;
  readonly attempts: number;
  /** The host that the request went to. */
  readonly host: string;
  /** How long the answer asks to wait. */
  readonly retryAfterMs: number | undefined;
  readonly cause: unknown;
  /** What to do when the plan of the key does not cover the request. */
  readonly planHint: string;
  /** What to do without internet access. */
  readonly offlineHint: string | undefined;
}

/** What the body of an answer says. */
interface Words {
  readonly errorCode: number | undefined;
  readonly message: string | undefined;
  readonly isPage: boolean;
}

/** The error for a failed request: what failed, the evidence, and a remedy. */
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
        attempts === 1 ? '1 request' : `${attempts} requests`,
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
      hint: request.offlineHint ?? 'run the command again when the host answers',
    };
  }
  switch (errorCode) {
    case 10_010:
      return {
        message: `the key is a Pro key, and ${host} accepts Demo keys`,
        hint: 'set COINGECKO_PLAN=pro',
      };
    case 10_011:
      return {
        message: `the key is a Demo key, and ${host} accepts Pro keys`,
        hint: 'set COINGECKO_PLAN=demo',
      };
    case 10_005:
    case 10_006:
    case 10_012:
      return {
        message: "the plan of CoinGecko's key does not cover this request",
        hint: request.planHint,
      };
    default:
  }
  if (status === 429 || errorCode === 429) {
    const { retryAfterMs = 60_000 } = request;
    const wait = `wait ${nameWait(retryAfterMs)}`;
    return {
      message: "CoinGecko's rate limit is used up",
      evidence: askedToWait('CoinGecko', request.retryAfterMs),
      hint: hasKey
        ? `${wait}, or set COINGECKO_API_KEY to a key of a larger plan`
        : `${wait}, or set COINGECKO_API_KEY to a free key, which has its own limit`,
    };
  }
  if (status === 401 || (status === 403 && !isPage)) {
    return {
      message: hasKey
        ? `CoinGecko does not accept the key in COINGECKO_API_KEY as a ${isPro ? 'Pro' : 'Demo'} key`
        : `${host} requires a key`,
      hint: 'check the key in COINGECKO_API_KEY and its plan in COINGECKO_PLAN: demo or pro',
    };
  }
  if (status >= 300 && status < 400) {
    return {
      message: `${host} redirects to another address, and the key is not sent there`,
      hint: 'when that address is the right one, name it with --base-url',
    };
  }
  if (isPage) {
    return {
      message: `${host} answers with an HTML page instead of data`,
      hint: 'a CDN, a proxy or a login page may have answered; try again later, or from another network',
    };
  }
  if (status < 300 && errorCode === undefined) {
    return {
      message: `${host} answers with something other than the requested data`,
      hint: 'check --base-url, which ends in /api/v3',
    };
  }
  return {
    message: status >= 500 ? 'CoinGecko has an internal error' : `${host} refuses the request`,
    hint: status >= 500 ? 'try again later' : 'check --base-url, which ends in /api/v3',
  };
}

function quote({ message, errorCode, isPage }: Words): string {
  if (isPage) return ', an HTML page';
  const number = errorCode === undefined ? '' : ` (${errorCode})`;
  return message === undefined ? number : `: ${message.slice(0, 200)}${number}`;
}

/**
 * The message in a body of the shapes that CoinGecko uses, `{status: {error_code, error_message}}`,
 * `{error: {status: {…}}}` and `{error: "…"}`, or in text that is not JSON.
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

/** The message of the innermost cause, since that of the outermost is only "fetch failed". */
function reasonOf(error: unknown): string {
  let reason = error;
  while (reason instanceof Error && reason.cause instanceof Error) reason = reason.cause;
  if (reason instanceof AggregateError) return reason.errors.map(reasonOf).join(', ');
  return reason instanceof Error ? reason.message : String(reason);
}
