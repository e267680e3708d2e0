import { partsOfName } from './definitions.ts';

/** What `format_type` writes, and the shorter word that PostgreSQL takes for it. */
const short: readonly (readonly [RegExp, string])[] = [
  [/^timestamp(\(\d\))? with time zone/, 'timestamptz$1'],
  [/^timestamp(\(\d\))? without time zone/, 'timestamp$1'],
  [/^time(\(\d\))? with time zone/, 'timetz$1'],
  [/^time(\(\d\))? without time zone/, 'time$1'],
  [/^character varying/, 'varchar'],
  [/^character(?=\(|\[|$)/, 'char'],
  [/^bit varying/, 'varbit'],
  [/^double precision/, 'float8'],
];

/** The shortest name of a type: `timestamptz`, `varchar(20)[]`, and `mood` for `public.mood`. */
export function shortType(type: string): string {
  const found = short.find(([pattern]) => pattern.test(type));
  if (found) return type.replace(...found);
  const [schema, ...name] = partsOfName(type.replace(/(?:\([^()]*\))?(?:\[\])*$/, ''));
  if (schema !== 'public' || name.length !== 1) return type;
  return `${name.join('')}${/(?:\([^()]*\))?(?:\[\])*$/.exec(type)?.[0] ?? ''}`;
}
