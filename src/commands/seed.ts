import {
  findCacheUrl,
  isTargetNamed,
  readCoinGecko,
  surroundings,
  type TargetFlags,
} from '../config.ts';
import type { SeedRequest } from '../seeding/request.ts';
import { renderDevSeed, renderProductionSeed, renderSaved, renderSeeders } from '../ui/seeding.ts';
import { defineCommand, flag, grouped, repeatable } from './command.ts';
import { folderFlags, lockTimeoutFlag, onDatabase, targetFlags } from './flags.ts';
import { days, moment, positiveNumber, wholeNumber } from './values.ts';

export const seedCommand = defineCommand<SeedRequest & TargetFlags>()({
  name: 'seed',
  summary: 'write development data or production reference data; safe to repeat',
  flags: {
    environment: flag('--env <name>', 'what to seed; also marks the database', {
      choices: ['dev', 'production'],
    }),
    list: flag('--list', 'list the seeders and run none; needs no database'),
    only: repeatable(flag('--only <name>', 'run only this seeder, with the data of the last run')),
    dryRun: flag('--dry-run', 'run all seeders in one transaction and roll it back'),
    ...grouped('Development data:', {
      seed: flag('--seed <n>', 'the same number gives the same data (default: 1)', wholeNumber),
      now: flag('--now <time>', 'the moment at which the data ends (default: now)', moment),
      scale: flag('--scale <n>', 'how many times three users (default: 1)', positiveNumber),
      historyDays: flag('--history <time>', 'also hourly prices of that long, such as 5y', days),
    }),
    ...grouped('Production reference data:', {
      top: flag('--top <n>', 'how many assets, the largest first (default: 100)', positiveNumber),
      baseUrl: flag('--base-url <url>', "a mirror of CoinGecko's API, up to /api/v3"),
      from: flag('--from <file>', 'read a saved answer instead of asking CoinGecko'),
      save: flag('--save <file>', "save CoinGecko's answer; without a database, only save it"),
      offline: flag(
        '--offline',
        'use the snapshot in this package: ids, symbols and names, no prices',
      ),
    }),
    ...targetFlags,
    ...folderFlags,
    ...grouped('Files:', {
      seeds: flag('--seeds <dir>', 'folder with dev/ and production/ (default: packaged)'),
    }),
    ...lockTimeoutFlag,
  },
  conflicts: [
    ['from', 'offline', 'save'],
    ['from', 'offline', 'baseUrl'],
  ],
  notes: [
    'Where REDIS_URL names a cache, --env dev also stores prices and a session for each user in it.',
    'Users after the third have 5 portfolios of 20 holdings each.',
    'COINGECKO_API_KEY is a key of CoinGecko, and COINGECKO_PLAN its plan: demo or pro.',
    'Without a key, CoinGecko allows fewer requests.',
    'Data provided by CoinGecko.',
  ],
  examples: [
    ['cryptosense-db seed --env dev', 'users, portfolios, prices'],
    ['cryptosense-db seed --env dev --scale 3334', 'ten thousand users'],
    ['cryptosense-db seed --env dev --history 5y', 'with five years of prices'],
    ['cryptosense-db seed --env dev --only holdings', 'the holdings only'],
    ['cryptosense-db seed --env production', 'the 100 largest assets'],
    ['cryptosense-db seed --env production --from a.json', 'without internet'],
    ['cryptosense-db seed --list', 'all seeders'],
  ],
  run: async (given, tools) => {
    const seeding = await import('../seeding/seed.ts');
    const { requestedWork } = await import('../seeding/request.ts');
    const { output, signal } = tools;
    const work = requestedWork(given, {
      isTargetNamed: () => isTargetNamed(given, surroundings()),
    });
    switch (work.kind) {
      case 'list':
        return output.result(await seeding.list(given), renderSeeders);
      case 'dev': {
        const cache = findCacheUrl({}, surroundings(), { isNeeded: false });
        const options = { ...onDatabase(given, tools), cache };
        return output.result(await seeding.dev(options), renderDevSeed);
      }
      case 'production': {
        const options = { ...onDatabase(given, tools), ...readCoinGecko(surroundings()) };
        return output.result(await seeding.production(options), renderProductionSeed);
      }
      case 'save': {
        const { onProgress } = output;
        const options = { ...given, ...readCoinGecko(surroundings()), onProgress, signal };
        return output.result(await seeding.saveMarket(work.file, options), renderSaved);
      }
      default:
        work satisfies never;
    }
  },
});
