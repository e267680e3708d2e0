/** One thing that two files of types say differently. */
export interface Difference {
  /** `table`, `table.column`, `type Name`, or `line 12` where no declaration differs. */
  readonly where: string;
  /** What the file says; undefined where it lacks it. */
  readonly file: string | undefined;
  /** What the database gives; undefined where it has none. */
  readonly database: string | undefined;
}

/** What differs between the text of a file and the one that the database gives, in order of name. */
export function differencesOf(file: string, database: string): readonly Difference[] {
  const [before, after] = [declarationsOf(file), declarationsOf(database)];
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const found = names.flatMap((where): Difference[] => {
    const [old, current] = [before.get(where), after.get(where)];
    if (old?.text === current?.text) return [];
    // A table that is on one side alone says it all; its columns need not.
    const table = (old ?? current)?.table;
    if (table !== undefined && !(before.has(table) && after.has(table))) return [];
    return [{ where, file: old?.text, database: current?.text }];
  });
  return found.length > 0 ? found : [firstLineApart(file, database)];
}

interface Declaration {
  readonly text: string;
  /** Of a column: the table that it is in. */
  readonly table?: string;
}

/** Tables, columns with their comments, and other types, by name; as the generator writes them. */
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

/** The last interface says which table each of the others describes. */
function tableNames(text: string): ReadonlyMap<string, string> {
  const [, body = ''] = /^export interface DB \{\n(.*?)^\}/ms.exec(text) ?? [];
  const entries = [...body.matchAll(/^ {2}(.+): (\S+);$/gm)];
  return new Map(entries.map(([, name = '', symbol = '']) => [symbol, unquote(name)]));
}

/** A key that is no JSON, which the generator does not write, as it stands. */
function unquote(key: string): string {
  if (!key.startsWith('"')) return key;
  try {
    return String(JSON.parse(key));
  } catch {
    return key;
  }
}

/** Quoted: what differs may be white space. */
function firstLineApart(file: string, database: string): Difference {
  const [before, after] = [file.split('\n'), database.split('\n')];
  const index = after.findIndex((line, at) => line !== before[at]);
  const at = index < 0 ? after.length : index;
  const [old, current] = [before[at], after[at]].map((line) =>
    line === undefined ? undefined : JSON.stringify(line),
  );
  return { where: `line ${at + 1}`, file: old, database: current };
}
