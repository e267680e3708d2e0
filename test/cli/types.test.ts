import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { type CliOptions, type CliResult, callCli, runCli } from '../support/cli.ts';
import { createScratchRole, type ScratchDatabase } from '../support/databases.ts';
import { folderFlags, type Pairs, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { scratchDatabase } from '../support/recovery.ts';

const orders: Pairs = {
  '20260101_000000_create_orders': [
    `CREATE TABLE orders (
      id bigint PRIMARY KEY,
      status varchar(10) NOT NULL CHECK (status IN ('open', 'paid'))
    );
    COMMENT ON TABLE orders IS 'What was ordered';`,
    'DROP TABLE orders;',
  ],
};
const total: Pairs = {
  '20260102_000000_add_total': [
    "ALTER TABLE orders ADD total numeric; COMMENT ON COLUMN orders.total IS 'In USD';",
    'ALTER TABLE orders DROP total;',
  ],
};

interface Project {
  readonly database: ScratchDatabase;
  /** A folder of the test's own, where the file of types is to be. */
  readonly folder: string;
  readonly file: string;
  /** They name its database and its folders. */
  readonly flags: readonly string[];
  /** `cryptosense-db …` on the project's database, folders and file. */
  readonly run: (args: readonly string[], options?: CliOptions) => Promise<CliResult>;
}

/** A database, folders with those pairs and a file that is not there yet. Nothing is migrated. */
async function openProject(pairs: Pairs = orders): Promise<Project> {
  const database = await scratchDatabase();
  const folder = temporaryFolder();
  const file = join(folder, 'types.ts');
  const flags = [...folderFlags(writePairs(pairs)), '--url', database.url];
  return {
    database,
    folder,
    file,
    flags,
    run: ([group = '', name = '', ...rest], options) => {
      const out = group === 'types' && !rest.includes('--out') ? ['--out', file] : [];
      return callCli([group, name, ...flags, ...out, ...rest], options);
    },
  };
}

/** The same, migrated, and its types in the file. */
async function openGenerated(pairs?: Pairs): Promise<Project> {
  const project = await openProject(pairs);
  const { code, stderr } = await project.run(['migrate', 'up', '--types', project.file]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return project;
}

/** What `types generate` refuses, from its document. */
function errorOf({ code, stdout, stderr }: CliResult) {
  expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
  return JSON.parse(stdout).error;
}

function syntaxErrorsOf(text: string): readonly string[] {
  const { diagnostics = [] } = ts.transpileModule(text, { reportDiagnostics: true });
  return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

/** The tables of the generated file, and the type of each of their columns. */
function tablesOf(text: string): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const source = ts.createSourceFile('types.ts', text, ts.ScriptTarget.Latest, true);
  const interfaces = new Map(
    source.statements
      .filter(ts.isInterfaceDeclaration)
      .map(({ name, members }) => [
        name.text,
        Object.fromEntries(
          members
            .filter(ts.isPropertySignature)
            .map((member) => [nameOf(member.name), member.type?.getText() ?? '']),
        ),
      ]),
  );
  return Object.fromEntries(
    Object.entries(interfaces.get('DB') ?? {}).map(([table, symbol]) => [
      table,
      interfaces.get(symbol) ?? {},
    ]),
  );
}

function nameOf(name: ts.PropertyName): string {
  return ts.isIdentifier(name) || ts.isStringLiteral(name) ? name.text : name.getText();
}

describe('types generate', () => {
  it('writes and reports the file, and does not write an unchanged file again', async () => {
    const { file, flags, run } = await openProject();
    await run(['migrate', 'up']);
    // The built program has to find kysely-codegen too.
    const first = await runCli(['types', 'generate', ...flags, '--out', file]);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/^wrote the types of 1 table\b.* to /);
    expect(first.stdout.trimEnd().endsWith(file)).toBe(true);
    const text = readFileSync(file, 'utf8');
    expect(tablesOf(text)).toEqual({ orders: { id: 'Int8', status: '"open" | "paid"' } });
    expect(text).toContain('/**\n * What was ordered\n */\nexport interface Orders');

    utimesSync(file, 1, 1);
    const second = await run(['types', 'generate']);
    expect(second).toMatchObject({ code: 0, stderr: '' });
    expect(second.stdout).toContain(`${file} holds the types of 1 table`);
    expect(statSync(file).mtimeMs).toBe(1_000);
    const json = await run(['types', 'generate', '--json']);
    expect(json).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(json.stdout)).toMatchObject({ file, tables: 1, isChanged: false });
  });

  it('resolves --out in the working folder and replaces the file', async () => {
    const { folder, run } = await openGenerated();
    const expected = readFileSync(join(folder, 'types.ts'), 'utf8');
    writeFileSync(join(folder, 'other.ts'), 'garbage');
    const { code } = await run(['types', 'generate', '--out', 'other.ts'], { cwd: folder });
    expect(code).toBe(0);
    expect(readFileSync(join(folder, 'other.ts'), 'utf8')).toBe(expected);
  });

  it('writes to the target of a symbolic link and keeps the link', async () => {
    const { folder, file, run } = await openGenerated();
    mkdirSync(join(folder, 'far'));
    const far = join(folder, 'far', 'real.ts');
    const link = join(folder, 'link.ts');
    writeFileSync(far, 'old');
    symlinkSync(join('far', 'real.ts'), link);
    expect((await run(['types', 'generate', '--out', link])).code).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(far, 'utf8')).toBe(readFileSync(file, 'utf8'));
    expect(readdirSync(join(folder, 'far'))).toEqual(['real.ts']);

    rmSync(far);
    expect((await run(['types', 'generate', '--out', link])).code).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(far, 'utf8')).toBe(readFileSync(file, 'utf8'));
  });

  it.each([0o600, 0o664, 0o755])('keeps the mode %o of the file', async (mode) => {
    const { file, run } = await openGenerated();
    writeFileSync(file, 'old');
    chmodSync(file, mode);
    expect((await run(['types', 'generate'])).code).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(mode);
    expect(readFileSync(file, 'utf8')).not.toBe('old');
  });

  it('refuses a database with pending migrations unless a flag allows it', async () => {
    const { database, file, run } = await openProject({ ...orders, ...total });
    await run(['migrate', 'up', '--steps', '1']);
    const refused = await run(['types', 'generate']);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain(`"${database.name}" lacks a migration of the folder`);
    expect(refused.stderr).toContain('20260102_000000');
    expect(refused.stderr).toMatch(/^hint: cryptosense-db migrate up\b/m);
    expect(errorOf(await run(['types', 'check', '--json']))).toMatchObject({
      code: 'pending-migrations',
      details: { versions: ['20260102_000000'] },
    });
    expect(existsSync(file)).toBe(false);

    expect((await run(['types', 'generate', '--allow-pending'])).code).toBe(0);
    expect(tablesOf(readFileSync(file, 'utf8'))).toHaveProperty('orders.status');
    expect((await run(['types', 'check', '--allow-pending'])).code).toBe(0);
  });

  it('refuses a database without migrations and does not change it', async () => {
    const { database, run } = await openProject();
    expect(errorOf(await run(['types', 'generate', '--json'])).code).toBe('pending-migrations');
    const schemas = await database.sql`
      select from pg_namespace where nspname = 'cryptosense_db'`;
    expect(schemas).toHaveLength(0);
  });

  it('writes a file that compiles for a database without tables', async () => {
    const { file, run } = await openProject({});
    expect((await run(['types', 'generate'])).code).toBe(0);
    const text = readFileSync(file, 'utf8');
    expect({ errors: syntaxErrorsOf(text), tables: tablesOf(text) }).toEqual({
      errors: [],
      tables: {},
    });
    expect((await run(['types', 'check'])).code).toBe(0);
  });
});

