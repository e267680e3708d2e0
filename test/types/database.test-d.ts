import type { Insertable, Kysely, Selectable, Updateable } from 'kysely';
import { describe, expectTypeOf, it } from 'vitest';
import type { createDatabase, Database } from '../../src/index.ts';

declare const db: Kysely<Database>;

describe('what can be read', () => {
  it('has the types of the values that the driver returns', () => {
    type Holding = Selectable<Database['holdings']>;
    expectTypeOf<Holding['quantity']>().toEqualTypeOf<string>();
    expectTypeOf<Holding['current_value_usd']>().toEqualTypeOf<string | null>();
    expectTypeOf<Selectable<Database['users']>['created_at']>().toEqualTypeOf<Date | null>();
    expectTypeOf<Selectable<Database['assets']>['search_vector']>().toEqualTypeOf<string | null>();
  });

  it('is a union when a CHECK lists the words, in views too', () => {
    expectTypeOf<Selectable<Database['subscriptions']>['tier']>().toEqualTypeOf<
      'free' | 'plus' | 'pro' | 'power-trader'
    >();
    expectTypeOf<Selectable<Database['latest_risk_scores']>['risk_level']>().toEqualTypeOf<
      'low' | 'medium' | 'high' | 'extreme' | null
    >();
  });

  it('is not nullable when the view is never NULL', () => {
    type Day = Selectable<Database['price_history_daily']>;
    expectTypeOf<Day['day']>().toEqualTypeOf<Date>();
    expectTypeOf<Day['close']>().toEqualTypeOf<string>();
    expectTypeOf<Day['total_volume']>().toEqualTypeOf<string | null>();
  });

  it('has the shapes that the specification gives', () => {
    type Connection = Selectable<Database['exchange_connections']>;
    expectTypeOf<Connection['permissions']>().toEqualTypeOf<{
      read: boolean;
      trade: boolean;
      withdraw: boolean;
    } | null>();
    type Alert = Selectable<Database['alerts']>;
    expectTypeOf<Alert['notification_channels']>().toEqualTypeOf<
      ('email' | 'push' | 'sms')[] | null
    >();
  });
});

describe('what can be written', () => {
  it('may leave out a column with a default, and no other required column', () => {
    expectTypeOf<{ email: string; password_hash: string }>().toExtend<
      Insertable<Database['users']>
    >();
    expectTypeOf<{ email: string }>().not.toExtend<Insertable<Database['users']>>();
  });

  it('accepts numbers and texts for NUMERIC, dates and texts for times', () => {
    type Transaction = Updateable<Database['transactions']>;
    expectTypeOf<{ quantity: 1; transaction_date: Date }>().toExtend<Transaction>();
    expectTypeOf<{ quantity: '1'; transaction_date: '2026-11-20' }>().toExtend<Transaction>();
  });
});

describe('what does not compile', () => {
  it('is a generated column in an INSERT or UPDATE', () => {
    const holding = { portfolio_id: '', asset_symbol: 'BTC', quantity: 1 };
    db.insertInto('holdings').values(holding);
    // @ts-expect-error The server computes it, and refuses a value.
    db.insertInto('holdings').values({ ...holding, current_value_usd: '1' });
    // @ts-expect-error The same in an UPDATE.
    db.updateTable('assets').set({ search_vector: 'bitcoin' });
  });

  it('is a word that its CHECK does not list', () => {
    // @ts-expect-error There is no such tier.
    db.updateTable('users').set({ tier: 'gold' });
    // @ts-expect-error Nor can it be compared with one.
    db.selectFrom('users').where('tier', '=', 'gold');
  });

  it('is a number for a column that returns text', async () => {
    const holding = await db.selectFrom('holdings').select('quantity').executeTakeFirstOrThrow();
    // @ts-expect-error NUMERIC arrives as a string, so that no digit is lost.
    const quantity: number = holding.quantity;
    expectTypeOf(quantity).toBeNumber();
  });

  it('is a table or a column that does not exist', () => {
    // @ts-expect-error The table is called users.
    db.selectFrom('user');
    // @ts-expect-error The column is called email.
    db.selectFrom('users').select('mail');
  });
});

it('createDatabase gives a Kysely of these tables', () => {
  expectTypeOf<ReturnType<typeof createDatabase>>().toEqualTypeOf<Kysely<Database>>();
});
