import type {
  CreateResult,
  DropResult,
  FillResult,
  ListResult,
  PruneResult,
} from '../test-databases/test-databases.ts';
import { formatAge, plural } from './render.ts';
import { type Look, renderTable } from './table.ts';

/** Renders one URL on each line and nothing else, for `$(…)` and for files of variables. */
export function renderCreated(
  { databases }: CreateResult,
  { variable }: { readonly variable: string | undefined },
): string {
  const lines = databases.map(({ url }, index) => {
    if (variable === undefined) return url;
    return `${databases.length === 1 ? variable : `${variable}_${index + 1}`}=${url}`;
  });
  return `${lines.join('\n')}\n`;
}

export function renderFilled({ made, server }: FillResult, { chalk }: Look): string {
  return made === 0
    ? `${chalk.bold('nothing to do')}: ${server} has enough, or another process makes them\n`
    : `${chalk.bold(`${plural(made, 'test database')} made ahead`)} on ${server}\n`;
}

/** Renders what `drop` or `prune` dropped, and what it did not. */
export function renderDropped(
  { dropped, server, ...rest }: DropResult | PruneResult,
  { chalk }: Look,
): string {
  return [
    ...dropped.map((name) => `dropped ${name}`),
    ...('missing' in rest
      ? rest.missing.map((name) => `there is no ${name}`)
      : rest.inUse.map((name) => `left ${name}: a session is in it`)),
    `${chalk.bold(`${plural(dropped.length, 'database')} dropped`)} on ${server}`,
    '',
  ].join('\n');
}

export function renderList({ databases, server }: ListResult, look: Look): string {
  const { chalk } = look;
  if (databases.length === 0) return `${server}: no test databases\n`;
  const paints = {
    building: chalk.yellow,
    template: chalk.cyan,
    ready: chalk.dim,
    clone: chalk.green,
    unused: chalk.yellow,
  };
  const table = renderTable(
    {
      // The name comes last, because it is long. It says the kind and the key too.
      head: ['age', 'by', 'in use', 'name'],
      rows: databases.map(({ name, kind, ageMs, owner, connections }) => [
        formatAge(ageMs),
        { text: owner, paint: chalk.dim },
        connections === 0 ? '' : String(connections),
        { text: name, paint: paints[kind] },
      ]),
      right: [0, 2],
      flexible: [1],
    },
    look,
  );
  return `${[...table, '', chalk.bold(`${server}: ${plural(databases.length, 'database')}`)].join('\n')}\n`;
}