describe('types check', () => {
  it('exits with 0 when the file equals the types of the database', async () => {
    const { database, file, run } = await openGenerated();
    const text = await run(['types', 'check']);
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toContain(`${file} is what `);
    expect(text.stdout).toContain(database.name);
    const json = await run(['types', 'check', '--json']);
    expect(json).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(json.stdout)).toMatchObject({ file, isCurrent: true, differences: [] });
  });

  it('names the table and the column that a migration added without new types', async () => {
    const { file, folder, database } = await openGenerated();
    const before = readFileSync(file, 'utf8');
    const flags = [...folderFlags(writePairs({ ...orders, ...total })), '--url', database.url];
    expect((await callCli(['migrate', 'up', ...flags])).code).toBe(0);
    const args = ['types', 'check', ...flags, '--out', 'types.ts'];
    const text = await callCli(args, { cwd: folder });
    expect(text).toMatchObject({ code: 1, stderr: '' });
    const [head = '', ...lines] = text.stdout.trimEnd().split('\n');
    expect(head).toMatch(/^types\.ts is not what .* gives$/);
    expect(lines.filter((line) => line.includes('orders.total'))).toEqual([
      '  orders.total  only in the database: Numeric | null /* In USD */',
    ]);
    expect(lines.at(-1)).toBe('hint: cryptosense-db types generate --out types.ts');
    const ofTables = lines.filter((line) => !line.startsWith('  type '));
    for (const line of [head, ...ofTables]) expect(line.length).toBeLessThanOrEqual(80);

    const json = await callCli([...args, '--json'], { cwd: folder });
    expect(json).toMatchObject({ code: 1, stderr: '' });
    const { isCurrent, differences } = JSON.parse(json.stdout);
    expect(isCurrent).toBe(false);
    expect(differences).toContainEqual({
      where: 'orders.total',
      database: 'Numeric | null /* In USD */',
    });
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  it('shows the two types of a column that differs, one below the other', async () => {
    const { database, run } = await openGenerated();
    await database.sql.unsafe(`
      alter table orders drop constraint orders_status_check;
      alter table orders add check (status in ('open', 'paid', 'late'))`);
    const { code, stdout } = await run(['types', 'check']);
    expect(code).toBe(1);
    expect(stdout).toContain(
      [
        '  orders.status  file:     "open" | "paid"',
        '                 database: "open" | "paid" | "late"',
        '',
      ].join('\n'),
    );
  });

  it('exits with 1 for a missing file and does not create it', async () => {
    const { file, run } = await openProject();
    await run(['migrate', 'up']);
    const { code, stdout } = await run(['types', 'check']);
    expect(code).toBe(1);
    expect(stdout).toBe(
      `${file} is not there\nhint: cryptosense-db types generate --out ${file}\n`,
    );
    expect(existsSync(file)).toBe(false);
  });

  it('makes white space visible when only white space differs', async () => {
    const { file, run } = await openGenerated();
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll('\n', '\r\n'));
    const { code, stdout } = await run(['types', 'check']);
    expect(code).toBe(1);
    expect(stdout).toContain('  line 1  file:     "/**\\r"\n          database: "/**"\n');
  });

  it('prints nothing under --quiet and sets the exit code', async () => {
    const { file, run } = await openGenerated();
    writeFileSync(file, '');
    expect(await run(['types', 'check', '--quiet'])).toEqual({ code: 1, stdout: '', stderr: '' });
  });
});

