import { dayMs } from '../runtime/days.ts';

/**
 * The release of the keyspace, a part of every key. Raise it when a value changes its form: services of the old and
 * the new release then run side by side, each on keys of its own.
 */
export const keyspaceVersion = 1;

export const parts = ['sessions', 'prices', 'queues'] as const;
/** What the specification puts into Redis (1.1). */
export type Part = (typeof parts)[number];

/** How a field of a value is written in JSON. `moment`: milliseconds since 1970. `decimal`: digits in a string. */
export type FieldKind = 'text' | 'text or null' | 'decimal' | 'decimal or null' | 'moment' | 'json';

export interface KeyDefinition {
  readonly part: Part;
  /** Behind the prefix and the version. `<…>` stands for a value, `{…}` is the hash tag of Redis Cluster. */
  readonly pattern: string;
  readonly type: 'string' | 'zset' | 'as BullMQ makes it';
  readonly holds: string;
  /** Of the JSON object in a string. */
  readonly fields: Readonly<Record<string, FieldKind>>;
  /** undefined: the key stays until it is deleted. */
  readonly lifetimeMs: number | undefined;
  readonly writers: readonly string[];
  readonly readers: readonly string[];
}

/** Every key. The types of the client, docs/cache.md and the checks follow from this table. */
export const keyspace = {
  session: {
    part: 'sessions',
    pattern: 'session:<hash of the id>',
    type: 'string',
    holds: 'one session; the hash is SHA-256 of the id, in base64url',
    fields: { user_id: 'text', data: 'json', created_at: 'moment' },
    lifetimeMs: 7 * dayMs,
    writers: ['API'],
    readers: ['API'],
  },
  userSessions: {
    part: 'sessions',
    pattern: 'user-sessions:<user id>',
    type: 'zset',
    holds:
      'the hashes of the ids of a user, each with the moment at which its session ends; 0: to be destroyed',
    fields: {},
    lifetimeMs: 7 * dayMs,
    writers: ['API'],
    readers: ['API'],
  },
  price: {
    part: 'prices',
    pattern: '{prices}:price:<symbol>',
    type: 'string',
    holds: 'the latest price of an asset; null where PostgreSQL has none',
    fields: {
      as_of: 'moment',
      time: 'moment',
      price_usd: 'decimal',
      market_cap_usd: 'decimal or null',
      volume_24h_usd: 'decimal or null',
      data_source: 'text or null',
    },
    lifetimeMs: 30_000,
    writers: ['API', 'price importer'],
    readers: ['API', 'ML service'],
  },
  priceLock: {
    part: 'prices',
    pattern: '{prices}:lock:<symbol>',
    type: 'string',
    holds: 'the token of the process that asks PostgreSQL for the price',
    fields: {},
    lifetimeMs: 5_000,
    writers: ['API'],
    readers: ['API'],
  },
  queue: {
    part: 'queues',
    pattern: 'queue:{<queue>}',
    type: 'as BullMQ makes it',
    holds: 'all keys of a queue begin with it: it is the prefix option of BullMQ',
    fields: {},
    lifetimeMs: undefined,
    writers: ['API', 'workers'],
    readers: ['workers'],
  },
} as const satisfies Readonly<Record<string, KeyDefinition>>;

export type KeyName = keyof typeof keyspace;
type FieldsOf<Name extends KeyName> = (typeof keyspace)[Name]['fields'];

type TypeOf<Kind> = Kind extends 'moment'
  ? number
  : Kind extends 'json'
    ? unknown
    : Kind extends 'text' | 'decimal'
      ? string
      : string | null;

/** The JSON object that a key holds. */
export type ValueOf<Name extends KeyName> = {
  readonly [Field in keyof FieldsOf<Name>]: TypeOf<FieldsOf<Name>[Field]>;
};

/** `cryptosense:v1:` */
export function keyPrefix(prefix: string): string {
  return `${prefix}:v${keyspaceVersion}:`;
}

/** The key of one value: `cryptosense:v1:{prices}:price:BTC`. */
export function keyOf(name: KeyName, prefix: string, value: string): string {
  return keysOf(name, prefix)(value);
}

/** As `keyOf`, for many values. */
export function keysOf(name: KeyName, prefix: string): (value: string) => string {
  const [before = '', after = ''] = keyspace[name].pattern.split(/<.*?>/);
  const start = keyPrefix(prefix) + before;
  return (value) => start + value + after;
}

/** What SCAN takes to find every key of the name. */
export function scanPattern(name: KeyName, prefix: string): string {
  const { pattern, type } = keyspace[name];
  const glob = pattern.replace(/<.*?>/, '*');
  return `${keyPrefix(prefix)}${glob}${type === 'as BullMQ makes it' ? ':*' : ''}`;
}

/** The value of a key; undefined for one that another program wrote in another form. */
export function decode<Name extends KeyName>(name: Name, text: string): ValueOf<Name> | undefined {
  const value = parseObject(text);
  if (value === undefined) return undefined;
  const isWhole = fieldsOf[name].every(([field, kind]) => isOfKind(value[field], kind));
  return isWhole ? (value as ValueOf<Name>) : undefined;
}

const fieldsOf: Readonly<Record<KeyName, readonly (readonly [string, FieldKind])[]>> = {
  session: Object.entries(keyspace.session.fields),
  userSessions: [],
  price: Object.entries(keyspace.price.fields),
  priceLock: [],
  queue: [],
};

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}

function isOfKind(value: unknown, kind: FieldKind): boolean {
  switch (kind) {
    case 'text':
      return typeof value === 'string';
    case 'text or null':
      return value === null || typeof value === 'string';
    case 'decimal':
      return isDecimal(value);
    case 'decimal or null':
      return value === null || isDecimal(value);
    case 'moment':
      return typeof value === 'number' && Number.isSafeInteger(value);
    case 'json':
      return value !== undefined;
    default:
      return kind satisfies never;
  }
}

/** A finite number as PostgreSQL writes NUMERIC. */
export function isDecimal(value: unknown): value is string {
  return typeof value === 'string' && /^-?\d+(?:\.\d+)?$/.test(value);
}
