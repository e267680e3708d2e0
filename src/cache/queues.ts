import { keyOf } from './keyspace.ts';

/** What BullMQ takes as `defaultJobOptions` of a Queue. */
interface JobSettings {
  /** Tries, the first one included. */
  readonly attempts: number;
  readonly backoff: { readonly type: 'exponential' | 'fixed'; readonly delay: number };
  /** Jobs that are done are kept for `age` seconds, and `count` at most, for people who look. */
  readonly removeOnComplete: { readonly age: number; readonly count: number };
  readonly removeOnFail: { readonly age: number; readonly count: number };
}

/** What BullMQ takes as options of a Worker. */
interface WorkerSettings {
  readonly concurrency: number;
  /** How long a job may stay without a sign of its worker, in milliseconds. Another worker takes it then. */
  readonly lockDuration: number;
  readonly limiter?: { readonly max: number; readonly duration: number };
}

interface QueueDefinition {
  readonly purpose: string;
  readonly jobs: JobSettings;
  readonly worker: WorkerSettings;
}

const hour = 3_600;
const day = 24 * hour;
const kept = {
  removeOnComplete: { age: day, count: 1_000 },
  removeOnFail: { age: 7 * day, count: 10_000 },
};

/** The queues of CryptoSense. A queue holds its jobs in Redis until they are done, so it needs `noeviction`. */
export const queueDefinitions = {
  'price-updates': {
    purpose: 'write the latest prices of a set of assets into PostgreSQL and into the cache',
    // The next job brings newer prices: an old one is not worth many tries.
    jobs: { ...kept, attempts: 2, backoff: { type: 'fixed', delay: 1_000 } },
    worker: { concurrency: 2, lockDuration: 30_000, limiter: { max: 30, duration: 60_000 } },
  },
  'alert-checks': {
    purpose: 'compare the active alerts of an asset with its price, and record those that fire',
    jobs: { ...kept, attempts: 3, backoff: { type: 'exponential', delay: 500 } },
    worker: { concurrency: 10, lockDuration: 30_000 },
  },
  notifications: {
    purpose: 'send one message of an alert by email, push or SMS',
    jobs: { ...kept, attempts: 8, backoff: { type: 'exponential', delay: 2_000 } },
    worker: { concurrency: 20, lockDuration: 60_000 },
  },
  predictions: {
    purpose: 'let the ML service compute the predictions and risk scores of an asset',
    jobs: { ...kept, attempts: 3, backoff: { type: 'exponential', delay: 30_000 } },
    worker: { concurrency: 2, lockDuration: 300_000 },
  },
  'exchange-syncs': {
    purpose: 'read the holdings and transactions of one exchange connection',
    jobs: { ...kept, attempts: 5, backoff: { type: 'exponential', delay: 10_000 } },
    worker: { concurrency: 5, lockDuration: 120_000 },
  },
} as const satisfies Readonly<Record<string, QueueDefinition>>;

export type QueueName = keyof typeof queueDefinitions;

/** What `new Queue(name, { ...queue })` and `new Worker(name, processor, { ...worker })` of BullMQ take. */
export interface Queue {
  readonly name: QueueName;
  readonly queue: { readonly prefix: string; readonly defaultJobOptions: JobSettings };
  readonly worker: { readonly prefix: string } & WorkerSettings;
}

export type Queues = Readonly<Record<QueueName, Queue>>;

/** The settings of every queue. The keys of a queue share a hash tag, which BullMQ needs in a cluster. */
export function queuesOf(prefix: string): Queues {
  const settings = (name: QueueName): Queue => {
    const { jobs, worker }: QueueDefinition = queueDefinitions[name];
    const own = { prefix: keyOf('queue', prefix, name) };
    return { name, queue: { ...own, defaultJobOptions: jobs }, worker: { ...own, ...worker } };
  };
  return {
    'price-updates': settings('price-updates'),
    'alert-checks': settings('alert-checks'),
    notifications: settings('notifications'),
    predictions: settings('predictions'),
    'exchange-syncs': settings('exchange-syncs'),
  };
}
