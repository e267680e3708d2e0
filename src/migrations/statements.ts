import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { loadGrammar, type Parse, type ParsedStatement } from '../sql/parse.ts';
import { asNode, nodes } from '../sql/tree.ts';
import { skipTrivia } from '../sql/trivia.ts';
import {
  createsTimescale,
  isIndexBuiltAlone,
  type RunMode,
  refusesTransaction,
  runMode,
} from './run-mode.ts';
import type { ScriptFile, SqlFile } from './source.ts';
import {
  copyFact,
  copyHint,
  type Fault,
  faultAt,
  isTemporary,
  parse,
  selectedFunctions,
} from './syntax.ts';

/** A file, parsed and found fit to run. */
export interface Script {
  readonly file: SqlFile;
  /** `none`: the file says `-- Transaction: none`. */
  readonly transaction: 'own' | 'none';
  /** The file's own BEGIN where it has options, an isolation level say; else `begin`. */
  readonly begin: string;
  readonly statements: readonly Statement[];
  /** Why there is no way back, where a rollback says so. */
  readonly irreversible: string | undefined;
  readonly needsTimescale: boolean;
}

export interface Statement {
  readonly text: string;
  /** Where the text starts in the file, in UTF-16 units. */
  readonly index: number;
  readonly run: RunMode;
}

/**
 * Parses files with PostgreSQL's own grammar, loads it on first use.
 * Throws `faulty-statements` with every fault of every file; a syntax error hides what follows it
 * in its file.
 */
export async function parseScripts(files: readonly ScriptFile[]): Promise<readonly Script[]> {
  const problems: Problem[] = [];
  const grammar = await loadGrammar();
  const scripts = files.map(({ file, kind }) =>
    parseScript(file, { grammar, kind, report: (problem) => problems.push(problem) }),
  );
  if (problems.length > 0) throw new CryptosenseDbError('faulty-statements', problems);
  return scripts;
}

interface ParseOptions {
  readonly grammar: Parse;
  readonly kind: ScriptFile['kind'];
  readonly report: (problem: Problem) => void;
}

function parseScript(file: SqlFile, { grammar, kind, report }: ParseOptions): Script {
  const fault = (index: number, fact: string, hint?: string) =>
    report(faultAt(file, index, { fact, hint }));
  const directives = readDirectives(file.text);
  const transaction = directives.transaction === undefined ? 'own' : 'none';
  if (directives.transaction && directives.transaction.value.toLowerCase() !== 'none') {
    fault(
      directives.transaction.index,
      `"-- Transaction: ${directives.transaction.value}" is not understood`,
      'the only value is "none"',
    );
  }
  if (directives.irreversible?.value === '') {
    fault(
      directives.irreversible.index,
      '"-- Irreversible:" gives no reason',
      'say why there is no way back',
    );
  }
  const irreversible = kind === 'rollback' ? directives.irreversible?.value : undefined;

  const parsed = parse(grammar, file, fault);
  const own =
    transaction === 'own' && parsed
      ? takeOuterPair(parsed, fault)
      : { begin: plainBegin, rest: parsed ?? [] };
  for (const statement of own.rest) {
    checkAnywhere(statement, transaction, fault);
    if (transaction === 'own') checkInTransaction(statement, fault);
    else checkResumable(statement, fault);
  }
  if (parsed && own.rest.length === 0 && irreversible === undefined) {
    fault(
      0,
      `has no statement${kind === 'rollback' ? ', and does not say "-- Irreversible: <why>"' : ''}`,
    );
  }
  return {
    file,
    transaction,
    begin: own.begin,
    statements: own.rest.map(({ text, index, node }) => ({ text, index, run: runMode(node) })),
    irreversible,
    needsTimescale: own.rest.some(({ node }) => createsTimescale(node)),
  };
}

interface Directive {
  readonly value: string;
  readonly index: number;
}

interface Directives {
  readonly transaction: Directive | undefined;
  readonly irreversible: Directive | undefined;
}

/** Directives stand in the `--` comments at the top, before the first statement. */
function readDirectives(text: string): Directives {
  const found = new Map<string, Directive>();
  skipTrivia(text, 0, (comment, index) => {
    const [, name, value] = /^--\s*(transaction|irreversible)\s*:(.*)$/i.exec(comment) ?? [];
    if (name === undefined || value === undefined) return;
    const key = name.toLowerCase();
    if (!found.has(key)) found.set(key, { value: value.trim(), index });
  });
  return { transaction: found.get('transaction'), irreversible: found.get('irreversible') };
}

const plainBegin = 'begin';

