import { type CacheConnection, openCache } from '../../cache/connection.ts';
import { type CacheFacts, readCacheFacts } from '../../cache/facts.ts';
import { parseCacheUrl } from '../../cache/target.ts';
import { formatBytes } from '../../runtime/amounts.ts';
import { isError, type Problem } from '../../runtime/errors.ts';
import { absent, type Diagnosis, type Reading, reading, type Topic, unseen } from '../rule.ts';

/** The cache, where one is named, its prefix, and what it stores where the caller says that. */
export interface CacheSource {
  readonly cache: string | undefined;
  readonly prefix: string;
  readonly parts: CacheFacts['stored'] | undefined;
}

export interface ExaminedCache {
  /** null: it does not answer. */
  readonly facts: CacheFacts | null;
  readonly failure: Problem | null;
}

type Judge = (facts: CacheFacts) => Diagnosis | readonly Diagnosis[] | undefined;

const judges = {
  'cache-version': judgeVersion,
  'cache-eviction': judgeEviction,
  'cache-persistence': judgePersistence,
  'cache-memory': judgeMemory,
  'cache-tls': judgeTls,
  'cache-login': judgeLogin,
} as const satisfies Readonly<Record<string, Judge>>;

export const cache: Topic<ExaminedCache, CacheSource> = {
  name: 'cache',
  read: readCache,
  rules: [
    { name: 'cache-unreachable', judge: judgeFailure },
    ...Object.entries(judges).map(([name, judge]: [string, Judge]) => ({
      name,
      judge: ({ facts }: ExaminedCache) => (facts === null ? undefined : judge(facts)),
    })),
  ],
};

async function readCache({
  cache: url,
  prefix,
  parts,
}: CacheSource): Promise<Reading<ExaminedCache>> {
  if (url === undefined) return absent;
  const connection = openCache(parseCacheUrl(url));
  try {
    return await readFrom(connection, { prefix, parts });
  } finally {
    await connection.close();
  }
}

async function readFrom(
  connection: CacheConnection,
  options: Pick<CacheSource, 'prefix' | 'parts'>,
): Promise<Reading<ExaminedCache>> {
  try {
    const facts = await readCacheFacts(connection, options);
    const isHidden = facts.servers.some(({ hasSnapshots }) => hasSnapshots === undefined);
    const hidden = {
      rules: ['cache-persistence'],
      reason: 'the server does not say when it writes snapshots',
      remedy: 'acl setuser USER +config|get',
    };
    return reading({ facts, failure: null }, isHidden ? [hidden] : []);
  } catch (error) {
    if (isError(error, 'package-missing')) {
      return unseen('the package @redis/client is not installed', 'npm install @redis/client@6');
    }
    if (!isError(error, 'cache-unavailable')) throw error;
    const [failure] = error.problems;
    if (failure === undefined) throw error;
    if (error.details.reason === 'not-permitted') {
      return unseen(failure.message, 'acl setuser USER +info +scan');
    }
    const reason = 'the cache does not answer';
    const hidden = { rules: Object.keys(judges), reason, remedy: 'see cache-unreachable' };
    return reading({ facts: null, failure }, [hidden]);
  }
}

function judgeFailure({ failure }: ExaminedCache): Diagnosis | undefined {
  if (failure === null) return undefined;
  const { message, evidence = [], hint = 'cryptosense-db cache check' } = failure;
  return { severity: 'critical', message, evidence, hint };
}

function judgeVersion({ servers }: CacheFacts): readonly Diagnosis[] {
  return servers
    .filter(({ version }) => Number.parseInt(version, 10) < 7)
    .map(({ name, version }) => ({
      severity: 'critical',
      message: `Redis ${version} is older than 7.0`,
      evidence: [name],
      hint: 'upgrade it to Redis 7',
    }));
}

