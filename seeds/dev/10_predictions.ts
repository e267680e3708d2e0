import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { assetOf, type CatalogueAsset } from '../story/catalogue.ts';
import { fakerOf, gauss } from '../story/chance.ts';
import { seedId, seedIds } from '../story/identity.ts';
import { priceHistory } from '../story/prices.ts';
import { before, dayMs, hourMs, startOfDay } from '../story/time.ts';

export const seeder: DevSeeder = {
  description: 'past predictions with outcomes, and open predictions',
  run: ({ merge, ...moment }) =>
    merge('predictions', {
      rows: predictions(moment),
      total,
      ids: seedIds('predictions'),
      // A model may have written the same prediction.
      others: 'keep',
    }),
};

const assets = ['BTC', 'ETH', 'SOL'].map(assetOf);
const timeframes = { '7d': 7, '14d': 14, '30d': 30 } as const;
const types = ['price', 'trend', 'volatility'] as const;
const pastDays = 60;
/** The days between two predictions of one kind. */
const everyDays = 3;
const total =
  assets.length * Object.keys(timeframes).length * types.length * (pastDays / everyDays);

type Timeframe = keyof typeof timeframes;

interface Moment {
  readonly seed: number;
  readonly now: Date;
}

function* predictions({ seed, now }: Moment): Generator<NewRow<'predictions'>> {
  const faker = fakerOf(seed, 'predictions');
  let number = 0;
  for (const asset of assets) {
    const priceAt = priceHistory(asset, { seed, now });
    for (let age = pastDays; age > 0; age -= everyDays) {
      for (const [timeframe, days] of Object.entries(timeframes) as [Timeframe, number][]) {
        const madeAt = before(startOfDay(now), age * dayMs - 6 * hourMs);
        const targetDate = new Date(madeAt.getTime() + days * dayMs);
        for (const prediction_type of types) {
          const outlook = outlookOf(prediction_type, { faker, asset, priceAt, madeAt, targetDate });
          const isOver = targetDate <= now;
          yield {
            id: seedId('predictions', number),
            asset_symbol: asset.symbol,
            prediction_type,
            timeframe,
            model_version: age > 30 ? 'lstm-v1.1.0' : 'lstm-v1.2.0',
            prediction_date: madeAt,
            target_date: targetDate,
            predicted_value: outlook.predicted.toFixed(8),
            confidence_score: faker.number.float({ min: 52, max: 94 }).toFixed(2),
            direction: outlook.direction,
            actual_value: isOver ? outlook.actual.toFixed(8) : null,
            accuracy_score: isOver ? accuracyOf(outlook).toFixed(2) : null,
            factors: {
              rsi: faker.number.int({ min: 28, max: 74 }),
              macd: Number(faker.number.float({ min: -0.05, max: 0.05 }).toFixed(3)),
              volume_trend: faker.helpers.arrayElement(['increasing', 'decreasing', 'flat']),
            },
            created_at: madeAt,
          };
          number += 1;
        }
      }
    }
  }
}

interface Question {
  readonly faker: ReturnType<typeof fakerOf>;
  readonly asset: CatalogueAsset;
  readonly priceAt: (at: Date) => number;
  readonly madeAt: Date;
  readonly targetDate: Date;
}

interface Outlook {
  readonly predicted: number;
  readonly actual: number;
  readonly direction: 'bullish' | 'bearish' | 'neutral';
}

/** A price in USD, a trend in percent of change, or a volatility in percent per day. */
function outlookOf(
  type: (typeof types)[number],
  { faker, asset, priceAt, madeAt, targetDate }: Question,
): Outlook {
  const then = priceAt(madeAt);
  // For an open prediction, this price only serves to choose the predicted one.
  const actualPrice = priceAt(targetDate);
  const predictedPrice = actualPrice * (1 + gauss(faker) * asset.dailyVolatility);
  const change = (price: number) => (price / then - 1) * 100;
  const direction = directionOf(change(predictedPrice));
  switch (type) {
    case 'price':
      return { predicted: predictedPrice, actual: actualPrice, direction };
    case 'trend':
      return { predicted: change(predictedPrice), actual: change(actualPrice), direction };
    case 'volatility': {
      const actual = asset.dailyVolatility * 100 * (1 + gauss(faker) * 0.2);
      return { predicted: actual * (1 + gauss(faker) * 0.1), actual, direction: 'neutral' };
    }
    default:
      return type satisfies never;
  }
}

function directionOf(changePercent: number): Outlook['direction'] {
  if (Math.abs(changePercent) < 1) return 'neutral';
  return changePercent > 0 ? 'bullish' : 'bearish';
}

/** 100 less the error in percent, and at least 0. */
function accuracyOf({ predicted, actual }: Outlook): number {
  const miss = Math.abs(predicted - actual) / Math.max(Math.abs(actual), 1);
  return Math.max(0, 100 - miss * 100);
}
