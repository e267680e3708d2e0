import {
  type Effect,
  effectsOfStatement,
  isSame,
  mayRemove,
  type ObjectKind,
  type ObjectName,
  objectsAfter,
  type StandingObject,
  searchPathOf,
} from '../../migrations/effects.ts';
import { hasOption, optionValue, timescaleNamespaces } from '../../sql/options.ts';
import type { ParsedStatement } from '../../sql/parse.ts';
import { asNode, nodes, type SyntaxNode, stringOf } from '../../sql/tree.ts';
import type { Draft, LintFile } from './finding.ts';
import { tableArgument } from './follow.ts';
import type { Model } from './model.ts';
import { callsOf, commandsOf, keyOf, keyOfNames, nameOfKey, namesCalled } from './syntax.ts';

export interface RollbackContext {
  readonly up: LintFile;
  readonly down: LintFile;
  /** The schema after each of the two. */
  readonly after: { readonly up: Model; readonly down: Model };
  /** The line of a place in the migration. */
  readonly lineOf: (index: number) => number;
}

/** Something that a migration makes, in words, with the statement that makes it. */
interface Left {
  readonly what: string;
  readonly index: number;
}

/**
 * What the migration creates and the rollback does not drop, as far as the texts say. In doubt, such as after CASCADE or a
 * DO block that may drop it, there is no finding: `migrate verify` finds it on a database.
 */
export function rollbackDrafts(context: RollbackContext): readonly Draft[] {
  const { up, down, lineOf } = context;
  const [first] = down.statements.filter(({ node }) => node.type !== 'TransactionStmt');
  if (!first) return [];
  return [...objectsLeft(context), ...partsLeft(up, down)].map(({ what, index }) => ({
    rule: 'rollback-leaves',
    index: first.index,
    message: `the rollback leaves ${what}, which line ${lineOf(index)} of ${up.name} creates`,
    hint: 'drop it in the rollback, or say "-- Irreversible: <why>" there',
  }));
}

const words: Readonly<Record<ObjectKind, string>> = {
  table: 'table',
  sequence: 'sequence',
  index: 'index',
  type: 'type',
  function: 'function',
  schema: 'schema',
};

type By = { readonly statement: ParsedStatement; readonly file: LintFile };

/** Tables, indexes and other objects with names of their own. */
function objectsLeft({ up, down, after }: RollbackContext): readonly Left[] {
  const cascades = down.statements.some(({ text }) => /\bcascade\b/i.test(text));
  return objectsAfter(stepsOf([up, down]))
    .filter(({ by, isCertain }) => by.file === up && isCertain)
    .filter(({ by: { statement } }) => !mayHaveBeenThere(statement))
    .filter(({ object }) => !isReplaced(object, up))
    .filter((standing) => !cascades || survivesCascade(standing, up))
    .filter(({ object }) => !isOwned(object, up) && !isTakenOver(object, up))
    .filter((standing) => !goesWithColumn(standing, down))
    .filter((standing) => !goesWithParent(standing, after))
    .map(({ object, by }) => ({
      what: `the ${words[object.kind]} ${object.name}`,
      index: by.statement.index,
    }));
}

function stepsOf(files: readonly LintFile[]): readonly { by: By; effects: readonly Effect[] }[] {
  return files.flatMap((file) => {
    const path = searchPathOf(file.statements);
    return file.statements.map((statement) => ({
      by: { statement, file },
      effects: effectsOfStatement(statement.node, path),
    }));
  });
}

/** The migration has dropped what had the name before. */
function isReplaced(object: ObjectName, up: LintFile): boolean {
  return stepsOf([up]).some(({ effects }) =>
    effects.some((each) => each.effect === 'drops' && isSame(each.object, object)),
  );
}

/** OR REPLACE gives an object that was there a new text, which a rollback gives back. */
function mayHaveBeenThere({ node: { body } }: ParsedStatement): boolean {
  return body.replace === true || body.if_not_exists === true;
}

/** CASCADE drops views, functions and the like. It does not drop tables, and their indexes stay with them. */
function survivesCascade({ object, by }: StandingObject<By>, up: LintFile): boolean {
  const { type, body } = by.statement.node;
  if (object.kind !== 'index') return type === 'CreateStmt';
  const key = keyOf(body.relation);
  return !up.statements.some(
    (each) => each.node.type === 'CreateTableAsStmt' && creates(each, key),
  );
}

/** A sequence that a column owns goes with its table. */
function isOwned({ kind, name }: ObjectName, { statements }: LintFile): boolean {
  return (
    kind === 'sequence' &&
    statements.some(
      ({ node: { type, body }, text }) =>
        (type === 'AlterSeqStmt' || type === 'CreateSeqStmt') &&
        asNode(body.sequence).relname === name &&
        /\bowned\s+by\b/i.test(text),
    )
  );
}

