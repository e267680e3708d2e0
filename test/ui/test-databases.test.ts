import { Chalk } from 'chalk';
import { expect, it } from 'vitest';
import type { ListedDatabase } from '../../src/test-databases/test-databases.ts';
import { renderCreated, renderList } from '../../src/ui/test-databases.ts';

const look = { chalk: new Chalk({ level: 0 }), columns: 80 };
const server = { origin: 'option', server: 'db.example:5432' } as const;

function listed(change: Partial<ListedDatabase>): ListedDatabase {
  return {
    name: 'cryptosense_test_clone_4f1c09aa4f1c09aa_20261120140200_0v7k3x9q',
    owner: 'ci',
    kind: 'clone',
    key: '4f1c09aa4f1c09aa',
    since: new Date('2026-11-20T14:02:00Z'),
    ageMs: 0,
    connections: 0,
    ...change,
  };
}

it('a list shows each complete name and the age of each database', () => {
  const databases = [
    listed({
      kind: 'template',
      name: 'cryptosense_test_template_4f1c09aa4f1c09aa_20261120140200_k3x9q',
      ageMs: 5.5 * 86_400_000,
    }),
    listed({ kind: 'building', ageMs: 3 * 3_600_000 }),
    listed({ kind: 'ready', ageMs: 125_000 }),
    listed({ connections: 12, ageMs: -5, owner: 'a_role_with_a_long_name' }),
  ];
  expect(renderList({ ...server, databases }, look)).toBe(
    [
      '  age  by            in use  name',
      '  5 d  ci                    cryptosense_test_template_4f1c09aa4f1c09aa_20261120140200_k3x9q',
      '  3 h  ci                    cryptosense_test_clone_4f1c09aa4f1c09aa_20261120140200_0v7k3x9q',
      '2 min  ci                    cryptosense_test_clone_4f1c09aa4f1c09aa_20261120140200_0v7k3x9q',
      '  0 s  a_role_with…      12  cryptosense_test_clone_4f1c09aa4f1c09aa_20261120140200_0v7k3x9q',
      '',
      'db.example:5432: 4 databases',
      '',
    ].join('\n'),
  );
  expect(renderList({ ...server, databases: [] }, look)).toBe(
    'db.example:5432: no test databases\n',
  );
});

it('each URL is on a separate line, alone or after the name of a variable', () => {
  const one = { ...server, databases: [{ name: 'a', url: 'postgresql://h/a' }] };
  const two = { ...server, databases: [...one.databases, { name: 'b', url: 'postgresql://h/b' }] };
  expect(renderCreated(two, { variable: undefined })).toBe('postgresql://h/a\npostgresql://h/b\n');
  expect(renderCreated(one, { variable: 'DB' })).toBe('DB=postgresql://h/a\n');
  expect(renderCreated(two, { variable: 'DB' })).toBe(
    'DB_1=postgresql://h/a\nDB_2=postgresql://h/b\n',
  );
});
