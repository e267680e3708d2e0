import type { TargetFlags } from '../config.ts';
import { replaceFile, requireWritable } from '../runtime/files.ts';
import type { CheckOptions, DiffOptions, SnapshotOptions } from '../schema/schema.ts';
import { renderCheck, renderDiff, renderSnapshotWritten } from '../ui/schema.ts';
import { argument, defineCommand, flag, type Group } from './command.ts';
import { folderFlags, onDatabase, scratchFlags, targetFlags } from './flags.ts';

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
    const { printSnapshot, script, snapshot: read } = await schema();
    if (format === 'sql') {
      const result = await script(onDatabase(given, tools));
      if (out === undefined) {
        tools.output.product(result, () => result.script);
        return;
      }
      replaceFile(out, result.script);
      const { script: _, ...written } = result;
      tools.output.result({ ...written, out }, renderSnapshotWritten);
      return;
    }
    const result = await read(onDatabase(given, tools));
    const text = printSnapshot(result.snapshot);
    if (out === undefined) {
      tools.output.product(result.snapshot, () => text);
      return;
    }
    replaceFile(out, text);
    const { target, snapshot: taken } = result;
    tools.output.result({ target, out, objects: taken.objects.length }, renderSnapshotWritten);
  },
});

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

export const schemaCommands: Group = {
  name: 'schema',
  summary: 'read a schema as data, compare it, and find what was changed by hand',
  commands: [snapshot, diff, check],
};
