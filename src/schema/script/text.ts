import type { Fact, Facts } from '../snapshot/snapshot.ts';

/** The fact when it is a text. */
export function textOf(facts: Facts, name: string): string | undefined {
  const fact = facts[name];
  return typeof fact === 'string' ? fact : undefined;
}

export function listOf(facts: Facts, name: string): readonly string[] {
  const fact: Fact | undefined = facts[name];
  return Array.isArray(fact) ? fact : [];
}

/** A text as PostgreSQL itself writes it: with an E where it has a backslash. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** One line of comment, also for a name with a line break. */
export function remark(text: string): string {
  return `--   ${text.replaceAll(/\s+/g, ' ')}`;
}

const identifier = '(?:"(?:[^"]|"")*"|[^\\s".():]+)';
const qualified = new RegExp(`^${identifier}(?:\\.${identifier})*`);

/** The qualified name at the start of a text, with its quotes; empty for none. */
export function leadingName(text: string): string {
  return qualified.exec(text)?.[0] ?? '';
}

/** The names that a qualified name consists of, each with its quotes. */
export function partsOfName(name: string): readonly string[] {
  return name.match(new RegExp(identifier, 'g')) ?? [];
}

/** The schema before the name of an object, with its dot. */
export function schemaOf(name: string): string {
  return partsOfName(name)[0] ?? '';
}

/** Without quotes. */
export function unquote(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** `WITH (…)` of stored options such as `fillfactor=70`. */
export function optionsText(options: readonly string[]): string {
  return options
    .map((option) => {
      const at = option.indexOf('=');
      const [name, value] = [option.slice(0, at), option.slice(at + 1)];
      return `${name} = ${/^(?:-?\d+(?:\.\d+)?|true|false|on|off)$/.test(value) ? value : literal(value)}`;
    })
    .join(', ');
}

/** `OPTIONS (…)` of a foreign table or its columns. */
export function foreignOptions(options: readonly string[]): string {
  const written = options.map((option) => {
    const at = option.indexOf('=');
    return `${quote(option.slice(0, at))} ${literal(option.slice(at + 1))}`;
  });
  return written.length === 0 ? '' : ` OPTIONS (${written.join(', ')})`;
}

/** Lines between the parentheses of a statement; none for an empty list. */
export function block(lines: readonly string[]): string {
  return lines.length === 0 ? '()' : `(\n${lines.map((line) => `    ${line}`).join(',\n')}\n)`;
}

const skippedOrColon =
  /'[^']*'|"[^"]*"|(\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)[\s\S]*?\1|--[^\n]*|(?<!:):(?=[\w"'{])/g;

/** psql puts a variable of its own in place of `:name`, as in the slice `a[1:n]`; a space after the colon prevents it. */
export function withoutVariables(script: string): string {
  return script.replaceAll(skippedOrColon, (found) => (found === ':' ? ': ' : found));
}
