import { describe, expect, it } from 'vitest';
import { nameForm, namePrefix, parseName, printName } from '../../src/test-databases/name.ts';

const state = {
  kind: 'template',
  key: '9f86d081884c7d65',
  since: new Date('2026-11-27T10:22:33.456Z'),
} as const;

it('a name holds the kind, the key and the second, and ends with a random part', () => {
  const name = printName(state);
  expect(name).toMatch(/^cryptosense_test_template_9f86d081884c7d65_20261127102233_[0-9a-z]{5}$/);
  expect(Array.from({ length: 20 }, () => printName(state))).not.toContain(name);
});

it.each(['building', 'template', 'ready', 'clone', 'unused'] as const)(
  'a printed name of the kind %s has 63 bytes, and parseName returns its parts',
  (kind) => {
    const name = printName({ ...state, kind });
    expect(Buffer.byteLength(name)).toBe(63);
    expect(parseName(name)).toEqual({ ...state, kind, since: new Date('2026-11-27T10:22:33Z') });
    expect(name.startsWith(namePrefix({ ...state, kind }))).toBe(true);
    expect(name.startsWith(namePrefix())).toBe(true);
  },
);

it('names of one kind and key sort by their time', () => {
  const names = ['2026-11-27', '1999-12-31', '2027-01-01'].map((day) =>
    printName({ ...state, since: new Date(day) }),
  );
  const days = [...names].sort().map((name) => parseName(name)?.since.getUTCFullYear());
  expect(days).toEqual([1999, 2026, 2027]);
});

describe('parseName does not accept', () => {
  it.each([
    ['of another database', 'postgres'],
    ['of version 0.1', 'cryptosense_test_0123456789ab'],
    ['of a template of version 0.1', 'cryptosense_template_0123456789ab'],
    ['that describes the form', nameForm],
    ['of an unknown kind', 'cryptosense_test_production_9f86d081884c7d65_20261127102233_0v7k3x9q'],
    ['with a shorter key', 'cryptosense_test_clone_9f86d081884c7d6_20261127102233_0v7k3x9q'],
    ['with a key in upper case', 'cryptosense_test_clone_9F86D081884C7D65_20261127102233_0v7k3x9q'],
    [
      'with a key that is not a number',
      'cryptosense_test_clone_9f86d081884c7d6g_20261127102233_0v7k3x9q',
    ],
    ['without a time', 'cryptosense_test_clone_9f86d081884c7d65_0v7k3x9q'],
    [
      'of a day that does not exist',
      'cryptosense_test_clone_9f86d081884c7d65_20260230102233_0v7k3x9q',
    ],
    [
      'of an hour that does not exist',
      'cryptosense_test_clone_9f86d081884c7d65_20261127242233_0v7k3x9q',
    ],
    ['with a shorter random part', 'cryptosense_test_clone_9f86d081884c7d65_20261127102233_k3x9q'],
    ['without a random part', 'cryptosense_test_clone_9f86d081884c7d65_20261127102233_'],
    [
      'with more text at its end',
      'cryptosense_test_clone_9f86d081884c7d65_20261127102233_0v7k3x9q_copy',
    ],
    ['with a line end', 'cryptosense_test_clone_9f86d081884c7d65_20261127102233_0v7k3x9q\n'],
    [
      'with more text at its beginning',
      'my_cryptosense_test_clone_9f86d081884c7d65_20261127102233_0v7k3x9q',
    ],
  ])('a name %s', (_, name) => {
    expect(parseName(name)).toBeUndefined();
  });
});
