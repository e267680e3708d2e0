import { compareText } from '../../runtime/order.ts';
import { renderMermaid } from '../diagram/mermaid.ts';
import {
  type Diagram,
  type DiagramColumn,
  type DiagramTable,
  type Reference,
  selectTables,
  titleOf,
} from '../diagram/model.ts';
import type { Fact, Facts, Part, PartKind, SchemaObject, Snapshot } from '../snapshot/snapshot.ts';
import { codeBlock, inlineCode, linkTo, markdownTable, plainText } from './markdown.ts';

/** A file of the dictionary. */
export interface Page {
  /** `users.md` */
  readonly name: string;
  readonly text: string;
}

/** The first line of each page: what has it is the tool's to replace and to remove. */
export const pageMark =
  '<!-- cryptosense-db schema doc writes this file. Changes by hand are lost. -->';

export interface DictionarySource {
  readonly snapshot: Snapshot;
  readonly diagram: Diagram;
  /** The names of the migrations that touched a relation. */
  readonly touchedBy: (relation: string) => readonly string[];
}

interface Sources extends DictionarySource {
  readonly pageOf: (relation: string) => string;
}

/** The index, README.md, and a page for each table and view. The same schema gives the same bytes. */
export function dictionaryPages(given: DictionarySource): readonly Page[] {
  const names = pageNames(given.diagram.tables);
  const sources = { ...given, pageOf: (relation: string) => names.get(relation) ?? '' };
  const objects = new Map(given.snapshot.objects.map((object) => [object.name, object]));
  const pages = given.diagram.tables.flatMap((table): Page[] => {
    const object = objects.get(table.name);
    if (!object) return [];
    return [{ name: sources.pageOf(table.name), text: tablePage({ table, object }, sources) }];
  });
  return [{ name: 'README.md', text: indexPage(sources) }, ...pages];
}

/** Names of files that differ on every file system, also where case does not count. */
function pageNames(tables: readonly DiagramTable[]): ReadonlyMap<string, string> {
  const used = new Set(['readme']);
  return new Map(
    tables.map(({ name, title }) => {
      const base = title.replaceAll(/[^\p{L}\p{N}_.-]/gu, '_').replace(/^\.+/, '_') || '_';
      let own = base;
      for (let count = 2; used.has(own.toLowerCase()); count += 1) own = `${base}_${count}`;
      used.add(own.toLowerCase());
      return [name, `${own}.md`];
    }),
  );
}

function pageText(parts: readonly string[]): string {
  return `${[pageMark, ...parts.filter((part) => part !== '')].join('\n\n')}\n`;
}

/** A heading and what follows it; nothing where nothing follows. */
function section(heading: string, body: string): readonly string[] {
  return body === '' ? [] : [`## ${heading}`, body];
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? '' : markdownTable(head, rows);
}

function indexPage(sources: Sources): string {
  const { snapshot, diagram, pageOf } = sources;
  const objectsOf = (kind: SchemaObject['kind']) =>
    snapshot.objects.filter((object) => object.kind === kind);
  const relations = (kinds: readonly DiagramTable['kind'][]) =>
    tableOf(
      ['name', 'kind', 'columns', 'description'],
      diagram.tables
        .filter(({ kind }) => kinds.includes(kind))
        .map(({ name, title, kind, columns, comment }) => [
          linkTo(title, pageOf(name)),
          kind === 'table' || kind === 'view' ? '' : kind,
          String(columns.length),
          plainText(comment ?? ''),
        ]),
    );
  const shown = new Set(diagram.tables.map(({ name }) => name));
  const jobs = objectsOf('job').filter(({ name }) => !shown.has(relationOfJob(name) ?? ''));
  return pageText([
    '# Data dictionary',
    'What the database holds, one page for each table and view.',
    ...section('Tables', relations(['table', 'hypertable', 'partitioned table', 'foreign table'])),
    ...section(
      'Views and aggregates',
      relations(['view', 'materialized view', 'continuous aggregate']),
    ),
    ...section(
      'Types',
      tableOf(
        ['name', 'kind', 'definition', 'description'],
        objectsOf('type').map(({ name, facts }) => {
          const { kind, comment } = facts;
          return [
            inlineCode(titleOf(name)),
            textOf(kind),
            factLines(facts, ['kind', 'comment']).join('<br>'),
            plainText(textOf(comment)),
          ];
        }),
      ),
    ),
    ...section(
      'Functions',
      tableOf(
        ['name', 'returns', 'description'],
        objectsOf('function').map(({ name, facts: { kind, returns, comment } }) => [
          inlineCode(name.replace(/^public\./, '')),
          kind === undefined ? inlineCode(textOf(returns)) : plainText(textOf(kind)),
          plainText(textOf(comment)),
        ]),
      ),
    ),
    ...section('Sequences', namesAndComments(objectsOf('sequence'))),
    ...section('Jobs', jobsTable(jobs)),
    ...section('Extensions', namesAndComments(objectsOf('extension'))),
  ]);
}