/** An index that a constraint takes over is a part of the constraint, and gets its name. */
function isTakenOver({ kind, name }: ObjectName, { statements }: LintFile): boolean {
  const taken = statements.flatMap(({ node }) =>
    commandsOf(node).map(({ definition }) => definition.body.indexname),
  );
  return kind === 'index' && taken.includes(name);
}

function goesWithColumn({ object, by }: StandingObject<By>, down: LintFile): boolean {
  const { body } = by.statement.node;
  return object.kind === 'index' && dropsColumn(down, keyOf(body.relation));
}

/** A partition goes with its parent, and an index of a partition with it. */
function goesWithParent(
  { object, table }: StandingObject<By>,
  after: RollbackContext['after'],
): boolean {
  const { schema, name } = table ?? object;
  const key = keyOfNames(schema === undefined ? [name] : [schema, name]);
  return after.up.tables.get(key)?.parent !== undefined && !after.down.tables.has(key);
}

function dropsColumn({ statements }: LintFile, table: string): boolean {
  return statements.some(
    ({ node }) =>
      keyOf(node.body.relation) === table &&
      commandsOf(node).some(({ kind }) => kind === 'DropColumn'),
  );
}

/** A part of a table, or an object that has no name of its own in the catalog. */
interface Part {
  readonly kind: PartKind;
  /** Empty for an extension and a job. */
  readonly table: string;
  /** Empty where a table has one at most. */
  readonly name: string;
}

type PartKind =
  | 'column'
  | 'constraint'
  | 'trigger'
  | 'policy of row security'
  | 'extension'
  | 'retention policy'
  | 'compression policy'
  | 'refresh policy'
  | 'job'
  | 'hypertable'
  | 'compression';

interface StandingPart extends Part {
  readonly index: number;
}

function partsLeft(up: LintFile, down: LintFile): readonly Left[] {
  const made = up.statements.reduce<readonly StandingPart[]>(
    (standing, statement) => [
      ...standing.filter((part) => !removes(statement, part)),
      ...partsMade(statement).map((part) => ({ ...part, index: statement.index })),
    ],
    [],
  );
  const isOfNewTable = ({ table }: Part) => up.statements.some((each) => creates(each, table));
  const takesPlace = (part: StandingPart) =>
    up.statements.some((each) => each.index < part.index && removes(each, part));
  return made
    .filter((part) => !isOfNewTable(part) && !takesPlace(part))
    .filter((part) => !down.statements.some((statement) => removes(statement, part)))
    .filter((part) => part.kind !== 'constraint' || !dropsColumn(down, part.table))
    .map(({ kind, table, name, index }) => ({ what: describePart({ kind, table, name }), index }));
}

function describePart({ kind, table, name }: Part): string {
  const of = table === '' ? '' : ` of ${nameOfKey(table)}`;
  return kind === 'hypertable'
    ? `${nameOfKey(table)} a hypertable`
    : `the ${kind}${name === '' ? '' : ` ${name}`}${of}`;
}

function creates({ node: { type, body } }: ParsedStatement, table: string): boolean {
  const relation = type === 'CreateStmt' ? body.relation : (asNode(body.into).rel ?? body.view);
  return relation !== undefined && keyOf(relation) === table;
}

/** The calls that make something of a table, with what they make and the call that removes it. */
const policyCalls = {
  add_retention_policy: 'retention policy',
  add_compression_policy: 'compression policy',
  add_columnstore_policy: 'compression policy',
  add_continuous_aggregate_policy: 'refresh policy',
} as const satisfies Readonly<Record<string, PartKind>>;

const removingCalls: Readonly<Record<string, PartKind>> = {
  remove_retention_policy: 'retention policy',
  remove_compression_policy: 'compression policy',
  remove_columnstore_policy: 'compression policy',
  remove_continuous_aggregate_policy: 'refresh policy',
};

function partsMade({ node }: ParsedStatement): readonly Part[] {
  const { type, body } = node;
  switch (type) {
    case 'AlterTableStmt':
      return alteredParts(node.body, commandsOf(node));
    case 'CreateTrigStmt':
      return body.replace === true
        ? []
        : [{ kind: 'trigger', table: keyOf(body.relation), name: String(body.trigname) }];
    case 'CreatePolicyStmt':
      return [
        {
          kind: 'policy of row security',
          table: keyOf(body.table),
          name: String(body.policy_name),
        },
      ];
    case 'CreateExtensionStmt':
      return body.if_not_exists === true
        ? []
        : [{ kind: 'extension', table: '', name: String(body.extname) }];
    default:
      return callsOf(node).flatMap((call): readonly Part[] => {
        const table = tableArgument(call);
        if (call.name === 'add_job') return [{ kind: 'job', table: '', name: '' }];
        if (table === undefined) return [];
        if (call.name === 'create_hypertable') return [{ kind: 'hypertable', table, name: '' }];
        return isPolicyCall(call.name) ? [{ kind: policyCalls[call.name], table, name: '' }] : [];
      });
  }
}

