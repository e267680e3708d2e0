import { describeHost, type ServerTarget } from '../database/target.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';

/** The test databases to drop: all of the tool's, or some by name or URL. */
export interface Selection {
  readonly databases: readonly string[];
  readonly all?: boolean | undefined;
}

/** Throws `bad-configuration` unless either databases are named or all are meant. */
export function requireSelection({ databases, all = false }: Selection): void {
  if (all !== databases.length > 0 && !databases.includes('')) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: all ? '--all and databases are given' : 'no database is named',
    hint: 'cryptosense-db test-db drop NAME, or --all; see: cryptosense-db test-db list',
  });
}

/**
 * The URL among the databases that names their server. undefined where `server` is the same one: its target may have
 * the password that the URL lacks.
 */
export function serverUrl(
  { databases }: Selection,
  server: ServerTarget | undefined,
  readUrl: (url: string) => ServerTarget | undefined,
): string | undefined {
  const url = databases.find(isUrl);
  if (url === undefined || server === undefined) return url;
  const own = readUrl(url);
  return own && placeOf(own) === placeOf(server) ? undefined : url;
}

/** The names of the databases. Throws `bad-configuration` for a URL of a server other than `server`. */
export function databaseNames(
  { databases }: Selection,
  server: ServerTarget,
  readUrl: (url: string) => ServerTarget | undefined,
): readonly string[] {
  return databases.map((word) => {
    if (!isUrl(word)) return word;
    const own = readUrl(word);
    if (own && placeOf(own) === placeOf(server)) return own.database;
    throw new CryptosenseDbError('bad-configuration', {
      message: 'the URLs name databases on different servers',
      evidence: [`the server is ${placeOf(server)}`],
      hint: 'drop the databases of one server at a time',
    });
  });
}

function isUrl(word: string): boolean {
  return word.includes('://');
}

function placeOf({ hosts }: ServerTarget): string {
  return hosts.map(describeHost).join(',');
}
