import { readArray, writeArray } from './arrays.ts';
import { readTime, writeTime } from './times.ts';

/** What the values of a PostgreSQL type are in JavaScript. A domain counts as its base type. */
export type ValueType =
  | { readonly kind: 'text' | 'number' | 'boolean' | 'time' | 'bytes' | 'json' }
  | { readonly kind: 'array'; readonly item: ValueType; readonly delimiter: string };

export const text: ValueType = { kind: 'text' };
const number: ValueType = { kind: 'number' };
const time: ValueType = { kind: 'time' };
const json: ValueType = { kind: 'json' };

/** PostgreSQL's own types with their arrays, by object id (pg_type.dat). */
const builtIn: readonly (readonly [oid: number, arrayOid: number, ValueType])[] = [
  [16, 1000, { kind: 'boolean' }],
  [17, 1001, { kind: 'bytes' }],
  [18, 1002, text], // "char"
  [19, 1003, text], // name
  [20, 1016, text], // bigint
  [21, 1005, number], // smallint
  [23, 1007, number], // integer
  [25, 1009, text],
  [26, 1028, number], // oid
  [114, 199, json],
  [142, 143, text], // xml
  [600, 1017, text], // point
  [603, 1020, text], // box
  [650, 651, text], // cidr
  [700, 1021, number], // real
  [701, 1022, number], // double precision
  [718, 719, text], // circle
  [790, 791, text], // money
  [829, 1040, text], // macaddr
  [869, 1041, text], // inet
  [1042, 1014, text], // char
  [1043, 1015, text], // varchar
  [1082, 1182, time], // date
  [1083, 1183, text], // time
  [1114, 1115, time], // timestamp
  [1184, 1185, time], // timestamptz
  [1186, 1187, text], // interval
  [1266, 1270, text], // timetz
  [1560, 1561, text], // bit
  [1562, 1563, text], // varbit
  [1700, 1231, text], // numeric
  [2278, 2278, text], // void
  [2950, 2951, text], // uuid
  [3614, 3643, text], // tsvector
  [3615, 3645, text], // tsquery
  [3802, 3807, json], // jsonb
  [3904, 3905, text], // int4range
  [3906, 3907, text], // numrange
  [3908, 3909, text], // tsrange
  [3910, 3911, text], // tstzrange
  [3912, 3913, text], // daterange
  [3926, 3927, text], // int8range
];

/** The types that need no look into the catalog, by object id. */
export const builtInTypes: ReadonlyMap<number, ValueType> = new Map(
  builtIn.flatMap(([oid, arrayOid, item]) => [
    [arrayOid, { kind: 'array', item, delimiter: oid === 603 ? ';' : ',' }] as const,
    [oid, item] as const,
  ]),
);

/**
 * A value from its text form. numeric and bigint stay text. Throws RangeError for a time that a Date
 * cannot hold.
 */
export function readValue(type: ValueType, written: string): unknown {
  switch (type.kind) {
    case 'text':
      return written;
    case 'number':
      return Number(written);
    case 'boolean':
      return written === 't';
    case 'time':
      return readTime(written);
    case 'bytes':
      return readBytes(written);
    case 'json':
      return JSON.parse(written);
    case 'array': {
      const { item, delimiter } = type;
      return readArray(written, { delimiter, item: (each) => readValue(item, each) });
    }
    default:
      return type satisfies never;
  }
}

/** Both forms of bytea_output: a pooler may hand out a session with the other one. */
function readBytes(written: string): Buffer {
  if (written.startsWith('\\x')) return Buffer.from(written.slice(2), 'hex');
  const bytes = written.replaceAll(/\\(?:\\|([0-7]{3}))/g, (_, octal: string | undefined) =>
    octal === undefined ? '\\' : String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return Buffer.from(bytes, 'latin1');
}

/**
 * The text form of a value other than null. A string for JSON is a JSON string; for any other type it
 * is the text form itself. Throws TypeError, whose message names what was given, for a value without a
 * text form.
 */
export function writeValue(type: ValueType, value: unknown): string {
  if (type.kind === 'json') return writeJson(value);
  if (ArrayBuffer.isView(value)) return writeBytes(type, value);
  if (!Array.isArray(value)) return writeScalar(value);
  if (type.kind !== 'array') throw new TypeError('an array, which its type does not take');
  const { item, delimiter } = type;
  return writeArray(value, {
    delimiter,
    item: (each) => writeValue(item, each),
    // The items of json[] are JSON values, arrays among them: there is no second dimension.
    isList: (each): each is readonly unknown[] => item.kind !== 'json' && Array.isArray(each),
  });
}

/** Refuses what JSON.stringify would turn into a value of another kind. Inside an object its rules hold. */
function writeJson(value: unknown): string {
  const isOther = value instanceof Date || ArrayBuffer.isView(value) || typeof value === 'bigint';
  const written: string | undefined = isOther ? undefined : stringify(value);
  if (written === undefined) throw new TypeError(`${describe(value)}, which JSON does not have`);
  return written;
}

function stringify(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    const isOfBigint = /bigint/i.test(cause.message);
    const what = isOfBigint
      ? 'a bigint, which JSON does not have'
      : 'a value that JSON.stringify refuses';
    throw new TypeError(what, { cause });
  }
}

function writeBytes(type: ValueType, value: ArrayBufferView): string {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(
      `an array of the kind ${value.constructor.name}, which its type does not take`,
    );
  }
  if (type.kind !== 'bytes') throw new TypeError('bytes, which only bytea takes');
  return `\\x${Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')}`;
}

function writeScalar(value: unknown): string {
  switch (typeof value) {
    case 'string':
      // As UTF-8, half of a character would become another character.
      if (/\p{Surrogate}/u.test(value)) throw new TypeError('a string with half of a character');
      return value;
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'boolean':
    case 'bigint':
      return String(value);
    case 'object':
      if (value instanceof Date) return writeTime(value);
      // Decimal numbers and the like of other packages have a text of their own.
      if (hasOwnText(value)) return String(value);
      throw new TypeError(`${describe(value)}, which its type does not take`);
    default:
      throw new TypeError(describe(value));
  }
}

function hasOwnText(value: object | null): boolean {
  return typeof value?.toString === 'function' && value.toString !== Object.prototype.toString;
}

function describe(value: unknown): string {
  if (value instanceof Date) return 'a Date';
  if (ArrayBuffer.isView(value)) return 'bytes';
  if (typeof value === 'bigint') return 'a bigint';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  return String(value);
}