describe('an unusable path of the file', () => {
  it('is refused and shown when its folder is missing, and the folder is not created', async () => {
    const { folder, run } = await openGenerated();
    const file = join(folder, 'absent', 'types.ts');
    const { code, stdout, stderr } = await run(['types', 'generate', '--out', file]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`${file} cannot be written`);
    expect(stderr).toMatch(/^hint: name a file in a folder that exists/m);
    const error = errorOf(await run(['types', 'generate', '--out', file, '--json']));
    expect(error).toMatchObject({ code: 'file-problem', details: { path: file } });
    expect(readdirSync(folder)).toEqual(['types.ts']);
  });

  it('is refused when it is below a file or is a folder, and nothing is left behind', async () => {
    const { folder, file, run } = await openGenerated();
    mkdirSync(join(folder, 'taken'));
    for (const path of [join(file, 'types.ts'), join(folder, 'taken')]) {
      for (const command of ['generate', 'check']) {
        const error = errorOf(await run(['types', command, '--out', path, '--json']));
        expect(error).toMatchObject({ code: 'file-problem', details: { path } });
      }
    }
    expect(readdirSync(folder).sort()).toEqual(['taken', 'types.ts']);
    expect(readdirSync(join(folder, 'taken'))).toEqual([]);
  });

  it.skipIf(process.getuid?.() === 0)(
    'is refused in a read-only folder, and the old file is unchanged (skipped as root, which may write everywhere)',
    async () => {
      const { folder, file, run } = await openGenerated();
      writeFileSync(file, 'old');
      chmodSync(folder, 0o555);
      onTestFinished(() => chmodSync(folder, 0o755));
      const error = errorOf(await run(['types', 'generate', '--json']));
      expect(error).toMatchObject({ code: 'file-problem', details: { path: file } });
      expect(readFileSync(file, 'utf8')).toBe('old');
      expect(readdirSync(folder)).toEqual(['types.ts']);
    },
  );
});

