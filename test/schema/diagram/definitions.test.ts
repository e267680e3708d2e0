import { expect, it } from 'vitest';
import {
  partsOfName,
  readForeignKey,
  readKey,
  readUniqueIndex,
} from '../../../src/schema/diagram/definitions.ts';
import { shortType } from '../../../src/schema/diagram/type-names.ts';

it.each([
  ['public.users', ['public', 'users']],
  ['public."Odd ""Name"""', ['public', 'Odd "Name"']],
  ['"a.b"."c (d)"', ['a.b', 'c (d)']],
])('takes the name %s apart', (name, parts) => {
  expect(partsOfName(name)).toEqual(parts);
});

it.each([
  ['PRIMARY KEY (id)', true, ['id']],
  ['PRIMARY KEY ("time", asset_symbol) INCLUDE (price)', true, ['"time"', 'asset_symbol']],
  ['UNIQUE NULLS NOT DISTINCT (a, "b, c")', false, ['a', '"b, c"']],
  ['UNIQUE (id, during WITHOUT OVERLAPS)', false, ['id', 'during']],
])('reads the key %s', (definition, isPrimary, columns) => {
  expect(readKey(definition)).toEqual({ isPrimary, columns });
});

it('takes no other constraint for a key', () => {
  expect(readKey("CHECK (kind = 'PRIMARY KEY (id)'::text)")).toBeUndefined();
  expect(readKey('EXCLUDE USING gist (room WITH =)')).toBeUndefined();
  expect(readForeignKey('PRIMARY KEY (id)')).toBeUndefined();
});

it.each([
  [
    'FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE',
    { columns: ['user_id'], references: 'public.users', referencedColumns: ['id'] },
  ],
  [
    'FOREIGN KEY (a, "B c") REFERENCES app."Odd (1)"(x, "y)") MATCH FULL NOT VALID',
    { columns: ['a', '"B c"'], references: 'app."Odd (1)"', referencedColumns: ['x', '"y)"'] },
  ],
  [
    'FOREIGN KEY (id, PERIOD during) REFERENCES public.stays(id, PERIOD during)',
    {
      columns: ['id', 'during'],
      references: 'public.stays',
      referencedColumns: ['id', 'during'],
    },
  ],
])('reads the foreign key %s', (definition, expected) => {
  expect(readForeignKey(definition)).toEqual(expected);
});

it.each([
  ['(email)', ['email']],
  ['(email COLLATE "C" varchar_pattern_ops DESC NULLS LAST, "A b")', ['email', '"A b"']],
  ['(a) INCLUDE (b) NULLS NOT DISTINCT', ['a']],
  ['(a) WHERE deleted_at IS NULL', undefined],
  ['(lower(email))', undefined],
  ['((a + 1), b)', undefined],
])('reads the unique index over %s', (columns, expected) => {
  const start = 'CREATE UNIQUE INDEX "i 1" ON public.users USING btree';
  expect(readUniqueIndex(`${start} ${columns}`)).toEqual(expected);
});

it('takes no index for unique that is not', () => {
  expect(readUniqueIndex('CREATE INDEX i ON public.users USING btree (a)')).toBeUndefined();
});

it.each([
  ['timestamp with time zone', 'timestamptz'],
  ['timestamp(3) with time zone[]', 'timestamptz(3)[]'],
  ['timestamp without time zone', 'timestamp'],
  ['time(0) with time zone', 'timetz(0)'],
  ['character varying(20)[]', 'varchar(20)[]'],
  ['character(3)', 'char(3)'],
  ['"char"', '"char"'],
  ['double precision', 'float8'],
  ['numeric(20,8)', 'numeric(20,8)'],
  ['public.mood[]', 'mood[]'],
  ['public."My mood"', 'My mood'],
  ['app.mood', 'app.mood'],
])('shortens the type %s to %s', (type, short) => {
  expect(shortType(type)).toBe(short);
});
