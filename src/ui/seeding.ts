import { dayMs, isoDay } from '../runtime/days.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import type {
  Candle,
  DevResult,
  ListedSeeder,
  ProductionResult,
  SavedMarket,
  SeedResult,
} from '../seeding/seed.ts';
import { formatCents, formatCount } from './bar.ts';
import { formatDuration, plural } from './render.ts';
import { type Look, renderTable } from './table.ts';

/** CoinGecko's terms ask for this line beside the data (https://www.coingecko.com/en/api_terms). */
export const attribution = 'Data provided by CoinGecko (https://www.coingecko.com)';

/** Renders one line for each seeder, below its environment. */
export function renderSeeders(seeders: readonly ListedSeeder[], look: Look): string {
  const { chalk } = look;
  const environments = [...new Set(seeders.map(({ environment }) => environment))];
  const width = Math.max(...seeders.map(({ name }) => name.length));
  const blocks = environments.map((environment) => {
    const rows = seeders
      .filter((seeder) => seeder.environment === environment)
      .map(({ name, description }) => [
        `  ${name.padEnd(width)}`,
        { text: description, paint: chalk.dim },
      ]);
    const head = [{ text: `--env ${environment}`, paint: chalk.cyan }, ''];
    return renderTable({ head, rows, flexible: [1] }, look).join('\n');
  });
  return `${blocks.join('\n\n')}\n`;
}

/** Renders the rows of each table, the prices of Bitcoin on two days, and commands to try next. */
export function renderDevSeed(result: DevResult, look: Look): string {
  const { chalk } = look;
  const { seed, scale, now, candles } = result;
  const moment = now.toISOString().replace('T', ' ').slice(0, 19);
  return [
    '',
    ...rowsOf(result, look),
    ...notesOf(result, look),
    ...(candles.length === 0 || result.isDryRun ? [] : ['', ...candlesOf(candles, look)]),
    '',
    summaryOf(result, look),
    chalk.dim(`seed ${seed}, scale ${formatCount(scale)}, as of ${moment} UTC`),
    ...cacheOf(result, look),
    ...(result.isDryRun ? [] : ['', ...nextOf(result).map((line) => chalk.dim(line))]),
    '',
  ].join('\n');
}

export function renderProductionSeed(result: ProductionResult, look: Look): string {
  const { source, takenAt, assets } = result.market;
  const day = isoDay(takenAt);
  const from = {
    coingecko: 'from CoinGecko',
    file: `from a file, of ${day}`,
    snapshot: `from the snapshot of this package, of ${day} (${ageOf(takenAt)} old): ids, symbols and names, no prices`,
  }[source];
  return [
    ...notesOf(result, look),
    summaryOf(result, look),
    `${assets} assets ${from}`,
    look.chalk.dim(attribution),
    '',
  ].join('\n');
}

export function renderSaved({ file, assets }: SavedMarket, { chalk }: Look): string {
  return [
    `${chalk.bold(`${assets} assets saved`)} to ${file}; no database is named, so none was seeded`,
    `${chalk.cyan('seed them with:')} cryptosense-db seed --env production --from ${quoteShellWord(file)}`,
    chalk.dim(attribution),
    '',
  ].join('\n');
}

function rowsOf({ seeders }: SeedResult, look: Look): readonly string[] {
  const rows = seeders.flatMap(({ tables }) =>
    tables.map(({ table, rows: count }) => [table, formatCount(count)]),
  );
  if (rows.length === 0) return [];
  return renderTable({ head: ['table', 'rows'], rows, right: [1], flexible: [0] }, look);
}

function notesOf({ seeders }: SeedResult, { chalk }: Look): readonly string[] {
  return seeders.flatMap(({ notes }) => notes).map((note) => `${chalk.cyan('note:')} ${note}`);
}

function candlesOf(candles: readonly Candle[], look: Look): readonly string[] {
  const { green, red } = look.chalk;
  const rows = candles.map(({ day, open, high, low, close }) => [
    isoDay(day),
    ...[open, high, low].map((price) => formatCents(Number(price))),
    { text: formatCents(Number(close)), paint: Number(close) >= Number(open) ? green : red },
  ]);
  const head = ['BTC', 'open', 'high', 'low', 'close'];
  return renderTable({ head, rows, right: [1, 2, 3, 4], flexible: [0] }, look);
}

function summaryOf({ seeders, target, isDryRun }: SeedResult, { chalk }: Look): string {
  const rows = seeders.flatMap(({ tables }) => tables).reduce((sum, table) => sum + table.rows, 0);
  const took = seeders.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const what = `${plural(rows, 'row')} by ${plural(seeders.length, 'seeder')}`;
  return isDryRun
    ? `${chalk.bold(`${what} rolled back`)} in ${target}; nothing was changed`
    : `${chalk.bold(what)} in ${target}, ${formatDuration(took)}`;
}

/** A load set has ten thousand users. `--json` has the sessions of all. */
const fewSessions = 3;

function cacheOf({ cache }: DevResult, { chalk }: Look): readonly string[] {
  if (cache === undefined) return [];
  const { prices, sessions } = cache;
  const what = `${plural(prices, 'price')} and ${plural(sessions.length, 'session')}`;
  return [
    `${chalk.bold(what)} in ${cache.cache}`,
    ...sessions.slice(0, fewSessions).map(({ email, id }) => chalk.dim(`  ${email}  ${id}`)),
  ];
}

function nextOf({ target, scale }: DevResult): readonly string[] {
  const flag = target.startsWith('embedded:')
    ? ` --embedded ${quoteShellWord(target.slice('embedded:'.length))}`
    : '';
  return [
    'next:',
    // More data than now.
    ...(scale < 10 ? [`  cryptosense-db seed --env dev --scale 10${flag}`] : []),
    `  cryptosense-db migrate status${flag}`,
    `  cryptosense-db seed --list`,
  ];
}

function ageOf(moment: Date): string {
  const days = Math.max(0, Math.floor((Date.now() - moment.getTime()) / dayMs));
  return days === 1 ? 'a day' : `${days} days`;
}
