import { quoteIdentifier, type Session, type Sql } from '../database/connection.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { type Effect, isPartOf, mayRemove, type ObjectName } from './effects.ts';
import type { Step } from './step.ts';

/**
 * Refuses to apply migrations to a schema that was made by hand or by another tool: the database has no history, and
 * tables, types, functions or schemas that the migrations create exist already. Nothing is recorded then.
 * Throws `history-mismatch`, with the baseline that records what is there.
 */
export async function refuseHandmade(
  session: Session,
  { entries, journal }: Ledger,
  steps: readonly Step[],
): Promise<void> {
  if (entries.length + journal.length > 0) return;
  const created = createdBy(steps);
  const found = await findExisting(
    session.sql,
    created.flatMap(({ objects }) => objects),
  );
  if (found.length === 0) return;
  const isThere = (object: Created) => found.includes(object);
  const existing = created.filter(({ objects }) => objects.some(isThere));
  const missing = created.findIndex(({ objects }) => !objects.every(isThere));
  const whole = missing < 0 ? created : created.slice(0, missing);
  const newest = whole.findLast(({ objects }) => objects.length > 0)?.version;
  const names = [...new Set(found.map(describe))];
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

type Created = Extract<Effect, { effect: 'creates' }>;

/** The objects of each step that must not exist: no statement before them may have dropped or renamed them. */
function createdBy(steps: readonly Step[]) {
  const before: Effect[] = [];
  return steps.map(({ version, script }) => {
    const objects = script.effects.filter((effect): effect is Created => {
      const isNew = effect.effect === 'creates' && !effect.mayExist && isLookedUp(effect.object);
      const isWanted = isNew && !before.some((earlier) => makesRoom(earlier, effect.object));
      before.push(effect);
      return isWanted;
    });
    return { version, objects };
  });
}

/** An index exists where its table does. Without a schema, the search path that the file sets decides. */
function isLookedUp({ kind, schema }: ObjectName): boolean {
  return kind !== 'index' && (schema !== undefined || kind === 'schema');
}

/** True for an effect after which an object of that name may be created. */
function makesRoom(effect: Effect, object: ObjectName): boolean {
  switch (effect.effect) {
    case 'drops':
    case 'renames':
      return isPartOf({ object }, effect.object);
    case 'runs':
      return mayRemove(effect.code, object);
    case 'creates':
    case 'rebuilds':
      return false;
    default:
      return effect satisfies never;
  }
}

function describe({ object: { kind, schema, name } }: Created): string {
  const quoted = schema === undefined ? quoteIdentifier(name) : quoteIdentifier(schema, name);
  return kind === 'table' || kind === 'sequence' ? quoted : `${kind} ${quoted}`;
}

/** Those that exist, in their order. */
async function findExisting(sql: Sql, objects: readonly Created[]): Promise<readonly Created[]> {
  if (objects.length === 0) return [];
  const wanted = objects.map(({ object: { kind, schema = '', name }, argumentTypes = [] }) => ({
    kind,
    space: quoteIdentifier(kind === 'schema' ? name : schema),
    name,
    full: quoteIdentifier(schema, name),
    types: argumentTypes,
  }));
  // A type without a schema is the server's or one of schema public.
  const rows = await sql<{ place: number }[]>`
    select place::integer - 1 as place
    from json_array_elements(${JSON.stringify(wanted)}::text::json) with ordinality as wanted (it, place)
    where case it ->> 'kind'
      when 'schema' then to_regnamespace(it ->> 'space') is not null
      when 'type' then to_regtype(it ->> 'full') is not null
      when 'function' then exists (
        select from pg_proc p
        where proname = it ->> 'name' and pronamespace = to_regnamespace(it ->> 'space')
          and proargtypes::text = coalesce((
            select string_agg(coalesce(to_regtype(t), to_regtype('public.' || t), 0)::oid::text, ' ' order by n)
            from json_array_elements_text(it -> 'types') with ordinality as argument (t, n)
          ), '')
      )
      else to_regclass(it ->> 'full') is not null
    end
    order by place`;
  return rows.flatMap(({ place }) => objects[place] ?? []);
}
