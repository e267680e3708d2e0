/** One difference between the file of types and the types that the database gives. */
export interface Difference {
  /** `table`, `table.column` or `type Name`; `line 12` when no declaration differs. */
  readonly where: string;
  /** The declaration in the file; undefined when it has none. */
  readonly file: string | undefined;
  /** The declaration that the database gives; undefined when it gives none. */
  readonly database: string | undefined;
}

/** The differences between two texts of types, in order of name. */
export function differencesOf(file: string, database: string): readonly Difference[] {
  const [before, after] = [declarationsOf(file), declarationsOf(database)];
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const found = names.flatMap((where): Difference[] => {
    const [old, current] = [before.get(where), after.get(where)];
    if (old?.text === current?.text) return [];
    // The columns of a table that only one side has are no differences of their own.
    const table = (old ?? current)?.table;
    if (table !== undefined && !(before.has(table) && after.has(table))) return [];
    return [{ where, file: old?.text, database: current?.text }];
  });
  return found.length > 0 ? found : [firstLineApart(file, database)];
}

interface Declaration {
  readonly text: string;
  /** The table of a column. */
  readonly table?: string;
}

/** Tables, columns and other types with their comments, by name, from a text in the generator's form. */
function declarationsOf(written: string): ReadonlyMap<string, Declaration> {
  const found = new Map<string, Declaration>();
  const text = written.replaceAll(/[ \t\r]+$/gm, '');
  const tables = tableNames(text);
  let comment = '';
  let table: string | undefined;
  const blocks = text.split('\n');
  for (let index = 0; index < blocks.length; index += 1) {
    const line = blocks[index] ?? '';
    if (/^ *\/\*\*$/.test(line)) comment = '';
    else if (/^ +\*( |$)/.test(line)) comment += `${comment && ' '}${line.replace(/^ +\* ?/, '')}`;
    else if (/^ +\*\/$/.test(line)) continue;
    else {
      const remark = comment && ` /* ${comment} */`;
      const [, symbol] = /^export interface (\S+) \{$/.exec(line) ?? [];
      const [, alias] = /^export type ([^\s<]+)/.exec(line) ?? [];
      const [, column, type] = /^ {2}("(?:[^"\\]|\\.)*"|[\w$]+): (.*);$/.exec(line) ?? [];
      if (symbol !== undefined) {
        table = tables.get(symbol);
        if (table !== undefined) found.set(table, { text: `a table${remark}` });
      } else if (alias !== undefined) {
        const end = blocks.indexOf('', index);
        const whole = blocks.slice(index, end < 0 ? undefined : end).join(' ');
        found.set(`type ${alias}`, { text: whole.replaceAll(/\s+/g, ' ').replace(/^.*? = /, '') });
        index = end < 0 ? blocks.length : end;
      } else if (column !== undefined && table !== undefined) {
        found.set(`${table}.${unquote(column)}`, { text: `${type}${remark}`, table });
      }
      if (line === '}') table = undefined;
      comment = '';
    }
  }
  return found;
}

/** Interface → table, from the last interface, which lists the tables. */
function tableNames(text: string): ReadonlyMap<string, string> {
  const [, body = ''] = /^export interface DB \{\n(.*?)^\}/ms.exec(text) ?? [];
  const entries = [...body.matchAll(/^ {2}(.+): (\S+);$/gm)];
  return new Map(entries.map(([, name = '', symbol = '']) => [symbol, unquote(name)]));
}

/** Returns a key that is not JSON unchanged; the generator writes none. */
function unquote(key: string): string {
  if (!key.startsWith('"')) return key;
  try {
    return String(JSON.parse(key));
  } catch {
    return key;
  }
}

/** Quotes both lines, because they may differ in white space only. */
function firstLineApart(file: string, database: string): Difference {
  const [before, after] = [file.split('\n'), database.split('\n')];
  const index = after.findIndex((line, at) => line !== before[at]);
  const at = index < 0 ? after.length : index;
  const [old, current] = [before[at], after[at]].map((line) =>
    line === undefined ? undefined : JSON.stringify(line),
  );
  return { where: `line ${at + 1}`, file: old, database: current };
}
