/**
 * `critical`: data or service is lost already, or will be soon. `warning`: it goes wrong within the year. `note`: worth
 * knowing.
 */
export type Severity = 'critical' | 'warning' | 'note';

/** What a rule says about a database. */
export interface Diagnosis {
  readonly severity: Severity;
  readonly message: string;
  readonly evidence?: readonly string[];
  /** What to do: a sentence with the statement, setting or command. */
  readonly hint: string;
}

/** A pure function from what a topic has read. It returns nothing for a sound database. */
export interface Rule<Facts> {
  /** The anchor of the rule in docs/doctor.md. */
  readonly name: string;
  readonly judge: (facts: Facts, at: Moment) => Diagnosis | readonly Diagnosis[] | undefined;
}

export interface Moment {
  /** The server's clock. */
  readonly now: Date;
}

/** Why a topic has no facts. */
export type Blank =
  /** The role or a setting hides them. `remedy` says how to see them. */
  | { readonly kind: 'unseen'; readonly reason: string; readonly remedy: string }
  /** The database has no such thing, such as jobs without TimescaleDB. */
  | { readonly kind: 'absent' };

export const absent: Blank = { kind: 'absent' };

export function unseen(reason: string, remedy: string): Blank {
  return { kind: 'unseen', reason, remedy };
}

/** Rules of a topic whose facts the role sees in part. They judge what it sees. */
export interface HiddenFacts {
  readonly rules: readonly string[];
  readonly reason: string;
  readonly remedy: string;
}

/** A rule about what a standby does not have. */
export function onPrimary(rule: string): HiddenFacts {
  return { rules: [rule], reason: 'a standby does not show this', remedy: 'ask the primary' };
}

export type Reading<Facts> =
  | { readonly kind: 'read'; readonly facts: Facts; readonly hidden: readonly HiddenFacts[] }
  | Blank;

export function reading<Facts>(facts: Facts, hidden: readonly HiddenFacts[] = []): Reading<Facts> {
  return { kind: 'read', facts, hidden };
}

/** Facts that are read together, and the rules that judge them. `Source` is a session, or the options of the examination. */
export interface Topic<Facts, Source> {
  readonly name: string;
  readonly read: (source: Source) => Promise<Reading<Facts>>;
  readonly rules: readonly Rule<Facts>[];
}
