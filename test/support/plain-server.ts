import { inject } from 'vitest';
import { type PostgresServer, startEmbeddedPostgres } from './embedded-postgres.ts';

/**
 * A PostgreSQL without TimescaleDB: the server of the test run, or, where that one has TimescaleDB,
 * a server that is started here and ends with `stop`.
 */
export async function openPlainServer(): Promise<Pick<PostgresServer, 'url' | 'stop'>> {
  const url = inject('postgresUrl');
  return url === inject('timescaleUrl') ? startEmbeddedPostgres() : { url, stop: async () => {} };
}
