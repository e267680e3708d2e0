/**
 * A name in TypeScript for each table and enum: no two have the same one, and none has a taken one. The
 * first of those that would have the same name keeps it; the others get a number. A name that an id has
 * by itself never goes to another id.
 */
export function chooseNames(
  ids: readonly string[],
  {
    convert,
    taken,
  }: { readonly convert: (id: string) => string; readonly taken: readonly string[] },
): ReadonlyMap<string, string> {
  const natural = new Map(ids.map((id) => [id, identifierOf(id, convert)]));
  const reserved = new Set([...taken, ...natural.values()]);
  const used = new Set(taken);
  const names = new Map<string, string>();
  for (const [id, name] of natural) {
    let chosen = name;
    for (let number = 2; used.has(chosen); number += 1) {
      if (!reserved.has(`${name}${number}`)) chosen = `${name}${number}`;
    }
    used.add(chosen);
    reserved.add(chosen);
    names.set(id, chosen);
  }
  return names;
}

/** kysely-codegen keeps these letters only, and never begins a name with a digit. */
function identifierOf(id: string, convert: (id: string) => string): string {
  const name = convert(id.replaceAll(/[^\w$\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF]/g, '_'));
  return /^(?!\d)./.test(name) ? name : `_${name}`;
}
