import { sql } from 'kysely';
import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { clearSeeded } from '../story/clear.ts';
import { seedId } from '../story/identity.ts';

export const seeder: DevSeeder = {
  description: 'four risk scores of today',
  run: async ({ db, now, wrote }) => {
    await clearSeeded(db, 'risk_scores');
    for (const row of scores(now)) {
      const { id: _, ...figures } = row;
      // An asset has one score a day, and the score of today may exist already.
      await db
        .insertInto('risk_scores')
        .values(row)
        .onConflict((conflict) =>
          conflict
            .expression(sql`asset_symbol, ((calculated_at at time zone 'UTC')::date)`)
            .doUpdateSet(figures),
        )
        .execute();
      wrote('risk_scores', 1);
    }
  },
};

function scores(now: Date): readonly NewRow<'risk_scores'>[] {
  const shared = { calculated_at: now, created_at: now };
  return [
    {
      ...shared,
      id: seedId('risk_scores', 0),
      asset_symbol: 'BTC',
      risk_score: 35,
      risk_level: 'medium',
      volatility_score: 40,
      liquidity_score: 5,
      social_sentiment_score: 30,
      on_chain_score: 20,
      audit_status: 'audited',
      team_status: 'anonymous',
      exchange_listings_count: 480,
      factors: { drawdown_30d: 0.08, top_10_share: 0.05 },
    },
    {
      ...shared,
      id: seedId('risk_scores', 1),
      asset_symbol: 'ETH',
      risk_score: 42,
      risk_level: 'medium',
      volatility_score: 45,
      liquidity_score: 8,
      social_sentiment_score: 34,
      on_chain_score: 25,
      audit_status: 'audited',
      team_status: 'doxxed',
      exchange_listings_count: 450,
      factors: { drawdown_30d: 0.11, top_10_share: 0.34 },
    },
    {
      ...shared,
      id: seedId('risk_scores', 2),
      asset_symbol: 'SOL',
      risk_score: 58,
      risk_level: 'high',
      volatility_score: 65,
      liquidity_score: 18,
      social_sentiment_score: 47,
      on_chain_score: 52,
      audit_status: 'audited',
      team_status: 'doxxed',
      exchange_listings_count: 310,
      factors: { drawdown_30d: 0.19, top_10_share: 0.28 },
    },
    {
      ...shared,
      id: seedId('risk_scores', 3),
      asset_symbol: 'SHIB',
      risk_score: 92,
      risk_level: 'extreme',
      volatility_score: 95,
      liquidity_score: 61,
      social_sentiment_score: 88,
      on_chain_score: 84,
      audit_status: 'unaudited',
      team_status: 'anonymous',
      exchange_listings_count: 190,
      factors: { drawdown_30d: 0.27, top_10_share: 0.62 },
    },
  ];
}
