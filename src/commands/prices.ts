import { readCoinGecko, surroundings, type TargetFlags } from '../config.ts';
import type { ImportOptions } from '../prices/request.ts';
import type { ShowOptions } from '../prices/show.ts';
import type { StatusOptions } from '../prices/status.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { renderCandles, renderImport, renderPriceStatus } from '../ui/prices.ts';
import { argument, defineCommand, flag, type Group, grouped, repeatable } from './command.ts';
import { lockTimeoutFlag, onDatabase, targetFlags } from './flags.ts';
import { coins, moment, positiveNumber } from './values.ts';

const coinsFlag = {
  coins: flag('--coins <coins>', 'symbols or CoinGecko ids, such as BTC,ETH,SOL', coins),
};

/** Of the command line: `--from` names a date, or with `--source files` a path. */
type ImportFlags = Omit<ImportOptions, 'from' | 'files' | 'pairs'> &
  TargetFlags & {
    readonly from?: string | undefined;
    readonly pair?: readonly string[] | undefined;
  };

const importCommand = defineCommand<ImportFlags>()({
  name: 'import',
  summary: 'import price history; continue an import that stopped',
  flags: {
    ...coinsFlag,
    top: flag('--top <n>', 'the largest assets (default: 50)', positiveNumber),
    days: flag('--days <n>', 'how many days back from today (default: 1825)', positiveNumber),
    from: flag('--from <date|file>', 'the first day; with --source files, a file or folder'),
    to: flag('--to <date>', 'the day after the last one (default: now)', moment),
    interval: flag('--interval <name>', 'one price a day or an hour (default: daily)', {
      choices: ['daily', 'hourly'],
    }),
    source: flag('--source <name>', 'where prices come from (default: coingecko)', {
      choices: ['coingecko', 'binance', 'files'],
    }),
    dryRun: flag('--dry-run', 'print what is missing and what it takes; request nothing'),
    overwrite: flag('--overwrite', 'replace the rows of this source, and of no other'),
    ...grouped('Source:', {
      baseUrl: flag('--base-url <url>', "a mirror of CoinGecko's API or of Binance's dumps"),
      quote: flag('--quote <currency>', "the dollar of Binance's pairs (default: USDT)"),
      pair: repeatable(flag('--pair <symbol=pair>', 'the pair of an asset, such as BTC=BTCUSDT')),
    }),
    ...targetFlags,
    ...lockTimeoutFlag,
  },
  conflicts: [['coins', 'top']],
  notes: [
    'Rows that are there stay. Only what is missing is requested and written.',
    'With --overwrite, an import from CoinGecko or Binance that stopped starts again.',
    'A file has the header time,asset_symbol,price_usd[,market_cap_usd,volume_24h_usd],',
    'or is one of Binance or Kraken as downloaded: CSV, gzip or zip.',
    'COINGECKO_API_KEY is a key of CoinGecko, and COINGECKO_PLAN its plan: demo or pro.',
    'Data provided by CoinGecko.',
  ],
  examples: [
    ['cryptosense-db prices import --days=1825 --coins=BTC,ETH,SOL', 'five years, daily'],
    ['cryptosense-db prices import --source binance --interval hourly', 'the top 50, hourly'],
    ['cryptosense-db prices import --source files --from prices/', 'all files of a folder'],
    ['cryptosense-db prices import --days 365 --dry-run', 'what is missing'],
  ],
  run: async (given, tools) => {
    const { importPrices } = await import('../prices/import.ts');
    const { from, pair, quote, ...options } = onDatabase(given, tools);
    const result = await importPrices({
      ...options,
      ...readCoinGecko(surroundings()),
      ...startOf(from, given.source),
      quote: quote?.toUpperCase(),
      pairs: pair && readPairs(pair),
    });
    tools.output.result(result, renderImport);
  },
});

function startOf(
  text: string | undefined,
  source: ImportOptions['source'],
): Pick<ImportOptions, 'from' | 'files'> {
  if (text === undefined) return {};
  if (source === 'files') return { files: text };
  const from = moment.read(text);
  if (from) return { from };
  throw new CryptosenseDbError('bad-configuration', {
    message: `--from ${text} is not a date`,
    hint: 'use a day such as 2026-01-31; a file or folder needs --source files',
  });
}

function readPairs(texts: readonly string[]): ImportOptions['pairs'] {
  const pairs = texts.map(readPair);
  const repeated = pairs.find(([symbol], at) => pairs.findIndex(([each]) => each === symbol) < at);
  if (!repeated) return Object.fromEntries(pairs);
  throw new CryptosenseDbError('bad-configuration', {
    message: `two pairs are named for ${repeated[0]}`,
    hint: 'name one of them',
  });
}

function readPair(text: string): readonly [string, string] {
  const [symbol = '', pair = '', ...more] = text.toUpperCase().split('=');
  if (more.length === 0) return [symbol, pair];
  throw new CryptosenseDbError('bad-configuration', {
    message: `--pair ${text} is not a pair`,
    hint: 'write it as BTC=BTCUSDT',
  });
}

const status = defineCommand<StatusOptions & TargetFlags & { readonly check?: true | undefined }>()(
  {
    name: 'status',
    summary: 'show what the database has of price history, and its gaps',
    flags: {
      ...coinsFlag,
      check: flag('--check', 'exit with code 1 when prices or candles are missing'),
      ...targetFlags,
    },
    examples: [
      ['cryptosense-db prices status', 'every asset with prices'],
      ['cryptosense-db prices status --check --quiet', 'for a pipeline'],
    ],
    run: async ({ check, ...given }, tools) => {
      const prices = await import('../prices/status.ts');
      const result = await prices.status(onDatabase(given, tools));
      tools.output.result(result, renderPriceStatus);
      if (check && !result.isComplete) tools.answerNo();
    },
  },
);

const show = defineCommand<ShowOptions & TargetFlags>()({
  name: 'show',
  summary: 'draw the daily candles of an asset',
  arguments: { symbol: argument('<symbol>', 'such as BTC') },
  flags: {
    days: flag('--days <n>', 'how many days, today included (default: 30)', positiveNumber),
    ...targetFlags,
  },
  examples: [['cryptosense-db prices show BTC --days 90', 'the last three months']],
  run: async (given, tools) => {
    const prices = await import('../prices/show.ts');
    tools.output.result(await prices.show(onDatabase(given, tools)), renderCandles);
  },
});

export const pricesCommands: Group = {
  name: 'prices',
  summary: 'import price history, and show what is there',
  commands: [importCommand, status, show],
};
