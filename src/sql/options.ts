import { asNode, nodes, stringOf } from './tree.ts';

/** `tsdb` is the short form, since TimescaleDB 2.19. */
export const timescaleNamespaces: readonly unknown[] = ['timescaledb', 'tsdb'];

/** True for a WITH list or option list that has the option and does not set it to false. */
export function hasOption(
  list: unknown,
  name: string,
  namespaces: readonly unknown[] = [undefined],
): boolean {
  const value = optionValue(list, name, namespaces);
  return value !== undefined && !offValues.includes(value);
}

/** True for a list that sets the option to false. */
export function isOff(list: unknown, name: string): boolean {
  const value = optionValue(list, name, [undefined]);
  return value !== undefined && offValues.includes(value);
}

const offValues: readonly string[] = ['false', 'off', 'no', '0'];

/** The value in lower case, empty for an option without a value; undefined without the option. */
export function optionValue(
  list: unknown,
  name: string,
  namespaces: readonly unknown[],
): string | undefined {
  const option = nodes(list)
    .map((node) => asNode(node.DefElem))
    .find(({ defname, defnamespace }) => defname === name && namespaces.includes(defnamespace));
  if (!option) return undefined;
  const value = asNode(option.arg);
  if (value.Integer) return String(asNode(value.Integer).ival ?? 0);
  if (value.Boolean) return String(asNode(value.Boolean).boolval ?? false);
  // The grammar reads an unreserved word, such as off, as the name of a type.
  const word = nodes(asNode(value.TypeName).names).at(-1) ?? value;
  return stringOf(word).toLowerCase();
}
