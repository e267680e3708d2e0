import type { SeedEnvironment } from '../ledger/seed-runs.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { DevOptions, ProductionOptions } from './seed.ts';

/** The options of every kind of seeding. `requestedWork` says which kind is meant. */
export interface SeedRequest
  extends Omit<DevOptions, 'target'>,
    Omit<ProductionOptions, 'target' | 'apiKey' | 'plan'> {
  readonly environment?: SeedEnvironment | undefined;
  /** List the seeders instead of running them. */
  readonly list?: boolean | undefined;
}

export type SeedWork =
  | { readonly kind: 'list' | 'dev' | 'production' }
  | { readonly kind: 'save'; readonly file: string };

/** Options that only one environment has. */
const optionsOf = {
  dev: ['seed', 'now', 'scale', 'historyDays'],
  production: ['top', 'baseUrl', 'from', 'save', 'offline'],
} as const satisfies Readonly<Record<SeedEnvironment, readonly (keyof SeedRequest)[]>>;

/**
 * The work that a request means. `save` without a database saves CoinGecko's answer and seeds nothing.
 * Throws `bad-configuration` without an environment, and for options that the work does not have.
 */
export function requestedWork(
  request: SeedRequest,
  { isTargetNamed }: { readonly isTargetNamed: () => boolean },
): SeedWork {
  const { list, environment, save } = request;
  if (list) {
    refuse(request, [...optionsOf.dev, ...optionsOf.production, 'dryRun'], '--list');
    return { kind: 'list' };
  }
  switch (environment) {
    case 'dev':
      refuse(request, optionsOf.production, '--env dev');
      return { kind: 'dev' };
    case 'production':
      refuse(request, optionsOf.dev, '--env production');
      return save !== undefined && !isTargetNamed()
        ? { kind: 'save', file: save }
        : { kind: 'production' };
    case undefined:
      throw new CryptosenseDbError('bad-configuration', {
        message: 'no environment is named: dev or production',
        hint: 'cryptosense-db seed --env dev, or --env production',
      });
    default:
      return environment satisfies never;
  }
}

function refuse(request: SeedRequest, options: readonly (keyof SeedRequest)[], work: string): void {
  const foreign = options.filter((name) => request[name] !== undefined).map(flagOf);
  if (foreign.length === 0) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: `${foreign.join(', ')} cannot be used with ${work}`,
    hint: 'see: cryptosense-db seed --help',
  });
}

/** `baseUrl` is `--base-url`. */
function flagOf(name: string): string {
  if (name === 'historyDays') return '--history';
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
