import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { callCli, cleanEnvironment, program, runCli } from '../support/cli.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { fixture, folderFlags, writePairs } from '../support/fixtures.ts';
import { hasTerminal, runInTerminal } from '../support/terminal.ts';

let database: ScratchDatabase;
let basic: readonly string[];
let failing: readonly string[];
/** The database, as a run says where it worked. */
let place: string;

beforeEach(async () => {
  database = await createScratchDatabase(inject('postgresUrl'));
  const target = ['--url', database.url];
  place = `${new URL(database.url).host}/${database.name}`;
  basic = [...folderFlags(fixture('cli-basic')), ...target];
  failing = [...folderFlags(fixture('cli-failing')), ...target];
});

afterEach(() => database?.drop());

const esc = '\u001B';
/** What stays once the spinner has cleared its line. */
function linesLeftOn(screen: string): readonly string[] {
  return screen
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => stripVTControlCharacters(line.split(`${esc}[1G`).at(-1) ?? ''));
}

const duration = String.raw`\d+ ms|\d+\.\d s`;

describe('migrate up into a pipe', () => {
  it('shows one line for each migration with its time, and one line at the end', async () => {
    const { code, stdout, stderr } = await runCli(['migrate', 'up', ...basic]);
    expect(code).toBe(0);
    const [first, ...lines] = stderr.trimEnd().split('\n');
    expect(first).toMatch(
      /^"\w+" has no mark \(dev, test, staging or production\); set it with: cryptosense-db db mark NAME$/,
    );
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      expect(line).toMatch(/^up {3}2026010[123]_000000 /);
      expect(line).toMatch(new RegExp(`(^| )(${duration})( |$)`));
    }
    expect(lines[0]).toContain('create_coins');
    expect(stdout).toMatch(new RegExp(`^3 migrations applied in ${place}, (${duration})\n$`));
  });

  it('says that there is nothing to do when no migration is pending', async () => {
    await callCli(['migrate', 'up', ...basic]);
    expect(await callCli(['migrate', 'up', ...basic])).toEqual({
      code: 0,
      stdout: `nothing to do: 3 applied in ${place}\n`,
      stderr: '',
    });
  });

  it('shows where a migration failed, the migrations applied before it and the pending ones', async () => {
    const { code, stdout, stderr } = await runCli(['migrate', 'up', ...failing]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('20260102_000000_refer_to_nothing.sql:7:');
    expect(stderr).toMatch(/CREATE TABLE quotes \(coin_id text REFERENCES koins\);\n *\S*.*\^/);
    expect(stderr).toContain('relation "koins" does not exist');
    expect(stderr).toContain('SQLSTATE 42P01');
    expect(stderr).toMatch(/applied before it: 1.*still to do: 1/);
  });

  it('names what a dry run could not undo', async () => {
    const down = '-- Irreversible: the old rows are gone\n';
    const folders = writePairs({
      '20260101_000000_fine': ['SELECT 1;', 'SELECT 1;'],
      '20260102_000000_drop': ['SELECT 1;', down],
    });
    const args = ['migrate', 'up', '--dry-run', ...folderFlags(folders), '--url', database.url];
    const { stdout } = await callCli(args);
    expect(stdout).toContain(
      '20260102_000000  drop\n     cannot be undone: the old rows are gone\n',
    );
    const { steps } = JSON.parse((await callCli([...args, '--json'])).stdout);
    expect(steps).toMatchObject([{}, { irreversible: 'the old rows are gone' }]);
    expect(steps[0]).not.toHaveProperty('irreversible');
  });

  it('lists the migrations of a dry run and changes nothing', async () => {
    const { code, stdout } = await callCli(['migrate', 'up', '--dry-run', ...basic]);
    expect(code).toBe(0);
    expect(stdout.split('\n').filter((line) => line.startsWith('up '))).toHaveLength(3);
    expect(stdout).toContain('nothing was changed');
    expect(await database.sql`select from pg_tables where schemaname = 'public'`).toHaveLength(0);
  });
});

