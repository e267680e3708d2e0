import type { RunResult, ScriptStep } from '../migrations/options.ts';
import { plural } from '../runtime/amounts.ts';
import { toolVersion } from '../runtime/package.ts';

/** A file for psql: what it is for, as comments, and the SQL of each step. The same for the same files and history. */
export function renderSqlScript(result: RunResult): string {
  const { script, target, applied } = result;
  const release = `cryptosense-db ${toolVersion()}`;
  if (!script) {
    return comments([`${release}: nothing to do, ${applied} applied in ${target}`]);
  }
  const { opening, steps, closing } = script;
  const total = steps.length;
  return [
    comments([`${release}: ${summarise(result)}`, ...notes, ...steps.map(listStep)]),
    psqlSettings,
    section('the lock, the history and the mark as they were', opening),
    ...steps.map((step, index) =>
      section(`${index + 1} of ${total}: ${nameStep(step)}`, sqlOf(step)),
    ),
    section('the end', closing),
  ].join('\n');
}

const notes = [
  '',
  'Run it once: psql --no-psqlrc --file=FILE URL',
  'It takes the migration lock. It changes nothing where another run has the lock, or where the history or the',
  'mark of the database is another one than here. After an error the steps before it stay: print the rest again.',
  '',
];

/** Without the first one, psql goes on after an error. The others are for a psqlrc that has changed them. */
const psqlSettings = `\\set ON_ERROR_STOP on
\\set AUTOCOMMIT on
\\set ON_ERROR_ROLLBACK off
`;

/** `apply 2 migrations to localhost:5432/shop (production, 25 applied)` */
function summarise({ target, environment, applied, steps }: RunResult): string {
  const what = steps.some(({ direction }) => direction === 'down') ? 'roll back' : 'apply';
  const place = what === 'apply' ? 'to' : 'in';
  const mark = environment ?? 'no mark';
  return `${what} ${plural(steps.length, 'migration')} ${place} ${target} (${mark}, ${applied} applied)`;
}

function listStep(step: ScriptStep): string {
  return `  ${nameStep(step)}${step.transaction === 'none' ? ', without a transaction' : ''}`;
}

/** `up 20251007_120000 create_users_table` */
function nameStep({ direction, version, description }: ScriptStep): string {
  return `${direction} ${version} ${description}`;
}

function sqlOf({ opensSession, sql }: ScriptStep): string {
  return opensSession ? `\\connect\n${sql}` : sql;
}

function section(name: string, sql: string): string {
  return `${comments([name])}${sql}`;
}

/** A name of a database may hold a line end, after which psql would read SQL. */
function comments(lines: readonly string[]): string {
  return lines
    .map((line) => `${`-- ${line.replaceAll(/[\p{Cc}\s]/gu, ' ')}`.trimEnd()}\n`)
    .join('');
}
