import { readValue, type ValueType, writeValue } from './value-types.ts';

/** The types that are known on a connection, by object id. */
type Types = ReadonlyMap<number, ValueType>;

/** An option of postgres.js without its parsers, for all types that have one. */
export const noParsers = {
  text: { to: 25, from: [16, 17, 21, 23, 26, 114, 700, 701, 1082, 1114, 1184, 3802] },
};

const mark = Symbol('a bound value');

/** A parameter that is written once the server has told its type. */
interface BoundValue {
  readonly [mark]: unknown;
  /** In the query, from 1. */
  readonly position: number;
}

/** The object id of a type that has to be looked up before the parameter can be written. */
const unknownType = Symbol('the object id of an unknown type');

export function bindValue(value: unknown, position: number): BoundValue {
  return { [mark]: value, position };
}

/** The object id of the type that a query stopped at; undefined for any other error. */
export function unknownTypeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !(unknownType in error)) return undefined;
  return Number(error[unknownType]);
}

type Serializers = Record<number, (value: unknown) => unknown>;

/**
 * postgres.js calls `serializers[type]` with each parameter when it knows the parameter's type, and
 * rejects the query with what that throws; nothing has run then. Bound values are written by their
 * type, all others as before.
 */
export function withBoundValues(own: Serializers, types: Types): Serializers {
  const write = (oid: number, value: unknown) => {
    if (!isBound(value)) return own[oid]?.(value) ?? `${value}`;
    const type = types.get(oid);
    if (!type) throw Object.assign(new Error(`unknown type ${oid}`), { [unknownType]: oid });
    try {
      return writeValue(type, value[mark]);
    } catch (cause) {
      if (!(cause instanceof TypeError)) throw cause;
      throw new TypeError(`parameter ${value.position} of the query is ${cause.message}`);
    }
  };
  return new Proxy(own, {
    has: () => true,
    get: (_, oid) => (value: unknown) => write(Number(oid), value),
  });
}

function isBound(value: unknown): value is BoundValue {
  return typeof value === 'object' && value !== null && mark in value;
}

/** A column of a result, as the server describes it; a domain as its base type. */
export interface ResultColumn {
  readonly name: string;
  readonly type: number;
}

const failure = Symbol('why a value of the column cannot be read');

/**
 * Reads a value by its column's type. A value of an unknown type stays text. One that cannot be read is
 * undefined, and `failureOf` its column says why: an exception here would confuse the driver.
 */
export function valueReader(types: Types): (value: unknown, column?: ResultColumn) => unknown {
  return (value, column) => {
    const type = column && types.get(column.type);
    if (!type || typeof value !== 'string') return value;
    try {
      return readValue(type, value);
    } catch (cause) {
      Object.assign(column, { [failure]: cause });
      return undefined;
    }
  };
}

/** Why a value of the column could not be read; undefined when each one could. */
export function failureOf(column: ResultColumn & { readonly [failure]?: unknown }): unknown {
  return column[failure];
}