function namesAndComments(objects: readonly SchemaObject[]): string {
  return tableOf(
    ['name', 'description'],
    objects.map(({ name, facts: { comment } }) => [
      inlineCode(titleOf(name)),
      plainText(textOf(comment)),
    ]),
  );
}

function tablePage(
  { table, object }: { readonly table: DiagramTable; readonly object: SchemaObject },
  sources: Sources,
): string {
  const { snapshot, diagram, touchedBy } = sources;
  const { query, comment: _, kind: __, ...facts } = object.facts;
  const jobs = snapshot.objects.filter(
    ({ kind, name }) => kind === 'job' && relationOfJob(name) === object.name,
  );
  const partitions = snapshot.objects.filter(
    ({ facts: own }) => own['partition of'] === object.name,
  );
  const outgoing = diagram.references.filter((each) => each.table === object.name);
  const incoming = diagram.references.filter((each) => each.references === object.name);
  return pageText([
    `# ${plainText(table.title)}`,
    plainText(table.comment ?? ''),
    `${kindName(table)} · [all tables](README.md)`,
    ...section('Columns', columnsTable({ table, object })),
    ...section('Constraints', definitions(object, 'constraint')),
    ...section('References', referencesTable(outgoing, { side: 'references', sources })),
    ...section('Referenced by', referencesTable(incoming, { side: 'table', sources })),
    ...section('Indexes', definitions(object, 'index')),
    ...section('Triggers', definitions(object, 'trigger')),
    ...section('Rules', definitions(object, 'rule')),
    ...section('Row security', policies(object)),
    ...section('Extended statistics', definitions(object, 'statistics')),
    ...section('Query', query === undefined ? '' : codeBlock('sql', textOf(query))),
    ...section(
      'Reads',
      links(
        diagram.readings.filter(({ view }) => view === object.name).map(({ reads }) => reads),
        sources,
      ),
    ),
    ...section(
      'Read by',
      links(
        diagram.readings.filter(({ reads }) => reads === object.name).map(({ view }) => view),
        sources,
      ),
    ),
    ...section(
      'Partitions',
      tableOf(
        ['name', 'bound'],
        partitions.map(({ name, facts: { bound } }) => [
          inlineCode(titleOf(name)),
          inlineCode(textOf(bound)),
        ]),
      ),
    ),
    ...section('Settings', list(factLines(facts, []))),
    ...section('Jobs', jobsTable(jobs)),
    ...section('Migrations', list(touchedBy(object.name).map(inlineCode))),
    ...section('Diagram', neighbourDiagram(object.name, diagram)),
  ]);
}