describe('migrate status', () => {
  it('shows version, description, state, time, role and duration in a table', async () => {
    await callCli(['migrate', 'up', '--steps', '2', ...basic]);
    const { code, stdout, stderr } = await callCli(['migrate', 'status', ...basic]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [head, first, second, third, ...rest] = stdout.split('\n');
    expect(head).toMatch(/^version +description +state +applied \(UTC\) +by +took$/);
    const applied = String.raw`applied +\d{4}-\d\d-\d\d \d\d:\d\d +postgres +(${duration})`;
    expect(first).toMatch(new RegExp(`^20260101_000000 +create_coins +${applied}$`));
    expect(second).toMatch(new RegExp(`^20260102_000000 +create_quotes +${applied}$`));
    expect(third).toMatch(/^20260103_000000 +add_an_index_\w+eighty_columns +pending$/);
    expect(rest).toEqual(['', `${place}: 2 applied, 1 pending`, '']);
  });

  it('exits with 1 under --check while a migration is pending, and with 0 afterwards', async () => {
    expect(await callCli(['migrate', 'status', '--check', ...basic])).toMatchObject({ code: 1 });
    await callCli(['migrate', 'up', ...basic]);
    expect(await callCli(['migrate', 'status', '--check', ...basic])).toMatchObject({ code: 0 });
  });
});

describe('--json', () => {
  it.each([
    ['migrate', 'up'],
    ['migrate', 'up', '--dry-run'],
    ['migrate', 'status'],
    ['migrate', 'status', '--check'],
    ['migrate', 'down'],
    ['migrate', 'redo'],
    ['migrate', 'repair'],
    ['migrate', 'baseline', '20260102_000000'],
    ['db', 'create'],
    ['db', 'wait'],
    ['db', 'reset'],
    ['db', 'drop'],
  ])('%s %s %s prints one document on stdout and nothing on stderr', async (...command) => {
    const isOfDatabase = command[0] === 'db' && command[1] !== 'reset';
    const args = isOfDatabase ? ['--url', database.url] : basic;
    const { code, stdout, stderr } = await callCli([...command, ...args, '--json']);
    expect({ code, stderr }).toEqual({ code: command.includes('--check') ? 1 : 0, stderr: '' });
    expect(JSON.parse(stdout)).toBeTypeOf('object');
    expect(stdout.endsWith('}\n')).toBe(true);
  });

  it('holds the code, the details and the problems of a failure', async () => {
    const { code, stdout, stderr } = await callCli(['migrate', 'up', ...failing, '--json']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'migration-failed',
      details: {
        version: '20260102_000000',
        direction: 'up',
        completed: ['20260101_000000'],
        pending: ['20260103_000000'],
        location: { file: '20260102_000000_refer_to_nothing.sql', line: 7 },
        sqlState: '42P01',
      },
    });
  });

  it('prints the document with --quiet, while --quiet alone prints only errors', async () => {
    const both = await callCli(['migrate', 'up', ...basic, '--json', '--quiet']);
    expect(JSON.parse(both.stdout)).toMatchObject({ applied: 3 });
    expect(await callCli(['migrate', 'down', ...basic, '--quiet'])).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    const failed = await callCli(['migrate', 'up', '--to', '20300101_000000', ...basic, '--quiet']);
    expect(failed).toMatchObject({ code: 2, stdout: '' });
    expect(failed.stderr).toContain('there is no migration 20300101_000000');
  });
});

