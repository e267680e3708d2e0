import type { Fault } from '../runtime/findings.ts';
import type { ParsedStatement, StatementNode } from '../sql/parse.ts';
import { asNode, lastName, nodes } from '../sql/tree.ts';
import { isIndexBuiltAlone, refusesTransaction, type TransactionMode } from './run-mode.ts';

/** The rules that a statement breaks in a file of that mode. */
export function brokenRules(
  { node, text }: ParsedStatement,
  transaction: TransactionMode,
): readonly Fault[] {
  if (node.type === 'TransactionStmt') {
    if (transaction === 'own' && isTransactionControl(node, savepointKinds)) return [];
    const command = text.split(/\W/, 1)[0]?.toUpperCase() ?? '';
    return [{ rule: 'transaction-control', command, transaction }];
  }
  const inMode = transaction === 'own' ? brokenInTransaction(node) : brokenWhenResumed(node);
  return [...brokenInAnyMode(node), ...inMode];
}

/** True for a statement such as BEGIN or COMMIT that is of one of the kinds, in PostgreSQL's names. */
export function isTransactionControl(
  { type, body }: StatementNode,
  kinds: readonly unknown[],
): boolean {
  return type === 'TransactionStmt' && kinds.includes(body.kind);
}

const savepointKinds = ['TRANS_STMT_SAVEPOINT', 'TRANS_STMT_RELEASE', 'TRANS_STMT_ROLLBACK_TO'];

function brokenInAnyMode({ type, body }: StatementNode): readonly Fault[] {
  switch (type) {
    case 'CopyStmt':
      if (body.filename !== undefined) return [];
      return [{ rule: body.is_from === true ? 'copy-from-stdin' : 'copy-to-stdout' }];
    case 'DiscardStmt':
      return body.target === 'DISCARD_ALL' ? [{ rule: 'discard-all' }] : [];
    case 'SelectStmt':
      return selects(body, 'pg_advisory_unlock_all') ? [{ rule: 'unlock-all' }] : [];
    case 'DeallocateStmt':
      return body.name === undefined ? [{ rule: 'deallocate-all' }] : [];
    case 'IndexStmt':
      return isIndexBuiltAlone(body) && body.idxname === undefined
        ? [{ rule: 'unnamed-index' }]
        : [];
    default:
      return [];
  }
}

function brokenInTransaction(node: StatementNode): readonly Fault[] {
  if (node.type === 'VariableSetStmt' && node.body.name === 'TRANSACTION') {
    return [{ rule: 'late-set-transaction' }];
  }
  const statement = refusesTransaction(node);
  return statement === undefined ? [] : [{ rule: 'needs-no-transaction', statement }];
}

/** A run that resumes a file has another session than the run before it. */
function brokenWhenResumed({ type, body }: StatementNode): readonly Fault[] {
  const faults: Fault[] = [];
  if (type === 'SelectStmt' && selects(body, 'set_config')) {
    faults.push({ rule: 'not-resumable', object: 'setting' });
  }
  const into = asNode(body.into ?? body.intoClause).rel;
  if (isTemporary(body.relation ?? into ?? body.view ?? body.sequence)) {
    faults.push({ rule: 'not-resumable', object: 'temporary' });
  }
  if (type === 'PrepareStmt' || type === 'DeclareCursorStmt' || type === 'ListenStmt') {
    faults.push({ rule: 'not-resumable', object: 'session' });
  }
  return faults;
}

/** True for a SELECT with a call of the function as one of its columns, as in `SELECT set_config(…)`. */
function selects(select: StatementNode['body'], functionName: string): boolean {
  return nodes(select.targetList).some((target) => {
    const call = asNode(asNode(asNode(target.ResTarget).val).FuncCall);
    return lastName(call.funcname) === functionName;
  });
}

/** True for a table, view or sequence that PostgreSQL drops at the end of its session. */
function isTemporary(relation: unknown): boolean {
  const { relpersistence, schemaname } = asNode(relation);
  return relpersistence === 't' || schemaname === 'pg_temp';
}
