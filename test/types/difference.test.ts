import { describe, expect, it } from 'vitest';
import { differencesOf } from '../../src/types/difference.ts';

const current = `/**
 * Generated from the database by cryptosense-db types generate, through kysely-codegen.
 * Not for editing by hand.
 */

import type { ColumnType } from "kysely";

export type Generated<T> = T extends ColumnType<infer S, infer I, infer U>
  ? ColumnType<S, I | undefined, U>
  : ColumnType<T, T | undefined, T>;

export type Mood = "glad" | "sad";

export type Shape = {
  read: boolean;
  trade: boolean;
};

/**
 * What was ordered
 * and when
 */
export interface Orders {
  id: Generated<string>;
  /**
   * In the currency of the account
   */
  total: string | null;
}

export interface Users {
  id: string;
  "Full \\"Name\\"": string;
  tier: "free" | "pro";
}

export interface DB {
  orders: Orders;
  users: Users;
}
`;

/** Each as \`where: file → database\`. */
function shown(file: string, database: string): readonly string[] {
  return differencesOf(file, database).map(
    (difference) =>
      `${difference.where}: ${difference.file ?? 'nothing'} → ${difference.database ?? 'nothing'}`,
  );
}

/** The current text with something else in it. */
function edited(...edits: readonly (readonly [from: string, to: string])[]): string {
  return edits.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the text has no ${from}`);
    return text.replace(from, () => to);
  }, current);
}

const withoutUsers = edited(
  [/export interface Users \{.*?\n\}\n\n/s.exec(current)?.[0] ?? '', ''],
  ['  users: Users;\n', ''],
);

describe('the differences between a file and the database', () => {
  it.each<[name: string, edit: [from: string, to: string], shown: string]>([
    [
      'a new column',
      ['  tier:', '  since: Date | null;\n  tier:'],
      'users.since: nothing → Date | null',
    ],
    ['a dropped column', ['  tier: "free" | "pro";\n', ''], 'users.tier: "free" | "pro" → nothing'],
    [
      'a changed type',
      ['id: Generated<string>', 'id: Generated<number>'],
      'orders.id: Generated<string> → Generated<number>',
    ],
    [
      'a changed word',
      ['tier: "free" | "pro"', 'tier: "free" | "pro" | "max"'],
      'users.tier: "free" | "pro" → "free" | "pro" | "max"',
    ],
    [
      'a changed comment of a column',
      ['the currency of the account', 'USD'],
      'orders.total: string | null /* In the currency of the account */ → string | null /* In USD */',
    ],
    [
      'a new comment of a column',
      ['  tier:', '  /**\n   * What is paid for\n   *\n   * and how\n   */\n  tier:'],
      'users.tier: "free" | "pro" → "free" | "pro" /* What is paid for  and how */',
    ],
    [
      'a changed comment of a table',
      [' * and when\n', ''],
      'orders: a table /* What was ordered and when */ → a table /* What was ordered */',
    ],
    ['a changed named type', ['"glad" | "sad"', '"glad"'], 'type Mood: "glad" | "sad"; → "glad";'],
    [
      'a line within a named type',
      ['  trade: boolean;\n', ''],
      'type Shape: { read: boolean; trade: boolean; }; → { read: boolean; };',
    ],
    [
      'a new named type',
      ['export type Shape', 'export type Größe = "S";\n\nexport type Shape'],
      'type Größe: nothing → "S";',
    ],
    [
      'a column with a quoted name',
      ['"Full \\"Name\\"": string', '"Full \\"Name\\"": string | null'],
      'users.Full "Name": string → string | null',
    ],
  ])('include one difference for %s', (_, edit, line) => {
    expect(shown(current, edited(edit))).toEqual([line]);
    const [where, rest] = [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)];
    const [file, database] = rest.split(' → ');
    expect(shown(edited(edit), current)).toEqual([`${where}: ${database} → ${file}`]);
  });

  it('include one difference for a new or a dropped table, not one for each column', () => {
    expect(shown(withoutUsers, current)).toEqual(['users: nothing → a table']);
    expect(shown(current, withoutUsers)).toEqual(['users: a table → nothing']);
  });

  it('name a table by its name in the database, not by its type', () => {
    const quoted = edited(['  orders: Orders', '  "Old \\"x.y\\"": Orders']);
    expect(shown(withoutUsers, edited(['  users: Users', '  "a.b c": Users']))).toEqual([
      'a.b c: nothing → a table',
    ]);
    expect(shown(quoted, quoted.replace('string | null', 'string'))).toEqual([
      'Old "x.y".total: string | null /* In the currency of the account */ → string /* In the currency of the account */',
    ]);
  });

  it('are in the order of their names', () => {
    const edits = edited(
      ['"glad" | ', ''],
      ['  tier:', '  age: number;\n  tier:'],
      ['Generated<string>;', 'string;'],
    );
    expect(differencesOf(current, edits).map(({ where }) => where)).toEqual([
      'orders.id',
      'type Mood',
      'users.age',
    ]);
  });
});

it.each(['', '\n', 'no types at all', '{{{ "a: b;\n}', '\0\uFFFD', '<<<<<<< HEAD\n=======\n'])(
  'a file that holds %j lacks every table and every type',
  (text) => {
    expect(differencesOf(text, current)).toEqual([
      { where: 'orders', file: undefined, database: 'a table /* What was ordered and when */' },
      ...['Generated', 'Mood', 'Shape'].map((name) => ({
        where: `type ${name}`,
        file: undefined,
        database: expect.stringMatching(name === 'Mood' ? /^"glad" / : /^(T extends|\{ read)/),
      })),
      { where: 'users', file: undefined, database: 'a table' },
    ]);
  },
);

it('a difference shows a key that is not JSON unchanged', () => {
  const broken = edited(
    ['  users: Users', '  "users: Users'],
    ['"Full \\"Name\\""', '"Full \\Name"'],
  );
  expect(differencesOf(broken, current).map(({ where }) => where)).toEqual(['"users', 'users']);
});

describe('files with equal declarations', () => {
  it.each<[name: string, file: string, shown: string]>([
    ['CRLF', current.replaceAll('\n', '\r\n'), 'line 1: "/**\\r" → "/**"'],
    [
      'white space at the end of a line',
      edited(['  id: string;', '  id: string;  ']),
      'line 32: "  id: string;  " → "  id: string;"',
    ],
    [
      'another order',
      edited(
        ['  orders: Orders;\n', ''],
        ['  users: Users;', '  users: Users;\n  orders: Orders;'],
      ),
      'line 38: "  users: Users;" → "  orders: Orders;"',
    ],
    [
      'another header',
      edited(['Not for editing', 'For editing']),
      'line 3: " * For editing by hand." → " * Not for editing by hand."',
    ],
    [
      'another import',
      edited(['"kysely"', '"kisely"']),
      'line 6: "import type { ColumnType } from \\"kisely\\";" → "import type { ColumnType } from \\"kysely\\";"',
    ],
    ['a byte-order mark', `\uFEFF${current}`, 'line 1: "\uFEFF/**" → "/**"'],
    ['a last line that does not end', current.slice(0, -1), 'line 41: nothing → ""'],
    ['a line too many', `${current}\n// mine\n`, 'line 42: "// mine" → nothing'],
    [
      'a blank line',
      edited(['export interface Users', '\nexport interface Users']),
      'line 31: "" → "export interface Users {"',
    ],
  ])('differ in the first different line, shown in quotes: %s', (_, file, line) => {
    expect(shown(file, current)).toEqual([line]);
  });
});
