import { type Command, InvalidArgumentError, Option } from 'commander';
import { isTargetNamed, readCoinGecko, surroundings } from '../config.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { DevOptions, ProductionOptions, SeedEnvironment } from '../seeding/seed.ts';
import type { Context } from './context.ts';
import {
  begin,
  type CommonFlags,
  examples,
  type FolderFlags,
  type LockFlags,
  lockTimeoutOption,
  parseMoment,
  parseSteps,
  withFolderOptions,
  withOutputOptions,
  withTargetOptions,
} from './options.ts';

const load = async () => ({
  seeds: await import('../seeding/seed.ts'),
  render: await import('../ui/seeding.ts'),
});

interface SeedFlags extends CommonFlags, FolderFlags, Pick<LockFlags, 'lockTimeout'> {
  readonly env?: SeedEnvironment;
  readonly list?: boolean;
  readonly only?: readonly string[];
  readonly dryRun?: boolean;
  readonly seeds?: string;
  readonly seed?: number;
  readonly now?: Date;
  readonly scale?: number;
  readonly top?: number;
  readonly baseUrl?: string;
  readonly from?: string;
  readonly save?: string;
  readonly offline?: boolean;
}

/** Flags of one environment alone: said with the other, they would do nothing. */
const flagsOf: Readonly<Record<SeedEnvironment, readonly (keyof SeedFlags)[]>> = {
  dev: ['seed', 'now', 'scale'],
  production: ['top', 'baseUrl', 'from', 'save', 'offline'],
};

/** `cryptosense-db seed` */
export function addSeedCommand(program: Command, context: Context): void {
  const command = program
    .command('seed')
    .description('development data, or production reference data; running it again is safe')
    .addOption(
      new Option('--env <name>', 'what to seed; the database is marked so').choices([
        'dev',
        'production',
      ]),
    )
    .option('--list', 'list the seeders, run none; needs no database')
    .option(
      '--only <name>',
      'this seeder alone, as in the last run; can be given several times',
      collect,
    )
    .option('--dry-run', 'run everything in one transaction and roll it back')
    .option('--seeds <dir>', 'folder with dev/ and production/ (default: the packaged seeders)')
    .optionsGroup('Development data:')
    .addOption(
      new Option('--seed <n>', 'the same number gives the same data (default: 1)').argParser(
        parseSeed,
      ),
    )
    .addOption(
      new Option('--now <time>', 'the moment that the data is of (default: now)').argParser(
        parseMoment,
      ),
    )
    .addOption(
      new Option(
        '--scale <n>',
        'how many times the three users; others have 5 portfolios of 20 holdings (default: 1)',
      ).argParser(parseSteps),
    )
    .optionsGroup('Production reference data:')
    .addOption(
      new Option('--top <n>', 'how many assets, the largest first (default: 100)').argParser(
        parseSteps,
      ),
    )
    .option('--base-url <url>', "a mirror of CoinGecko's API, up to /api/v3")
    .addOption(
      new Option('--from <file>', 'take a saved answer, ask nobody').conflicts([
        'offline',
        'save',
        'baseUrl',
      ]),
    )
    .option('--save <file>', "also save CoinGecko's answer; without a database, only that")
    .addOption(
      new Option(
        '--offline',
        "take the package's snapshot: ids, symbols and names, no prices",
      ).conflicts(['save', 'baseUrl']),
    )
    .optionsGroup('Options:')
    .addOption(lockTimeoutOption());
  withOutputOptions(withFolderOptions(withTargetOptions(command)))
    .addHelpText(
      'after',
      `\n${[
        'COINGECKO_API_KEY is a key of CoinGecko, COINGECKO_PLAN its plan: demo or pro.',
        'Without a key, CoinGecko answers too, less often. Data provided by CoinGecko.',
      ].join('\n')}`,
    )
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db seed --env dev', 'users, portfolios, prices'],
        ['cryptosense-db seed --env dev --scale 3334', 'ten thousand users, to measure with'],
        ['cryptosense-db seed --env dev --only holdings', 'as the last run made them'],
        ['cryptosense-db seed --env production', 'the 100 largest assets'],
        ['cryptosense-db seed --env production --from answer.json', 'without a way out'],
        ['cryptosense-db seed --list', 'what there is'],
      ]),
    )
    .action((flags: SeedFlags) => run(context, flags));
}

async function run(context: Context, flags: SeedFlags): Promise<void> {
  const { env: environment, list } = flags;
  refuseForeignFlags(flags);
  if (list) {
    const output = await context.open(flags);
    const { seeds, render } = await load();
    output.result(
      await seeds.list({ environment, seeds: flags.seeds, only: flags.only }),
      render.renderSeeders,
    );
    return;
  }
  if (environment === undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'which data is meant is not said',
      hint: 'cryptosense-db seed --env dev, or --env production',
    });
  }
  const shared = { ...flags, lockTimeoutMs: flags.lockTimeout };
  if (environment === 'dev') {
    const { output, common, seeds, render } = await begin(context, flags, load);
    const options: DevOptions = { ...shared, ...common };
    output.result(await seeds.dev(options), render.renderDevSeed);
    return;
  }
  const market = { ...shared, ...readCoinGecko(surroundings()) };
  if (flags.save !== undefined && !isTargetNamed(flags, surroundings())) {
    const output = await context.open(flags);
    const { seeds, render } = await load();
    const { onProgress } = output;
    const saved = await seeds.saveMarket(flags.save, {
      ...market,
      onProgress,
      signal: context.signal,
    });
    output.result(saved, render.renderSaved);
    return;
  }
  const { output, common, seeds, render } = await begin(context, flags, load);
  const options: ProductionOptions = { ...market, ...common };
  output.result(await seeds.production(options), render.renderProductionSeed);
}

function refuseForeignFlags(flags: SeedFlags): void {
  const { env: environment, list } = flags;
  const given = (names: readonly (keyof SeedFlags)[]) =>
    names.filter((name) => flags[name] !== undefined).map(optionOf);
  const foreign = list
    ? given([...flagsOf.dev, ...flagsOf.production, 'dryRun'])
    : given(environment === 'dev' ? flagsOf.production : environment ? flagsOf.dev : []);
  if (foreign.length === 0) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: `${foreign.join(', ')} ${foreign.length === 1 ? 'has' : 'have'} no meaning with ${list ? '--list' : `--env ${environment}`}`,
    hint: 'see: cryptosense-db seed --help',
  });
}

/** `baseUrl` is `--base-url`. */
function optionOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function collect(name: string, before: readonly string[] = []): readonly string[] {
  return [...before, name];
}

function parseSeed(text: string): number {
  const seed = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(seed)) throw new InvalidArgumentError('It is a whole number.');
  return seed;
}
