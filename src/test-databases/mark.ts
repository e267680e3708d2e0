import { randomBytes } from 'node:crypto';
import { quoteLiteral } from '../database/connection.ts';

/**
 * What a database of this tool is. `building`: a template that is not whole yet; `template`: one
 * that is; `ready`: a clone that waits to be taken; `clone`: one that somebody has.
 */
const markKinds = ['building', 'template', 'ready', 'clone'] as const;
export type MarkKind = (typeof markKinds)[number];

/** What the comment on a database says, once it is known for a mark of this tool. */
export interface Mark {
  readonly kind: MarkKind;
  /** Of the template: the hash of all that shapes it. */
  readonly key: string;
  /** When the database became what it is, by the server's clock. */
  readonly since: Date;
}

/** A template's key: 128 bits of SHA-256, in hexadecimal. */
export type TemplateKey = string;

const words = 'cryptosense-db';
const pattern = new RegExp(
  `^${words} (${markKinds.join('|')}) ([0-9a-f]{32}) (\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z)$`,
);

/** undefined for a comment that is anything but a mark. */
export function parseMark(comment: string): Mark | undefined {
  const [, kind, key, since] = pattern.exec(comment) ?? [];
  const moment = new Date(since ?? '');
  if (kind === undefined || key === undefined || Number.isNaN(moment.getTime())) return undefined;
  return { kind: kind as MarkKind, key, since: moment };
}

/** How every mark of that kind and key begins; without them, every mark at all. */
export function markPrefix(mark?: Pick<Mark, 'kind' | 'key'>): string {
  return mark ? `${words} ${mark.kind} ${mark.key} ` : `${words} `;
}

/**
 * The statement that marks the database, with the server's time; of one that is not there it says
 * nothing. COMMENT takes no parameters.
 */
export function markStatement(name: string, mark: Pick<Mark, 'kind' | 'key'>): string {
  const literal = quoteLiteral(name);
  return `do $mark$ begin
    if exists (select from pg_database where datname = ${literal}) then
      ${markCommand(literal, quoteLiteral(markPrefix(mark)))}
    end if;
  end $mark$`;
}

/** The same inside PL/pgSQL, for expressions of the database's name and of how its mark begins. */
export function markCommand(name: string, prefix: string): string {
  return `execute format('comment on database %I is %L', ${name}, ${prefix} || ${isoNow});`;
}

/** To the millisecond, as `Date` reads it. */
const isoNow = `to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** As much of a key as one half of an advisory lock's key holds. */
export function halfOf(key: TemplateKey): number {
  return Number.parseInt(key.slice(0, 8), 16) | 0;
}

/**
 * The lock of one database, by its number, for whoever is to change its mark or to drop it by its mark;
 * as an expression of the 64 bits of an advisory lock's key.
 */
export function databaseLock(oid: string): string {
  return `(842341075::bigint << 32 | ${oid}::bigint)`;
}

/** As `inventName` makes them. */
export const inventedName = /^cryptosense_(?:template|test)_[0-9a-f]{12}$/;

/** Of a database that nobody can say the template of. */
export const unknownKey: TemplateKey = '0'.repeat(32);

/** A name that no database has, and that needs no quotes. */
export function inventName(what: 'template' | 'test'): string {
  return `cryptosense_${what}_${randomBytes(6).toString('hex')}`;
}
