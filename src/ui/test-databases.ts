import type {
  CreateResult,
  DropResult,
  FillResult,
  ListResult,
  PruneResult,
} from '../provisioning/test-databases.ts';
import { formatDuration, formatMinute, type Look, plural } from './render.ts';
import { renderTable } from './table.ts';

/** A URL a line, and nothing else: for `$(…)`, and for files of variables. */
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
    ? `${chalk.bold('nothing to do')}: there are enough on ${server}, or somebody else makes them\n`
    : `${chalk.bold(`${plural(made, 'test database')} made ahead`)} on ${server}\n`;
}

export function renderDropped({ dropped, missing, server }: DropResult, { chalk }: Look): string {
  return [
    ...dropped.map((name) => `dropped ${name}`),
    ...missing.map((name) => `there is no ${name}`),
    `${chalk.bold(`${plural(dropped.length, 'database')} dropped`)} on ${server}`,
    '',
  ].join('\n');
}

export function renderList({ databases, server }: ListResult, { chalk, columns }: Look): string {
  if (databases.length === 0) return `${server}: no test databases\n`;
  const paints = {
    building: chalk.yellow,
    template: chalk.cyan,
    ready: chalk.dim,
    clone: chalk.green,
  };
  const table = renderTable({
    head: ['name', 'is', 'template', 'since (UTC)', 'age', 'by', 'connections'].map((text) => ({
      text,
      paint: chalk.dim,
    })),
    rows: databases.map(({ name, kind, key, since, ageMs, owner, connections }) => [
      { text: name },
      { text: kind, paint: paints[kind] },
      { text: key.slice(0, 8), paint: chalk.dim },
      { text: formatMinute(since), paint: chalk.dim },
      { text: formatDuration(Math.max(0, ageMs)), align: 'right' },
      { text: owner, paint: chalk.dim },
      { text: String(connections), align: 'right' },
    ]),
    flexible: [5, 3, 0],
    columns,
  });
  return `${[...table, '', chalk.bold(`${server}: ${plural(databases.length, 'database')}`)].join('\n')}\n`;
}

export function renderPruned({ dropped, inUse, server }: PruneResult, { chalk }: Look): string {
  return [
    ...dropped.map((name) => `dropped ${name}`),
    ...inUse.map((name) => `left ${name}: somebody is connected to it`),
    `${chalk.bold(`${plural(dropped.length, 'database')} dropped`)} on ${server}`,
    '',
  ].join('\n');
}
