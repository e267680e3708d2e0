import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CryptosenseDbError, hasCode, messageOf } from '../../runtime/errors.ts';
import { makeFolder, readText, replaceFile } from '../../runtime/files.ts';
import { compareText } from '../../runtime/order.ts';
import { type Page, pageMark } from './pages.ts';

/** What makes the folder hold the pages. */
export interface PageChange {
  readonly page: string;
  /** A page that is removed was written for a table that is gone. */
  readonly change: 'added' | 'changed' | 'removed';
}

/**
 * Compares a folder with pages. A file without the mark in its first line is left alone. Throws `file-problem` where such a
 * file has the name of a page.
 */
export function comparePages(folder: string, pages: readonly Page[]): readonly PageChange[] {
  const names = new Set(pages.map(({ name }) => name));
  const found = pages.flatMap(({ name, text }): PageChange[] => {
    const before = readText(join(folder, name));
    if (before === text) return [];
    if (before !== undefined) requireOwn(join(folder, name), before);
    return [{ page: name, change: before === undefined ? 'added' : 'changed' }];
  });
  const gone = markdownFiles(folder)
    .filter((name) => !names.has(name) && isOwn(readText(join(folder, name)) ?? ''))
    .map((page): PageChange => ({ page, change: 'removed' }));
  return [...found, ...gone].sort((a, b) => compareText(a.page, b.page));
}

/** Writes and removes what the changes say. Creates the folder. Throws `file-problem`. */
export function writePages(
  folder: string,
  { pages, changes }: { readonly pages: readonly Page[]; readonly changes: readonly PageChange[] },
): void {
  try {
    makeFolder(folder);
    for (const { page, change } of changes) {
      const text = pages.find(({ name }) => name === page)?.text;
      if (change === 'removed') rmSync(join(folder, page));
      else if (text !== undefined) replaceFile(join(folder, page), text);
    }
  } catch (error) {
    if (error instanceof CryptosenseDbError) throw error;
    throw folderProblem(folder, 'written', error);
  }
}

function markdownFiles(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
      .map(({ name }) => name);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw folderProblem(folder, 'read', error);
  }
}

function isOwn(text: string): boolean {
  return text.split(/\r?\n/, 1)[0] === pageMark;
}

function requireOwn(path: string, text: string): void {
  if (isOwn(text)) return;
  throw new CryptosenseDbError(
    'file-problem',
    {
      message: `${path} was not written by schema doc`,
      evidence: [`its first line is not: ${pageMark}`],
      hint: 'name another folder with --out, or move the file away',
    },
    { details: { path } },
  );
}

function folderProblem(path: string, what: 'read' | 'written', cause: unknown): CryptosenseDbError {
  return new CryptosenseDbError(
    'file-problem',
    { message: `${path} cannot be ${what}`, evidence: [messageOf(cause)] },
    { details: { path }, cause },
  );
}
