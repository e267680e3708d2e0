import { CryptosenseDbError } from '../../runtime/errors.ts';

/** A service that keeps WAL itself, and lets no program of ours onto the server's host. */
interface ManagedService {
  readonly name: string;
  /** A command, or the place in the service's console. */
  readonly restore: string;
}

interface KnownService extends ManagedService {
  readonly host: RegExp;
  /** How the names of settings begin that the service adds to PostgreSQL. */
  readonly setting?: string;
}

const services: readonly KnownService[] = [
  {
    name: 'Amazon Aurora',
    host: /\.cluster-(?:ro-|custom-)?[^.]+\.[^.]+\.rds\.amazonaws\.com(?:\.cn)?$/i,
    restore:
      'aws rds restore-db-cluster-to-point-in-time --source-db-cluster-identifier SOURCE --db-cluster-identifier COPY --restore-to-time TIME',
  },
  {
    name: 'Amazon RDS',
    host: /\.rds\.amazonaws\.com(?:\.cn)?$/i,
    setting: 'rds.',
    restore:
      'aws rds restore-db-instance-to-point-in-time --source-db-instance-identifier SOURCE --target-db-instance-identifier COPY --restore-time TIME',
  },
  {
    name: 'Google Cloud SQL',
    host: /^\/cloudsql\/|\.sql\.goog\.?$/i,
    setting: 'cloudsql.',
    restore: 'gcloud sql instances clone SOURCE COPY --point-in-time TIME',
  },
  {
    name: 'Azure Database for PostgreSQL',
    host: /\.postgres\.database\.(?:azure\.com|usgovcloudapi\.net|chinacloudapi\.cn)$/i,
    setting: 'azure.',
    restore:
      'az postgres flexible-server restore --resource-group GROUP --source-server SOURCE --name COPY --restore-time TIME',
  },
  {
    name: 'Timescale Cloud',
    host: /\.(?:tsdb\.cloud\.timescale\.com|timescaledb\.io)$/i,
    restore: 'a fork of the service to a point in time, in the console of Timescale Cloud',
  },
];

/** What tells a managed server from one's own. */
interface ServerSigns {
  /** Names, addresses or folders of sockets. */
  readonly hosts: readonly string[];
  /** The names of the server's settings, where it could be asked. */
  readonly settings?: readonly string[] | undefined;
  /** The names of roles, where it could be asked. */
  readonly roles?: readonly string[] | undefined;
}

/** undefined: no sign of a managed service. A server of one's own may stand behind any name, and so may theirs. */
export function findManagedService({
  hosts,
  settings = [],
  roles = [],
}: ServerSigns): ManagedService | undefined {
  const found = services.find(
    ({ name, host, setting }) =>
      hosts.some((each) => host.test(each)) ||
      (setting !== undefined && settings.some((each) => each.startsWith(setting))) ||
      (name === 'Timescale Cloud' && roles.includes('tsdbadmin')),
  );
  return found && { name: found.name, restore: found.restore };
}

/** The error of every command that needs the server's host. */
export function managedProblem({ name, restore }: ManagedService) {
  return new CryptosenseDbError(
    'wal-unavailable',
    {
      message: `${name} runs this server: it keeps WAL itself, and pgBackRest cannot run on its host`,
      evidence: [`it restores to a point in time with: ${restore}`],
      hint: 'switch on its own backups with at least 7 days of points in time, and keep dumps elsewhere: cryptosense-db backup create',
    },
    { details: { service: name } },
  );
}
