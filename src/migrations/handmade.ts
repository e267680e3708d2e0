import { quoteIdentifier, type Session } from '../database/connection.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Step } from './step.ts';

/**
 * Refuses to apply migrations to a schema that was made by hand or by another tool: the database has no history, and
 * relations that the migrations create exist already. Nothing is recorded then.
 * Throws `history-mismatch`, with the baseline that records what is there.
 */
export async function refuseHandmade(
  session: Session,
  { entries, journal }: Ledger,
  steps: readonly Step[],
): Promise<void> {
  if (entries.length + journal.length > 0) return;
  const created = createdBy(steps);
  const found = await findExisting(session, [...new Set(created.flatMap(({ names }) => names))]);
  if (found.size === 0) return;
  const existing = created.filter(({ names }) => names.some((name) => found.has(name)));
  const missing = created.findIndex(({ names }) => names.some((name) => !found.has(name)));
  const whole = missing < 0 ? created : created.slice(0, missing);
  const newest = whole.findLast(({ names }) => names.length > 0)?.version;
  const names = [...found];
  const others = names.length > mostNames ? ` and ${names.length - mostNames} more` : '';
  throw new CryptosenseDbError(
    'history-mismatch',
    {
      message: `"${session.server.database}" has no history of migrations, and holds what they would create`,
      evidence: [`exists already: ${names.slice(0, mostNames).join(', ')}${others}`],
      hint: `if the schema was made by hand or by another tool, record what it has with: cryptosense-db migrate baseline ${newest ?? 'VERSION'}; otherwise name an empty database`,
    },
    { details: { versions: existing.map(({ version }) => version) } },
  );
}

const mostNames = 5;

/** The relations of each step that must not exist: no statement before them may have dropped or renamed them. */
function createdBy(steps: readonly Step[]) {
  let before = '';
  return steps.map(({ version, script: { file, creates } }) => {
    const setsPath = /search_path/i.test(file.text);
    const names = creates.flatMap(({ name, index }) => {
      const text = before + file.text.slice(0, index);
      const isMoved = /\b(drop|rename)\b/i.test(text) && text.includes(name.at(-1) ?? '');
      if (isMoved || (setsPath && name.length === 1)) return [];
      return [quoteIdentifier(...(name.length === 1 ? ['public', ...name] : name))];
    });
    before += file.text;
    return { version, names };
  });
}

async function findExisting(
  { sql }: Session,
  names: readonly string[],
): Promise<ReadonlySet<string>> {
  if (names.length === 0) return new Set();
  const rows = await sql<{ name: string }[]>`
    select name from json_array_elements_text(${JSON.stringify(names)}::text::json)
      with ordinality as wanted (name, place)
    where to_regclass(name) is not null order by place`;
  return new Set(rows.map(({ name }) => name));
}
