import { builtInTypes, text, type ValueType } from './value-types.ts';

/** A type of pg_type; 0 stands for none. */
export interface CatalogType {
  readonly oid: number;
  /** Of a domain: the type that it restricts. */
  readonly base: number;
  /** Of an array: the type of its items. */
  readonly item: number;
  /** Between the items of an array of this type. */
  readonly delimiter: string;
}

/** Reads the types, and those that they are made of. The statement takes no parameter. */
export function lookupQuery(oids: readonly number[]): string {
  return `
    with recursive wanted as (
      select oid, typbasetype as base, typdelim as delimiter,
        case typinput when 'pg_catalog.array_in'::regproc then typelem else 0 end as item
      from pg_catalog.pg_type where oid in (${oids.map(Number).join(', ')})
      union
      select t.oid, t.typbasetype, t.typdelim,
        case t.typinput when 'pg_catalog.array_in'::regproc then t.typelem else 0 end
      from wanted w join pg_catalog.pg_type t on t.oid in (w.base, w.item)
    )
    select oid, base, item, delimiter from wanted`;
}

/**
 * What the values of a type are, from the answer of `lookupQuery`. A type that is neither a domain nor
 * an array is text, such as an enum, a range or a row; so is one that no longer exists.
 */
export function resolveType(oid: number, found: readonly CatalogType[]): ValueType {
  const known = builtInTypes.get(oid);
  if (known) return known;
  const type = found.find((each) => each.oid === oid);
  if (!type) return text;
  if (type.base !== 0) return resolveType(type.base, found);
  if (type.item === 0) return text;
  const delimiter = found.find((each) => each.oid === type.item)?.delimiter ?? ',';
  return { kind: 'array', item: resolveType(type.item, found), delimiter };
}
