import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { type CatalogueAsset, syntheticSource } from '../story/catalogue.ts';
import { fakerOf } from '../story/chance.ts';
import { clearSynthetic } from '../story/clear.ts';
import { assetsAt } from '../story/load-set.ts';
import { before, hourMs, minuteMs } from '../story/time.ts';
import { walk } from '../story/walk.ts';

export const seeder: DevSeeder = {
  description: 'a week of social sentiment, every six hours',
  run: async ({ db, load, scale, ...moment }) => {
    await clearSynthetic(db, 'social_sentiment_history');
    const assets = assetsAt(scale);
    const total = assets.length * points;
    await load('social_sentiment_history', { rows: sentiment(assets, moment), total });
  },
};

const everyHours = 6;
const points = (7 * 24) / everyHours;

interface Moment {
  readonly seed: number;
  readonly now: Date;
}

function* sentiment(
  assets: readonly CatalogueAsset[],
  { seed, now }: Moment,
): Generator<NewRow<'social_sentiment_history'>> {
  for (const [rank, { symbol }] of assets.entries()) {
    const faker = fakerOf(seed, `sentiment ${symbol}`);
    const mood = walk(faker, points, { end: 55, step: 4, pull: 0.1, reach: 30 });
    for (const [index, score] of mood.entries()) {
      const negative = (100 - score) * faker.number.float({ min: 0.35, max: 0.55 });
      const positive = score * faker.number.float({ min: 0.6, max: 0.9 });
      // The percentages have to add up to 100 after rounding.
      const [plus, minus] = [Number(positive.toFixed(2)), Number(negative.toFixed(2))];
      const mentions = Math.round(
        (40_000 / (rank + 1)) * faker.number.float({ min: 0.7, max: 1.6 }),
      );
      yield {
        time: before(now, minuteMs + (points - 1 - index) * everyHours * hourMs),
        asset_symbol: symbol,
        social_score: score.toFixed(2),
        sentiment_positive: plus.toFixed(2),
        sentiment_negative: minus.toFixed(2),
        sentiment_neutral: (100 - plus - minus).toFixed(2),
        mentions_count: mentions,
        influencer_mentions_count: Math.round(mentions * 0.015),
        data_source: syntheticSource,
      };
    }
  }
}
