import { randomInt } from 'node:crypto';

/**
 * What a test database is. `building`: a template that is still being made. `template`: a complete one, which
 * accepts no connections. `ready`: a clone that waits to be taken. `clone`: one that a test has taken. `unused`: one
 * that is about to be dropped.
 */
const databaseKinds = ['building', 'template', 'ready', 'clone', 'unused'] as const;
export type DatabaseKind = (typeof databaseKinds)[number];

/** A template's key: the first 64 bits of a SHA-256, in hexadecimal. */
export type TemplateKey = string;

export const keyLength = 16;

/** What the name of a test database says. */
export interface DatabaseState {
  readonly kind: DatabaseKind;
  /** Of the template: the hash of everything that decides its content. */
  readonly key: TemplateKey;
  /** When the database became what it is, by the server's clock, to the second. */
  readonly since: Date;
}

/*
 * The name holds the whole state, because CREATE DATABASE and ALTER DATABASE … RENAME set a name in one step: no
 * crash can leave a database without a state. PostgreSQL takes names of at most 63 bytes. These have 63:
 *
 *   cryptosense_test_template_9f86d081884c7d65_20261127102233_k3x9q
 *   cryptosense_test_clone_9f86d081884c7d65_20261127102233_0v7k3x9q
 *                    kind  key              since, in UTC  random
 */
const prefix = 'cryptosense_test_';
const nameLength = 63;
const pattern = new RegExp(
  `^${prefix}(${databaseKinds.join('|')})_([0-9a-f]{${keyLength}})_(\\d{14})_[0-9a-z]+$`,
);

/** The form of a name, for people. */
export const nameForm = `${prefix}<kind>_<key>_<since>_<random>`;

/** A new name for that state. */
export function printName({ kind, key, since }: DatabaseState): string {
  const start = `${namePrefix({ kind, key })}${printMoment(since)}_`;
  const digits = nameLength - start.length;
  return (
    start +
    randomInt(36 ** digits)
      .toString(36)
      .padStart(digits, '0')
  );
}

/** undefined for every name that `printName` does not give. */
export function parseName(name: string): DatabaseState | undefined {
  const [, word, key, digits] = (name.length === nameLength && pattern.exec(name)) || [];
  const kind = databaseKinds.find((each) => each === word);
  if (kind === undefined || key === undefined || digits === undefined) return undefined;
  const since = parseMoment(digits);
  return since && { kind, key, since };
}

/** How the names of that kind and key begin; without them, how every name begins. */
export function namePrefix(state?: Pick<DatabaseState, 'kind' | 'key'>): string {
  return state ? `${prefix}${state.kind}_${state.key}_` : prefix;
}

function printMoment(moment: Date): string {
  return moment.toISOString().replaceAll(/\D/g, '').slice(0, 14);
}

/** undefined for digits that are no date and time, such as a 30th of February. */
function parseMoment(digits: string): Date | undefined {
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6Z');
  const moment = new Date(iso);
  const isReal = !Number.isNaN(moment.getTime()) && printMoment(moment) === digits;
  return isReal ? moment : undefined;
}
