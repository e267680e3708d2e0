import { quoteWhereNeeded } from '../../database/quote.ts';
import { nodes, type SyntaxNode, stringOf } from '../../sql/tree.ts';
import type { LocatedFact as Fact, StatementContext } from './finding.ts';
import { type ColumnDefinition, type ColumnType, nameOfKey } from './syntax.ts';

type Typed = Pick<ColumnDefinition, 'name' | 'type' | 'location'>;

const narrowIntegers = ['int2', 'int4', 'serial', 'serial4', 'smallserial', 'serial2'];

export function primaryKeyFacts({ name, type, location }: Typed): readonly Fact[] {
  if (!narrowIntegers.includes(type.name)) return [];
  return [
    {
      rule: 'primary-key-type',
      location,
      message: `the primary key ${name} is ${sqlName(type)}, which ends at ${type.name.endsWith('2') || type.name.startsWith('small') ? '32,767' : '2,147,483,647'}`,
      hint: 'use UUID with DEFAULT gen_random_uuid(), or BIGSERIAL',
    },
  ];
}

/** A name that ends so, with a currency or without one, is an amount. */
const amount = /(^|_)(price|amount|quantity|balance|fee|cost)(_(usd|eur|gbp|btc|eth|usdt))?$/;
const inexact = ['float4', 'float8', 'money'];

export function typeFacts({ name, type, location }: Typed): readonly Fact[] {
  if (type.name === 'json' && !type.isArray) {
    return [
      {
        rule: 'json-type',
        location,
        message: `the column ${name} is JSON, which no index reads`,
        hint: 'use JSONB',
      },
    ];
  }
  if (!amount.test(name)) return [];
  const [, scale] = type.modifiers;
  const isShort = type.name === 'numeric' && type.modifiers.length > 0 && (scale ?? 0) < 8;
  if (!inexact.includes(type.name) && !isShort) return [];
  return [
    {
      rule: 'price-type',
      location,
      message: isShort
        ? `the column ${name} is ${sqlName(type)}, which rounds prices and amounts below ${scale ?? 0} decimals`
        : `the column ${name} is ${sqlName(type)}, which does not store prices and amounts exactly`,
      hint: 'use NUMERIC(20, 8)',
    },
  ];
}

export function softDeleteFacts({
  name,
  type,
  location,
  constraints,
}: ColumnDefinition): readonly Fact[] {
  const has = (kind: string) => constraints.some((each) => each.kind === kind);
  const isFlag = /^(is_)?deleted$/.test(name) && type.name === 'bool';
  const isOdd =
    name === 'deleted_at' &&
    (!['timestamptz', 'timestamp'].includes(type.name) || has('NOTNULL') || has('DEFAULT'));
  if (!isFlag && !isOdd) return [];
  return [
    {
      rule: 'soft-delete',
      location,
      message: isFlag
        ? `the column ${name} does not say when the row was deleted`
        : 'a row that is in use has no deleted_at: the column is a TIMESTAMPTZ that is NULL then',
      hint: 'use deleted_at TIMESTAMPTZ, without NOT NULL and without a default',
    },
  ];
}

/** Types that store the same values. */
const sameTypes: Readonly<Record<string, string>> = {
  serial: 'int4',
  serial4: 'int4',
  bigserial: 'int8',
  serial8: 'int8',
  smallserial: 'int2',
  serial2: 'int2',
};

export function foreignKeyTypeFacts(
  {
    column,
    type,
    other,
    body,
    location,
  }: {
    readonly column: string;
    readonly type: ColumnType;
    readonly other: string;
    readonly body: SyntaxNode;
    readonly location: number;
  },
  { after }: StatementContext,
): readonly Fact[] {
  const [referenced = { String: { sval: 'id' } }] = nodes(body.pk_attrs);
  const otherType = after.tables.get(other)?.columns.get(stringOf(referenced));
  if (!otherType) return [];
  const plain = ({ name }: ColumnType) => sameTypes[name] ?? name;
  if (plain(type) === plain(otherType)) return [];
  return [
    {
      rule: 'foreign-key-type',
      location,
      message: `${column} is ${sqlName(type)}, and refers to ${nameOfKey(other)}.${stringOf(referenced)}, which is ${sqlName(otherType)}`,
      hint: `give ${quoteWhereNeeded(column)} the type ${sqlName({ ...otherType, name: plain(otherType) })}`,
    },
  ];
}

const sqlNames: Readonly<Record<string, string>> = {
  int2: 'SMALLINT',
  int4: 'INT',
  int8: 'BIGINT',
  float4: 'REAL',
  float8: 'DOUBLE PRECISION',
  bool: 'BOOLEAN',
  bpchar: 'CHAR',
};

function sqlName({ name, modifiers, isArray }: ColumnType): string {
  const list = modifiers.length > 0 ? `(${modifiers.join(', ')})` : '';
  return `${sqlNames[name] ?? name.toUpperCase()}${list}${isArray ? '[]' : ''}`;
}
