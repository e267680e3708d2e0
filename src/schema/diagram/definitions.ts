/** A name as `quote_ident` writes it. */
const identifier = String.raw`(?:"(?:[^"]|"")+"|[^\s"(),.;]+)`;
const relation = `${identifier}(?:\\.${identifier})*`;
const list = `${identifier}(?:, ${identifier})*`;
/** A column of an index, with its collation, operator class and order. An expression does not fit. */
const indexed = `${identifier}(?: COLLATE ${relation})?(?: (?!ASC|DESC|NULLS)${relation})?(?: ASC| DESC)?(?: NULLS (?:FIRST|LAST))?`;

const namePart = new RegExp(identifier, 'g');
const key = new RegExp(
  `^(PRIMARY KEY|UNIQUE)(?: NULLS NOT DISTINCT)? \\((${list})(?: WITHOUT OVERLAPS)?\\)`,
);
const foreignKey = new RegExp(
  `^FOREIGN KEY \\((${identifier}(?:, (?:PERIOD )?${identifier})*)\\) REFERENCES (?:ONLY )?(${relation})\\((${identifier}(?:, (?:PERIOD )?${identifier})*)\\)`,
);
const uniqueIndex = new RegExp(
  `^CREATE UNIQUE INDEX ${relation} ON (?:ONLY )?${relation} USING ${identifier} \\((${indexed}(?:, ${indexed})*)\\)(?: INCLUDE \\(${list}\\))?(.*)$`,
);

/** The parts of a qualified name, without quotes: `public` and `Odd Name` of `public."Odd Name"`. */
export function partsOfName(name: string): readonly string[] {
  return (name.match(namePart) ?? []).map((part) =>
    part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part,
  );
}

export interface Key {
  readonly isPrimary: boolean;
  /** Quoted where they have to be, as all columns here. */
  readonly columns: readonly string[];
}

/** A primary key or a unique constraint, as `pg_get_constraintdef` writes it; undefined for another constraint. */
export function readKey(definition: string): Key | undefined {
  const [, kind, columns] = key.exec(definition) ?? [];
  return columns === undefined
    ? undefined
    : { isPrimary: kind === 'PRIMARY KEY', columns: columnsOf(columns) };
}

/** The columns of a unique index over columns and all rows, as `pg_get_indexdef` writes it; undefined for another index. */
export function readUniqueIndex(definition: string): readonly string[] | undefined {
  const [, columns, rest = ''] = uniqueIndex.exec(definition) ?? [];
  if (columns === undefined || / WHERE /.test(rest)) return undefined;
  const names = columns.match(new RegExp(indexed, 'g')) ?? [];
  return names.flatMap((name) => name.match(namePart)?.[0] ?? []);
}

export interface ForeignKey {
  readonly columns: readonly string[];
  /** With its schema, quoted where it has to be. */
  readonly references: string;
  readonly referencedColumns: readonly string[];
}

/** A foreign key, as `pg_get_constraintdef` writes it; undefined for another constraint. */
export function readForeignKey(definition: string): ForeignKey | undefined {
  const [, columns, references, referenced] = foreignKey.exec(definition) ?? [];
  if (columns === undefined || references === undefined || referenced === undefined) {
    return undefined;
  }
  return {
    columns: columnsOf(columns),
    references,
    referencedColumns: columnsOf(referenced),
  };
}

function columnsOf(text: string): readonly string[] {
  const columns = text.match(new RegExp(`(?:PERIOD )?(${identifier})`, 'g')) ?? [];
  return columns.map((column) => column.replace(/^PERIOD /, ''));
}
