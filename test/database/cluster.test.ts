import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { create, wait } from '../../src/databases/lifecycle.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { isError } from '../../src/runtime/errors.ts';
import { onServer } from '../support/databases.ts';
import {
  freePort,
  type PostgresServer,
  startEmbeddedPostgres,
} from '../support/embedded-postgres.ts';
import { fixture } from '../support/fixtures.ts';

const basic = fixture('cli-basic');
let primary: PostgresServer;
/** As a standby is to its clients: it takes connections, and no writes. */
let readOnly: PostgresServer;
let deadPort: number;

beforeAll(async () => {
  primary = await startEmbeddedPostgres();
  readOnly = await startEmbeddedPostgres(['default_transaction_read_only=on']);
  deadPort = await freePort();
  await create({ target: urlOf(primary.port) });
});

afterAll(async () => {
  await primary?.stop();
  await readOnly?.stop();
});

function urlOf(...ports: readonly number[]): string {
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join(',');
  return `postgresql://postgres:test@${hosts}/cluster?connect_timeout=5`;
}

async function errorOf(work: Promise<unknown>) {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isError(error)) throw new Error(`not an error of ours: ${String(error)}`);
  return error;
}

async function appliedOnPrimary(): Promise<number> {
  const sql = postgres(urlOf(primary.port).replace(/\?.*/, ''), { max: 1 });
  const [row] = await sql`select count(*)::int as count from cryptosense_db.migrations`;
  await sql.end();
  return row?.count;
}

describe('a URL with several hosts', () => {
  it.each([
    ['the first is dead', () => [deadPort, primary.port]],
    ['the last is dead', () => [primary.port, deadPort]],
    ['the first is read only', () => [readOnly.port, primary.port]],
    ['two do not serve', () => [deadPort, readOnly.port, primary.port]],
  ])('runs on the primary when %s', async (_, ports) => {
    const target = urlOf(...ports());
    await migrate.up({ target, ...basic });
    expect(await appliedOnPrimary()).toBe(3);
    await migrate.down({ target, ...basic, all: true });
    expect(await appliedOnPrimary()).toBe(0);
  });

  it('is refused without a primary, and the error describes each host', async () => {
    await onServer(readOnly.url, async (sql) => {
      await sql`set default_transaction_read_only = off`;
      await sql.unsafe('create database cluster');
    });
    const error = await errorOf(migrate.up({ target: urlOf(deadPort, readOnly.port), ...basic }));
    expect(error).toMatchObject({
      code: 'no-primary',
      details: { hosts: [`127.0.0.1:${deadPort}`, `127.0.0.1:${readOnly.port}`] },
    });
    const evidence = error.problems[0]?.evidence?.join('\n');
    expect(evidence).toContain(`127.0.0.1:${readOnly.port}  is a standby or read-only`);
    expect(evidence).toContain(`127.0.0.1:${deadPort}  connect ECONNREFUSED`);
  });

  it('uses a read-only server for migrate status', async () => {
    const status = await migrate.status({ target: urlOf(readOnly.port), ...basic });
    expect(status.migrations.map(({ state }) => state)).toEqual(['pending', 'pending', 'pending']);
  });

  it('is refused when no host answers, and the error names them all', async () => {
    const error = await errorOf(migrate.up({ target: urlOf(deadPort, 1), ...basic }));
    expect(error).toMatchObject({
      code: 'server-unreachable',
      details: { hosts: [`127.0.0.1:${deadPort}`, '127.0.0.1:1'] },
    });
  });

  it('is not ready for db wait while there is no primary', async () => {
    const result = await wait({ target: urlOf(readOnly.port, deadPort), timeoutMs: 500 });
    expect(result).toMatchObject({ isReady: false });
    expect(result.reason).toContain('is a standby or read-only');
  });
});