describe('--verbose', () => {
  it('also prints the connection and the notices of the server on stderr', async () => {
    const { stdout, stderr } = await callCli(['migrate', 'up', ...basic, '--verbose']);
    expect(stderr).toContain(`connected to ${place}`);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('a message that a migration raises', () => {
  it.each([
    ['is shown when it is a warning', [], []],
    ['is shown with --verbose when it is a notice', ['--verbose'], ['notice: by the way']],
  ])('%s', async (_what, flags, notices) => {
    const up = "DO $$ BEGIN RAISE WARNING 'mind this'; RAISE NOTICE 'by the way'; END $$;\n";
    const folders = writePairs({ '20260101_000000_raise': [up, 'SELECT 1;\n'] });
    const args = [...folderFlags(folders), '--url', database.url, ...flags];
    const { code, stderr } = await callCli(['migrate', 'up', ...args]);
    expect(code).toBe(0);
    expect(stderr).toContain('warning: mind this\n');
    expect(stderr.match(/.*by the way.*/g) ?? []).toEqual(notices);
  });
});

describe('a closed pipe', () => {
  it.each(['migrate status', 'migrate up', 'migrate up --dry-run', 'migrate status --json'])(
    'ends %s without an error when head -1 closes it',
    async (command) => {
      const words = [...command.split(' '), ...basic].map((word) => `'${word}'`).join(' ');
      const child = spawn(
        'sh',
        [
          '-c',
          `{ '${process.execPath}' '${program}' ${words} 2>&3; echo "code $?" >&3; } | head -1`,
        ],
        { env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe', 'pipe'] },
      );
      const side: Buffer[] = [];
      child.stdio[3]?.on('data', (chunk: Buffer) => side.push(chunk));
      await once(child, 'close');
      const text = Buffer.concat(side).toString();
      expect(text).not.toMatch(/EPIPE|Error|at .*\.js/);
      expect(text).toMatch(/code 0\n$/);
    },
  );

  it('does not stop migrate up when the reader closes it before the first line', async () => {
    const child = spawn(process.execPath, [program, 'migrate', 'up', ...basic], {
      env: cleanEnvironment(),
    });
    child.stdout.destroy();
    child.stderr.destroy();
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(await database.sql`select from cryptosense_db.migrations`).toHaveLength(3);
  });
});

describe.skipIf(!hasTerminal)(
  `a terminal${hasTerminal ? '' : " (skipped: util-linux's script is not here to make one)"}`,
  () => {
    it('shows colour and a spinner, and shows the cursor again at the end', async () => {
      const { code, screen } = await runInTerminal(['migrate', 'up', ...basic]);
      expect(code).toBe(0);
      expect(screen).toContain(`${esc}[32mup`);
      expect(screen).toMatch(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/);
      expect(screen).toContain(`${esc}[1m3 migrations applied`);
      const hidden = screen.lastIndexOf(`${esc}[?25l`);
      expect(screen.lastIndexOf(`${esc}[?25h`)).toBeGreaterThanOrEqual(hidden);
      expect(linesLeftOn(screen).at(-1)).toMatch(/^3 migrations/);
    });

    it('shows the cursor again after a failure', async () => {
      const { code, screen } = await runInTerminal(['migrate', 'up', ...failing]);
      expect(code).toBe(2);
      expect(screen).toContain(`${esc}[31m`);
      const hidden = screen.lastIndexOf(`${esc}[?25l`);
      expect(screen.lastIndexOf(`${esc}[?25h`)).toBeGreaterThanOrEqual(hidden);
    });

    it.each<[string, readonly string[], Record<string, string>]>([
      ['NO_COLOR', [], { NO_COLOR: '1' }],
      ['CI', [], { CI: 'true' }],
      ['TERM=dumb', [], { TERM: 'dumb' }],
      ['--no-color', ['--no-color'], {}],
    ])('shows plain lines without escape codes with %s', async (_, flags, env) => {
      const { code, screen } = await runInTerminal(['migrate', 'up', ...basic, ...flags], { env });
      expect(code).toBe(0);
      expect(screen).not.toContain(esc);
      expect(screen.trimEnd().split('\n')).toHaveLength(5);
    });

    it.each([80, 100, 60])('of %i columns shows no line that is wider', async (columns) => {
      await callCli(['migrate', 'up', ...basic]);
      const { screen } = await runInTerminal(['migrate', 'status', ...basic], { columns });
      const lines = linesLeftOn(screen);
      const widest = Math.max(...lines.map((line) => [...line].length));
      expect(widest).toBeLessThanOrEqual(columns);
      if (columns >= 80) expect(screen).toContain('add_an_index');
      expect(screen).toContain('…');
    });

    it('of unknown width shows the whole table', async () => {
      await callCli(['migrate', 'up', ...basic]);
      const { screen } = await runInTerminal(['migrate', 'status', ...basic], { columns: 0 });
      expect(screen).toContain('far_too_long_for_a_terminal_of_eighty_columns');
    });

    it('shows only the JSON document with --json', async () => {
      const { screen } = await runInTerminal(['migrate', 'up', ...basic, '--json']);
      expect(JSON.parse(screen)).toMatchObject({ applied: 3 });
    });
  },
);
