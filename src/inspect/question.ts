import type { Session, Sql } from '../database/connection.ts';
import type { QuestionName } from './names.ts';

export type Value = string | number | boolean | Date | null;

/** The values of a row by the keys of its columns. A row of a tree also has its `depth`, 0 for a root. */
export type Row = Readonly<Record<string, Value>>;

export interface Column<Key extends string = string> {
  readonly key: Key;
  readonly label: string;
  /**
   * `count`: a whole number; `bytes`; `ms`: milliseconds; `ratio`: from 0 to 1; `moment`: a Date; `flag`: a boolean;
   * `text`, `sql`; `tree`: a text that is indented by the `depth` of its row. null stands for "does not apply".
   */
  readonly kind: 'text' | 'sql' | 'count' | 'bytes' | 'ms' | 'ratio' | 'moment' | 'flag' | 'tree';
  /** Left out where a terminal is too narrow, the last such column first. */
  readonly isOptional?: true;
}

/** What a question finds in a database. */
export interface Found<Of extends Row = Row> {
  readonly rows: readonly Of[];
  /**
   * What to do about the rows: sentences, each with its statement or setting in backticks. Empty when there is nothing
   * to do.
   */
  readonly advice: readonly string[];
  /** What the role or the server's settings hide, and how to see it. */
  readonly unseen?: readonly string[];
  /** What the missing rows mean in this database, where the question does not apply to it. */
  readonly empty?: string;
}

/** What the role and the server let a session see. */
export interface Sight {
  readonly sql: Sql;
  /** As an identifier. */
  readonly role: string;
  /** It may read what other roles' sessions run: it is a superuser or has pg_read_all_stats. */
  readonly seesOtherSessions: boolean;
  /** It may read every table, and so the statistics of every column. */
  readonly readsAllTables: boolean;
  /** It has one session, no background process and no counters. */
  readonly isEmbeddedEngine: boolean;
  /** The server counts what sessions read and write. The embedded engine does not, nor a server without track_counts. */
  readonly isCounting: boolean;
  readonly hasTimescale: boolean;
  /**
   * Tables that a session holds exclusively or waits to hold: to read their size or an expression of them would wait
   * too. By name, which may be that of a chunk.
   */
  readonly held: readonly { readonly relation: number; readonly name: string }[];
  readonly isStandby: boolean;
}

export interface Question {
  readonly name: QuestionName;
  readonly columns: readonly Column[];
  /** What a table without rows means. */
  readonly empty: string;
  /** How long a statement may run, when the caller does not say. Default 10,000. */
  readonly timeoutMs?: number;
  /** Runs in a read-only transaction, in which only pg_catalog is searched. */
  readonly ask: (session: Session, sight: Sight) => Promise<Found>;
}

/** Checks the keys of the columns against the rows, and forgets the type of the rows. */
export function defineQuestion<Of extends Row>(question: {
  readonly name: QuestionName;
  readonly columns: readonly Column<keyof Of & string>[];
  readonly empty: string;
  readonly timeoutMs?: number;
  readonly ask: (session: Session, sight: Sight) => Promise<Found<Of>>;
}): Question {
  return question;
}
