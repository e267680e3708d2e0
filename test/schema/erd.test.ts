import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { doc, erd, printSnapshot, snapshot } from '../../src/schema/schema.ts';
import { callCli } from '../support/cli.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { temporaryFolder, writePairs } from '../support/fixtures.ts';
import { createTimescaleDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

const tables = `
  create extension if not exists timescaledb;
  create type mood as enum ('sad', 'ok');
  create domain some_id as bigint not null;
  create table users (id bigint generated always as identity primary key, mail text not null);
  create unique index users_mail on users (mail);
  create unique index users_lower on users (lower(mail)) where id > 5;
  comment on table users is 'People';
  comment on column users.mail is 'Where they read';
  create table profiles (user_id some_id primary key references users, feeling mood);
  create table pairs ("Left side" int, "right" int, primary key ("Left side", "right"));
  create table links (
    id serial, a int, b int not null, parent int,
    primary key (id), foreign key (a, b) references pairs,
    constraint to_parent foreign key (parent) references links
  );
  create table events (day date not null, user_id bigint not null references users) partition by range (day);
  create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
  create view feelings as select p.feeling, u.mail from profiles p join users u on u.id = p.user_id;
  create schema app;
  create table app."Odd ""Name""" (id int primary key);
`;
const series = `
  create table prices (time timestamptz not null, symbol varchar(20) not null, price numeric(20,8));
  select create_hypertable('prices', 'time');
  create materialized view daily with (timescaledb.continuous) as
    select time_bucket('1 day', time) as day, max(price) as high from prices group by 1 with no data;
  select add_retention_policy('prices', interval '1 year');
`;

describe('of a live database', () => {
  let database: TimescaleDatabase;
  const root = mkdtempSync(join(tmpdir(), 'cryptosense-db-test-'));
  const applied = {
    '20260101_120000_create_tables': [tables, 'select 1;'],
    '20260102_120000_create_series': [`-- Transaction: none\n${series}`, 'select 1;'],
  } as const;
  const pending = {
    '20260103_120000_pending': ['alter table users add column later int;', 'select 1;'],
  } as const;
  const folders = writePairs({ ...applied, ...pending }, root);

  beforeAll(async () => {
    database = await createTimescaleDatabase();
    await migrate.up({ target: database.url, to: '20260102_120000', ...folders });
    await database.withSql(
      (sql) => sql`insert into prices values ('2026-01-01', 'BTC', 1), ('2026-03-01', 'BTC', 2)`,
    );
  });
  afterAll(async () => {
    await database.drop();
    rmSync(root, { recursive: true, force: true });
  });

  it('the diagram has tables, keys and cardinality, without chunks, partitions and the ledger', async () => {
    const result = await erd({ target: database.url });
    expect(result).toMatchObject({ format: 'mermaid', tables: 9, references: 4, file: null });
    expect(result.text).toBe(`erDiagram
    "app.Odd 'Name'" {
        integer id PK
    }
    daily["daily (continuous aggregate)"] {
        timestamptz day "may be NULL"
        numeric high "may be NULL"
    }
    events["events (partitioned table)"] {
        date day
        bigint user_id FK
    }
    feelings["feelings (view)"] {
        mood feeling "may be NULL"
        text mail "may be NULL"
    }
    links {
        integer id PK
        integer a FK "may be NULL"
        integer b FK
        integer parent FK "may be NULL"
    }
    pairs {
        integer Left_side PK "Left side"
        integer right PK
    }
    prices["prices (hypertable)"] {
        timestamptz time
        varchar(20) symbol
        numeric price "may be NULL"
    }
    profiles {
        some_id user_id PK, FK
        mood feeling "may be NULL"
    }
    users {
        bigint id PK
        text mail UK "Where they read"
    }
    users ||--o{ events : "user_id"
    pairs |o--o{ links : "a, b"
    links |o--o{ links : "parent"
    users ||--o| profiles : "user_id"
    prices }o..o{ daily : "is read by"
    profiles }o..o{ feelings : "is read by"
    users }o..o{ feelings : "is read by"
`);
  });

  it('a snapshot file gives the same diagram and dictionary as the database', async () => {
    const folder = temporaryFolder();
    const from = join(folder, 'schema.json');
    const target = database.url;
    writeFileSync(from, printSnapshot((await snapshot({ target })).snapshot));
    for (const format of ['mermaid', 'svg'] as const) {
      expect((await erd({ from, format })).text).toBe((await erd({ target, format })).text);
    }
    const out = join(folder, 'tables');
    await doc({ target, out, ...folders });
    const both = writePairs(applied);
    expect((await doc({ from, out, check: true, ...both })).changes).toEqual([]);
  });

  it('the dictionary has a page a table, with the migrations that were applied', async () => {
    const out = join(temporaryFolder(), 'tables');
    const result = await doc({ target: database.url, out, ...folders });
    expect(result.pages).toBe(10);
    expect(readdirSync(out).sort()).toEqual([
      'README.md',
      'app.Odd__Name_.md',
      'daily.md',
      'events.md',
      'feelings.md',
      'links.md',
      'pairs.md',
      'prices.md',
      'profiles.md',
      'users.md',
    ]);
    const users = readFileSync(join(out, 'users.md'), 'utf8');
    expect(users).toContain('| `id` | `bigint` | identity, always | PK |  |');
    expect(users).toContain('[profiles](profiles.md) | `user_id` | `id` | zero or one |');
    expect(users).toContain('- `20260101_120000_create_tables.sql`');
    expect(users).not.toContain('pending');
    const prices = readFileSync(join(out, 'prices.md'), 'utf8');
    expect(prices).toContain('- hypertable: `"time" every 7 days`');
    expect(prices).toContain('| `policy_retention` | 1 day |');
    expect(prices).toContain('- `20260102_120000_create_series.sql`');
  });

  it('the command draws the tables that are named, and says which are not there', async () => {
    const url = ['--url', database.url];
    const drawn = await callCli(['schema', 'erd', ...url, '--tables', 'users,profiles']);
    expect(drawn).toMatchObject({ code: 0, stderr: '' });
    expect(drawn.stdout).toMatch(/^erDiagram\n {4}profiles/);
    expect(drawn.stdout).not.toContain('events');
    const unknown = await callCli(['schema', 'erd', ...url, '--tables', 'users,nothing']);
    expect(unknown).toMatchObject({ code: 2, stdout: '' });
    expect(unknown.stderr).toContain('there is no table or view nothing\n');
    expect(unknown.stderr).toContain('app.Odd "Name", daily, events');
  });
});

describe('of a snapshot file', () => {
  const from = ['--from', join(process.cwd(), 'docs/schema.json')];

  it('the command writes the picture, and its check says what differs', async () => {
    const out = join(temporaryFolder(), 'schema.svg');
    const draw = ['schema', 'erd', ...from, '--format', 'svg', '--out', out];
    const absent = await callCli([...draw, '--check']);
    expect(absent.code).toBe(1);
    expect(absent.stdout).toContain(`${out} is not there`);
    expect((await callCli(draw)).stdout).toMatch(
      /^15 tables and 10 foreign keys of .*schema.svg\n$/,
    );
    expect(await callCli([...draw, '--check'])).toMatchObject({ code: 0 });
    writeFileSync(out, readFileSync(out, 'utf8').replace('>users<', '>people<'));
    const stale = await callCli([...draw, '--check']);
    expect(stale.code).toBe(1);
    expect(stale.stdout).toMatch(/line \d+\n +- .*people.*\n +\+ .*users/s);
    expect(readFileSync(out, 'utf8')).toContain('>people<');
    const { file } = JSON.parse((await callCli([...draw, '--check', '--json'])).stdout);
    expect(file).toMatchObject({ out, isCurrent: false, isWritten: false });
  });

  it('the command writes the dictionary, and its check names the pages that differ', async () => {
    const out = join(temporaryFolder(), 'tables');
    const write = ['schema', 'doc', ...from, '--out', out];
    expect((await callCli(write)).stdout).toMatch(/\+ users\.md\n16 pages of .*tables\n$/s);
    expect(await callCli([...write, '--check'])).toMatchObject({ code: 0 });
    rmSync(join(out, 'users.md'));
    const stale = await callCli([...write, '--check']);
    expect(stale.code).toBe(1);
    expect(stale.stdout).toContain('+ users.md\n');
    expect(readdirSync(out)).not.toContain('users.md');
  });

  it('refuses a file that is no snapshot, a check without a file, and two sources', async () => {
    const file = join(temporaryFolder(), 'schema.json');
    const error = await errorOf('file-problem', () => erd({ from: file }));
    expect(wordsOf(error)).toContain('schema snapshot --out FILE');
    const check = await callCli(['schema', 'erd', ...from, '--check']);
    expect(check).toMatchObject({ code: 2, stdout: '' });
    expect(check.stderr).toContain('--out FILE');
    const two = await callCli(['schema', 'erd', ...from, '--url', 'embedded:x']);
    expect(two.code).toBe(2);
  });
});

describe('the packaged schema', () => {
  const from = 'docs/schema.json';
  it('is what docs/schema.svg shows', async () => {
    const options = { from, format: 'svg', out: 'docs/schema.svg', check: true } as const;
    const { file } = await erd(options);
    expect(file?.difference, 'npm run schema').toBeNull();
    expect(file?.isCurrent).toBe(true);
  });
  it('is what docs/tables describes', async () => {
    const { changes } = await doc({ from, out: 'docs/tables', check: true });
    expect(changes, 'npm run schema').toEqual([]);
  });
});
