import { join } from 'node:path';
import { excerpt } from './excerpt.ts';

/** Where a finding stands. */
export interface FindingPlace {
  /** The folder that holds the file; absent for a finding inside a file, unless lint refuses the file. */
  readonly folder?: string;
  /** The name without its folder. */
  readonly file: string;
  /** Line and column count from 1, the column in characters; absent for a finding of the whole file. */
  readonly line?: number;
  readonly column?: number;
  /** The whole line, without its end. */
  readonly lineText?: string;
}

/** A rule that a file or folder breaks, and what the rule knows of it. */
export type Fault =
  // Folders of migrations, rollbacks and seeders
  | {
      readonly rule: 'unreadable-folder';
      readonly of: 'migrations' | 'seeders';
      readonly reason: string;
    }
  | { readonly rule: 'unreadable-file'; readonly reason: string }
  | { readonly rule: 'bad-name' | 'missing-rollback' | 'other-name'; readonly expected: string }
  | { readonly rule: 'impossible-date'; readonly stamp: string }
  | { readonly rule: 'same-stamp'; readonly other: string }
  | { readonly rule: 'misplaced-rollback' | 'missing-migration' }
  | { readonly rule: 'not-utf8' | 'nul-character' | 'empty' }
  | { readonly rule: 'bad-seeder-name' | 'no-seeders' | 'not-a-seeder' | 'changed-seeders' }
  | { readonly rule: 'same-seeder'; readonly seeder: string }
  | { readonly rule: 'unloadable-seeder'; readonly reason: string; readonly isTypeScript: boolean }
  // Statements and directives. Transaction `none`: the file says `-- Transaction: none`.
  | {
      readonly rule: 'syntax-error';
      readonly reason: string;
      /** Where the server is newer than the grammar: the major versions of both. */
      readonly versions?: { readonly grammar: number; readonly server: number } | undefined;
    }
  /** The parser's memory does not hold the statement, which has that many bytes. */
  | { readonly rule: 'too-large'; readonly bytes: number }
  | { readonly rule: 'psql-command'; readonly command: string }
  | { readonly rule: 'copy-from-stdin' | 'copy-to-stdout' | 'missing-reason' | 'unnamed-index' }
  /** standard_conforming_strings is off, and a quote follows a backslash. */
  | { readonly rule: 'backslash-quote' }
  | { readonly rule: 'unknown-directive'; readonly directive: string }
  /** `mark` begins the other half of a migration; `tool` is undefined for marks that several tools write. */
  | {
      readonly rule: 'other-tool';
      readonly tool: string | undefined;
      readonly mark: string;
      readonly direction: 'up' | 'down';
    }
  | { readonly rule: 'no-statement'; readonly direction: 'up' | 'down' }
  | {
      readonly rule:
        | 'unfinished-transaction'
        | 'chained-commit'
        | 'late-set-transaction'
        | 'late-update';
    }
  | {
      readonly rule: 'transaction-control';
      readonly command: string;
      readonly transaction: 'own' | 'none';
    }
  | { readonly rule: 'needs-no-transaction'; readonly statement: string }
  | { readonly rule: 'discard-all' | 'unlock-all' | 'deallocate-all' }
  | { readonly rule: 'not-resumable'; readonly object: 'setting' | 'temporary' | 'session' }
  // What a run asks of a file
  | { readonly rule: 'irreversible'; readonly reason: string }
  | { readonly rule: 'own-transaction'; readonly begin: string | undefined }
  | { readonly rule: 'own-session' | 'not-in-script' }
  | { readonly rule: 'left-transaction'; readonly transaction: 'own' | 'none' };

export type FindingRule = Fault['rule'];

/** One thing that is wrong with a file or folder, as data; `ui/findings.ts` has the text. */
export type Finding = FindingPlace & Fault;

/** The file with its folder, where the finding knows it. */
export function pathOf({ folder, file }: FindingPlace): string {
  return folder === undefined ? file : join(folder, file);
}

/** `rollbacks/20251007_120000_a.sql`, `20251007_120000_a.sql:3:14` */
export function placeOf(place: FindingPlace): string {
  const { line, column } = place;
  const path = pathOf(place);
  return line === undefined ? path : `${path}:${line}:${column}`;
}

/** Lines for logs: place, rule and arguments, `a.sql:3:14 syntax-error (reason: …)`, then the line with a caret. */
export function summariseFinding(finding: Finding): readonly string[] {
  const { folder: _, file, line, column, lineText, rule, ...known } = finding;
  const facts = Object.entries(known)
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : value}`,
    );
  const detail = facts.length === 0 ? '' : ` (${facts.join(', ')})`;
  const isLocated = line !== undefined && column !== undefined && lineText !== undefined;
  return [
    `${placeOf(finding)} ${rule}${detail}`,
    ...(isLocated ? excerpt({ line, column, lineText }) : []),
  ];
}