describe('wrong arguments', () => {
  it.each(['generate', 'check'])(
    'make types %s without a target list the ways to name one',
    async (command) => {
      const cwd = temporaryFolder();
      const { code, stdout, stderr } = await callCli(['types', command], { cwd });
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      for (const way of ['--url', 'DATABASE_URL', '--embedded']) expect(stderr).toContain(way);
      expect(errorOf(await callCli(['types', command, '--json'], { cwd })).code).toBe('no-target');
      expect(readdirSync(cwd)).toEqual([]);
    },
  );

  it.each([
    ['types', 'generate', '--nope'],
    ['types', 'check', '--dry-run'],
    ['types', 'generate', '--out'],
    ['types', 'generate', 'file.ts'],
    ['types', 'nope'],
    ['migrate', 'down', '--types', 'types.ts'],
  ])('are refused before the command does anything: %s %s %s', async (group, command, ...rest) => {
    const error = errorOf(await callCli([group, command, '--json', ...rest]));
    expect(error.code).toBe('bad-configuration');
    expect(await callCli([group, command, ...rest])).toMatchObject({ code: 2, stdout: '' });
  });

  it('a role that may not read the catalog gets the code not-permitted', async () => {
    const role = await createScratchRole(inject('postgresUrl'));
    onTestFinished(role.drop);
    const { database, file, folder, run } = await openGenerated();
    const before = readFileSync(file, 'utf8');
    await database.sql.unsafe(`
      grant usage on schema cryptosense_db to ${role.name};
      grant select on all tables in schema cryptosense_db to ${role.name};
      revoke select on pg_catalog.pg_constraint from public`);
    const url = ['--url', role.urlOf(database.url)];
    for (const command of ['generate', 'check']) {
      const error = errorOf(await run(['types', command, ...url, '--json']));
      expect(error.code).toBe('not-permitted');
      expect(error.problems[0]).toMatchObject({
        message: `the role "${role.name}" may not read the catalog of "${database.name}"`,
        evidence: [expect.stringContaining('pg_constraint')],
      });
    }
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(readdirSync(folder)).toEqual(['types.ts']);
  });
});