function isPolicyCall(name: string): name is keyof typeof policyCalls {
  return Object.hasOwn(policyCalls, name);
}

function alteredParts(body: SyntaxNode, commands: ReturnType<typeof commandsOf>): readonly Part[] {
  const table = keyOf(body.relation);
  return commands.flatMap(({ kind, definition }): readonly Part[] => {
    const { conname, indexname, colname, items } = definition.body;
    const constraint = conname ?? indexname;
    if (kind === 'AddColumn') return [{ kind: 'column', table, name: String(colname) }];
    if (kind === 'AddConstraint' && constraint !== undefined) {
      return [{ kind: 'constraint', table, name: String(constraint) }];
    }
    const switchesOn =
      kind === 'SetRelOptions' &&
      switches.some((name) => hasOption(items, name, timescaleNamespaces));
    return switchesOn ? [{ kind: 'compression', table, name: '' }] : [];
  });
}

const switches = ['compress', 'enable_columnstore'];

/** True where the statement removes the part, or may do so. */
function removes({ node, text }: ParsedStatement, part: Part): boolean {
  const { type, body } = node;
  const { kind, table, name } = part;
  switch (type) {
    case 'DoStmt':
    case 'CallStmt':
      return (
        mayRemove(text, { kind: 'table', schema: undefined, name }) || /_policy|job/.test(text)
      );
    case 'DropStmt':
      return nodes(body.objects).some((object) => dropsPart(body, namesOf(object), part));
    case 'RenameStmt':
      return renamesPart(body, part);
    case 'AlterTableStmt':
      return keyOf(body.relation) === table && commandsOf(node).some((each) => undoes(each, part));
    default: {
      const calls = namesCalled(body);
      if (kind === 'job') return calls.has('delete_job');
      return [...calls].some((call) => removingCalls[call] === kind && text.includes(bare(table)));
    }
  }
}

function bare(table: string): string {
  return table.slice(table.indexOf('.') + 1);
}

function namesOf(object: SyntaxNode): readonly string[] {
  const { items } = asNode(object.List);
  return nodes(items ?? [object]).map(stringOf);
}

function dropsPart(
  { removeType, behavior }: SyntaxNode,
  names: readonly string[],
  { kind, table, name }: Part,
): boolean {
  switch (removeType) {
    case 'OBJECT_TABLE':
    case 'OBJECT_MATVIEW':
      // CASCADE also drops foreign keys of other tables.
      return keyOfNames(names) === table || (kind === 'constraint' && behavior === 'DROP_CASCADE');
    case 'OBJECT_SCHEMA':
      return table.startsWith(`${names[0]}.`);
    case 'OBJECT_TRIGGER':
      return kind === 'trigger' && names.at(-1) === name;
    case 'OBJECT_FUNCTION':
      return kind === 'trigger' && behavior === 'DROP_CASCADE';
    case 'OBJECT_POLICY':
      return kind === 'policy of row security' && names.at(-1) === name;
    case 'OBJECT_EXTENSION':
      return kind === 'extension' && names.at(-1) === name;
    case 'OBJECT_TYPE':
    case 'OBJECT_DOMAIN':
      return kind === 'column' && behavior === 'DROP_CASCADE';
    default:
      return false;
  }
}

function renamesPart({ relation, renameType, subname }: SyntaxNode, part: Part): boolean {
  if (keyOf(relation) !== part.table) return false;
  return renameType === 'OBJECT_TABLE' || subname === part.name;
}

function undoes(
  { kind, name, definition }: ReturnType<typeof commandsOf>[number],
  part: Part,
): boolean {
  switch (kind) {
    case 'DropColumn':
      return part.kind === 'column' && part.name === name;
    case 'DropConstraint':
      return part.kind === 'constraint' && part.name === name;
    case 'SetRelOptions': {
      const { items } = definition.body;
      const isOff = switches.some(
        (each) =>
          optionValue(items, each, timescaleNamespaces) !== undefined &&
          !hasOption(items, each, timescaleNamespaces),
      );
      return part.kind === 'compression' && isOff;
    }
    default:
      return false;
  }
}
