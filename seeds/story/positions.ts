import type { Faker } from '@faker-js/faker';
import type { NewRow } from '../../src/seeding/seeder.ts';
import {
  named,
  type Person,
  type PersonPortfolio,
  people,
  portfoliosEach,
  type Setting,
} from './cast.ts';
import { assetOf, catalogue } from './catalogue.ts';
import { fakerOf } from './chance.ts';
import { seedId } from './identity.ts';
import { type LatestChange, latestChanges } from './prices.ts';
import { before, dayMs, minuteMs } from './time.ts';
import {
  averagePrice,
  type Holding,
  quantityOf,
  sumOf,
  type Trade,
  type TransactionType,
  unitsFor,
} from './trade.ts';

/**
 * A portfolio with its holdings and transactions. For each asset, the holdings are the sum of the
 * transactions: buy and reward add, sell subtracts, and transfer, stake and unstake move coins within
 * the portfolio.
 */
export interface Positions {
  readonly portfolio: PersonPortfolio;
  readonly holdings: readonly NewRow<'holdings'>[];
  readonly transactions: readonly NewRow<'transactions'>[];
}

/** For a portfolio of a user that the specification does not name (Appendix A). */
export const holdingsEach = 20;
export const transactionsEach = 20;

/** For all portfolios of the named users together. */
export const namedHoldings = 3;
export const namedTransactions = 18;

/** The positions of all portfolios of a scale, those of the named users first. */
export function* positions(setting: Setting): Generator<Positions> {
  const changes = latestChanges(setting);
  const faker = fakerOf(setting.seed, 'positions');
  for (const person of people(setting)) {
    for (const [index, portfolio] of person.portfolios.entries()) {
      const { holdings, trades } = person.named
        ? namedStory(portfolio, setting.now)
        : inventStory(faker, { person, portfolio, now: setting.now });
      // Each user has a hundred row numbers: five portfolios of twenty.
      const first = (person.number * portfoliosEach + index) * holdingsEach;
      yield {
        portfolio,
        holdings: holdings.map((holding, place) =>
          holdingRow(holding, {
            id: seedId('holdings', first + place),
            portfolio,
            change: changes.get(holding.asset.symbol),
            now: setting.now,
          }),
        ),
        transactions: trades.map((trade, place) =>
          transactionRow(trade, { id: seedId('transactions', first + place), portfolio }),
        ),
      };
    }
  }
}

interface Story {
  readonly holdings: readonly Holding[];
  readonly trades: readonly Trade[];
}

/** The three holdings of the specification, and transactions that add up to them. */
function namedStory({ id: portfolioId }: PersonPortfolio, now: Date): Story {
  const binance = seedId('exchange_connections', 0);
  const coinbase = seedId('exchange_connections', 1);
  const kraken = seedId('exchange_connections', 2);
  const trade = (
    days: number,
    type: TransactionType,
    [quantity, symbol]: readonly [number, string],
    { at: priceUsd, on: connectionId, notes }: { at: number; on: string | null; notes?: string },
  ): Trade => {
    const asset = assetOf(symbol);
    const units = Math.round(quantity * 10 ** asset.decimals);
    return {
      type,
      asset,
      units,
      priceUsd,
      at: before(now, days * dayMs),
      connectionId,
      ...(notes !== undefined && { notes }),
    };
  };
  if (portfolioId === named.tradingPortfolio) {
    return {
      holdings: [],
      trades: [
        trade(160, 'buy', [0.5, 'BTC'], { at: 34_200, on: kraken, notes: 'Breakout' }),
        trade(96, 'sell', [0.5, 'BTC'], { at: 41_750, on: kraken }),
        trade(80, 'buy', [900, 'LINK'], { at: 11.2, on: kraken }),
        trade(44, 'sell', [900, 'LINK'], { at: 15.1, on: kraken, notes: 'Back to cash' }),
      ],
    };
  }
  const trades = [
    trade(390, 'buy', [1, 'BTC'], { at: 29_400, on: binance }),
    trade(200, 'buy', [0.7, 'BTC'], { at: 37_850, on: binance }),
    trade(20, 'sell', [0.2, 'BTC'], { at: 42_900, on: binance, notes: 'Rebalancing' }),
    trade(380, 'buy', [20, 'ETH'], { at: 1_850, on: coinbase }),
    trade(300, 'stake', [10, 'ETH'], { at: 1_900, on: coinbase }),
    trade(150, 'buy', [6, 'ETH'], { at: 2_120, on: coinbase }),
    trade(60, 'unstake', [4, 'ETH'], { at: 2_240, on: coinbase }),
    trade(30, 'sell', [1.5, 'ETH'], { at: 2_380, on: coinbase }),
    trade(10, 'reward', [0.5, 'ETH'], { at: 2_250, on: coinbase, notes: 'Staking' }),
    trade(350, 'buy', [400, 'SOL'], { at: 24.5, on: binance }),
    trade(120, 'buy', [150, 'SOL'], { at: 61, on: binance }),
    trade(90, 'transfer', [100, 'SOL'], { at: 74, on: binance, notes: 'Spot to earn' }),
    trade(15, 'sell', [60, 'SOL'], { at: 104, on: binance }),
    trade(5, 'reward', [10, 'SOL'], { at: 95, on: binance }),
  ];
  const holding = (symbol: string, source: string, connectionId: string): Holding => {
    const own = trades.filter(({ asset }) => asset.symbol === symbol);
    return {
      asset: assetOf(symbol),
      units: sumOf(own),
      averagePriceUsd: averagePrice(own),
      source,
      wallet: null,
      connectionId,
    };
  };
  return {
    trades,
    holdings: [
      holding('BTC', 'binance', binance),
      holding('ETH', 'coinbase', coinbase),
      holding('SOL', 'binance', binance),
    ],
  };
}

