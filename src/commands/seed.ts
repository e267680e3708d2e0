import { isTargetNamed, readCoinGecko, surroundings, type TargetFlags } from '../config.ts';
import type { SeedRequest } from '../seeding/request.ts';
import { defineCommand, flag, repeatable } from './command.ts';
import { folderFlags, lockTimeoutFlag, onDatabase, targetFlags } from './flags.ts';
import { moment, positiveNumber, wholeNumber } from './values.ts';

const load = async () => ({
  seeding: await import('../seeding/seed.ts'),
  request: await import('../seeding/request.ts'),
  render: await import('../ui/seeding.ts'),
});

const dev = { group: 'Development data:' };
const production = { group: 'Production reference data:' };

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
    seed: flag('--seed <n>', 'the same number gives the same data (default: 1)', {
      ...dev,
      kind: wholeNumber,
    }),
    now: flag('--now <time>', 'the moment at which the data ends (default: now)', {
      ...dev,
      kind: moment,
    }),
    scale: flag('--scale <n>', 'how many times three users (default: 1)', {
      ...dev,
      kind: positiveNumber,
    }),
    top: flag('--top <n>', 'how many assets, the largest first (default: 100)', {
      ...production,
      kind: positiveNumber,
    }),
    baseUrl: flag('--base-url <url>', "a mirror of CoinGecko's API, up to /api/v3", production),
    from: flag('--from <file>', 'read a saved answer instead of asking CoinGecko', {
      ...production,
      isPath: true,
    }),
    save: flag('--save <file>', "save CoinGecko's answer; without a database, only save it", {
      ...production,
      isPath: true,
    }),
    offline: flag(
      '--offline',
      'use the snapshot in this package: ids, symbols and names, no prices',
      production,
    ),
    ...targetFlags,
    ...folderFlags,
    seeds: flag('--seeds <dir>', 'folder with dev/ and production/ (default: packaged)', {
      group: 'Files:',
      isPath: true,
    }),
    ...lockTimeoutFlag,
  },
  conflicts: [
    ['from', 'offline'],
    ['from', 'save'],
    ['from', 'baseUrl'],
    ['offline', 'save'],
    ['offline', 'baseUrl'],
  ],
  notes: [
    'Users after the third have 5 portfolios of 20 holdings each.',
    'COINGECKO_API_KEY is a key of CoinGecko, and COINGECKO_PLAN its plan: demo or pro.',
    'Without a key, CoinGecko allows fewer requests.',
    'Data provided by CoinGecko.',
  ],
  examples: [
    ['cryptosense-db seed --env dev', 'users, portfolios, prices'],
    ['cryptosense-db seed --env dev --scale 3334', 'ten thousand users'],
    ['cryptosense-db seed --env dev --only holdings', 'the holdings only'],
    ['cryptosense-db seed --env production', 'the 100 largest assets'],
    ['cryptosense-db seed --env production --from a.json', 'without internet'],
    ['cryptosense-db seed --list', 'all seeders'],
  ],
  run: async (given, tools) => {
    const { seeding, request, render } = await load();
    const { output, signal } = tools;
    const work = request.requestedWork(given, {
      isTargetNamed: () => isTargetNamed(given, surroundings()),
    });
    switch (work.kind) {
      case 'list':
        output.result(await seeding.list(given), render.renderSeeders);
        return;
      case 'dev':
        output.result(await seeding.dev(onDatabase(given, tools)), render.renderDevSeed);
        return;
      case 'production': {
        const options = { ...onDatabase(given, tools), ...readCoinGecko(surroundings()) };
        output.result(await seeding.production(options), render.renderProductionSeed);
        return;
      }
      case 'save': {
        const { onProgress } = output;
        const options = { ...given, ...readCoinGecko(surroundings()), onProgress, signal };
        output.result(await seeding.saveMarket(work.file, options), render.renderSaved);
        return;
      }
      default:
        work satisfies never;
    }
  },
});
