import type { TargetFlags } from '../config.ts';
import { replaceFile, requireWritable } from '../runtime/files.ts';
import type {
  CheckOptions,
  DiffOptions,
  DocSettings,
  ErdSettings,
  ScriptOptions,
  SnapshotOptions,
} from '../schema/schema.ts';
import {
  renderCheck,
  renderDiff,
  renderDoc,
  renderErdFile,
  renderSnapshotWritten,
} from '../ui/schema.ts';
import { argument, defineCommand, flag, type Group, type Tools } from './command.ts';
import { folderFlags, onDatabase, scratchFlags, targetFlags } from './flags.ts';
import { tableNames } from './values.ts';

const schema = () => import('../schema/schema.ts');

const rightsFlags = {
  owners: flag('--owners', 'also who owns each object'),
  grants: flag('--grants', 'also what is granted to other roles'),
};

const snapshot = defineCommand<
  SnapshotOptions &
    TargetFlags & {
      readonly out?: string | undefined;
      readonly format?: 'json' | 'sql' | undefined;
    }
>()({
  name: 'snapshot',
  summary: 'write the schema of a database as sorted JSON or as SQL, the same for equal schemas',
  flags: {
    out: flag('--out <file>', 'write it to this file (default: print it)'),
    format: flag('--format <form>', 'json, or sql: a script that makes the schema', {
      choices: ['json', 'sql'],
      default: 'json',
    }),
    ...rightsFlags,
    ...targetFlags,
  },
  notes: [
    'It changes nothing, and runs on a standby. Left out: rows, chunks, members of extensions, the history.',
  ],
  examples: [
    ['cryptosense-db schema snapshot --out schema.json', 'to commit, or to compare later'],
    ['cryptosense-db schema snapshot | jq', 'print it'],
    ['cryptosense-db schema snapshot --format sql --out schema.sql', 'to make another database'],
  ],
  run: async ({ out, format, ...given }, tools) => {
    if (out !== undefined) requireWritable(out);
    const read = format === 'sql' ? readAsSql : readAsJson;
    const { text, document, written } = await read(onDatabase(given, tools));
    if (out === undefined) {
      tools.output.product(document, () => text);
      return;
    }
    replaceFile(out, text);
    tools.output.result({ ...written, out }, renderSnapshotWritten);
  },
});

async function readAsJson(options: SnapshotOptions) {
  const { printSnapshot, snapshot: read } = await schema();
  const { target, snapshot: taken } = await read(options);
  const written = { target, objects: taken.objects.length };
  return { text: printSnapshot(taken), document: taken, written };
}

async function readAsSql(options: ScriptOptions) {
  const document = await (await schema()).script(options);
  const { script: text, ...written } = document;
  return { text, document, written };
}

const diff = defineCommand<DiffOptions>()({
  name: 'diff',
  summary: 'compare two schemas; exit with code 1 when they differ',
  arguments: {
    before: argument('<a>', 'a URL, a snapshot file, or the word migrations'),
    after: argument('<b>', 'another one'),
  },
  flags: { ...rightsFlags, ...scratchFlags, ...folderFlags },
  notes: ['"migrations" are the files, applied to a scratch database that is dropped afterwards.'],
  examples: [
    [
      'cryptosense-db schema diff schema.json postgresql://db.example/shop',
      'what has changed since',
    ],
    ['cryptosense-db schema diff migrations embedded: --scratch embedded', 'without a server'],
  ],
  run: async (given, tools) => {
    const { signal } = tools;
    const { onProgress } = tools.output;
    const result = await (await schema()).diff({ ...given, signal, onProgress });
    tools.output.result(result, renderDiff);
    if (result.differences.length > 0) tools.answerNo();
  },
});

