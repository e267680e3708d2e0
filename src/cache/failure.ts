import { type CacheFailure, CryptosenseDbError, isError, messageOf } from '../runtime/errors.ts';

/** How Redis begins an answer that refuses a command. */
const refusals: readonly (readonly [start: RegExp, reason: CacheFailure])[] = [
  [/^(?:WRONGPASS|NOAUTH|ERR AUTH|ERR invalid password)/, 'login-refused'],
  [/^NOPERM/, 'not-permitted'],
  [/^OOM/, 'full'],
  [/^READONLY/, 'read-only'],
  [/^(?:LOADING|MASTERDOWN|CLUSTERDOWN|BUSY|TRYAGAIN)/, 'loading'],
  [/^[A-Z]+ /, 'refused'],
];

const texts: Readonly<Record<CacheFailure, { readonly fact: string; readonly hint: string }>> = {
  unreachable: {
    fact: 'does not answer',
    hint: 'start it, or correct the address: redis-cli -u URL ping',
  },
  slow: {
    fact: 'did not answer in time',
    hint: 'see what keeps it busy: redis-cli -u URL slowlog get',
  },
  'login-refused': {
    fact: 'refused the login',
    hint: 'correct the user and the password in the URL',
  },
  'not-permitted': {
    fact: 'does not permit this user the command',
    hint: 'grant it, as docs/cache.md#acl lists it: redis-cli acl setuser USER',
  },
  full: {
    fact: 'is full, and refuses to store',
    hint: 'raise maxmemory, or remove keys: cryptosense-db cache status',
  },
  'read-only': {
    fact: 'is a replica, and refuses to store',
    hint: 'name the primary, or let redis+sentinel:// find it',
  },
  loading: {
    fact: 'is not ready',
    hint: 'wait until it has loaded its data, or until all slots of the cluster are served',
  },
  refused: { fact: 'refused the command', hint: 'cryptosense-db cache check' },
  closed: { fact: 'was closed', hint: 'use the cache before close()' },
};

/** `cache` is the URL without its password. */
export function cacheFailed(
  cache: string,
  reason: CacheFailure,
  cause?: unknown,
): CryptosenseDbError<'cache-unavailable'> {
  const { fact, hint } = texts[reason];
  const said = cause === undefined ? '' : messageOf(cause).trim();
  return new CryptosenseDbError(
    'cache-unavailable',
    { message: `the cache ${cache} ${fact}`, evidence: said === '' ? [] : [said], hint },
    { details: { cache, reason }, cause },
  );
}

/** What the client or the server threw, as an error of this package. */
export function explained(error: unknown, cache: string): CryptosenseDbError<'cache-unavailable'> {
  if (isError(error, 'cache-unavailable')) return error;
  const message = messageOf(error);
  const [, reason = 'unreachable'] = refusals.find(([start]) => start.test(message)) ?? [];
  return cacheFailed(cache, reason, error);
}

/** After these, a new connection is opened, and not at once. */
export function isLost(reason: CacheFailure): boolean {
  return ['unreachable', 'slow', 'login-refused', 'loading'].includes(reason);
}
