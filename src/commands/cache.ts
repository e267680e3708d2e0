import type { ClearOptions } from '../cache/clear.ts';
import { type Part, parts } from '../cache/keyspace.ts';
import type { CacheStatusOptions } from '../cache/status.ts';
import type { WarmOptions } from '../cache/warm.ts';
import { readCacheUrl, surroundings, type TargetFlags } from '../config.ts';
import type { CacheCheckOptions } from '../doctor/doctor.ts';
import { renderCacheStatus, renderClear, renderWarm } from '../ui/cache.ts';
import { renderExamination } from '../ui/doctor.ts';
import { argument, defineCommand, flag, type Group, grouped, repeatable } from './command.ts';
import { forceFlag, onDatabase, targetFlags } from './flags.ts';
import { positiveNumber } from './values.ts';

export const cacheUrlFlag = flag(
  '--cache-url <url>',
  'redis://…, rediss://…, redis+cluster://… or redis+sentinel://… (default: REDIS_URL)',
);

const cacheFlags = grouped('Cache:', {
  cacheUrl: cacheUrlFlag,
  prefix: flag('--prefix <name>', 'how the keys begin (default: cryptosense)'),
});

interface CacheFlag {
  readonly cacheUrl?: string | undefined;
}

/** The options, with the cache that `--cache-url` or REDIS_URL names. */
function onCache<Options extends CacheFlag>({ cacheUrl, ...options }: Options) {
  return { ...options, cache: readCacheUrl({ cacheUrl }, surroundings()) };
}

const check = defineCommand<
  Omit<CacheCheckOptions, 'cache'> & CacheFlag & { readonly check?: true | undefined }
>()({
  name: 'check',
  summary:
    'find what will go wrong in the cache: version, eviction, persistence, memory, TLS, login',
  flags: {
    check: flag('--check', 'exit with code 1 for a critical finding or a warning'),
    parts: repeatable(
      flag('--part <name>', 'what is, or will be, stored in it (default: what has keys)', {
        choices: parts,
      }),
    ),
    ...cacheFlags,
  },
  notes: [
    'Changes nothing. `doctor` has the same rules. docs/doctor.md says of each why it matters.',
  ],
  examples: [
    ['cryptosense-db cache check', 'the cache in REDIS_URL'],
    ['cryptosense-db cache check --part queues --check', 'an instance for queues, in a pipeline'],
  ],
  run: async ({ check: isCheck, ...given }, tools) => {
    const { examineCache } = await import('../doctor/doctor.ts');
    const result = await examineCache(onCache(given));
    tools.output.result(result, renderExamination);
    if (isCheck && !result.isSound) tools.answerNo();
  },
});

const warm = defineCommand<
  Omit<WarmOptions, 'target' | 'cache' | 'tls'> & TargetFlags & CacheFlag
>()({
  name: 'warm',
  summary: 'store the latest prices of the largest assets in the cache',
  flags: {
    top: flag('--top <n>', 'how many assets, the largest first (default: 100)', positiveNumber),
    ...cacheFlags,
    ...targetFlags,
  },
  notes: ['A price that the cache has already, and that is newer, stays.'],
  examples: [['cryptosense-db cache warm', 'before services start']],
  run: async (given, tools) => {
    const { warm: run } = await import('../cache/warm.ts');
    tools.output.result(await run(onCache(onDatabase(given, tools))), renderWarm);
  },
});

const status = defineCommand<Omit<CacheStatusOptions, 'target'> & CacheFlag>()({
  name: 'status',
  summary: 'show the keys, memory and ages of sessions, prices and queues, and the hit ratio',
  flags: cacheFlags,
  notes: ['Changes nothing, and goes through the keys page by page, with SCAN.'],
  examples: [['cryptosense-db cache status', 'what is stored']],
  run: async (given, tools) => {
    const { status: read } = await import('../cache/status.ts');
    const { cache: target, ...options } = onCache(given);
    tools.output.result(await read({ ...options, target }), renderCacheStatus);
  },
});

const clearable = parts.filter((part): part is Exclude<Part, 'queues'> => part !== 'queues');

const clear = defineCommand<
  Omit<ClearOptions, 'target' | 'cache' | 'tls'> & TargetFlags & CacheFlag
>()({
  name: 'clear',
  summary: 'remove all prices or all sessions from the cache',
  arguments: { part: argument('<part>', 'what to remove', { choices: clearable }) },
  flags: { ...forceFlag, ...cacheFlags, ...targetFlags },
  notes: [
    'The mark of the database guards its cache: it refuses where `db reset` does.',
    'Without sessions, every user has to log in again.',
  ],
  examples: [
    ['cryptosense-db cache clear prices', 'in development'],
    ['cryptosense-db cache clear sessions --force shop', 'log everybody out of production'],
  ],
  run: async (given, tools) => {
    const { clear: run } = await import('../cache/clear.ts');
    tools.output.result(await run(onCache(onDatabase(given, tools))), renderClear);
  },
});

export const cacheCommands: Group = {
  name: 'cache',
  summary: 'check, fill, show and clear the cache in Redis',
  commands: [check, warm, status, clear],
};
