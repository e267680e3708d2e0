import type { Faker } from '@faker-js/faker';
import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { named, people, type Setting, strangersAt, type Tier } from '../story/cast.ts';
import { fakerOf } from '../story/chance.ts';
import { seedId, seedIds } from '../story/identity.ts';
import { dayMs } from '../story/time.ts';

export const seeder: DevSeeder = {
  description: 'subscriptions in every status',
  run: ({ merge, ...setting }) =>
    merge('subscriptions', {
      rows: subscriptions(setting),
      total: namedSubscriptions.length + strangersAt(setting.scale),
      ids: seedIds('subscriptions'),
      // A user can have one active subscription, which may be one that the seeder did not write.
      others: 'keep',
    }),
};

type Status = 'active' | 'canceled' | 'past_due' | 'trialing';

interface Subscription {
  readonly userId: string;
  readonly tier: Tier;
  readonly status: Status;
  readonly interval: 'monthly' | 'yearly';
  /** Started this many days ago. */
  readonly since: number;
  /** How many periods were paid for. Default: all that have begun. */
  readonly periods?: number;
}

const namedSubscriptions: readonly Subscription[] = [
  {
    userId: named.admin,
    tier: 'pro',
    status: 'canceled',
    interval: 'monthly',
    since: 410,
    periods: 3,
  },
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
    const interval = faker.helpers.weightedArrayElement([
      { value: 'monthly' as const, weight: 3 },
      { value: 'yearly' as const, weight: 1 },
    ]);
    const plan = planOf(tier, faker);
    const hasEnded = plan.status === 'canceled' || plan.status === 'past_due';
    const subscription: Subscription = {
      userId,
      ...plan,
      // An ended subscription is monthly: the year of a yearly one may not be over yet.
      interval: hasEnded ? 'monthly' : interval,
      // Long enough for a month to be over.
      since: Math.max(32, age - faker.number.int({ min: 0, max: 8 })),
    };
    yield rowOf(subscription, number++, setting.now);
  }
}

/** A user of the free tier may have paid once; a user of plus may be in a trial. */
function planOf(tier: Tier, faker: Faker): Pick<Subscription, 'tier' | 'status'> {
  if (tier === 'free' && faker.datatype.boolean(0.3)) {
    return { tier: 'plus', status: faker.helpers.arrayElement(['canceled', 'past_due']) };
  }
  const isTrial = tier === 'plus' && faker.datatype.boolean(0.2);
  return { tier, status: isTrial ? 'trialing' : 'active' };
}

const trialDays = 14;
const periodsDays = { monthly: 30, yearly: 365 } as const;

/** When it began, and its current or last paid period. */
function courseOf({ status, interval, since, periods }: Subscription, now: number) {
  const periodMs = periodsDays[interval] * dayMs;
  if (status === 'trialing') {
    const start = now - 5 * dayMs;
    return datesOf({ createdAt: start, start, end: start + trialDays * dayMs });
  }
  const createdAt = now - Math.round(since * dayMs);
  // Periods follow each other without a gap. The last one that has begun has not ended.
  const begun = Math.max(1, Math.ceil((now - createdAt) / periodMs));
  const paid = periods ?? (status === 'active' ? begun : Math.max(1, begun - 1));
  const end = createdAt + paid * periodMs;
  return datesOf({ createdAt, start: end - periodMs, end });
}

function datesOf(times: {
  readonly createdAt: number;
  readonly start: number;
  readonly end: number;
}) {
  const { createdAt, start, end } = times;
  return { createdAt: new Date(createdAt), periodStart: new Date(start), periodEnd: new Date(end) };
}

function rowOf(subscription: Subscription, number: number, now: Date): NewRow<'subscriptions'> {
  const { userId, tier, status, interval } = subscription;
  const isPaid = tier !== 'free';
  const isTrial = status === 'trialing';
  const { createdAt, periodStart, periodEnd } = courseOf(subscription, now.getTime());
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
    updated_at: status === 'canceled' ? periodEnd : periodStart,
    canceled_at: status === 'canceled' ? periodEnd : null,
  };
}