describe('migrate up --types', () => {
  it('writes the file after the run, also when no migration was pending', async () => {
    const { file, run } = await openProject();
    const text = await run(['migrate', 'up', '--types', file]);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(
      /^1 migration applied in .*\nwrote the types of 1 table.* to .*\n$/,
    );
    expect(tablesOf(readFileSync(file, 'utf8'))).toHaveProperty('orders.id', 'Int8');
    writeFileSync(file, 'old');
    const json = await run(['migrate', 'up', '--types', file, '--json']);
    expect(json).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(json.stdout)).toMatchObject({
      steps: [],
      types: { file, tables: 1, isChanged: true },
    });
    expect((await run(['types', 'check'])).code).toBe(0);
  });

  it('writes the types of the database when --steps leaves migrations pending', async () => {
    const { file, run } = await openProject({ ...orders, ...total });
    expect((await run(['migrate', 'up', '--steps', '1', '--types', file])).code).toBe(0);
    expect(tablesOf(readFileSync(file, 'utf8'))).not.toHaveProperty('orders.total');
  });

  it('is refused together with --dry-run, and no migration is applied', async () => {
    const { database, file, run } = await openProject();
    const error = errorOf(await run(['migrate', 'up', '--types', file, '--dry-run', '--json']));
    expect(error.code).toBe('bad-configuration');
    expect(await database.sql`select from pg_tables where schemaname = 'public'`).toHaveLength(0);
    expect(existsSync(file)).toBe(false);
  });

  it('does not write the file when a migration fails', async () => {
    const { file, run } = await openProject({
      ...orders,
      '20260102_000000_fail': ['SELECT 1 / 0;', 'SELECT 1;'],
    });
    writeFileSync(file, 'old');
    expect(errorOf(await run(['migrate', 'up', '--types', file, '--json'])).code).toBe(
      'migration-failed',
    );
    expect(readFileSync(file, 'utf8')).toBe('old');
  });

  it('exits with 2 before it applies a migration when it cannot write the file', async () => {
    const { database, folder, run } = await openProject();
    const file = join(folder, 'absent', 'types.ts');
    const error = errorOf(await run(['migrate', 'up', '--types', file, '--json']));
    expect(error).toMatchObject({ code: 'file-problem', details: { path: file } });
    expect(await database.sql`select to_regclass('orders') as found`).toEqual([{ found: null }]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is refused for a database in memory', async () => {
    const { folder, run } = await openProject();
    const file = join(folder, 'types.ts');
    const args = ['migrate', 'up', '--embedded', ':memory:', '--types', file, '--json'];
    expect(errorOf(await run(args))).toMatchObject({ code: 'bad-configuration' });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('names, allowed texts and comments that TypeScript has to escape', () => {
  it('have the same text in the file as in the database, and the file compiles', async () => {
    const names = [
      'a b',
      'it\'s "so"',
      'Upper',
      'naïve',
      '表',
      'back\\slash',
      '1st',
      'class',
      'a.b',
      'a: b',
      '*/',
      '`$&`',
    ];
    const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
    const remark = 'ends */ early /* and\nbreaks\r\n\n * lines\\';
    const literal = `'${remark.replaceAll("'", "''")}'`;
    // Kysely reads a dot in the name of a table as the end of a schema's name.
    const tableNames = names.filter((name) => name !== 'a.b');
    const tables = tableNames.map(
      (
        name,
      ) => `create table ${quoted(name)} (${names.map((each) => `${quoted(each)} text`).join(', ')});
        comment on table ${quoted(name)} is ${literal};
        comment on column ${quoted(name)}.${quoted(name)} is ${literal};`,
    );
    const { database, file, run } = await openProject({});
    await database.sql.unsafe(tables.join('\n'));
    expect((await run(['types', 'generate'])).code).toBe(0);
    const text = readFileSync(file, 'utf8');
    expect(syntaxErrorsOf(text)).toEqual([]);
    const columns = Object.fromEntries(names.map((name) => [name, 'string | null']));
    expect(tablesOf(text)).toEqual(Object.fromEntries(tableNames.map((name) => [name, columns])));
    expect(text).toContain('ends *\\/ early /* and');
    expect((await run(['types', 'check'])).code).toBe(0);

    await database.sql.unsafe('alter table "it\'s ""so""" add more text; drop table "a: b"');
    const { stdout } = await run(['types', 'check', '--json']);
    expect(JSON.parse(stdout).differences).toEqual([
      { where: 'a: b', file: expect.stringContaining('a table') },
      { where: 'it\'s "so".more', database: 'string | null' },
    ]);
  });

  it('allowed texts keep their quotes, and a column that allows no text has type never', async () => {
    const { database, file, run } = await openProject({});
    await database.sql.unsafe(`
      create table words (
        id integer primary key,
        quoted text check (quoted in ('it''s', '"so"', 'back\\slash', '', '*/', E'two\\nlines')),
        mood varchar check (mood in ('glad', 'sad') or mood is null),
        other text check (other in ('a', 'b') or mood is null),
        nothing text check (nothing = 'a') check (nothing = 'b'),
        padded char(5) check (padded in ('a', 'b')),
        short text check (short::varchar(1) in ('a', 'b')),
        own text check (own in ('a', 'b')) no inherit,
        odd text generated always as (mood) stored check (odd in ('x', 'it''s')),
        late text
      );
      alter table words add check (late in ('a', 'b')) not valid`);
    expect((await run(['types', 'generate'])).code).toBe(0);
    const text = readFileSync(file, 'utf8');
    expect(syntaxErrorsOf(text)).toEqual([]);
    expect(tablesOf(text).words).toMatchObject({
      quoted: String.raw`"it's" | "\"so\"" | "back\\slash" | "" | "*/" | "two\nlines" | null`,
      mood: '"glad" | "sad" | null',
      other: 'string | null',
      nothing: expect.stringMatching(/^(never \| )?null$/),
      padded: 'string | null',
      short: 'string | null',
      own: 'string | null',
      late: 'string | null',
      odd: `GeneratedAlways<"x" | "it's" | null>`,
    });
  });

  it('columns of views have the types that the server guarantees', async () => {
    const { database, file, run } = await openProject({});
    await database.sql.unsafe(`
      create domain name_text as text not null;
      create table users (id integer primary key, name name_text, tier text not null check (tier in ('a', 'b')));
      create table orders (id integer primary key, user_id integer not null, note text);
      insert into orders values (1, 7, null);
      create view joined as
        select o.id, u.name, u.tier from orders o left join users u on u.id = o.user_id;
      create view totals as
        select coalesce(note, 'none') as note, count(*) as orders from orders
        group by rollup (coalesce(note, 'none'));
      create recursive view numbers (n) as
        values (1) union all select n + 1 from numbers where n < 3`);
    expect((await run(['types', 'generate'])).code).toBe(0);
    const { joined, totals, numbers } = tablesOf(readFileSync(file, 'utf8'));
    expect({ joined, totals, numbers }).toEqual({
      joined: { id: 'number', name: 'string | null', tier: '"a" | "b" | null' },
      totals: { note: 'string | null', orders: 'Int8' },
      numbers: { n: 'number | null' },
    });
  });
});