/** Takes off BEGIN at the start and COMMIT at the end; one of them alone is a fault. */
function takeOuterPair(
  statements: readonly ParsedStatement[],
  fault: Fault,
): { readonly begin: string; readonly rest: readonly ParsedStatement[] } {
  const first = statements[0];
  const last = statements.at(-1);
  if (!first || !last || !isBegin(first)) return { begin: plainBegin, rest: statements };
  const begin = nodes(first.node.body.options).length === 0 ? plainBegin : first.text;
  if (first === last || !isCommit(last)) {
    fault(
      first.index,
      'opens a transaction that the last statement does not commit',
      'end the file with COMMIT;',
    );
    return { begin, rest: statements.slice(1) };
  }
  if (last.node.body.chain === true) {
    fault(last.index, 'COMMIT AND CHAIN leaves a transaction open', 'end the file with COMMIT;');
  }
  return { begin, rest: statements.slice(1, -1) };
}

function isBegin({ node }: ParsedStatement): boolean {
  const kind = node.body.kind;
  return (
    node.type === 'TransactionStmt' && (kind === 'TRANS_STMT_BEGIN' || kind === 'TRANS_STMT_START')
  );
}

function isCommit({ node }: ParsedStatement): boolean {
  return node.type === 'TransactionStmt' && node.body.kind === 'TRANS_STMT_COMMIT';
}

const savepointKinds: readonly unknown[] = [
  'TRANS_STMT_SAVEPOINT',
  'TRANS_STMT_RELEASE',
  'TRANS_STMT_ROLLBACK_TO',
];

/** What no file may hold, whichever way it is run. */
function checkAnywhere(
  { node: { type, body }, text, index }: ParsedStatement,
  transaction: Script['transaction'],
  fault: Fault,
): void {
  const command = text.split(/\W/, 1)[0]?.toUpperCase();
  if (type === 'TransactionStmt') {
    if (transaction === 'none') {
      fault(
        index,
        `${command} in a file that says "-- Transaction: none"`,
        'take one of the two out',
      );
      return;
    }
    if (!savepointKinds.includes(body.kind)) {
      fault(
        index,
        `${command} ends or opens a transaction in the middle of the file`,
        'the whole file is one transaction; split it in two migrations',
      );
    }
    return;
  }
  if (type === 'CopyStmt' && body.filename === undefined) {
    if (body.is_from === true) fault(index, copyFact, copyHint);
    else fault(index, 'COPY TO STDOUT needs a client that reads it', 'leave it to psql');
  }
  if (type === 'DiscardStmt' && body.target === 'DISCARD_ALL') {
    fault(
      index,
      'DISCARD ALL gives up the lock that the run holds',
      'use RESET ALL, DISCARD TEMP, DISCARD PLANS or DISCARD SEQUENCES',
    );
  }
  if (selectedFunctions(type, body).includes('pg_advisory_unlock_all')) {
    fault(
      index,
      'pg_advisory_unlock_all() gives up the lock that the run holds',
      'name the locks: pg_advisory_unlock(key)',
    );
  }
  if (type === 'DeallocateStmt' && body.name === undefined) {
    fault(
      index,
      "DEALLOCATE ALL takes the tool's own statements away",
      'name those that the file prepared',
    );
  }
  if (type === 'IndexStmt' && isIndexBuiltAlone(body) && body.idxname === undefined) {
    fault(
      index,
      'builds an index without a name outside a transaction',
      'name it, so that an interrupted build can be found and taken up again',
    );
  }
}

/** A file that is taken up again runs in another session, which has nothing of the first. */
function checkResumable({ node: { type, body }, index }: ParsedStatement, fault: Fault): void {
  if (selectedFunctions(type, body).includes('set_config')) {
    fault(index, 'set_config() is not repeated when the file is taken up again', 'use SET');
  }
  const into = asNode(body.into ?? body.intoClause).rel;
  if (isTemporary(body.relation ?? into ?? body.view ?? body.sequence)) {
    fault(
      index,
      'what is temporary is gone when the file is taken up again',
      'use a table that stays, and drop it in the last statement',
    );
  }
  if (type === 'PrepareStmt' || type === 'DeclareCursorStmt' || type === 'ListenStmt') {
    fault(
      index,
      'what belongs to a session is gone when the file is taken up again',
      'put it and what uses it into a DO block, or into a file with a transaction',
    );
  }
}

function checkInTransaction({ node, index }: ParsedStatement, fault: Fault): void {
  if (node.type === 'VariableSetStmt' && node.body.name === 'TRANSACTION') {
    fault(
      index,
      'SET TRANSACTION comes too late: the transaction has begun',
      'say it in the first line, as in: BEGIN ISOLATION LEVEL SERIALIZABLE;',
    );
    return;
  }
  const reason = refusesTransaction(node);
  if (reason === undefined) return;
  fault(
    index,
    `${reason} cannot run inside a transaction`,
    'put "-- Transaction: none" at the top of the file, and leave BEGIN and COMMIT out',
  );
}