/** The policy belongs to a server: its databases share it. */
function judgeEviction({ servers, stored }: CacheFacts): readonly Diagnosis[] {
  const [policies, hasQueues] = [
    new Set(servers.map(({ policy }) => policy)),
    stored.includes('queues'),
  ];
  return [...policies].flatMap((policy): readonly Diagnosis[] => {
    const isEvicting = policy !== 'noeviction';
    const found: Diagnosis[] = [];
    if (hasQueues && isEvicting) {
      found.push({
        severity: policy.startsWith('allkeys') ? 'critical' : 'warning',
        message: policy.startsWith('allkeys')
          ? `queues lose jobs when the memory is full: maxmemory-policy is ${policy}`
          : `BullMQ asks for maxmemory-policy noeviction: it is ${policy}`,
        hint: `${separate}; or on this one: config set maxmemory-policy noeviction`,
      });
    }
    if (stored.includes('sessions') && isEvicting) {
      found.push({
        severity: 'warning',
        message: `users are logged out when the memory is full: maxmemory-policy is ${policy}`,
        hint: hasQueues
          ? separate
          : 'config set maxmemory-policy noeviction; prices end by themselves',
      });
    }
    if (!isEvicting && stored.length === 1 && stored[0] === 'prices') {
      found.push({
        severity: 'note',
        message: 'new prices are refused when the memory is full: maxmemory-policy is noeviction',
        hint: 'for an instance with prices alone: config set maxmemory-policy volatile-ttl',
      });
    }
    return found;
  });
}

const separate =
  'give queues an instance of their own, with noeviction; two databases of one instance share the policy';

function judgePersistence({ servers, stored }: CacheFacts): readonly Diagnosis[] {
  const lasting = stored.filter((part) => part !== 'prices');
  if (lasting.length === 0) return [];
  return servers
    .filter(({ isReplica }) => !isReplica)
    .flatMap(
      ({ name, hasAppendOnlyFile, hasSnapshots, isPersistenceBroken }): readonly Diagnosis[] => {
        if (isPersistenceBroken) {
          return [
            {
              severity: 'critical',
              message: 'Redis could not write to its disk, and refuses to store',
              evidence: [name],
              hint: 'make room on its disk, and see its log',
            },
          ];
        }
        if (hasAppendOnlyFile || hasSnapshots !== false) return [];
        return [
          {
            severity: 'warning',
            message: `a restart of Redis loses ${lasting.join(' and ')}: nothing is written to disk`,
            evidence: [name],
            hint: 'config set appendonly yes, then config rewrite',
          },
        ];
      },
    );
}

/** Of maxmemory. */
const [worrying, nearlyFull] = [0.8, 0.95];

function judgeMemory({ servers }: CacheFacts): readonly Diagnosis[] {
  return servers.flatMap((server): readonly Diagnosis[] => {
    const { name, maxMemory, usedMemory, policy, evictedKeys } = server;
    if (maxMemory === 0) {
      return [
        {
          severity: 'warning',
          message: 'Redis may take all memory of its machine, and the kernel ends it then',
          evidence: [`${name}: maxmemory is 0`],
          hint: 'config set maxmemory 1gb, for example, then config rewrite',
        },
      ];
    }
    const share = usedMemory / maxMemory;
    if (share < worrying) return [];
    const isRefusing = policy === 'noeviction';
    return [
      {
        severity: isRefusing && share >= nearlyFull ? 'critical' : 'warning',
        message: `${formatBytes(usedMemory)} of ${formatBytes(maxMemory)} are used`,
        evidence: [
          `${name}: ${isRefusing ? 'writes are refused at its end' : `${evictedKeys} keys were evicted`}`,
        ],
        hint: 'raise maxmemory, or see what is stored: cryptosense-db cache status',
      },
    ];
  });
}

function judgeTls({ cache: name, isTls, isLoopback }: CacheFacts): Diagnosis | undefined {
  if (isTls || isLoopback) return undefined;
  return {
    severity: 'warning',
    message: 'sessions cross the network without TLS',
    evidence: [name],
    hint: 'set tls-port in redis.conf, and write rediss:// in the URL',
  };
}

function judgeLogin({ user, hasPassword, isLoopback }: CacheFacts): Diagnosis | undefined {
  if (user !== 'default') return undefined;
  if (!hasPassword) {
    return {
      severity: isLoopback ? 'note' : 'critical',
      message: 'Redis asks for no password',
      hint: 'acl setuser default off, with a user for each service: docs/cache.md#acl',
    };
  }
  return {
    severity: 'note',
    message: 'services log in as the user default, who may do everything',
    hint: 'make a user for each service: docs/cache.md#acl',
  };
}
