import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { startProgram } from '../../runtime/child-process.ts';
import { CryptosenseDbError, messageOf } from '../../runtime/errors.ts';
import { asNode, nodes, type SyntaxNode } from '../../sql/tree.ts';
import { squawkRulesOff } from './rules.ts';

/** What squawk says of a text. */
export interface SquawkFinding {
  /** By its own name. `syntax-error`: squawk cannot read a part of the text. */
  readonly rule: string;
  /** In UTF-16 units of the text. */
  readonly index: number;
  readonly message: string;
  readonly help: string | undefined;
}

/** Why squawk does not run here. */
export interface Unavailable {
  readonly reason: string;
}

/**
 * Runs squawk over texts, and returns its findings in the order of the texts. Only the flags decide which rules run: a
 * `.squawk.toml` of the surroundings is not read. Throws `program-failed`.
 */
export async function runSquawk(
  texts: readonly string[],
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<readonly (readonly SquawkFinding[])[] | Unavailable> {
  const program = findProgram();
  if (typeof program !== 'string') return program;
  if (texts.length === 0) return [];
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-lint-'));
  try {
    texts.forEach((text, at) => {
      // Comments of squawk's own would hide findings without a reason. The places stay the same.
      writeFileSync(join(folder, `${at}.sql`), text.replaceAll('squawk-ignore', 'squawk_ignore'));
    });
    const config = join(folder, 'squawk.toml');
    writeFileSync(config, '');
    const found = await readFindings(
      [
        program,
        ...['--config', config, '--reporter', 'json', '--pg-version', '15.0'],
        ...['--no-assume-in-transaction', '--exclude', squawkRulesOff.join(',')],
        join(folder, '*.sql'),
      ],
      signal,
    );
    if ('reason' in found) return found;
    return texts.map((text, at) => {
      const own = found.filter(({ file }) => basename(String(file)) === `${at}.sql`);
      const starts = lineStarts(text);
      return own.map(({ rule_name, line, column, message, help }) => ({
        rule: String(rule_name),
        index: indexOf(text, { start: starts[Number(line)] ?? 0, bytes: Number(column) }),
        message: String(message),
        help: typeof help === 'string' ? help : undefined,
      }));
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** squawk-cli is a program inside a package for the system; its own script says which. */
function findProgram(): string | Unavailable {
  const require = createRequire(import.meta.url);
  try {
    const { getBinaryPath }: { getBinaryPath: () => string } = require('squawk-cli/js/index.js');
    return getBinaryPath();
  } catch (error) {
    const isMissing = asNode(error).code === 'MODULE_NOT_FOUND';
    return {
      reason: isMissing ? 'squawk-cli is not installed' : (messageOf(error).split('\n')[0] ?? ''),
    };
  }
}

/** It ends with 0 or 1, and prints a JSON list, however many findings there are. */
async function readFindings(
  command: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly SyntaxNode[] | Unavailable> {
  const program = startProgram(command, { signal });
  // A program that does not start has closed its standard input.
  program.stdin.on('error', () => {}).end();
  const ended = program.ended.catch((error: unknown) => ({ reason: messageOf(error) }));
  const [output, end] = await Promise.all([readAll(program.stdout), ended]);
  signal?.throwIfAborted();
  if ('reason' in end) return end;
  const found = parseList(output);
  if (found) return found;
  throw new CryptosenseDbError(
    'program-failed',
    {
      message: 'squawk ended without an answer',
      evidence: end.lastLines,
      hint: 'install the version that this package is tested with: npm install --save-dev squawk-cli@2.66.0',
    },
    { details: { program: 'squawk', exitCode: end.code } },
  );
}

function parseList(output: string) {
  try {
    const parsed: unknown = JSON.parse(output);
    return Array.isArray(parsed) ? nodes(parsed) : undefined;
  } catch {
    return undefined;
  }
}

function lineStarts(text: string): readonly number[] {
  return [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
}

/** squawk counts columns in bytes, from 0. */
function indexOf(
  text: string,
  { start, bytes }: { readonly start: number; readonly bytes: number },
): number {
  const end = text.indexOf('\n', start);
  const line = Buffer.from(text.slice(start, end < 0 ? undefined : end));
  return start + line.subarray(0, bytes).toString().length;
}
