import { interrupted } from '../database/refusals.ts';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';

const mostAttempts = 5;
/** An answer that asks to wait longer ends the attempts with an error, which says how long. */
const longestWaitMs = 120_000;

/** A request that failed. */
export interface FailedAnswer {
  /** undefined: no answer came, or not in time. */
  readonly status: number | undefined;
  /** How long the answer asks to wait. */
  readonly retryAfterMs: number | undefined;
}

/** Whether another request may succeed: after no answer, an incomplete answer, 408, 429 and 5xx. */
export function isWorthAnother({ status }: Pick<FailedAnswer, 'status'>): boolean {
  return status === undefined || status === 408 || status === 429 || status >= 500;
}

/** The end of a request: what it brought, or the error of this attempt and how long to wait before another. */
export type Outcome<T> =
  | { readonly answer: T }
  | {
      readonly error: CryptosenseDbError;
      readonly isWorthAnother: boolean;
      readonly retryAfterMs: number | undefined;
      /** The first wait where the answer asks for none; each is twice the one before. */
      readonly firstMs: number;
    };

/**
 * Asks up to five times, and reports each wait. Throws the error of the last attempt, and `interrupted`. `ask` gets the
 * number of the attempt, from 1.
 */
export async function askAgain<T>(
  ask: (attempt: number) => Promise<Outcome<T>>,
  { onProgress, signal }: Pick<FetchOptions, 'onProgress' | 'signal'>,
): Promise<T> {
  let failed: Exclude<Outcome<T>, { readonly answer: T }> | undefined;
  const attempt = async (number: number) => {
    const outcome = await ask(number);
    if ('answer' in outcome) return outcome.answer;
    failed = outcome;
    throw outcome.error;
  };
  const waitMs = ({ attempts }: FailedAttempt) => {
    if (signal?.aborted) return undefined;
    if (!failed?.isWorthAnother || attempts === mostAttempts) return undefined;
    const { retryAfterMs, firstMs, error } = failed;
    const delayMs = retryAfterMs ?? Math.round(backoffMs(attempts, { firstMs }));
    if (delayMs > longestWaitMs) return undefined;
    onProgress?.({ kind: 'market-retried', reason: error.problems[0]?.message ?? '', delayMs });
    return delayMs;
  };
  return retry(attempt, { waitMs, signal }).catch((error: unknown) => {
    throw signal?.aborted ? interrupted({ completed: [], pending: [] }) : error;
  });
}

/** Some sixty times the size of a page of 250 assets, and a hundred times that of a month of hourly prices. */
const largestAnswerBytes = 16 * 1024 * 1024;

/** `fetch` with a limit on the size of the answer. */
export async function fetchBounded(...request: Parameters<typeof fetch>): Promise<Response> {
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

/** `a minute`, `60 minutes`: how long a person waits who runs the command again. */
export function nameWait(ms: number): string {
  return ms <= 60_000 ? 'a minute' : `${Math.ceil(ms / 60_000)} minutes`;
}

/** The evidence of an answer that asks to wait. */
export function askedToWait(host: string, ms: number | undefined): readonly string[] {
  return ms === undefined ? [] : [`${host} asks to wait ${Math.ceil(ms / 1_000)} s`];
}

/** From seconds or a date (RFC 9110, 10.2.3); undefined for anything but a time in the future. */
export function readRetryAfter(text: string | null): number | undefined {
  if (text === null) return undefined;
  const isSeconds = /^\s*\d+(\.\d+)?\s*$/.test(text);
  const isDate = /^\s*[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} /.test(text);
  if (!isSeconds && !isDate) return undefined;
  const ms = isSeconds ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? ms : undefined;
}

/** How to fetch files of a public host. */
export interface FetchOptions {
  /** The first wait before another try; each is twice the one before. Default 1,000. */
  readonly retryDelayMs?: number | undefined;
  /** How long one answer may take, to its last byte. Default 30,000. */
  readonly answerTimeoutMs?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The bytes of a file; undefined when the host answers 404. Tries again after no answer, an incomplete answer, 408,
 * 429 and 5xx, and waits as long as `retry-after` says. Throws `source-failed` and `interrupted`.
 */
export async function fetchFile(url: string, options: FetchOptions): Promise<Buffer | undefined> {
  const { retryDelayMs: firstMs = 1_000 } = options;
  return askAgain(async (attempts): Promise<Outcome<Buffer | undefined>> => {
    const answer = await ask(url, options);
    if ('bytes' in answer) return { answer: answer.bytes };
    const { retryAfterMs } = answer;
    const error = sourceFailed(url, { ...answer, attempts });
    return { error, isWorthAnother: isWorthAnother(answer), retryAfterMs, firstMs };
  }, options);
}

type Answer = { readonly bytes: Buffer | undefined } | (FailedAnswer & { readonly cause: unknown });

async function ask(
  url: string,
  { signal, answerTimeoutMs = 30_000 }: FetchOptions,
): Promise<Answer> {
  const timeout = AbortSignal.timeout(answerTimeoutMs);
  try {
    const answer = await fetchBounded(url, {
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      redirect: 'error',
    });
    const { status, headers } = answer;
    if (answer.ok) return { bytes: Buffer.from(await answer.arrayBuffer()) };
    await answer.body?.cancel();
    if (status === 404) return { bytes: undefined };
    return { status, retryAfterMs: readRetryAfter(headers.get('retry-after')), cause: undefined };
  } catch (error) {
    const isLate = timeout.aborted && !signal?.aborted;
    const cause = isLate ? new Error(`no complete answer within ${answerTimeoutMs} ms`) : error;
    return { status: undefined, retryAfterMs: undefined, cause };
  }
}

function sourceFailed(
  url: string,
  {
    status,
    retryAfterMs,
    cause,
    attempts,
  }: FailedAnswer & { readonly cause: unknown; readonly attempts: number },
): CryptosenseDbError<'source-failed'> {
  const { host } = new URL(url);
  const reason = cause instanceof Error && cause.cause ? cause.cause : cause;
  return new CryptosenseDbError(
    'source-failed',
    {
      message:
        status === undefined ? `${host} does not answer` : `${host} answers with HTTP ${status}`,
      evidence: [
        url,
        ...(status === undefined ? [messageOf(reason)] : []),
        ...askedToWait(host, retryAfterMs),
        attempts === 1 ? '1 request' : `${attempts} requests`,
      ],
      hint: `${retryAfterMs === undefined ? '' : `wait ${nameWait(retryAfterMs)}, and `}run the command again; it goes on where it stopped`,
    },
    { details: { host, status, attempts }, cause },
  );
}
