import type { Session } from '../database/connection.ts';
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
}

/** What a question finds in a database. */
export interface Found<Of extends Row = Row> {
  readonly rows: readonly Of[];
  /** What to do about the rows: sentences, each with its statement or setting. Empty when there is nothing to do. */
  readonly advice: readonly string[];
  /** What the role or the server's settings hide, and how to see it. */
  readonly unseen?: readonly string[];
}

export interface Question {
  readonly name: QuestionName;
  readonly columns: readonly Column[];
  /** What a table without rows means. */
  readonly empty: string;
  readonly ask: (session: Session) => Promise<Found>;
}

/** Checks the keys of the columns against the rows, and forgets the type of the rows. */
export function defineQuestion<Of extends Row>(question: {
  readonly name: QuestionName;
  readonly columns: readonly Column<keyof Of & string>[];
  readonly empty: string;
  readonly ask: (session: Session) => Promise<Found<Of>>;
}): Question {
  return question;
}
