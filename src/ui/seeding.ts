import { quoteShellWord } from '../runtime/shell-words.ts';
import type {
  Candle,
  DevResult,
  ListedSeeder,
  ProductionResult,
  SavedMarket,
  SeedResult,
} from '../seeding/seed.ts';
import { formatCount } from './bar.ts';
import { formatDuration, type Look } from './render.ts';
import { renderTable } from './table.ts';

/** CoinGecko's terms ask for it beside the data (https://www.coingecko.com/en/api_terms). */
const attribution = 'Data provided by CoinGecko (https://www.coingecko.com)';

/** A line a seeder, below the environment that it is for. */
export function renderSeeders(seeders: readonly ListedSeeder[], { chalk, columns }: Look): string {
  const environments = [...new Set(seeders.map(({ environment }) => environment))];
  const width = Math.max(...seeders.map(({ name }) => name.length));
  const blocks = environments.map((environment) => {
    const rows = seeders
      .filter((seeder) => seeder.environment === environment)
      .map(({ name, description }) => [
        { text: `  ${name.padEnd(width)}` },
        { text: description, paint: chalk.dim },
      ]);
    const table = renderTable({
      head: [{ text: `--env ${environment}`, paint: chalk.cyan }, { text: '' }],
      rows,
      flexible: [1],
      columns,
    });
    return table.join('\n');
  });
  return `${blocks.join('\n\n')}\n`;
}

/** Rows by table, Bitcoin's two days, and what one can do next. */
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
    ...(result.isDryRun ? [] : ['', ...nextOf(result.target).map((line) => chalk.dim(line))]),
    '',
  ].join('\n');
}

export function renderProductionSeed(result: ProductionResult, look: Look): string {
  const { source, takenAt, assets } = result.market;
  const day = takenAt.toISOString().slice(0, 10);
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

function rowsOf({ seeders }: SeedResult, { chalk, columns }: Look): readonly string[] {
  if (seeders.every(({ tables }) => tables.length === 0)) return [];
  return renderTable({
    head: [
      { text: 'table', paint: chalk.dim },
      { text: 'rows', paint: chalk.dim, align: 'right' as const },
    ],
    rows: seeders.flatMap(({ tables }) =>
      tables.map(({ table, rows }) => [
        { text: table },
        { text: formatCount(rows), align: 'right' as const },
      ]),
    ),
    flexible: [0],
    columns,
  });
}

function notesOf({ seeders }: SeedResult, { chalk }: Look): readonly string[] {
  const notes = seeders.flatMap(({ notes: own }) => own);
  return notes.length === 0 ? [] : notes.map((note) => `${chalk.cyan('note:')} ${note}`);
}

function candlesOf(candles: readonly Candle[], { chalk, columns }: Look): readonly string[] {
  const right = 'right' as const;
  return renderTable({
    head: ['BTC', 'open', 'high', 'low', 'close'].map((text, index) => ({
      text,
      paint: chalk.dim,
      ...(index > 0 && { align: right }),
    })),
    rows: candles.map(({ day, open, high, low, close }) => {
      const paint = Number(close) >= Number(open) ? chalk.green : chalk.red;
      return [
        { text: day.toISOString().slice(0, 10) },
        ...[open, high, low].map((price) => ({ text: formatPrice(price), align: right })),
        { text: formatPrice(close), align: right, paint },
      ];
    }),
    flexible: [0],
    columns,
  });
}

/** `43,012.50` */
function formatPrice(price: string): string {
  const [whole = '', cents = ''] = Number(price).toFixed(2).split('.');
  return `${formatCount(Number(whole))}.${cents}`;
}

function summaryOf({ seeders, target, isDryRun }: SeedResult, { chalk }: Look): string {
  const rows = seeders.flatMap(({ tables }) => tables).reduce((sum, table) => sum + table.rows, 0);
  const took = seeders.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const what = `${formatCount(rows)} rows by ${seeders.length} ${seeders.length === 1 ? 'seeder' : 'seeders'}`;
  return isDryRun
    ? `${chalk.bold(`${what} rolled back`)} in ${target}; nothing was changed`
    : `${chalk.bold(what)} in ${target}, ${formatDuration(took)}`;
}

function nextOf(target: string): readonly string[] {
  const flag = target.startsWith('embedded:')
    ? ` --embedded ${quoteShellWord(target.slice('embedded:'.length))}`
    : '';
  return [
    'next:',
    `  cryptosense-db seed --env dev --scale 10${flag}`,
    `  cryptosense-db migrate status${flag}`,
    `  cryptosense-db seed --list`,
  ];
}

const dayMs = 86_400_000;

function ageOf(moment: Date): string {
  const days = Math.max(0, Math.floor((Date.now() - moment.getTime()) / dayMs));
  return days === 1 ? 'a day' : `${days} days`;
}