interface Invention {
  readonly person: Person;
  readonly portfolio: PersonPortfolio;
  readonly now: Date;
}

/** Ten assets, each in two places after two transactions. */
function inventStory(faker: Faker, { person, portfolio, now }: Invention): Story {
  const connection = person.connections.find(({ portfolioId }) => portfolioId === portfolio.id);
  const wallet = `0x${faker.string.hexadecimal({ length: 40, prefix: '', casing: 'lower' })}`;
  const ageMs = now.getTime() - portfolio.createdAt.getTime();
  const holdings: Holding[] = [];
  const trades: Trade[] = [];
  for (const asset of faker.helpers.arrayElements(catalogue, holdingsEach / 2)) {
    const bought = before(now, faker.number.int({ min: 2 * dayMs, max: ageMs - minuteMs }));
    const later = before(
      now,
      faker.number.int({ min: minuteMs, max: now.getTime() - bought.getTime() }),
    );
    const paid = asset.priceUsd * faker.number.float({ min: 0.6, max: 1.3 });
    const connectionId = connection?.id ?? null;
    const units = unitsFor(asset, faker.number.int({ min: 100, max: 9_000 }) / paid);
    const part = Math.max(1, Math.floor(units * faker.number.float({ min: 0.05, max: 0.6 })));
    const second = faker.helpers.arrayElement(secondTrades);
    const own: readonly Trade[] = [
      { type: 'buy', asset, units, priceUsd: paid, at: bought, connectionId },
      {
        type: second.type,
        asset,
        units: part,
        priceUsd: asset.priceUsd * faker.number.float({ min: 0.8, max: 1.1 }),
        at: later,
        connectionId: second.isOnExchange ? connectionId : null,
      },
    ];
    trades.push(...own);
    const averagePriceUsd = averagePrice(own);
    const held = sumOf(own);
    const inWallet = second.goesToWallet ? part : Math.max(1, Math.floor(held * 0.3));
    holdings.push(
      {
        asset,
        units: held - inWallet,
        averagePriceUsd,
        source: connection?.exchange ?? 'manual',
        wallet: null,
        connectionId,
      },
      { asset, units: inWallet, averagePriceUsd, source: 'wallet', wallet, connectionId: null },
    );
  }
  return { holdings, trades };
}

/** Transactions that may follow a purchase. */
const secondTrades: readonly {
  readonly type: TransactionType;
  readonly goesToWallet: boolean;
  /** It has the exchange connection of the purchase. */
  readonly isOnExchange: boolean;
}[] = [
  { type: 'transfer', goesToWallet: true, isOnExchange: true },
  { type: 'stake', goesToWallet: true, isOnExchange: false },
  { type: 'reward', goesToWallet: true, isOnExchange: false },
  { type: 'buy', goesToWallet: false, isOnExchange: true },
  { type: 'sell', goesToWallet: false, isOnExchange: true },
];

function holdingRow(
  { asset, units, averagePriceUsd, source, wallet, connectionId }: Holding,
  {
    id,
    portfolio,
    change,
    now,
  }: {
    readonly id: string;
    readonly portfolio: PersonPortfolio;
    readonly change: LatestChange | undefined;
    readonly now: Date;
  },
): NewRow<'holdings'> {
  return {
    id,
    portfolio_id: portfolio.id,
    asset_symbol: asset.symbol,
    asset_name: asset.name,
    quantity: quantityOf(asset, units),
    average_buy_price: averagePriceUsd.toFixed(8),
    current_price: asset.priceUsd.toFixed(8),
    price_change_24h: change?.day?.toFixed(2) ?? null,
    price_change_7d: change?.week?.toFixed(2) ?? null,
    exchange_source: source,
    wallet_address: wallet,
    exchange_connection_id: connectionId,
    last_updated_at: now,
    created_at: portfolio.createdAt,
  };
}

const feeRate = 0.001;

function transactionRow(
  { type, asset, units, priceUsd, at, connectionId, notes }: Trade,
  { id, portfolio }: { readonly id: string; readonly portfolio: PersonPortfolio },
): NewRow<'transactions'> {
  const total = (units / 10 ** asset.decimals) * priceUsd;
  const isTrade = type === 'buy' || type === 'sell';
  return {
    id,
    portfolio_id: portfolio.id,
    exchange_connection_id: connectionId,
    transaction_type: type,
    asset_symbol: asset.symbol,
    quantity: quantityOf(asset, units),
    price_usd: priceUsd.toFixed(8),
    fee_usd: isTrade ? (total * feeRate).toFixed(8) : '0',
    total_usd: total.toFixed(2),
    exchange_transaction_id: connectionId === null ? null : `seed-${id.slice(-12)}`,
    notes: notes ?? null,
    transaction_date: at,
    created_at: at,
    imported_at: at,
  };
}
