import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { callCli } from '../support/cli.ts';
import {
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
} from '../support/databases.ts';
import { fixture, folderFlags } from '../support/fixtures.ts';
import { until } from '../support/recovery.ts';
import {
  type Replication,
  receiveWal,
  type Standby,
  startReplication,
} from '../support/replication.ts';

const basic = fixture('cli-basic');
let servers: Replication;
let north: Standby;
let south: Standby;
let database: ScratchDatabase;

beforeAll(async () => {
  servers = await startReplication();
  north = await servers.addStandby('north');
  south = await servers.addStandby('south');
  database = await createScratchDatabase(servers.url);
});

afterAll(async () => {
  await database?.drop();
  await servers?.stop();
});

afterEach(async () => {
  await north.sql`select pg_wal_replay_resume()`;
});

async function position(): Promise<string> {
  const [row] = await servers.sql<{ position: string }[]>`select pg_current_wal_lsn() as position`;
  return row?.position ?? '';
}

/** Waits until the standby has replayed all that the primary has written. */
async function untilReplayed({ name, sql }: Standby): Promise<void> {
  const reached = await position();
  await until(`${name} has replayed everything`, async () => {
    const [row] = await sql<{ isDone: boolean }[]>`
      select pg_last_wal_replay_lsn() >= ${reached}::pg_lsn as "isDone"`;
    return row?.isDone;
  });
}

/** Waits until the primary knows that the standby streams and has replayed something. */
async function untilKnown(...names: readonly string[]): Promise<void> {
  await until(`${names.join(' and ')} stream`, async () => {
    const rows = await servers.sql`
      select from pg_stat_replication
      where application_name = any(${names}) and state = 'streaming' and replay_lsn is not null`;
    return rows.length === names.length;
  });
}

const options = () => ({ target: database.url, ...basic });

describe('migrate status', () => {
  it('shows how far each replica is behind', async () => {
    await untilKnown('north', 'south');
    await untilReplayed(south);
    await north.sql`select pg_wal_replay_pause()`;
    await servers.sql`select pg_logical_emit_message(true, 'test', repeat('x', 100000))`;
    await untilReplayed(south);
    await until('the primary knows that north is behind', async () => {
      const { replicas } = await migrate.status(options());
      return (replicas[0]?.lagBytes ?? 0) > 100_000;
    });
    const { replicas } = await migrate.status(options());
    expect(replicas).toMatchObject([
      { name: 'north', address: '127.0.0.1', state: 'streaming' },
      { name: 'south', address: '127.0.0.1', state: 'streaming' },
    ]);
    const { stdout } = await callCli([
      'migrate',
      'status',
      '--url',
      database.url,
      ...folderFlags(basic),
    ]);
    expect(stdout).toMatch(/^north {4}127\.0\.0\.1 {2}streaming {2}\d+(\.\d)? kB/m);
  });

  it('shows that there are replicas to a role that may not see their lag', async () => {
    const role = await createScratchRole(servers.url);
    const { replicas } = await migrate.status({ ...options(), target: role.urlOf(database.url) });
    await role.drop();
    expect(replicas.map(({ name }) => name)).toEqual(['north', 'south']);
    expect(replicas.map(({ state, lagBytes }) => [state, lagBytes])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ]);
  });

  it('leaves out a program that receives WAL and replays none', async () => {
    const receiver = await receiveWal(servers, await position());
    await until('the receiver streams', async () => {
      const rows = await servers.sql`
        select from pg_stat_replication
        where application_name = 'receiver' and state = 'streaming'`;
      return rows[0];
    });
    const { replicas } = await migrate.status(options());
    receiver.destroy();
    expect(replicas.map(({ name }) => name)).toEqual(['north', 'south']);
  });

  it('leaves out a subscriber of logical replication', async () => {
    const subscriber = await createScratchDatabase(servers.url);
    await database.sql`create publication nothing`;
    await database.sql`select pg_create_logical_replication_slot('subscriber', 'pgoutput')`;
    await subscriber.sql.unsafe(
      `create subscription subscriber connection '${database.url}' publication nothing
        with (create_slot = false, copy_data = false)`,
    );
    await until('the subscriber streams', async () => {
      const rows = await servers.sql`
        select from pg_stat_replication
        where application_name = 'subscriber' and replay_lsn is not null`;
      return rows[0];
    });
    const { replicas } = await migrate.status(options());
    await subscriber.sql`drop subscription subscriber`;
    await subscriber.drop();
    expect(replicas.map(({ name }) => name)).toEqual(['north', 'south']);
  });

  it('on a replica shows the replicas that stream from it', async () => {
    await untilReplayed(north);
    const target = database.url.replace(String(servers.port), String(north.port));
    expect((await migrate.status({ ...options(), target })).replicas).toEqual([]);
  });
});
