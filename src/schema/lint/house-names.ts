import type { SyntaxNode } from '../../sql/tree.ts';
import type { LocatedFact as Fact } from './finding.ts';

const snakeCase = /^[a-z_][a-z0-9_]*$/;

export function snakeCaseFacts(
  rule: 'table-name' | 'column-name' | 'index-name',
  name: string,
  location: number,
): readonly Fact[] {
  if (snakeCase.test(name)) return [];
  const what = { 'table-name': 'table', 'column-name': 'column', 'index-name': 'index' }[rule];
  return [
    {
      rule,
      location,
      message: `the ${what} "${name}" is not named in snake_case`,
      hint: `name it ${toSnakeCase(name)}`,
    },
  ];
}

/** The name that names made from it hold, such as those of its indexes. */
export function toSnakeCase(name: string): string {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .toLowerCase();
}

export function tableNameFacts(name: string, location: number): readonly Fact[] {
  const spelling = snakeCaseFacts('table-name', name, location);
  if (spelling.length > 0 || isPlural(name)) return spelling;
  return [
    {
      rule: 'plural-table-name',
      location,
      message: `the table ${name} is not named with a plural noun`,
      hint: `name it for its rows, such as ${name.replace(/y$/, 'ie')}s`,
    },
  ];
}

/** Words that have no plural, or one without an s, and those for what a table is rather than what its rows are. */
const plurals =
  /(s|data|metadata|media|history|info|information|people|children|men|women|criteria|indices|staff|inventory|equipment|cash|money|feedback|audit|log|cache|queue|archive|backup|old|new|before|after|tmp|temp)$/;

function isPlural(name: string): boolean {
  return plurals.test(name) || /\d[a-z]?$/.test(name);
}

/** A table may have several references to another one, with words behind. PostgreSQL cuts names off at 63 bytes. */
export function foreignKeyNameFacts({
  name,
  expected,
  location,
}: {
  readonly name: string | undefined;
  readonly expected: string;
  readonly location: number;
}): readonly Fact[] {
  if (name === expected || name?.startsWith(`${expected}_`)) return [];
  if (expected.length > 63) return [];
  return [
    {
      rule: 'foreign-key-name',
      location,
      message:
        name === undefined
          ? 'the foreign key has no name, and gets one of PostgreSQL'
          : `the foreign key ${name} is not named for its two tables`,
      hint: `name it: CONSTRAINT ${expected}`,
    },
  ];
}

/** A unique index is named for its rule, as a constraint is: `one_active_subscription_per_user`. */
export function indexFacts({
  name,
  table,
  isUnique,
}: {
  readonly name: string | undefined;
  readonly table: string;
  readonly isUnique: boolean;
}): readonly Fact[] {
  const location = 0;
  if (name === undefined) {
    return [
      {
        rule: 'index-name',
        location,
        message: 'the index has no name, and gets one of PostgreSQL',
        hint: `name it: idx_${toSnakeCase(table)}_… with its columns`,
      },
    ];
  }
  const spelling = snakeCaseFacts('index-name', name, location);
  if (spelling.length > 0 || isUnique || isNamedFor(name, table)) return spelling;
  return [
    {
      rule: 'index-name',
      location,
      message: `the index ${name} is not named for its table and columns`,
      hint: `name it idx_${toSnakeCase(table)}_… with its columns`,
    },
  ];
}

/** `idx_`, then the table or the words that its name begins with, then more words. */
function isNamedFor(name: string, table: string): boolean {
  const words = toSnakeCase(table).split('_');
  return words.some((_, count) => name.startsWith(`idx_${words.slice(0, count + 1).join('_')}_`));
}

export function renameFacts({ renameType, newname, relationType }: SyntaxNode): readonly Fact[] {
  const name = String(newname);
  switch (renameType) {
    case 'OBJECT_TABLE':
      return tableNameFacts(name, 0);
    case 'OBJECT_COLUMN':
      return relationType === 'OBJECT_TABLE' ? snakeCaseFacts('column-name', name, 0) : [];
    case 'OBJECT_INDEX':
      return snakeCaseFacts('index-name', name, 0);
    default:
      return [];
  }
}