const check = defineCommand<CheckOptions & TargetFlags>()({
  name: 'check',
  summary: 'compare a database with its migrations; exit with code 1 when it was changed by hand',
  flags: {
    against: flag('--against <file>', 'compare with a snapshot file instead'),
    ...targetFlags,
    ...scratchFlags,
    ...folderFlags,
  },
  conflicts: [['against', 'scratch']],
  notes: [
    'It applies the migrations of the history to a scratch database. Grants count; owners do not, and neither do',
    'the versions of extensions.',
  ],
  examples: [
    ['cryptosense-db schema check', 'after a deployment'],
    ['cryptosense-db schema check --against schema.json', 'without a scratch database'],
  ],
  run: async (given, tools) => {
    const result = await (await schema()).check(onDatabase(given, tools));
    tools.output.result(result, renderCheck);
    if (result.drift.length > 0) tools.answerNo();
  },
});

interface SourceFlags extends TargetFlags {
  readonly from?: string | undefined;
}

const fromFlag = flag('--from <file>', 'read a snapshot file instead of a database');
const sourceConflicts = [
  ['from', 'url'],
  ['from', 'embedded'],
] as const;

/** The snapshot file, or else the database that the flags or the environment name. */
function sourceOf<Given extends SourceFlags>(
  { from, url, embedded, passwordCommand, ...given }: Given,
  tools: Tools,
) {
  const { signal } = tools;
  if (from !== undefined) return { ...given, signal, from };
  const { target } = onDatabase({ url, embedded, passwordCommand }, tools);
  return { ...given, signal, target };
}

const erd = defineCommand<ErdSettings & SourceFlags>()({
  name: 'erd',
  summary: 'draw the tables, their columns and foreign keys, as Mermaid or SVG',
  flags: {
    format: flag(
      '--format <format>',
      'the form of the diagram (default: svg for a file .svg, else mermaid)',
      { choices: ['mermaid', 'svg'] },
    ),
    tables: flag('--tables <names>', 'these tables and views only', tableNames),
    out: flag('--out <file>', 'write it to this file (default: print it)'),
    check: flag('--check', 'compare with the file of --out; exit with code 1 when they differ'),
    from: fromFlag,
    ...targetFlags,
  },
  conflicts: sourceConflicts,
  notes: [
    'The SVG is one file for light and dark pages, with nothing from outside. Equal schemas give equal bytes.',
    'Left out: chunks, partitions, members of extensions, the history.',
  ],
  examples: [
    ['cryptosense-db schema erd --out schema.svg', 'draw the database'],
    ['cryptosense-db schema erd --tables users,portfolios', 'two tables, as Mermaid'],
    ['cryptosense-db schema erd --out schema.mmd --check', 'check in a pipeline'],
  ],
  run: async (given, tools) => {
    const { text, file, ...result } = await (await schema()).erd(sourceOf(given, tools));
    if (file === null) {
      tools.output.product({ ...result, text }, () => text);
      return;
    }
    tools.output.result({ ...result, file }, renderErdFile);
    if (given.check && !file.isCurrent) tools.answerNo();
  },
});

const doc = defineCommand<DocSettings & SourceFlags>()({
  name: 'doc',
  summary: 'write a data dictionary in Markdown, one page for each table and view',
  flags: {
    out: flag('--out <dir>', 'the folder of the pages', { default: 'docs/tables' }),
    check: flag('--check', 'compare with the folder; exit with code 1 when it is not current'),
    from: fromFlag,
    ...targetFlags,
    ...folderFlags,
  },
  conflicts: sourceConflicts,
  notes: [
    'It removes pages that it wrote for tables that are gone, and leaves other files alone. Each page names the',
    'migrations that touched its table: those of the history or, with --from, those of the folder.',
  ],
  examples: [
    ['cryptosense-db schema doc --out docs/tables', 'after migrate up'],
    ['cryptosense-db schema doc --from schema.json --check', 'check in a pipeline'],
  ],
  run: async (given, tools) => {
    const result = await (await schema()).doc(sourceOf(given, tools));
    tools.output.result(result, renderDoc);
    if (given.check && result.changes.length > 0) tools.answerNo();
  },
});

export const schemaCommands: Group = {
  name: 'schema',
  summary: 'read a schema as data, compare it, draw it, and find what was changed by hand',
  commands: [snapshot, diff, check, erd, doc],
};
