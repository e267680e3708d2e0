import type { NewRow } from '../../src/seeding/seeder.ts';
import { named, people, type Setting } from './cast.ts';
import { catalogue } from './catalogue.ts';
import { fakerOf } from './chance.ts';
import { seedId } from './identity.ts';
import { bitcoinPrices, type Price } from './prices.ts';
import { before, dayMs, hourMs } from './time.ts';

/** An alert, and each time that it was triggered. */
export interface Alarm {
  readonly alert: NewRow<'alerts'>;
  readonly history: readonly NewRow<'alert_history'>[];
}

/** The alerts of a user that the specification does not name. */
export const alertsEach = 2;
export const namedAlerts = 8;
export const namedTriggers = 8;

type Status = 'sent' | 'failed' | 'pending';
type Channel = 'email' | 'push' | 'sms';

interface Plan {
  readonly userId: string;
  readonly type: NewRow<'alerts'>['alert_type'];
  readonly symbol: string;
  readonly condition: string;
  readonly threshold: number;
  readonly channels: readonly Channel[];
  readonly isActive: boolean;
  readonly isRecurring: boolean;
  readonly createdAt: Date;
  readonly triggers: readonly Trigger[];
}

interface Trigger {
  readonly at: Date;
  readonly value: number;
  readonly status: Status;
  readonly channel: Channel;
}

/** All alerts of a scale, those of the named users first. */
export function* alarms(setting: Setting): Generator<Alarm> {
  let alertNumber = 0;
  let triggerNumber = 0;
  for (const plan of plans(setting)) {
    const id = seedId('alerts', alertNumber);
    alertNumber += 1;
    yield {
      alert: alertRow(plan, id),
      history: plan.triggers.map(({ at, value, status, channel }) => {
        const row = {
          id: seedId('alert_history', triggerNumber),
          alert_id: id,
          triggered_at: at,
          trigger_value: value.toFixed(8),
          notification_status: status,
          notification_channel: channel,
          error_message: status === 'failed' ? refusals[channel] : null,
        };
        triggerNumber += 1;
        return row;
      }),
    };
  }
}

const refusals: Readonly<Record<Channel, string>> = {
  email: 'SMTP 550: mailbox unavailable',
  push: 'The device token has expired',
  sms: 'The carrier does not know the number',
};

function alertRow(plan: Plan, id: string): NewRow<'alerts'> {
  const { triggers } = plan;
  return {
    id,
    user_id: plan.userId,
    alert_type: plan.type,
    asset_symbol: plan.symbol,
    condition: plan.condition,
    threshold_value: plan.threshold.toFixed(8),
    notification_channels: [...plan.channels],
    is_active: plan.isActive,
    is_recurring: plan.isRecurring,
    cooldown_hours: 24,
    last_triggered_at: triggers.at(-1)?.at ?? null,
    created_at: plan.createdAt,
    updated_at: triggers.at(-1)?.at ?? plan.createdAt,
  };
}

function* plans(setting: Setting): Generator<Plan> {
  yield* namedPlans(setting);
  const faker = fakerOf(setting.seed, 'alerts');
  for (const { named: isNamed, id: userId, createdAt } of people(setting)) {
    if (isNamed) continue;
    for (let index = 0; index < alertsEach; index += 1) {
      const { symbol, priceUsd } = faker.helpers.arrayElement(catalogue);
      const isAbove = faker.datatype.boolean();
      const threshold = priceUsd * (isAbove ? 1.1 : 0.9);
      // The first alert of each user was triggered once, before the week that has prices. The second
      // is waiting.
      const at = before(setting.now, faker.number.int({ min: 8 * dayMs, max: 30 * dayMs }));
      const channel = faker.helpers.arrayElement(['email', 'push', 'sms'] as const);
      const value = threshold * (isAbove ? 1.002 : 0.998);
      const status = faker.helpers.weightedArrayElement([
        { value: 'sent' as const, weight: 18 },
        { value: 'failed' as const, weight: 1 },
        { value: 'pending' as const, weight: 1 },
      ]);
      yield {
        userId,
        type: 'price',
        symbol,
        condition: isAbove ? 'price_above' : 'price_below',
        threshold,
        channels: [channel],
        isActive: index === 1,
        isRecurring: false,
        createdAt,
        triggers: index === 0 ? [{ at, value, status, channel }] : [],
      };
    }
  }
}

function namedPlans({ seed, now }: Setting): readonly Plan[] {
  const ago = (days: number, hours = 0) => before(now, days * dayMs + hours * hourMs);
  const trigger = (days: number, value: number, status: Status, channel: Channel): Trigger => ({
    at: ago(days, 3),
    value,
    status,
    channel,
  });
  const peak = highest(bitcoinPrices({ seed, now }));
  const threshold = Math.floor(peak.priceUsd) - 1;
  const plan = (
    userId: string,
    [type, symbol, condition, threshold]: readonly [Plan['type'], string, string, number],
    rest: Partial<Plan> & { readonly createdAt: Date },
  ): Plan => ({
    userId,
    type,
    symbol,
    condition,
    threshold,
    channels: ['email'],
    isActive: true,
    isRecurring: false,
    triggers: [],
    ...rest,
  });
  return [
    plan(named.admin, ['price', 'BTC', 'price_above', threshold], {
      createdAt: ago(90),
      channels: ['email', 'push'],
      isRecurring: true,
      triggers: [
        trigger(21, threshold + 112, 'sent', 'email'),
        trigger(6, threshold + 55, 'sent', 'push'),
        { at: peak.time, value: peak.priceUsd, status: 'pending', channel: 'email' },
      ],
    }),
    plan(named.admin, ['price', 'ETH', 'price_below', 2_000], { createdAt: ago(60) }),
    plan(named.admin, ['risk', 'SHIB', 'risk_above', 90], {
      createdAt: ago(45),
      isActive: false,
      triggers: [trigger(2, 92, 'sent', 'email')],
    }),
    plan(named.admin, ['whale', 'SOL', 'transfer_above', 1_000_000], {
      createdAt: ago(30),
      channels: ['sms'],
      triggers: [trigger(9, 1_450_000, 'failed', 'sms'), trigger(8, 1_210_000, 'sent', 'sms')],
      isRecurring: true,
    }),
    plan(named.pro, ['prediction', 'BTC', 'confidence_above', 85], {
      createdAt: ago(40),
      channels: ['push'],
      isActive: false,
      triggers: [trigger(4, 88.5, 'sent', 'push')],
    }),
    plan(named.pro, ['price', 'LINK', 'price_above', 15], {
      createdAt: ago(79),
      isActive: false,
      triggers: [trigger(44, 15.08, 'sent', 'email')],
    }),
    plan(named.pro, ['risk', 'SOL', 'risk_above', 70], { createdAt: ago(20) }),
    plan(named.free, ['price', 'BTC', 'price_below', 40_000], { createdAt: ago(12) }),
  ];
}

function highest(prices: readonly Price[]): Price {
  return prices.reduce((peak, price) => (price.priceUsd > peak.priceUsd ? price : peak));
}
