import type { Direction } from '../../runtime/progress.ts';
import type { ParsedStatement } from '../../sql/parse.ts';
import type { Model } from './model.ts';
import type { RuleName } from './rules.ts';

/** A finding before its severity and its place in the file are known. */
export interface Draft {
  readonly rule: RuleName;
  /** In UTF-16 units of the file. */
  readonly index: number;
  readonly message: string;
  readonly hint: string;
  /** Keys of the tables whose size decides how bad it is. */
  readonly tables?: readonly string[];
}

/** A draft whose place is one in its statement, in bytes. */
export interface LocatedFact extends Omit<Draft, 'index'> {
  readonly location: number;
}

/** A migration or a rollback, with its statements. */
export interface LintFile {
  /** Its name without the folder. */
  readonly name: string;
  readonly text: string;
  readonly direction: Direction;
  readonly statements: readonly ParsedStatement[];
}

/** What a rule sees of a statement. */
export interface StatementContext {
  readonly file: LintFile;
  readonly statement: ParsedStatement;
  /** The schema before and after the statement, by what the files say. */
  readonly before: Model;
  readonly after: Model;
}

/** What a rule sees of a whole file. */
export interface FileContext {
  readonly file: LintFile;
  /** The schema after the last statement. */
  readonly after: Model;
}
