import { passwordFor } from './password.ts';
import type { Host, ServerTarget } from './target.ts';

/**
 * The variables with which programs of PostgreSQL reach the target as this tool does. A password is in its own variable,
 * which other users do not see. One that is undefined is to be unset: the shell's would lead elsewhere.
 */
export async function libpqEnvironment(
  target: ServerTarget,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Readonly<Record<string, string | undefined>>> {
  const { hosts, user, database, tls, connectTimeoutMs, applicationName, settings } = target;
  const [first] = hosts;
  const password = first && (await passwordFor(target, first, options));
  const { options: given, ...others } = settings;
  const sessionOptions = [
    ...(given === undefined ? [] : [given]),
    ...Object.entries(others).map(([name, value]) => `-c ${name}=${escapeOption(value)}`),
  ];
  return {
    PGHOST: listOf(hosts, ({ host }) => host),
    PGPORT: listOf(hosts, ({ port }) => String(port)),
    PGHOSTADDR: hosts.some(({ address }) => address !== undefined)
      ? listOf(hosts, ({ address }) => address ?? '')
      : undefined,
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database,
    PGAPPNAME: applicationName,
    PGOPTIONS: sessionOptions.length > 0 ? sessionOptions.join(' ') : undefined,
    PGCONNECT_TIMEOUT: String(Math.max(2, Math.ceil(connectTimeoutMs / 1_000))),
    PGSSLMODE: tls.mode,
    PGSSLROOTCERT: tls.rootCertificate,
    PGSSLCERT: tls.certificate,
    PGSSLKEY: tls.key,
    PGSSLCRL: tls.revocationList,
    PGSSLMINPROTOCOLVERSION: tls.minVersion,
    PGSSLMAXPROTOCOLVERSION: tls.maxVersion,
    PGTARGETSESSIONATTRS: 'any',
    PGSERVICE: undefined,
    PGPASSFILE: target.passwordFile,
  };
}

function listOf(hosts: readonly Host[], text: (host: Host) => string): string {
  return hosts.map(text).join(',');
}

/** Blanks and backslashes separate and quote within `options` (PostgreSQL, "Connection Parameters"). */
function escapeOption(value: string): string {
  return value.replaceAll(/[\\\s]/g, (character) => `\\${character}`);
}

/** A database as an argument, which programs would otherwise read as a connection string. */
export function databaseArgument(database: string): string {
  return `--dbname=dbname='${database.replaceAll(/[\\']/g, (character) => `\\${character}`)}'`;
}
