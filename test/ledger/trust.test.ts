import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { database as lifecycle, migrate, seed, types } from '../../src/index.ts';
import { findDistrust, type LedgerFact } from '../../src/ledger/trust.ts';
import {
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
  type ScratchRole,
} from '../support/databases.ts';
import { codeOf } from '../support/errors.ts';
import { fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { publicTables, recordedVersions, scratchDatabase } from '../support/recovery.ts';
import { writeSeeders } from '../support/seeding.ts';

const basic = fixture('cli-basic');

/** A role that may create schemas in the database, and tables in schema public. */
async function roleIn({ sql, url, name }: ScratchDatabase): Promise<ScratchRole> {
  const role = await createScratchRole(url);
  onTestFinished(async () => {
    await sql.unsafe(`reassign owned by ${role.name} to session_user`);
    await sql.unsafe(`drop owned by ${role.name} cascade`);
    await role.drop();
  });
  await sql.unsafe(`
    grant create on database ${name} to ${role.name};
    grant create on schema public to ${role.name}`);
  return role;
}

/** Every command that reads or writes the ledger, as the role of the URL. */
function commandsOn(target: string): readonly (readonly [string, () => Promise<unknown>])[] {
  const options = { target, ...basic };
  const seeds = writeSeeders({ dev: { '01_coins': '' } });
  const file = join(temporaryFolder(), 'types.ts');
  return [
    ['migrate up', () => migrate.up(options)],
    ['migrate status', () => migrate.status(options)],
    ['migrate down', () => migrate.down(options)],
    ['migrate redo', () => migrate.redo(options)],
    ['migrate repair', () => migrate.repair(options)],
    ['migrate baseline', () => migrate.baseline({ ...options, version: '20260101_000000' })],
    ['db mark', () => lifecycle.mark({ target, environment: 'dev' })],
    ['db drop', () => lifecycle.drop({ target })],
    ['db reset', () => lifecycle.reset(options)],
    ['seed', () => seed.dev({ ...options, seeds })],
    ['types generate', () => types.generate({ ...options, file })],
  ];
}

async function codesOn(target: string): Promise<ReadonlySet<string | undefined>> {
  const codes = new Set<string | undefined>();
  for (const [, run] of commandsOn(target)) codes.add(await codeOf(run()));
  return codes;
}

/** Functions that note each call, and by which role. */
const spies = `
  create table public.calls (by text);
  grant all on public.calls to public;
  create function public.spy() returns text volatile language plpgsql as $$
    begin insert into public.calls values (current_user); return 'x'; end $$;
  create function public.spy_trigger() returns trigger volatile language plpgsql as $$
    begin insert into public.calls values (current_user); return new; end $$;
  create function public.spy_text(text) returns text immutable language plpgsql as $$
    begin perform public.spy(); return $1; end $$;
  create domain public.watched as text check (public.spy_text(value) is not null)`;

async function calls({ sql }: ScratchDatabase): Promise<number> {
  return (await sql`select from public.calls`).length;
}

describe('a ledger that another role owns', () => {
  it('is refused by every command of a superuser, and its triggers do not run', async () => {
    const database = await scratchDatabase();
    const stranger = await roleIn(database);
    await migrate.up({ target: stranger.urlOf(database.url), ...basic, steps: 1 });
    await database.sql.unsafe(`
      set session authorization ${stranger.name};
      ${spies};
      create trigger spy before insert or update or delete on cryptosense_db.migrations
        for each row execute function public.spy_trigger();
      create trigger spy before insert on cryptosense_db.environment
        for each row execute function public.spy_trigger();
      reset session authorization`);
    expect(await codesOn(database.url)).toEqual(new Set(['ledger-untrusted']));
    expect(await calls(database)).toBe(0);
    expect(await recordedVersions(database.sql)).toHaveLength(1);
  });

  it('is refused when it is an empty schema, and nothing is made in it', async () => {
    const database = await scratchDatabase();
    const stranger = await roleIn(database);
    await database.sql.unsafe(`create schema cryptosense_db authorization ${stranger.name}`);
    await expect(migrate.up({ target: database.url, ...basic })).rejects.toMatchObject({
      code: 'ledger-untrusted',
      problems: [
        {
          evidence: [`the schema cryptosense_db belongs to the role "${stranger.name}"`],
          hint: expect.stringContaining(`grant "${stranger.name}" to "postgres"`),
        },
      ],
    });
    expect(await publicTables(database.sql)).toEqual([]);
  });

  it('is used by the members of that role', async () => {
    const database = await scratchDatabase();
    const [owner, member] = [await roleIn(database), await roleIn(database)];
    await migrate.up({ target: owner.urlOf(database.url), ...basic, steps: 1 });
    expect(await codeOf(migrate.status({ target: member.urlOf(database.url), ...basic }))).toBe(
      'ledger-untrusted',
    );
    await database.sql.unsafe(`grant ${owner.name} to ${member.name}`);
    const target = member.urlOf(database.url);
    expect(await migrate.up({ target, ...basic })).toMatchObject({ applied: 3 });
    await database.sql.unsafe(`grant ${owner.name} to session_user`);
    expect(await migrate.down({ target: database.url, ...basic })).toMatchObject({ applied: 2 });
  });

  it('is used by a superuser where that role owns the database', async () => {
    const database = await scratchDatabase();
    const owner = await roleIn(database);
    await migrate.up({ target: owner.urlOf(database.url), ...basic, steps: 1 });
    await database.sql.unsafe(`alter database ${database.name} owner to ${owner.name}`);
    expect(await migrate.up({ target: database.url, ...basic })).toMatchObject({ applied: 3 });
  });
});

describe('a rollback that was recorded', () => {
  const text = 'alter table coins add column planted text;';
  const plant = (checksum = '') => `
    update cryptosense_db.migrations set rollback_sql = '${text}'${checksum}
    where version = (select max(version) from cryptosense_db.migrations)`;
  const withChecksum = plant(`, rollback_checksum = encode(sha256('${text}'), 'hex')`);
  const other = () => writePairs({ '20260101_000009_x': ['create table x ();', 'drop table x;'] });

  it('and changed without its checksum is refused, also where only trusted roles may write to the history', async () => {
    const { url: target, sql } = await scratchDatabase();
    await migrate.up({ target, ...basic });
    await sql.unsafe(plant());
    for (const run of [migrate.down, migrate.redo]) {
      expect(await codeOf(run({ target, ...basic }))).toBe('ledger-untrusted');
    }
    expect(await recordedVersions(sql)).toHaveLength(3);
  });

  it('by a role that the run does not trust is refused unless the file has the same text', async () => {
    const database = await scratchDatabase();
    const [owner, target] = [await roleIn(database), database.url];
    await database.sql.unsafe(`alter database ${database.name} owner to ${owner.name}`);
    await migrate.up({ target: owner.urlOf(target), ...basic });
    await database.sql.unsafe(withChecksum);
    expect(await codeOf(migrate.redo({ target, ...basic }))).toBe('ledger-untrusted');
    await expect(migrate.down({ target, ...other() })).rejects.toMatchObject({
      code: 'ledger-untrusted',
      problems: [{ evidence: [`cryptosense_db.migrations can be written by ${owner.name}`] }],
    });
    expect(await migrate.down({ target: owner.urlOf(target), ...other() })).toMatchObject({
      applied: 2,
    });
    expect(await migrate.down({ target, ...basic })).toMatchObject({ applied: 1 });
  });

  it.each([
    ['table', 'grant update on cryptosense_db.migrations to'],
    ['column', 'grant insert (rollback_sql) on cryptosense_db.migrations to'],
    ['server', 'grant pg_write_all_data to'],
  ])('is refused where a grant on the %s lets another role write it', async (_, grant) => {
    const { url: target, sql, ...database } = await scratchDatabase();
    const stranger = await roleIn({ url: target, sql, ...database });
    await migrate.up({ target, ...basic });
    await sql.unsafe(`grant select on cryptosense_db.migrations to ${stranger.name}`);
    expect(await migrate.down({ target, ...other() })).toMatchObject({ applied: 2 });
    await sql.unsafe(`${grant} ${stranger.name}`);
    expect(await codeOf(migrate.down({ target, ...other() }))).toBe('ledger-untrusted');
    expect(await migrate.redo({ target, ...basic })).toMatchObject({ applied: 2 });
  });
});

/** What the owner of a ledger could do to it, and what undoes it. */
const changes: Readonly<Record<string, readonly [change: string, undo: string]>> = {
  'a trigger': [
    `create trigger spy before insert or delete on cryptosense_db.migrations
      for each row execute function public.spy_trigger()`,
    'drop trigger spy on cryptosense_db.migrations',
  ],
  'a rule': [
    `create rule spy as on insert to cryptosense_db.migration_log do also select public.spy()`,
    'drop rule spy on cryptosense_db.migration_log',
  ],
  'a default': [
    'alter table cryptosense_db.migration_log alter column detail set default public.spy()',
    'alter table cryptosense_db.migration_log alter column detail drop default',
  ],
  'a CHECK': [
    `alter table cryptosense_db.migrations
      add constraint spy check (public.spy_text(version) is not null)`,
    'alter table cryptosense_db.migrations drop constraint spy',
  ],
  'a generated column': [
    `alter table cryptosense_db.migrations
      add column spy text generated always as (public.spy_text('x')) stored`,
    'alter table cryptosense_db.migrations drop column spy',
  ],
  'a policy': [
    'create policy spy on cryptosense_db.migrations using (public.spy() is not null)',
    'drop policy spy on cryptosense_db.migrations',
  ],
  'an index of an expression': [
    'create index spy on cryptosense_db.migrations (public.spy_text(description))',
    'drop index cryptosense_db.spy',
  ],
  'a partial index': [
    `create index spy on cryptosense_db.migrations (version)
      where public.spy_text(version) is null`,
    'drop index cryptosense_db.spy',
  ],
  'a column of a domain': [
    'alter table cryptosense_db.migrations alter column description type public.watched',
    'alter table cryptosense_db.migrations alter column description type text',
  ],
  'a table that inherits from it': [
    'create table public.heir () inherits (cryptosense_db.migrations)',
    'drop table public.heir',
  ],
  'a view in place of a table': [
    `alter table cryptosense_db.ledger rename to former;
      create view cryptosense_db.ledger as select 3 as format where public.spy() is not null`,
    'drop view cryptosense_db.ledger; alter table cryptosense_db.former rename to ledger',
  ],
  'another body of its function': [
    `create or replace function cryptosense_db.refuse_change()
      returns trigger language plpgsql as $$ begin perform public.spy(); return null; end $$`,
    `create or replace function cryptosense_db.refuse_change()
      returns trigger language plpgsql as $$ begin
        raise exception '%.% is append-only', tg_table_schema, tg_table_name; end $$`,
  ],
};

describe('a ledger whose definition was changed', () => {
  let database: ScratchDatabase;
  beforeAll(async () => {
    database = await createScratchDatabase(inject('postgresUrl'));
    await migrate.up({ target: database.url, ...basic, steps: 1 });
    await database.sql.unsafe(spies);
  });
  afterAll(() => database?.drop());

  it.each(Object.entries(changes))(
    'by %s is refused, and the code does not run',
    async (_, [change, undo]) => {
      const options = { target: database.url, ...basic, dryRun: true };
      await database.sql.unsafe(`${change}; truncate public.calls`);
      expect(await codeOf(migrate.status(options))).toBe('ledger-untrusted');
      expect(await codeOf(migrate.up({ ...options, dryRun: false }))).toBe('ledger-untrusted');
      expect(await calls(database)).toBe(0);
      await database.sql.unsafe(undo);
      expect(await migrate.up(options)).toMatchObject({ applied: 1 });
    },
  );

  it('by a restore is used: the server writes its constraints in another way', () => {
    const fact = (kind: LedgerFact['kind'], text: string): LedgerFact => ({
      kind,
      name: 'cryptosense_db.environment',
      text,
      owner: null,
      isOwnerTrusted: true,
    });
    const facts = [
      fact(
        'constraint',
        "CHECK (((name)::text = ANY ((ARRAY['dev'::character varying, 'test'::character varying, 'production'::character varying])::text[])))",
      ),
      fact(
        'constraint',
        "CHECK (((name)::text = ANY (ARRAY[('dev'::character varying)::text, ('test'::character varying)::text, ('production'::character varying)::text])))",
      ),
      fact('default', '(SESSION_USER)::text'),
    ];
    expect(findDistrust(facts)).toEqual([]);
    const planted = "CHECK (((name)::text OPERATOR(public.=) ANY (ARRAY['dev'::text])))";
    expect(findDistrust([fact('constraint', planted)])).toHaveLength(1);
  });
});

describe('functions and operators of another role on the search path of a run', () => {
  const planted = {
    'operator public.~*(character varying,text)': `
      create function public.matches(varchar, text) returns boolean volatile language plpgsql as $$
        begin insert into public.calls values (current_user); return true; end $$;
      create operator public.~* (leftarg = varchar, rightarg = text, function = public.matches)`,
    'function public.lower(character varying)': `
      create function public.lower(varchar) returns text volatile language plpgsql as $$
        begin insert into public.calls values (current_user); return $1; end $$`,
  };
  const folders = () =>
    writePairs({
      '20260101_000000_create_accounts': [
        `create table accounts (email varchar(40) check (email ~* 'a' and lower(email) <> ''));
         insert into accounts values ('a@b.c');`,
        'drop table accounts;',
      ],
    });

  it.each(Object.entries(planted))('%s is refused, and not called', async (name, statement) => {
    const database = await scratchDatabase();
    const stranger = await roleIn(database);
    const target = database.url;
    const pairs = folders();
    await database.sql.unsafe(`
      create table public.calls (by text);
      grant all on public.calls to public;
      set session authorization ${stranger.name}; ${statement}; reset session authorization`);
    await expect(migrate.up({ target, ...pairs })).rejects.toMatchObject({
      code: 'schema-untrusted',
      details: { names: [name] },
    });
    expect(await calls(database)).toBe(0);
    expect(await publicTables(database.sql)).toEqual(['calls']);

    await database.sql.unsafe(`reassign owned by ${stranger.name} to session_user`);
    expect(await migrate.up({ target, ...pairs })).toMatchObject({ applied: 1 });
    expect(await calls(database)).toBeGreaterThan(0);
  });

  it('are found again before a rollback and before seeders run', async () => {
    const database = await scratchDatabase();
    const stranger = await roleIn(database);
    const options = { target: database.url, ...basic };
    await migrate.up({ ...options, environment: 'dev' });
    await database.sql.unsafe(`
      set session authorization ${stranger.name};
      ${planted['function public.lower(character varying)']};
      reset session authorization`);
    const seeds = writeSeeders({ dev: { '01_coins': '' } });
    for (const run of [
      () => migrate.down(options),
      () => migrate.redo(options),
      () => seed.dev({ ...options, seeds }),
    ]) {
      expect(await codeOf(run())).toBe('schema-untrusted');
    }
    expect(await migrate.status(options)).toMatchObject({ isCurrent: true });
  });

  it('are refused as members of an extension that the role has made', async () => {
    const database = await scratchDatabase();
    const stranger = await roleIn(database);
    await database.sql.unsafe(`
      set session authorization ${stranger.name};
      create schema tools;
      create extension pgcrypto schema tools;
      create function public.lower(bigint) returns text language sql as 'select $1::text';
      alter extension pgcrypto add function public.lower(bigint);
      create function tools.is_same(bigint, int) returns boolean language sql as 'select true';
      create operator tools.= (leftarg = bigint, rightarg = int, function = tools.is_same);
      alter extension pgcrypto add operator tools.= (bigint, int);
      reset session authorization`);
    await expect(migrate.up({ target: database.url, ...basic })).rejects.toMatchObject({
      code: 'schema-untrusted',
      details: { names: ['function public.lower(bigint)', 'operator tools.=(bigint,integer)'] },
    });
    await database.sql.unsafe(`
      alter extension pgcrypto drop function public.lower(bigint);
      alter extension pgcrypto drop operator tools.= (bigint, int);
      drop function public.lower(bigint);
      drop operator tools.= (bigint, int)`);
    expect(await migrate.up({ target: database.url, ...basic })).toMatchObject({ applied: 3 });
  });

  it('are no more than a type or a view that stands before that of an extension', async () => {
    const database = await scratchDatabase();
    const stranger = await roleIn(database);
    await database.sql.unsafe(`
      create schema tools;
      create extension citext schema tools;
      set session authorization ${stranger.name};
      create domain public.citext as text check (lower(value) is not null);
      create table public.another ();
      reset session authorization`);
    await expect(migrate.up({ target: database.url, ...basic })).rejects.toMatchObject({
      code: 'schema-untrusted',
      details: { names: ['type public.citext'] },
    });
  });

  it('are no obstacle with names that neither the server nor an extension has', async () => {
    const database = await scratchDatabase();
    const stranger = await roleIn(database);
    await database.sql.unsafe(`
      set session authorization ${stranger.name};
      create function public.price_of_a_coin(text) returns int language sql as 'select 1';
      reset session authorization`);
    expect(await migrate.up({ target: database.url, ...basic })).toMatchObject({ applied: 3 });
  });
});

describe("the ledger's own statements", () => {
  it('call no operator or function of the search path that a file sets', async () => {
    const database = await scratchDatabase();
    const shadows = [
      '=(text,text)',
      '=(varchar,varchar)',
      '=(int4,int4)',
      '=(varchar,text)',
      '-(numeric,numeric)',
      '||(text,text)',
    ]
      .map((each, index) => {
        const [, operator = '', left = '', right = ''] = /^(\W+)\((\w+),(\w+)\)$/.exec(each) ?? [];
        const result = operator === '=' ? 'boolean' : left;
        return `
          create function evil.f${index}(${left}, ${right}) returns ${result} language plpgsql as $$
            begin raise exception 'called: ${each}'; end $$;
          create operator evil.${operator} (leftarg = ${left}, rightarg = ${right}, function = evil.f${index});`;
      })
      .join('');
    const functions = [
      'clock_timestamp() returns timestamptz',
      'pg_backend_pid() returns int',
      'pg_current_xact_id() returns xid8',
      'pg_try_advisory_lock(int, int) returns boolean',
      'pg_advisory_unlock(int, int) returns boolean',
      'set_config(text, text, boolean) returns text',
    ]
      .map(
        (each) => `
        create function evil.${each} language plpgsql as $$ begin raise exception 'called: ${each}'; end $$;`,
      )
      .join('');
    await database.sql.unsafe(`create schema evil; ${shadows} ${functions}`);
    await database.sql.unsafe(
      `alter database ${database.name} set search_path = evil, pg_catalog, public`,
    );
    const path = 'set search_path = evil, pg_catalog, public;';
    const pairs = writePairs({
      '20260101_000000_a': [`${path}\ncreate table public.a ();`, `${path}\ndrop table public.a;`],
      '20260101_000001_b': [
        `-- Transaction: none\n${path}\ncreate table public.b (id int);\ncreate index concurrently b_id on public.b (id);`,
        `-- Transaction: none\n${path}\ndrop table public.b;`,
      ],
    });
    const options = { target: database.url, ...pairs };
    const seeds = writeSeeders({
      dev: { '01_a': 'await sql`set local search_path = evil, pg_catalog, public`.execute(db);' },
    });
    expect(await migrate.up({ ...options, environment: 'dev' })).toMatchObject({ applied: 2 });
    await seed.dev({ ...options, seeds });
    expect(await migrate.down({ ...options, all: true })).toMatchObject({ applied: 0 });
    expect(
      await lifecycle.mark({ ...options, environment: 'test', force: database.name }),
    ).toMatchObject({ isChanged: true });
  });
});
