import { fakerOf } from './chance.ts';
import { seedId } from './identity.ts';
import { before, dayMs } from './time.ts';

/** The password of every user in development data. The hashes are those of bcrypt with cost 12. */
export const developmentPassword = 'cryptosense-dev';

export const passwordHashes = [
  '$2b$12$UgeWa89Zwt3HjzkuEx3x0OC/OgKXCk0u/jG1hZ94GzyHZQr1mnyZC',
  '$2b$12$UjFLjK1bht0NWEfoBdxS3eUqb3hlDPtkPTzOW.y2ysIYkLapN5XmO',
  '$2b$12$ZcnO4/DexGvjrVUjtkLJiuU7E8FcEwMvvdDsgKzitwBRKPqjlpfSu',
] as const;

export type Tier = 'free' | 'plus' | 'pro' | 'power-trader';

/** A user, and the facts that have to agree between the tables that reference users. */
export interface Person {
  /** From 0. The first three are the users of the specification. */
  readonly number: number;
  readonly id: string;
  /** Only for a user of the specification; the names of others come from Faker. */
  readonly named?: { readonly email: string; readonly firstName: string };
  readonly tier: Tier;
  readonly createdAt: Date;
  readonly portfolios: readonly PersonPortfolio[];
  readonly connections: readonly PersonConnection[];
}

export interface PersonPortfolio {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

export interface PersonConnection {
  readonly id: string;
  readonly exchange: string;
  readonly portfolioId: string;
  readonly createdAt: Date;
}

/** The named users of the specification (9.1). */
export const named = {
  admin: '11111111-1111-1111-1111-111111111111',
  pro: '22222222-2222-2222-2222-222222222222',
  free: '33333333-3333-3333-3333-333333333333',
  mainPortfolio: 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa',
  tradingPortfolio: 'bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb',
} as const;

export const namedUsers = [
  { id: named.admin, email: 'admin@cryptosense.dev', firstName: 'Admin' },
  { id: named.pro, email: 'pro@cryptosense.dev', firstName: 'Pro User' },
  { id: named.free, email: 'free@cryptosense.dev', firstName: 'Free User' },
] as const;

/** For a user that the specification does not name (Appendix A). */
export const portfoliosEach = 5;
export const connectionsEach = 2;

const portfolioNames = ['Main', 'Long term', 'Trading', 'Staking', 'Play money'] as const;
const exchanges = ['binance', 'coinbase', 'kraken', 'bitstamp', 'okx'] as const;

/** The number of users at a scale: that many times the three of the specification. */
export function peopleAt(scale: number): number {
  return 3 * scale;
}

/** The number of users that the specification does not name. */
export function strangersAt(scale: number): number {
  return peopleAt(scale) - 3;
}

/** All users of a scale, the named ones first. */
export function* people({ seed, scale, now }: Setting): Generator<Person> {
  yield* namedPeople(now);
  const faker = fakerOf(seed, 'people');
  for (let number = 3; number < peopleAt(scale); number += 1) {
    const createdAt = before(now, faker.number.int({ min: 40 * dayMs, max: 720 * dayMs }));
    const portfolios = portfolioNames.map((name, index) => ({
      id: seedId('portfolios', number * portfoliosEach + index),
      name,
      createdAt: before(
        now,
        faker.number.int({ min: 35 * dayMs, max: now.getTime() - createdAt.getTime() }),
      ),
    }));
    const first = faker.number.int({ min: 0, max: exchanges.length - 1 });
    const connections = portfolios.slice(0, connectionsEach).map((portfolio, index) => ({
      id: seedId('exchange_connections', number * connectionsEach + index),
      exchange: exchanges[(first + index) % exchanges.length] ?? exchanges[0],
      portfolioId: portfolio.id,
      createdAt: portfolio.createdAt,
    }));
    const tier = faker.helpers.weightedArrayElement(tierWeights);
    yield { number, id: seedId('users', number), tier, createdAt, portfolios, connections };
  }
}

/** The inputs that determine the data. */
export interface Setting {
  readonly seed: number;
  readonly scale: number;
  readonly now: Date;
}

const tierWeights: readonly { readonly value: Tier; readonly weight: number }[] = [
  { value: 'free', weight: 60 },
  { value: 'plus', weight: 22 },
  { value: 'pro', weight: 14 },
  { value: 'power-trader', weight: 4 },
];

function namedPeople(now: Date): readonly Person[] {
  const connection = (number: number, exchange: string, portfolioId: string, days: number) => ({
    id: seedId('exchange_connections', number),
    exchange,
    portfolioId,
    createdAt: before(now, days * dayMs),
  });
  return [
    {
      number: 0,
      id: named.admin,
      named: namedUsers[0],
      tier: 'power-trader',
      createdAt: before(now, 420 * dayMs),
      portfolios: [
        { id: named.mainPortfolio, name: 'Main Portfolio', createdAt: before(now, 400 * dayMs) },
      ],
      connections: [
        connection(0, 'binance', named.mainPortfolio, 399),
        connection(1, 'coinbase', named.mainPortfolio, 398),
      ],
    },
    {
      number: 1,
      id: named.pro,
      named: namedUsers[1],
      tier: 'pro',
      createdAt: before(now, 200 * dayMs),
      portfolios: [
        {
          id: named.tradingPortfolio,
          name: 'Trading Portfolio',
          createdAt: before(now, 190 * dayMs),
        },
      ],
      connections: [connection(2, 'kraken', named.tradingPortfolio, 189)],
    },
    {
      number: 2,
      id: named.free,
      named: namedUsers[2],
      tier: 'free',
      createdAt: before(now, 45 * dayMs),
      portfolios: [],
      connections: [],
    },
  ];
}