function kindName({ kind }: DiagramTable): string {
  return `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
}

function columnsTable({
  table,
  object,
}: {
  readonly table: DiagramTable;
  readonly object: SchemaObject;
}): string {
  const parts = object.parts.filter(({ kind }) => kind === 'column');
  return tableOf(
    ['name', 'type', 'NULL', 'default', 'key', 'description'],
    table.columns.map((column, index) => {
      const facts = parts[index]?.facts ?? {};
      return [
        inlineCode(column.name),
        inlineCode(textOf(facts.type)),
        column.isNullable ? 'yes' : '',
        defaultOf(facts),
        keysOf(column),
        [
          plainText(column.comment ?? ''),
          ...factLines(facts, ['type', 'not null', 'default', 'generated', 'identity', 'comment']),
        ]
          .filter((each) => each !== '')
          .join('<br>'),
      ];
    }),
  );
}

function defaultOf({ default: own, generated, identity }: Facts): string {
  if (generated !== undefined) return `generated: ${inlineCode(textOf(generated))}`;
  if (identity !== undefined) return `identity, ${textOf(identity)}`;
  return inlineCode(textOf(own));
}

function keysOf({ isPrimary, isForeign, isUnique }: DiagramColumn): string {
  return [
    ...(isPrimary ? ['PK'] : []),
    ...(isForeign ? ['FK'] : []),
    ...(isUnique && !isPrimary ? ['UK'] : []),
  ].join(', ');
}

/** The parts of a kind, each with its definition and what else there is to say of it. */
function definitions({ parts }: SchemaObject, wanted: PartKind): string {
  return partsTable(parts.filter(({ kind }) => kind === wanted));
}

function partsTable(parts: readonly Part[]): string {
  return tableOf(
    ['name', 'definition', 'description'],
    parts.map(({ name, facts }) => [
      inlineCode(titleOf(name)),
      inlineCode(textOf(facts.definition)),
      [plainText(textOf(facts.comment)), ...factLines(facts, ['definition', 'comment'])]
        .filter((each) => each !== '')
        .join('<br>'),
    ]),
  );
}

function policies({ parts }: SchemaObject): string {
  return tableOf(
    ['policy', 'rule', 'description'],
    parts
      .filter(({ kind }) => kind === 'policy')
      .map(({ name, facts }) => [
        inlineCode(titleOf(name)),
        factLines(facts, ['comment']).join('<br>'),
        plainText(textOf(facts.comment)),
      ]),
  );
}

function referencesTable(
  references: readonly Reference[],
  {
    side,
    sources: { pageOf },
  }: { readonly side: 'table' | 'references'; readonly sources: Sources },
): string {
  return tableOf(
    side === 'references'
      ? ['columns', 'table', 'its columns', 'rows', 'constraint']
      : ['table', 'its columns', 'columns', 'rows', 'constraint'],
    references.map((reference) => {
      const link = linkTo(titleOf(reference[side]), pageOf(reference[side]));
      const own = reference.columns.map(inlineCode).join(', ');
      const other = reference.referencedColumns.map(inlineCode).join(', ');
      return side === 'references'
        ? [own, link, other, reference.referenced, inlineCode(reference.name)]
        : [link, own, other, reference.referencing, inlineCode(reference.name)];
    }),
  );
}

function links(relations: readonly string[], { pageOf }: Sources): string {
  return list(relations.map((relation) => linkTo(titleOf(relation), pageOf(relation))));
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join('\n');
}

function jobsTable(jobs: readonly SchemaObject[]): string {
  return tableOf(
    ['job', 'every', 'settings'],
    jobs.map(({ name, facts }) => [
      inlineCode(name.replace(/ on .*$/, '')),
      textOf(facts.every),
      factLines(facts, ['every']).join('<br>'),
    ]),
  );
}

/** The relation of `policy_retention on public.prices (2)`; undefined for a job of none. */
function relationOfJob(name: string): string | undefined {
  const [, relation] = / on (.*?)(?: \(\d+\))?$/.exec(name) ?? [];
  return relation;
}

function isKey({ isPrimary, isForeign, isUnique }: DiagramColumn): boolean {
  return isPrimary || isForeign || isUnique;
}

/** The keys of the table, and the tables that a line joins with it, in Mermaid; nothing for a table on its own. */
function neighbourDiagram(name: string, diagram: Diagram): string {
  const beside = [
    ...diagram.references.flatMap(({ table, references }) => [[table, references]]),
    ...diagram.readings.flatMap(({ view, reads }) => [[view, reads]]),
  ].filter((ends) => ends.includes(name));
  const names = [...new Set([name, ...beside.flat()])].sort(compareText);
  if (names.length === 1) return '';
  const { diagram: near } = selectTables(diagram, names);
  const joined = {
    tables: near.tables.map((table) => ({
      ...table,
      columns: table.name === name ? table.columns.filter(isKey) : [],
    })),
    references: near.references.filter((each) => [each.table, each.references].includes(name)),
    readings: near.readings.filter((each) => [each.view, each.reads].includes(name)),
  };
  return codeBlock('mermaid', renderMermaid(joined));
}

/** Facts as `name: value`, without those that are said elsewhere. */
function factLines(facts: Facts, said: readonly string[]): readonly string[] {
  return Object.entries(facts)
    .filter(([name]) => !said.includes(name))
    .map(([name, value]) => (value === true ? name : `${name}: ${inlineCode(textOf(value))}`));
}

function textOf(fact: Fact | undefined): string {
  if (fact === undefined) return '';
  return typeof fact === 'object' ? fact.join(', ') : String(fact);
}
