import { describe, expect, it } from 'vitest';
import { parseWhole, requireWhole } from '../../src/runtime/whole-numbers.ts';
import { errorOf } from '../support/errors.ts';

const port = { from: 1, to: 65_535 };

describe('parseWhole', () => {
  it.each([
    ['1', 1],
    ['5432', 5_432],
    ['05432', 5_432],
    ['65535', 65_535],
  ])('reads %j', (text, value) => {
    expect(parseWhole(text, port)).toBe(value);
  });

  it.each([
    '',
    ' ',
    '0',
    '65536',
    '-1',
    '+1',
    '1.0',
    '1e3',
    '0x10',
    ' 1',
    '1\n',
    '٣',
    '9'.repeat(400),
  ])('does not read %j', (text) => {
    expect(parseWhole(text, port)).toBeUndefined();
  });

  it('does not read a number that a double cannot hold exactly', () => {
    const range = { from: 0, to: Number.MAX_SAFE_INTEGER };
    expect(parseWhole('9007199254740991', range)).toBe(Number.MAX_SAFE_INTEGER);
    expect(parseWhole('9007199254740992', range)).toBeUndefined();
  });
});

describe('requireWhole', () => {
  it('accepts both ends of the range', () => {
    expect(() => requireWhole({ first: 1, last: 65_535 }, port)).not.toThrow();
  });

  it.each([0, 65_536, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses %d with the name of the option',
    async (value) => {
      const { problems } = await errorOf('bad-configuration', () =>
        requireWhole({ port: value }, port),
      );
      expect(problems).toEqual([
        { message: `port is ${value}; it can be a whole number from 1 to 65535` },
      ]);
    },
  );

  it('refuses a value of another type', async () => {
    const values: Readonly<Record<string, number>> = JSON.parse('{ "first": "1", "last": null }');
    const { problems } = await errorOf('bad-configuration', () => requireWhole(values, port));
    expect(problems.map(({ message }) => message)).toEqual([
      'first is "1"; it can be a whole number from 1 to 65535',
      'last is null; it can be a whole number from 1 to 65535',
    ]);
  });
});
