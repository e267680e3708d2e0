import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { named, people, type Setting, strangersAt, type Tier } from '../story/cast.ts';
import { fakerOf } from '../story/chance.ts';
import { clearSeeded } from '../story/clear.ts';
import { seedId } from '../story/identity.ts';
import { dayMs } from '../story/time.ts';

export const seeder: DevSeeder = {
  description: 'subscriptions in every status',
  run: async ({ db, load, ...setting }) => {
    await clearSeeded(db, 'subscriptions');
    const total = namedSubscriptions.length + strangersAt(setting.scale);
    await load('subscriptions', { rows: subscriptions(setting), total });
  },
};

type Status = 'active' | 'canceled' | 'past_due' | 'trialing';

interface Subscription {
  readonly userId: string;
  readonly tier: Tier;
  readonly status: Status;
  readonly interval: 'monthly' | 'yearly';
  /** Days ago. */
  readonly since: number;
}

const namedSubscriptions: readonly Subscription[] = [
  { userId: named.admin, tier: 'pro', status: 'canceled', interval: 'monthly', since: 410 },
  { userId: named.admin, tier: 'power-trader', status: 'active', interval: 'yearly', since: 300 },
  { userId: named.pro, tier: 'pro', status: 'active', interval: 'monthly', since: 185 },
  { userId: named.pro, tier: 'power-trader', status: 'trialing', interval: 'monthly', since: 5 },
  { userId: named.free, tier: 'plus', status: 'past_due', interval: 'monthly', since: 36 },
];

function* subscriptions(setting: Setting): Generator<NewRow<'subscriptions'>> {
  let number = 0;
  for (const subscription of namedSubscriptions) yield rowOf(subscription, number++, setting.now);
  const faker = fakerOf(setting.seed, 'subscriptions');
  for (const { named: isNamed, id: userId, tier, createdAt } of people(setting)) {
    if (isNamed) continue;
    const age = (setting.now.getTime() - createdAt.getTime()) / dayMs;
    const subscription: Subscription = {
      userId,
      // Who has the free tier today may have paid once.
      ...(tier === 'free' && faker.datatype.boolean(0.3)
        ? { tier: 'plus', status: faker.helpers.arrayElement(['canceled', 'past_due', 'trialing']) }
        : { tier, status: 'active' }),
      interval: faker.helpers.weightedArrayElement([
        { value: 'monthly', weight: 3 },
        { value: 'yearly', weight: 1 },
      ]),
      since: Math.max(1, age - faker.number.int({ min: 0, max: 20 })),
    };
    yield rowOf(subscription, number++, setting.now);
  }
}

const trialDays = 14;
const endings: Readonly<Record<Status, (now: number) => number>> = {
  active: (now) => now + 9 * dayMs,
  // Nothing came for a period that ended three days ago.
  past_due: (now) => now - 3 * dayMs,
  trialing: (now) => now + (trialDays - 5) * dayMs,
  canceled: (now) => now - 12 * dayMs,
};

function rowOf(
  { userId, tier, status, interval, since }: Subscription,
  number: number,
  moment: Date,
): NewRow<'subscriptions'> {
  const now = moment.getTime();
  const isPaid = tier !== 'free';
  const isTrial = status === 'trialing';
  const createdAt = isTrial ? new Date(now - 5 * dayMs) : new Date(now - Math.round(since * dayMs));
  const periodEnd = new Date(endings[status](now));
  const periodDays = interval === 'monthly' ? 30 : 365;
  const periodStart = isTrial
    ? createdAt
    : new Date(Math.max(createdAt.getTime(), periodEnd.getTime() - periodDays * dayMs));
  const label = String(number).padStart(8, '0');
  return {
    id: seedId('subscriptions', number),
    user_id: userId,
    tier,
    status,
    stripe_customer_id: isPaid ? `cus_seed${label}` : null,
    stripe_subscription_id: isPaid ? `sub_seed${label}` : null,
    stripe_price_id: isPaid ? `price_seed_${tier}_${interval}` : null,
    billing_interval: isPaid ? interval : null,
    current_period_start: isPaid ? periodStart : null,
    current_period_end: isPaid ? periodEnd : null,
    cancel_at_period_end: status === 'canceled',
    trial_start: isTrial ? createdAt : null,
    trial_end: isTrial ? periodEnd : null,
    created_at: createdAt,
    updated_at: createdAt,
    canceled_at: status === 'canceled' ? periodEnd : null,
  };
}
