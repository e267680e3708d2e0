/** How the items of an array are written and read; the delimiter is a comma for every type but box. */
export interface ArrayForm<Item> {
  readonly delimiter: string;
  readonly item: Item;
}

/**
 * The items of an array in PostgreSQL's text form (documentation, section 8.15.6), nested as deep as
 * the array has dimensions. NULL is null. A lower bound other than 1 (`[0:1]={a,b}`) does not arrive.
 */
export function readArray(
  text: string,
  { delimiter, item: readItem }: ArrayForm<(text: string) => unknown>,
): unknown[] {
  let at = text.startsWith('[') ? text.indexOf('=') + 1 : 0;
  const readList = (): unknown[] => {
    const items: unknown[] = [];
    at += 1;
    while (at < text.length && text[at] !== '}') {
      items.push(readNext());
      if (text[at] === delimiter) at += 1;
    }
    at += 1;
    return items;
  };
  const readNext = (): unknown => {
    if (text[at] === '{') return readList();
    if (text[at] === '"') return readItem(readQuoted());
    const start = at;
    while (at < text.length && text[at] !== delimiter && text[at] !== '}') at += 1;
    const bare = text.slice(start, at);
    return bare === 'NULL' ? null : readItem(bare);
  };
  const readQuoted = (): string => {
    const start = at + 1;
    at = start;
    while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    const quoted = text.slice(start, at);
    at += 1;
    return quoted.includes('\\') ? quoted.replaceAll(/\\(.)/gs, '$1') : quoted;
  };
  return readList();
}

/** The text form of an array. null is NULL; `isList` says which items are arrays of the next dimension. */
export function writeArray(
  items: readonly unknown[],
  form: ArrayForm<(item: unknown) => string> & {
    readonly isList: (item: unknown) => item is readonly unknown[];
  },
): string {
  const texts = items.map((item) => {
    if (item === null) return 'NULL';
    if (form.isList(item)) return writeArray(item, form);
    return `"${form.item(item).replaceAll(/[\\"]/g, '\\$&')}"`;
  });
  return `{${texts.join(form.delimiter)}}`;
}
