import { CryptosenseDbError } from '../runtime/errors.ts';
import type { CoinGeckoOptions } from './coingecko.ts';

/** Throws `bad-configuration` for a base URL that is not plain HTTP, and for a key that cannot be one or is missing. */
export function requireAccess({
  baseUrl,
  plan,
  apiKey,
}: Pick<CoinGeckoOptions, 'baseUrl' | 'plan' | 'apiKey'>): void {
  const refuse = (message: string, hint?: string) => {
    throw new CryptosenseDbError('bad-configuration', { message, ...(hint && { hint }) });
  };
  if (baseUrl !== undefined && !isPlainHttp(baseUrl)) {
    refuse(
      'the base URL is not an http:// or https:// URL without user and password',
      'such as https://mirror.example',
    );
  }
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey)) {
    refuse('COINGECKO_API_KEY has characters that no key has');
  }
  if (plan === 'pro' && apiKey === undefined) {
    refuse("CoinGecko's Pro plan needs its key", 'set COINGECKO_API_KEY');
  }
}

function isPlainHttp(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return (
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.username === '' &&
    url.password === ''
  );
}
